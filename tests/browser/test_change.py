"""The page where a fact changes, in a browser: the change is one visitor's own."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

LATEST = "#board .round:first-child"


@pytest.fixture
def change(visitor: BrowserContext, url: str) -> Page:
    """The page with its article open."""
    return opened(visitor, url)


def opened(visitor: BrowserContext, url: str) -> Page:
    page = visitor.new_page()
    page.goto(f"{url}change")
    expect(page.locator("#change-text textarea")).to_have_value(re.compile(r"Fibre 500 costs \*\*£36"))
    return page


def ask_both(page: Page, rounds: int) -> None:
    page.locator("#ask").click()
    expect(page.locator(".round")).to_have_count(rounds)
    page.wait_for_selector(f'{LATEST}[data-state="done"]')


def test_a_new_price_is_found_and_the_learned_one_stays(change: Page) -> None:
    ask_both(change, 1)
    expect(change.locator(f"{LATEST} .path").nth(1)).to_contain_text("£36")
    change.get_by_role("button", name="Raise the price").click()
    expect(change.locator("#change-said")).to_contain_text("Save it to your copy")
    change.locator("#change-save").click()
    expect(change.locator("#change-said")).to_contain_text("Your copy is indexed")
    ask_both(change, 2)
    learned, looked_up = (change.locator(f"{LATEST} .path").nth(n) for n in range(2))
    expect(looked_up).to_contain_text("£41 a month")
    expect(looked_up).to_contain_text("2 cited")
    expect(learned).to_contain_text("£36")
    change.get_by_role("button", name="Put it back").click()
    expect(change.locator("#change-said")).to_contain_text("as it was")
    ask_both(change, 3)
    expect(change.locator(f"{LATEST} .path").nth(1)).to_contain_text("£36")


def test_nobody_else_sees_a_change(change: Page, visitor: BrowserContext, url: str) -> None:
    change.get_by_role("button", name="Raise the price").click()
    expect(change.locator("#change-said")).to_contain_text("Save it to your copy")
    change.locator("#change-save").click()
    expect(change.locator("#change-said")).to_contain_text("Your copy is indexed")
    other = opened(visitor, url)
    ask_both(other, 1)
    expect(other.locator(f"{LATEST} .path").nth(1)).to_contain_text("£36")


def test_another_article_can_be_opened(change: Page) -> None:
    change.locator("#change-source input").click()
    change.get_by_role("option", name="Rolling fibre plans").click()
    expect(change.locator("#change-text textarea")).to_have_value(re.compile("Flex plans have the same"))
