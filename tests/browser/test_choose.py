"""The page that recommends, in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect


@pytest.fixture
def choose(visitor: BrowserContext, url: str) -> Page:
    """The page as it first meets a visitor."""
    page = visitor.new_page()
    page.goto(f"{url}choose")
    page.wait_for_selector(".verdict")
    return page


def answer(page: Page, question: str, words: str) -> None:
    page.locator(f"#ask-{question} label", has_text=words).click()


def test_the_recommendation_follows_the_answers(choose: Page) -> None:
    expect(choose.locator(".verdict h2")).to_have_text("RAG")
    answer(choose, "dialogues", "Thousands")
    answer(choose, "voice", "It is part of the brand")
    expect(choose.locator(".verdict h2")).to_have_text("Both")
    answer(choose, "documents", "There are hardly any")
    expect(choose.locator(".ranking")).to_contain_text("ruled out")


def test_weights_can_be_changed(choose: Page) -> None:
    choose.get_by_role("button", name="Weights").click()
    slider = choose.locator("#weight-documents input[type=number]")
    expect(slider).to_be_visible()
    choose.wait_for_timeout(300)  # the drawer opens
    slider.fill("0")
    slider.press("Tab")
    expect(choose.locator(".reasons")).not_to_contain_text("there is something to look answers up in")


def test_it_can_be_taken_along(choose: Page, tmp_path: Path) -> None:
    answer(choose, "cite", "Yes, always")
    expect(choose.locator(".ranking")).to_contain_text("ruled out")
    with choose.expect_download() as waiting:
        choose.get_by_role("button", name="Download as Markdown").click()
    file = tmp_path / "recommendation.md"
    waiting.value.save_as(file)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# RAG")
    assert "| Must an answer say where it is from? | Yes, always | 2 |" in text


def test_it_prints_as_the_verdict_alone(choose: Page) -> None:
    choose.emulate_media(media="print")
    expect(choose.locator("#advice-questions")).to_be_hidden()
    expect(choose.locator(".verdict h2")).to_be_visible()


def test_it_fits_a_phone(choose: Page) -> None:
    choose.set_viewport_size({"width": 390, "height": 844})
    choose.wait_for_timeout(300)
    assert choose.evaluate("document.documentElement.scrollWidth") <= 390
