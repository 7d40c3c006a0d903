"""The Results page in a browser: reached from the chat, its bars open the questions behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from demo import demo
from playwright.sync_api import BrowserContext, Page, expect

from report_fakes import plan_in
from switchboard.evaluation.report import measure
from switchboard.evaluation.written import write_report
from switchboard.progress import quietly
from switchboard.ui.app import create_app, launch_options


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that has a report to show."""
    folder: Path = tmp_path_factory.mktemp("measured")
    write_report(measure(plan_in(folder), lambda _n: None, quietly), folder / "out")
    running = demo(folder)
    running = replace(running, settings=replace(running.settings, report=folder / "out" / "report.json"))
    app = create_app(running)
    _, address, _ = app.launch(
        **{**launch_options(running.settings), "server_port": None, "quiet": True}, prevent_thread_lock=True
    )
    yield address
    app.close()


def test_the_pages_lead_to_each_other(visitor: BrowserContext, measured: str) -> None:
    page = visitor.new_page()
    page.goto(measured)
    page.wait_for_selector(".welcome")
    page.locator(".pages a", has_text="Results").click()
    page.wait_for_selector(".results")
    expect(page.locator(".pages a[aria-current]")).to_have_text("Results")
    page.locator(".pages a", has_text="Chat").click()
    page.wait_for_selector(".welcome")


def test_a_bar_opens_its_questions_and_gives_the_focus_back(visitor: BrowserContext, measured: str) -> None:
    page = opened(visitor, measured)
    bar = page.locator('.bar-row[data-mode="rag"][data-about="all_facts"]')
    bar.click()
    page.wait_for_selector(".behind-list")
    expect(page.locator("#behind-title")).to_have_text("All required facts in the answer: 1 of 2")
    expect(page.locator('.behind-list li[data-yes="true"] .behind-answer')).to_contain_text("£27 a month")
    page.keyboard.press("Escape")
    expect(page.locator("#behind")).to_be_hidden()
    expect(bar).to_be_focused()


def test_it_fits_a_phone(visitor: BrowserContext, measured: str) -> None:
    page = opened(visitor, measured)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator(".bar-row").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().height)")
    assert min(sizes) >= 40


def test_nothing_measured_says_how_to_measure(visitor: BrowserContext, url: str) -> None:
    page = visitor.new_page()
    page.goto(f"{url}results")
    expect(page.locator(".results")).to_contain_text("evaluate --all")


def opened(visitor: BrowserContext, address: str) -> Page:
    """The Results page."""
    page = visitor.new_page()
    page.goto(f"{address}results")
    page.wait_for_selector(".results .bar-row")
    return page
