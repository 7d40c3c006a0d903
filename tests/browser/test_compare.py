"""The Compare page in a browser: side by side, one conversation, blind votes, and nobody sees another's."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, expect

LATEST = "#board .round:first-child"


@pytest.fixture
def compare(visitor: BrowserContext, url: str) -> Page:
    """The page as it first meets a visitor."""
    page = visitor.new_page()
    page.goto(f"{url}compare")
    page.wait_for_selector(".board-empty")
    return page


def put(page: Page, question: str, wait: bool = True) -> None:
    """Ask on the Compare page, and wait until every path has answered."""
    before = page.locator(".round").count()
    page.locator("#question textarea").fill(question)
    page.locator("#ask").click()
    expect(page.locator(".round")).to_have_count(before + 1)
    if wait:
        page.wait_for_selector(f'{LATEST}[data-state="done"]')


def top(page: Page, path: int) -> float:
    """Where a path's answer to the latest question begins, in pixels."""
    box = page.locator(f"{LATEST} .path").nth(path).bounding_box()
    assert box
    return box["y"]


def test_two_paths_answer_side_by_side_with_sources_and_costs(compare: Page) -> None:
    put(compare, "How much is Fibre 500 a month?")
    paths = compare.locator(f"{LATEST} .path")
    expect(paths).to_have_count(2)
    expect(paths.nth(0).locator(".chip")).to_have_text("Fine-tuned")
    expect(paths.nth(1).locator(".column-sources summary")).to_contain_text("3 passages")
    expect(paths.nth(1).locator(".metrics")).to_contain_text("to first word")
    assert top(compare, 0) == top(compare, 1)
    compare.set_viewport_size({"width": 390, "height": 844})
    compare.wait_for_timeout(200)
    assert top(compare, 0) < top(compare, 1)
    assert compare.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_next_question_goes_on_from_there(compare: Page) -> None:
    put(compare, "How much is Fibre 500 a month?")
    put(compare, "And Fibre 900 a month?")
    expect(compare.locator(".round-question").first).to_have_text("And Fibre 900 a month?")
    expect(compare.locator(".round")).to_have_count(2)
    compare.get_by_role("button", name="Start over").click()
    expect(compare.locator(".board-empty")).to_be_visible()


def test_stop_keeps_what_was_said_and_lets_ask_again(compare: Page) -> None:
    put(compare, "A long story on Fibre 500 a month", wait=False)
    compare.wait_for_selector(f"{LATEST} .prose-answer")
    compare.locator("#compare-stop").click()
    compare.wait_for_selector(f'{LATEST}[data-state="done"]')
    expect(compare.locator(f"{LATEST} .path").first).to_contain_text("word0 word1")
    expect(compare.locator(f"{LATEST} .path").nth(1)).to_contain_text("Stopped")
    put(compare, "How much is Fibre 500 a month?")


def test_a_blind_vote_hides_the_paths_until_it_is_cast(compare: Page) -> None:
    compare.locator("#compare-blind input").check()
    put(compare, "How much is Fibre 500 a month?")
    expect(compare.locator(f"{LATEST} .letter")).to_have_text(["Answer A", "Answer B"])
    assert "Fine-tuned" not in compare.locator(LATEST).inner_html()
    compare.get_by_role("button", name="B is better").click()
    expect(compare.locator(f"{LATEST} .revealed")).to_contain_text("B is better.")
    expect(compare.locator(f"{LATEST} .path.won .chip")).to_be_visible()
    expect(compare.locator("#tally")).to_contain_text("Preferred in blind votes")


def test_a_question_with_known_facts_is_judged(compare: Page) -> None:
    compare.get_by_role("button", name="A question with known facts").click()
    expect(compare.locator("#question textarea")).not_to_have_value("")
    compare.locator("#ask").click()
    compare.wait_for_selector(f'{LATEST}[data-state="done"]')
    expect(compare.locator(f"{LATEST} .round-note").first).to_contain_text("From the evaluation set")


def test_a_failing_path_shows_a_sentence_and_no_traceback(compare: Page) -> None:
    put(compare, "Please crash on Fibre 500")
    text = compare.locator("#board").inner_text()
    assert "Something went wrong on our side" in text
    assert "secret" not in text


def test_nobody_sees_the_rounds_of_another(compare: Page, visitor: BrowserContext, url: str) -> None:
    put(compare, "How much is Fibre 500 a month?")
    other = visitor.new_page()
    other.goto(f"{url}compare")
    expect(other.locator(".board-empty")).to_be_visible()
