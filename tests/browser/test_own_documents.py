"""The drawer of documents, as a visitor meets it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
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


def test_the_staff_changes_everybodys_and_a_visitor_finds_it(
    page: Page, visitor: BrowserContext, url: str, tmp_path: Path
) -> None:
    opened(page)
    page.get_by_text("For the staff").click()
    page.locator("#staff-password input").fill("wrong")
    page.locator("#staff-enter").click()
    expect(page.get_by_text("That is not the password.")).to_be_visible()
    page.locator("#staff-password input").fill("let me in")
    page.locator("#staff-enter").click()
    expect(page.locator("#staff-renew")).to_be_visible()
    file = tmp_path / "opening-hours.md"
    file.write_text("# Opening hours\n\nThe Exeter shop opens at seven.", encoding="utf-8")
    dropped(page, file)
    expect(page.locator("#documents-said")).to_contain_text("Everybody finds it now.")
    other = visitor.new_page()
    other.goto(url)
    other.wait_for_selector(".welcome")
    ask(other, "When does the Exeter shop open?")
    expect(other.locator("#sources .card", has_text="opens at seven").first).to_be_visible()
    page.locator("#documents-list summary", has_text="Added").click()
    page.locator('#documents-list [data-action="remove-document"][data-source="added/opening-hours.md"]').click()
    expect(page.locator("#documents-said")).to_contain_text("is gone for everybody.")


def test_an_own_text_is_edited_and_saved_as_a_file(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "boats.md"
    file.write_text(BOATS, encoding="utf-8")
    opened(page)
    dropped(page, file)
    page.locator('#documents-list [data-action="edit-document"]').click()
    box = page.locator("#paste-text textarea")
    expect(box).to_have_value(BOATS)
    box.fill(BOATS.replace("£12", "£15"))
    page.locator("#paste-add").click()
    expect(page.locator("#documents-said")).to_contain_text("replaced")
    with page.expect_download() as saved:
        page.locator("#documents-export").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert "£15" in archive.read("boats.md").decode()


def test_a_pdf_opens_at_the_page_of_the_passage(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "visit.pdf"
    with PdfPages(file) as pages:
        for text in ("Bring your order number.", "The zeppelin visit costs £45 an hour.", "Nothing else."):
            figure = Figure(figsize=(6, 8))
            figure.text(0.1, 0.5, text)
            pages.savefig(figure)
    opened(page)
    dropped(page, file)
    expect(page.locator("#documents-said")).to_contain_text("added: 3 passages")
    page.keyboard.press("Escape")
    ask(page, "How much does the zeppelin visit cost an hour?")
    page.locator("#sources .card", has_text="£45 an hour").get_by_text("Open page 2").click()
    expect(page.locator("#article figcaption")).to_contain_text("Page 2 of 3, the passage marked")
    assert page.locator("#article img").evaluate("image => image.naturalWidth") > 500
    page.get_by_text("Next page").click()
    expect(page.locator("#article figcaption")).to_contain_text("Page 3 of 3")
