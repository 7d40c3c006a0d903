"""Sources in the real page: cards, citations, the article; and whom the page asks for anything."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from steps import LAST, ask, choose, open_groups


def test_cited_cards_stand_out_from_retrieved_ones(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    cards = page.locator("#sources .card")
    assert cards.count() == 3
    assert [card.get_attribute("data-cited") for card in cards.all()] == ["true", "true", "false"]
    expect(cards.first.locator(".cited-badge")).to_have_text("Cited")
    expect(cards.first.locator(".similarity")).to_contain_text("similarity")
    assert {mark.lower() for mark in cards.first.locator("mark").all_inner_texts()} == {"fibre", "500", "month"}


def test_a_citation_leads_to_its_card_by_mouse_and_by_keyboard(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    page.locator(f"{LAST} .cite").nth(1).click()
    card = page.locator("#sources .card").nth(1)
    expect(card).to_be_focused()
    assert "flash" in (card.get_attribute("class") or "")
    page.locator(f"{LAST} .cite").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sources .card").first).to_be_focused()


def test_a_citation_of_an_earlier_turn_opens_its_group(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    choose(page, "Fine-tuned")
    ask(page, "Fibre 900 price?")
    first = page.locator(".turn").first
    assert open_groups(page) == [page.locator(LAST).get_attribute("data-turn")]
    first.locator(".cite").first.click()
    assert first.get_attribute("data-turn") in open_groups(page)
    expect(page.locator(f'[id^="source-{first.get_attribute("data-turn")}-1"]')).to_be_focused()


def test_the_article_opens_at_the_passage_and_gives_the_focus_back(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    button = page.locator("#sources .card").first.locator('[data-action="article"]')
    button.click()
    expect(page.locator("#article-title")).to_have_text("Fibre plans and prices")
    expect(page.locator("#article .here").nth(1)).to_contain_text("£36")
    expect(page.locator("#article .here").first).to_be_in_viewport()
    assert "£25, once" not in " ".join(page.locator("#article .here").all_inner_texts())
    page.keyboard.press("Escape")
    expect(page.locator("#article")).not_to_be_visible()
    expect(button).to_be_focused()


def test_the_page_asks_nobody_but_its_own_server(page: Page, url: str) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.reload()
    page.wait_for_selector(".welcome")
    ask(page, "How much is Fibre 500 a month?")
    assert [one for one in requests if not one.startswith((url, "data:", "blob:"))] == []
