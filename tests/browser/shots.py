"""Pictures of the page to look at: `python tests/browser/shots.py FOLDER [URL]`. Without a URL it serves the demo."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

from chromium import launched
from playwright.sync_api import Browser, Page, sync_playwright

SIZES = {"desktop": (1280, 860), "phone": (390, 844)}


def main(folder: Path, url: str) -> None:
    """Drive the page at `url` in each size and theme, leaving one PNG a step in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launched(playwright)
        for size in SIZES:
            for theme in ("light", "dark"):
                _tour(browser, url, size, theme, folder)
        browser.close()


def _tour(browser: Browser, url: str, size: str, theme: str, folder: Path) -> None:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, has_touch=size == "phone"
    )
    page = context.new_page()

    def shoot(step: str) -> None:
        page.wait_for_timeout(350)
        page.screenshot(path=folder / f"{size}-{theme}-{step}.png")

    page.goto(url)
    page.wait_for_selector(".welcome")
    shoot("1-empty")
    _ask(page, "How much is Fibre 500 a month?")
    page.wait_for_selector('.turn[data-state="working"] .prose-answer')
    shoot("2-answering")
    _wait(page)
    shoot("3-answered")
    page.locator(".cite").first.click()
    page.wait_for_timeout(1800)
    shoot("4-cited")
    page.locator('.card[data-cited="true"] [data-action="article"]').first.click()
    page.wait_for_selector("#article[open] .here")
    shoot("5-article")
    page.keyboard.press("Escape")
    page.locator("#switch label", has_text="Fine-tuned").click()
    _ask(page, "And without the contract?")
    _wait(page)
    page.locator("#switch label", has_text="RAG").click()
    _ask(page, "Do you sell home insurance?")
    _wait(page)
    shoot("6-not-covered")
    page.locator('[data-action="settings"]').click()
    shoot("7-settings")
    page.keyboard.press("Escape")
    page.locator('[data-action="conversations"]').click()
    shoot("8-conversations")
    page.keyboard.press("Escape")
    page.locator('[data-action="about"]').click()
    shoot("9-about")
    context.close()


def _ask(page: Page, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.locator("#ask").click()
    page.wait_for_selector('.turn[data-later="0"][data-state="working"], .turn[data-later="0"][data-state="done"]')


def _wait(page: Page) -> None:
    page.wait_for_selector('.turn[data-later="0"]:not([data-state="working"])', timeout=120_000)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    if len(sys.argv) > 2:
        main(out, sys.argv[2])
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([sys.executable, str(Path(__file__).with_name("demo.py")), str(port)])
        try:
            for _ in range(120):
                try:
                    urlopen(f"http://127.0.0.1:{port}/").close()
                    break
                except OSError:
                    time.sleep(0.5)
            main(out, f"http://127.0.0.1:{port}/")
        finally:
            server.terminate()
