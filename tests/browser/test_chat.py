"""A visitor's conversation in the real page: asking, switching, stopping, retrying, undoing, editing."""

from __future__ import annotations

import re
import threading

import pytest
from playwright.sync_api import Browser, Page, expect
from steps import LAST, act, answer, ask, begun, choose, finished, mode_of


def test_each_mode_answers_and_is_labelled(page: Page) -> None:
    for label, mode in (("Fine-tuned", "fine-tuned"), ("RAG", "rag"), ("Combined", "combined")):
        choose(page, label)
        ask(page, "How much is Fibre 500 a month?")
        assert mode_of(page) == mode
        expect(page.locator(f"{LAST} .chip")).to_have_text(label)
        expect(page.locator(f"{LAST} .metrics")).to_have_text(
            re.compile(rf"^{label} · .* to first word · .* tokens at")
        )
    assert [mode_of(page, n) for n in range(3)] == ["fine-tuned", "rag", "combined"]


def test_the_switch_says_what_each_path_does(page: Page) -> None:
    choose(page, "Fine-tuned")
    expect(page.locator("#summary p:visible")).to_contain_text("from memory")
    choose(page, "Combined")
    expect(page.locator("#summary p:visible")).to_contain_text("both at once")


def test_sources_come_before_the_first_word(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?", wait=False)
    page.wait_for_selector("#sources .card")
    assert page.locator(f"{LAST} .prose-answer").count() == 0
    expect(page.locator(f"{LAST} .phase")).to_have_text("Reading 3 passages")
    finished(page)


def test_stop_halts_the_model_and_keeps_what_was_said(page: Page, wait_closed: threading.Event) -> None:
    ask(page, "A long story on Fibre 500 a month", wait=False)
    begun(page)
    page.locator("#stop").click()
    finished(page)
    assert wait_closed.wait(5)
    expect(page.locator(f"{LAST} .badge")).to_have_text("Stopped")
    said = answer(page).inner_text()
    page.wait_for_timeout(600)
    assert answer(page).inner_text() == said
    assert "word399" not in said
    expect(page.locator("#ask")).to_be_visible()


def test_leaving_the_page_stops_the_model(browser: Browser, url: str, wait_closed: threading.Event) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".welcome")
    ask(page, "A long story on Fibre 500 a month", wait=False)
    begun(page)
    context.close()
    assert wait_closed.wait(6)


def test_retry_keeps_the_mode_and_says_when_the_switch_was_moved(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    act(page, "retry")
    page.wait_for_selector('.turn[data-state="working"]')
    finished(page)
    assert page.locator(".turn").count() == 1
    assert mode_of(page) == "rag"
    choose(page, "Combined")
    expect(page.locator(f'{LAST} [data-action="retry"]')).to_have_text("Retry with Combined")
    act(page, "retry")
    page.wait_for_selector('.turn[data-state="working"]')
    finished(page)
    assert mode_of(page) == "combined"


def test_undo_takes_the_turn_back_and_the_question_into_the_box(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    act(page, "undo")
    page.wait_for_selector(".welcome")
    expect(page.locator("#question textarea")).to_have_value("How much is Fibre 500 a month?")


def test_editing_an_earlier_question_drops_what_came_after(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    ask(page, "Fibre 900 price?")
    page.locator(".turn").first.hover()
    page.locator(".turn").first.locator('[data-action="edit"]').click()
    expect(page.locator(".edit .notice")).to_have_text("The answer after this one will be removed.")
    page.locator(".edit textarea").fill("How much is Fibre 2000 <b>a</b> month & more?")
    page.keyboard.press("Enter")
    expect(page.locator(".turn")).to_have_count(1)
    finished(page)
    expect(page.locator(".question-text")).to_have_text("How much is Fibre 2000 <b>a</b> month & more?")
    page.locator(".turn").first.hover()
    page.locator('[data-action="edit"]').click()
    expect(page.locator(".edit textarea")).to_have_value("How much is Fibre 2000 <b>a</b> month & more?")
    page.keyboard.press("Escape")
    expect(page.locator(".edit")).to_have_count(0)


def test_examples_are_asked_with_a_click(page: Page) -> None:
    assert page.locator(".example").count() == 6
    page.locator(".example").first.click()
    page.wait_for_selector(".turn")
    finished(page)
    expect(page.locator(".question-text")).to_have_text("How much is Fibre 500 a month?")


def test_a_question_that_is_not_covered_names_the_nearest_passage(page: Page) -> None:
    ask(page, "Do you sell home insurance?")
    expect(page.locator(f"{LAST} .badge")).to_have_text("Not covered")
    expect(page.locator("#sources .nearest .similarity")).to_contain_text("similarity")
    expect(page.locator("#sources .no-sources").first).to_contain_text("threshold")


def test_a_path_without_search_says_why_it_has_no_sources(page: Page) -> None:
    choose(page, "Fine-tuned")
    ask(page, "How much is Fibre 500 a month?")
    expect(page.locator("#sources .no-sources")).to_contain_text("No sources on this path")


def test_an_error_of_ours_is_one_plain_sentence(page: Page) -> None:
    choose(page, "Fine-tuned")
    ask(page, "please crash")
    expect(page.locator(f"{LAST} .error")).to_have_text("Something went wrong on our side; please try again.")
    assert "secret detail" not in page.content()
    expect(page.locator(f'{LAST} [data-action="retry"]')).to_be_visible()


def test_a_message_too_long_is_refused_with_its_length_and_kept(page: Page) -> None:
    ask(page, "a b " * 1500)
    expect(page.locator(f"{LAST} .error")).to_contain_text("tokens long and at most")
    assert page.locator(f'{LAST} [data-action="edit"]').count() == 1


def test_removed_citations_are_counted(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    expect(page.locator(f"{LAST} .notice")).to_have_text("1 citation that pointed at nothing was removed.")


@pytest.mark.parametrize("question", ["", "   "])
def test_nothing_is_not_asked(page: Page, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.locator("#question textarea").press("Enter")
    page.wait_for_timeout(300)
    assert page.locator(".turn").count() == 0


def test_settings_are_used_and_reset(page: Page) -> None:
    page.locator('[data-action="settings"]').click()
    page.locator("#setting-passages input[type=number]").fill("2")
    page.locator("#setting-passages input[type=number]").press("Tab")
    page.keyboard.press("Escape")
    ask(page, "How much is Fibre 500 a month?")
    assert page.locator("#sources .card").count() == 2
    page.locator('[data-action="settings"]').click()
    page.locator("#reset").click()
    expect(page.locator("#setting-passages input[type=number]")).to_have_value("3")


def test_copy_gives_the_answer_and_nothing_else(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose(page, "Fine-tuned")
    ask(page, "How much is Fibre 500 a month?")
    act(page, "copy")
    expect(page.locator(f'{LAST} [data-action="copy"]')).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == answer(page).inner_text()
