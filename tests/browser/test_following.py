"""Conversations of people who log in: they follow them into another browser, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from demo import demo
from playwright.sync_api import Browser, BrowserContext, Page, expect
from steps import ask

from switchboard.ui.app import create_app, launch_options
from switchboard.users import Users


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page behind a login."""
    made = demo(tmp_path_factory.mktemp("guarded"), pause=0.02)
    running = replace(made, settings=replace(made.settings, users=Users.read("ann:apple,bob:berry")))
    app = create_app(running)
    options = {**launch_options(running.settings), "server_port": None, "quiet": True}
    _, address, _ = app.launch(**options, prevent_thread_lock=True)
    yield address
    app.close()


def entered(context: BrowserContext, url: str, name: str, password: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(url)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector(".welcome, .turn")
    return page


def listed(page: Page) -> list[str]:
    page.locator('[data-action="conversations"]').click()
    page.wait_for_timeout(1000)
    found = page.locator("#conversation-list .conversation span").all_inner_texts()
    page.keyboard.press("Escape")
    return found


def test_a_conversation_follows_its_person_and_nobody_else(browser: Browser, guarded: str) -> None:
    first, second = browser.new_context(), browser.new_context()
    ann = entered(first, guarded, "ann", "apple")
    ask(ann, "How much is Fibre 500 a month?")
    assert listed(ann) == ["How much is Fibre 500 a month?"]
    ann.wait_for_timeout(500)

    elsewhere = entered(second, guarded, "ann", "apple")
    assert listed(elsewhere) == ["How much is Fibre 500 a month?"]
    elsewhere.locator('[data-action="conversations"]').click()
    elsewhere.locator("#conversation-list .conversation").click()
    expect(elsewhere.locator("#transcript .question-text")).to_have_text("How much is Fibre 500 a month?")
    # On the same computer, in the same browser.
    second.clear_cookies()
    assert listed(entered(second, guarded, "bob", "berry")) == []
    second.clear_cookies()
    again = entered(second, guarded, "ann", "apple")
    again.locator('[data-action="conversations"]').click()
    again.locator('[data-action="delete-conversation"]').click()
    again.wait_for_timeout(1000)
    third = browser.new_context()
    assert listed(entered(third, guarded, "ann", "apple")) == []
    for context in (first, second, third):
        context.close()


def test_files_of_the_store_hold_no_password(guarded: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    kept = [path for path in Path(folder).rglob("conversations.sqlite*") if path.is_file()]
    assert kept
    assert not any(word in path.read_bytes() for path in kept for word in (b"apple", b"berry"))
