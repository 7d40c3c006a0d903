"""The page on a phone, in the dark, by keyboard and to a screen reader."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect
from steps import LAST, ask, choose

from switchboard.ui.theme import DARK, LIGHT


def rgb(colour: str) -> str:
    return f"rgb({int(colour[1:3], 16)}, {int(colour[3:5], 16)}, {int(colour[5:7], 16)})"


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280, 1920])
def test_nothing_overflows_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    ask(page, "How much is Fibre 500 a month?")
    ask(page, "x" * 400)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    for part in ("#transcript", "#sources", "#composer"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_on_a_phone_the_sources_are_below_and_the_question_stays_in_reach(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ask(page, "How much is Fibre 500 a month?")
    turn, sources = page.locator(LAST).bounding_box(), page.locator("#sources").bounding_box()
    assert turn is not None
    assert sources is not None
    assert sources["y"] >= turn["y"] + turn["height"]
    expect(page.locator("#ask")).to_be_in_viewport()
    page.locator(f"{LAST} .cite").first.click()
    expect(page.locator("#sources .card").first).to_be_in_viewport()
    page.locator("#sources .card .back").first.click()
    expect(page.locator(f"{LAST} .question-text")).to_be_in_viewport()
    expect(page.locator("#ask")).to_be_in_viewport()


def test_on_a_desktop_only_the_columns_scroll(page: Page) -> None:
    for _ in range(4):
        ask(page, "How much is Fibre 500 a month?")
    assert page.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0
    assert page.evaluate("scrollY") == 0
    expect(page.locator(f"{LAST} .metrics")).to_be_in_viewport()
    box = page.locator("#masthead").bounding_box()
    assert box is not None
    assert box["y"] == 0


@pytest.mark.parametrize(("scheme", "table"), [("light", LIGHT), ("dark", DARK)])
def test_it_follows_the_systems_theme(browser: Browser, url: str, scheme: str, table: dict[str, str]) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".welcome")
    colour = "(selector) => getComputedStyle(document.querySelector(selector))"
    assert page.evaluate(f"({colour})('.gradio-container').backgroundColor") == rgb(table["paper"])
    assert page.evaluate(f"({colour})('.welcome h2').color") == rgb(table["ink"])
    context.close()


def test_every_control_has_a_name(page: Page) -> None:
    ask(page, "How much is Fibre 500 a month?")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, a, [role=dialog], dialog")]
            .filter((el) => el.checkVisibility())
            .filter((el) => !(el.ariaLabel || el.textContent.trim() || el.labels?.length))
            .filter((el) => !el.getAttribute("aria-labelledby"))
            .map((el) => el.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    expect(page.get_by_role("radiogroup", name="Answer with")).to_be_visible()
    expect(page.get_by_role("textbox", name="Your question")).to_be_visible()
    expect(page.get_by_role("complementary", name="Sources")).to_be_visible()


def test_the_switch_and_the_question_work_by_keyboard(page: Page) -> None:
    page.locator('#switch input[value="rag"]').focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#switch label.selected")).to_have_text("Combined")
    page.locator("#question textarea").focus()
    page.keyboard.type("How much is Fibre 500 a month?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Thanks")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'{LAST}[data-state="done"]')
    assert page.locator(LAST).get_attribute("data-mode") == "combined"
    assert "\n" in page.locator(".question-text").inner_text()


def test_a_drawer_takes_the_focus_and_gives_it_back(page: Page) -> None:
    button = page.locator('[data-action="settings"]')
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#settings .close")).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(page.locator("#settings")).not_to_be_visible()


def test_what_runs_here_is_in_the_page(page: Page) -> None:
    page.locator('[data-action="about"]').click()
    expect(page.locator("#about")).to_contain_text("NF4")
    expect(page.locator("#about")).to_contain_text("4 articles")


def test_the_end_of_an_answer_is_announced(page: Page) -> None:
    choose(page, "Fine-tuned")
    ask(page, "How much is Fibre 500 a month?")
    expect(page.locator("#announcer")).to_contain_text("Happy to help!")


def test_the_focus_can_be_seen(page: Page) -> None:
    for _ in range(3):
        page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
    assert outline == "solid"
    assert width >= 2
