"""One server and one Chromium a session; each test gets a visitor of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import launched
from demo import Demo, demo
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from switchboard.ui.app import create_app, launch_options


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in Path(item.fspath).parts:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The Switchboard behind the page: fakes that answer in a moment."""
    return demo(tmp_path_factory.mktemp("data"), pause=0.02, admin_password="let me in")


@pytest.fixture(scope="session")
def url(running: Demo) -> Iterator[str]:
    """The page over fakes, on a port of the system's choice."""
    app = create_app(running)
    options = {**launch_options(running.settings), "server_port": None, "quiet": True}
    _, address, _ = app.launch(**options, prevent_thread_lock=True)
    yield address
    app.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor with a browser of their own. A script error on a page of theirs fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    context.set_default_timeout(20_000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda said: errors.append(said.text) if "js_on_load" in said.text else None)
    yield context
    context.close()
    assert not errors


@pytest.fixture
def page(visitor: BrowserContext, url: str) -> Page:
    """The page as it first meets a visitor."""
    page = visitor.new_page()
    page.goto(url)
    page.wait_for_selector(".welcome")
    return page


@pytest.fixture
def wait_closed(running: Demo) -> Iterator[threading.Event]:
    """Set once the generator of a turn begun in this test was closed."""
    generator = running.switchboard.generator
    before = generator.closed  # type: ignore[attr-defined]
    event = threading.Event()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            if generator.closed > before:  # type: ignore[attr-defined]
                event.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield event
    done.set()
    thread.join()
