"""Conversations outlive the server: it is stopped and started again under an open page."""

from __future__ import annotations

import socket
from pathlib import Path

from demo import demo
from playwright.sync_api import BrowserContext, expect
from steps import answer, ask, mode_of

from switchboard.ui.app import create_app, launch_options


def test_a_conversation_survives_a_restart_of_the_server(visitor: BrowserContext, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = demo(tmp_path, port, pause=0.01)
    options = {**launch_options(running.settings), "quiet": True, "prevent_thread_lock": True}
    first = create_app(running)
    first.launch(**options)
    page = visitor.new_page()
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_selector(".welcome")
    ask(page, "How much is Fibre 500 a month?")
    said = answer(page).inner_text()
    first.close()
    second = create_app(demo(tmp_path, port, pause=0.01))
    second.launch(**{**launch_options(running.settings), "quiet": True, "prevent_thread_lock": True})
    try:
        page.reload()
        expect(answer(page)).to_have_text(said)
        assert mode_of(page) == "rag"
        expect(page.locator("#sources details[open] .card").first).to_be_visible()
        ask(page, "And the set-up charge?")
        assert page.locator(".turn").count() == 2
    finally:
        second.close()
