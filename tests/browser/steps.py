"""What a visitor does, as functions of the page."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

LAST = '.turn[data-later="0"]'


def ask(page: Page, question: str, wait: bool = True) -> None:
    """Type a question, press Ask, and wait for the end of its answer."""
    before = page.locator(".turn").count()
    page.locator("#question textarea").fill(question)
    page.locator("#ask").click()
    page.locator(".turn").nth(before).wait_for()
    if wait:
        finished(page)


def finished(page: Page) -> None:
    """Wait until nothing is being answered."""
    page.wait_for_selector(f'{LAST}:not([data-state="working"])', timeout=120_000)


def begun(page: Page) -> None:
    """Wait until the first words of an answer are there."""
    page.wait_for_selector('.turn[data-state="working"] .prose-answer')


def choose(page: Page, label: str) -> None:
    """Put the switch on a mode by its label."""
    page.locator("#switch label", has_text=label).click()


def act(page: Page, name: str) -> None:
    """Press a button of the last turn."""
    page.locator(f'{LAST} [data-action="{name}"]').click()


def answer(page: Page, n: int = -1) -> Locator:
    """The text of the nth answer."""
    return page.locator(".turn").nth(n).locator(".prose-answer")


def mode_of(page: Page, n: int = -1) -> str | None:
    """The mode that the nth turn is labelled with."""
    return page.locator(".turn").nth(n).get_attribute("data-mode")


def open_groups(page: Page) -> list[str | None]:
    """The turns whose sources are open."""
    return [group.get_attribute("data-turn") for group in page.locator("#sources details[open]").all()]
