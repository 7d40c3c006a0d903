"""The drawer of documents, as a visitor meets it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect
from steps import LAST, ask

BOATS = "# Boats\n\nA rowing boat costs £12 an hour. <img src=x onerror=alert(1)>"


def opened(page: Page) -> None:
    page.locator('[data-action="documents"]').click()
    expect(page.locator("#documents")).to_be_visible()


def dropped(page: Page, *files: Path) -> None:
    page.locator("#add-files input[type=file]").set_input_files([str(file) for file in files])


def test_a_dropped_file_answers_the_next_question_and_opens(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "boats.md"
    file.write_text(BOATS, encoding="utf-8")
    opened(page)
    dropped(page, file)
    expect(page.locator("#documents-said")).to_contain_text("added: ")
    expect(page.locator("#documents-list")).to_contain_text("Boats")
    page.keyboard.press("Escape")
    ask(page, "How much is a rowing boat an hour?")
    card = page.locator("#sources .card", has_text="£12 an hour")
    card.locator('[data-action="article"]').click()
    expect(page.locator("#article-body")).to_contain_text("rowing boat")
    assert page.locator("#article-body img").count() == 0


def test_another_visitor_does_not_find_it(page: Page, visitor: BrowserContext, url: str, tmp_path: Path) -> None:
    file = tmp_path / "boats.md"
    file.write_text(BOATS, encoding="utf-8")
    opened(page)
    dropped(page, file)
    expect(page.locator("#documents-list")).to_contain_text("Boats")
    other = visitor.new_page()
    other.goto(url)
    other.wait_for_selector(".welcome")
    opened(other)
    expect(other.locator("#documents-list")).to_contain_text("Everybody’s")
    assert "Boats" not in (other.locator("#documents-list").text_content() or "")
    other.keyboard.press("Escape")
    ask(other, "How much is a rowing boat an hour?")
    assert "rowing boat costs" not in (other.locator(LAST).text_content() or "")


def test_a_file_that_cannot_be_read_says_why_and_one_can_be_removed(page: Page, tmp_path: Path) -> None:
    good, bad = tmp_path / "tea.txt", tmp_path / "broken.pdf"
    good.write_text("Tea is free for members.", encoding="utf-8")
    bad.write_bytes(b"not a pdf")
    opened(page)
    dropped(page, good, bad)
    expect(page.locator("#documents-said .error")).to_contain_text("broken.pdf")
    expect(page.locator("#documents-list")).to_contain_text("Tea")
    page.locator('[data-action="remove-document"]').click()
    expect(page.locator("#documents-list")).to_contain_text("None yet.")


def test_what_a_search_sees_is_shown(page: Page) -> None:
    opened(page)
    page.get_by_text("What a search sees").click()
    page.locator("#inspect-query textarea").fill("How much is Fibre 500?")
    page.locator("#inspect-search").click()
    expect(page.locator("#inspect-seen .seen li").first).to_contain_text("by meaning 1.")
