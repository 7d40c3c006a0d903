"""What stays: conversations over a reload, in several tabs and apart from other visitors; exports and ratings."""

from __future__ import annotations

import io
import json

from demo import Demo
from playwright.sync_api import Browser, Page, expect
from steps import LAST, act, answer, ask, begun, choose, finished, mode_of

from switchboard.database import open_database
from switchboard.feedback import FeedbackStore


def test_a_conversation_survives_a_reload(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    choose(page, "Fine-tuned")
    ask(page, "Fibre 900 price?")
    act(page, "like")
    expect(page.locator(f'{LAST} [data-action="like"]')).to_have_attribute("aria-pressed", "true")
    before = page.locator("#transcript").inner_text()
    page.reload()
    page.wait_for_selector(".turn")
    assert page.locator("#transcript").inner_text() == before
    assert [mode_of(page, n) for n in range(2)] == ["rag", "fine-tuned"]
    expect(page.locator(f'{LAST} [data-action="like"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#switch label.selected")).to_have_text("Fine-tuned")
    page.locator(".turn").first.locator(".cite").first.click()
    expect(page.locator("#sources .card").first).to_be_focused()
    ask(page, "And Fibre 2000 a month?")
    assert page.locator(".turn").count() == 3


def test_a_reload_in_mid_answer_keeps_the_question(page: Page) -> None:
    ask(page, "A long story on Fibre 500 a month", wait=False)
    begun(page)
    page.reload()
    page.wait_for_selector(".turn")
    expect(page.locator(f"{LAST} .badge")).to_have_text("Interrupted")
    expect(page.locator(f'{LAST} [data-action="retry"]')).to_be_visible()


def test_several_conversations_can_be_switched_and_deleted(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    page.locator('[data-action="new"]').click()
    page.wait_for_selector(".welcome")
    choose(page, "Combined")
    ask(page, "Fibre 900 price a month?")
    page.locator('[data-action="conversations"]').click()
    assert page.locator(".conversation span").all_inner_texts() == [
        "Fibre 900 price a month?",
        "How much is Fibre 500 a month?",
    ]
    page.locator(".conversation").nth(1).click()
    expect(page.locator(".question-text")).to_have_text("How much is Fibre 500 a month?")
    expect(page.locator("#sources .card")).to_have_count(3)
    page.locator('[data-action="conversations"]').click()
    page.locator('[data-action="delete-conversation"]').first.click()
    expect(page.locator(".conversation")).to_have_count(1)


def test_a_new_conversation_in_mid_answer_keeps_the_old_one(page: Page) -> None:
    ask(page, "A long story on Fibre 500 a month", wait=False)
    begun(page)
    page.locator('[data-action="new"]').click()
    page.wait_for_selector(".welcome")
    page.locator('[data-action="conversations"]').click()
    page.locator(".conversation").first.click()
    page.wait_for_selector(".turn")
    expect(page.locator(f"{LAST} .badge")).to_have_text("Stopped")
    assert answer(page).inner_text().startswith("word0 word1")


def test_two_tabs_do_not_lose_each_others_conversations(page: Page, url: str) -> None:
    ask(page, "How much is Fibre 500 a month?")
    other = page.context.new_page()
    other.goto(url)
    other.wait_for_selector(".turn")
    other.locator('[data-action="new"]').click()
    other.wait_for_selector(".welcome")
    ask(other, "Fibre 900 price a month?")
    ask(page, "And Fibre 2000 a month?")
    other.locator('[data-action="conversations"]').click()
    assert other.locator(".conversation").count() == 2
    other.reload()
    other.wait_for_selector(".turn")
    expect(other.locator(".question-text")).to_have_text("Fibre 900 price a month?")


def test_nothing_of_one_visitor_reaches_another(browser: Browser, page: Page, url: str) -> None:
    ask(page, "My secret is Fibre 500 a month")
    context = browser.new_context()
    stranger = context.new_page()
    stranger.goto(url)
    stranger.wait_for_selector(".welcome")
    assert "secret" not in stranger.content()
    ask(stranger, "Fibre 900 price a month?")
    assert stranger.locator(".turn").count() == 1
    assert "secret" not in stranger.content()
    context.close()


def test_at_most_twenty_conversations_below_two_megabytes_are_kept(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    page.evaluate(
        """() => {
            const [one] = JSON.parse(localStorage["switchboard.conversations"]);
            const many = Array.from({length: 40}, (_, n) => ({...one, id: `old${n}`, title: "x".repeat(90000)}));
            localStorage["switchboard.conversations"] = JSON.stringify(many);
        }"""
    )
    ask(page, "Fibre 900 price a month?")
    kept, size = page.evaluate(
        """() => { const s = localStorage["switchboard.conversations"]; return [JSON.parse(s).length, s.length * 2] }"""
    )
    assert 1 < kept <= 20
    assert size <= 2_000_000


def test_a_damaged_memory_does_no_harm(page: Page) -> None:
    for kept in ("{not json", '[7, null, {"id": "x", "turns": [7]}]', '{"id": 5}'):
        page.evaluate("(kept) => localStorage['switchboard.conversations'] = kept", kept)
        page.reload()
        page.wait_for_selector(".welcome")
        page.locator('[data-action="conversations"]').click()


def test_export_as_markdown_and_json(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    for kind in ("md", "json"):
        page.locator('[data-action="export"][aria-controls]').click()
        with page.expect_download() as download:
            page.locator(f'[data-format="{kind}"]').click()
        assert download.value.url.startswith("blob:")
        with open(download.value.path(), encoding="utf-8") as file:
            text = file.read()
        if kind == "md":
            assert "- [1] Fibre plans and prices › Monthly prices and speeds" in text
            assert "to first word" in text
        else:
            (turn,) = json.loads(text)["turns"]
            assert turn["passages"][0]["cited"] is True
            assert turn["metrics"]["output_tokens"] > 10


def test_a_rating_is_stored_changed_and_taken_back(page: Page, running: Demo) -> None:
    store = FeedbackStore(open_database(running.settings, "feedback"))

    def ratings() -> str:
        file = io.StringIO()
        store.export_csv(file)
        return file.getvalue()

    ask(page, "Rate this Fibre month please")
    act(page, "like")
    expect(page.locator(f'{LAST} [data-action="like"]')).to_have_attribute("aria-pressed", "true")
    assert "Rate this Fibre month please" in ratings()
    act(page, "dislike")
    expect(page.locator(f'{LAST} [data-action="dislike"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator(f'{LAST} [data-action="like"]')).to_have_attribute("aria-pressed", "false")
    assert ratings().count("Rate this") == 1
    act(page, "dislike")
    expect(page.locator(f'{LAST} [data-action="dislike"]')).to_have_attribute("aria-pressed", "false")
    assert "Rate this" not in ratings()


def test_the_end_of_a_stopped_answer_survives_a_reload(page: Page) -> None:
    ask(page, "A long story on Fibre 500 a month", wait=False)
    begun(page)
    page.locator("#stop").click()
    finished(page)
    said = answer(page).inner_text()
    page.reload()
    page.wait_for_selector(".turn")
    assert answer(page).inner_text() == said
