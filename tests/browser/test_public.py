"""The page in front of the public: limits, the login and the tools behind it, and secrets that nobody gets to see."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import httpx
import pytest
from demo import Demo, demo
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from playwright.sync_api import BrowserContext, Page, expect
from steps import LAST, act, answer, ask

from switchboard.settings import Settings
from switchboard.ui import sessions, shelf
from switchboard.ui.app import create_app, launch_options
from switchboard.ui.chat import BUSY
from switchboard.users import Users, hashed

PASSWORD, HASHED = "swordfish-17", "tunafish-18"
USERS = f"ann:{PASSWORD},bob:{hashed(HASHED)}"
ADMIN = "clownfish-19"
SECRETS = {"SWITCHBOARD_USERS": USERS, "SWITCHBOARD_ADMIN_PASSWORD": ADMIN}
"""Every setting that holds a secret, with one."""
PRICE = "How much is Fibre 500 a month?"


def served(folder: Path, line: int | None = None, **settings: Any) -> Iterator[str]:
    """The demo with other settings, and with so much room in its queue."""
    running = demo(folder, pause=0.01)
    running = replace(running, settings=replace(running.settings, **settings))
    app = create_app(running)
    if line is not None:
        app.queue(max_size=line)
    options = {**launch_options(running.settings), "server_port": None, "quiet": True}
    _, address, _ = app.launch(**options, prevent_thread_lock=True)
    yield address
    app.close()


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from served(tmp_path_factory.mktemp("limited"), turns_per_minute=3, documents_per_minute=1)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from served(tmp_path_factory.mktemp("guarded"), users=Users.read(USERS), company="Acme & Sons")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[str]:
    yield from served(tmp_path, line=0)


def tools(url: str, calls: int, headers: dict[str, str] | None = None) -> list[tuple[bool, str]]:
    """Call the chat tool over MCP: whether each call failed, and what it said."""

    async def all_of_them() -> list[tuple[bool, str]]:
        async with (
            streamablehttp_client(f"{url}gradio_api/mcp/", headers=headers) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            said = [await session.call_tool("chat", {"question": PRICE}) for _ in range(calls)]
            return [(one.isError, str(one.content)) for one in said]

    with ThreadPoolExecutor(1) as apart:  # Playwright has an event loop of its own in this thread.
        return apart.submit(lambda: asyncio.run(all_of_them())).result()


def test_page_api_search_and_tools_share_one_limit(limited: str, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(limited)
    page.wait_for_selector(".welcome")
    ask(page, PRICE)
    assert "£36" in answer(page).inner_text()
    client = Client(limited, verbose=False)
    client.predict("Fibre 500", api_name="/search")
    assert [failed for failed, _ in tools(limited, 1)] == [False]
    for name in ("/chat", "/search"):
        with pytest.raises(AppError, match=r"One address may ask 3 times a minute, and yours has. Ask again in \d+ s"):
            client.predict(PRICE, api_name=name)
    ((failed, said),) = tools(limited, 1)
    assert failed
    assert "One address may ask 3 times a minute" in said
    ask(page, "And Fibre 900?")
    expect(page.locator(f"{LAST} .error")).to_contain_text("One address may ask 3 times a minute, and yours has.")
    expect(page.locator(f'{LAST} [data-action="retry"]')).to_be_visible()
    expect(page.locator(LAST)).to_contain_text("And Fibre 900?")
    page.goto(f"{limited}compare")
    page.locator("#question textarea").fill(PRICE)
    page.locator("#ask").click()
    expect(page.locator("#board .error").first).to_contain_text("One address may ask 3 times a minute")


def test_documents_have_a_limit_of_their_own(limited: str, visitor: BrowserContext, tmp_path: Path) -> None:
    for name in ("tea", "coffee"):
        (tmp_path / f"{name}.txt").write_text(f"The {name} is free for members of the club.", encoding="utf-8")
    page = visitor.new_page()
    page.goto(limited)
    page.wait_for_selector(".welcome")
    page.locator('[data-action="documents"]').click()
    page.locator("#add-files input[type=file]").set_input_files([tmp_path / "tea.txt", tmp_path / "coffee.txt"])
    said = page.locator("#documents-said")
    expect(said).to_contain_text("added: 1 passage")
    expect(said.locator(".error")).to_contain_text("was not added: One address may add 1 documents a minute")


def test_a_text_too_long_to_send_is_refused_in_a_sentence(limited: str, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(limited)
    page.wait_for_selector(".welcome")
    page.locator('[data-action="documents"]').click()
    page.get_by_text("Paste a text").click()
    page.locator("#paste-text textarea").fill("w " * 2_200_000)
    page.locator("#paste-add").click()
    expect(page.locator("body")).to_contain_text("This is larger than 4 MB, and that is the most.")


def test_a_full_queue_leaves_a_turn_to_retry(full: str, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(full)
    page.wait_for_selector(".welcome")
    ask(page, PRICE)
    expect(page.locator(f"{LAST} .error")).to_have_text(BUSY)
    expect(page.locator(LAST)).to_contain_text(PRICE)
    act(page, "retry")
    expect(page.locator(f"{LAST} .error")).to_have_text(BUSY)
    for path in ("compare", "change"):
        page.goto(f"{full}{path}")
        page.locator("#question textarea").fill(PRICE)
        page.locator("#ask").click()
        expect(page.locator("#board .error").first).to_have_text(BUSY)
        expect(page.locator("#ask")).to_be_visible()
    refused = httpx.post(f"{full}gradio_api/call/chat", json={"data": [PRICE]})
    assert (refused.status_code, refused.json()) == (503, {"detail": BUSY})


def test_logging_in_on_the_page_and_out_again(guarded: str, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(f"{guarded}compare")
    expect(page.locator("main")).to_contain_text("Acme & Sons asks you to log in first.")
    _fill_in(page, "ann", "guess")
    expect(page.get_by_role("alert")).to_have_text("This name and password do not belong together.")
    _fill_in(page, "ann", PASSWORD)
    page.wait_for_selector("#compare-modes")
    page.goto(guarded)
    page.wait_for_selector(".welcome")
    ask(page, PRICE)
    assert "£36" in answer(page).inner_text()
    page.locator('[data-action="about"]').click()
    expect(page.locator("#about")).to_contain_text("You are logged in as ann.")
    assert PASSWORD not in page.content()
    page.get_by_role("link", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def _fill_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_programs_log_in_too(guarded: str) -> None:
    for path in ("config", "gradio_api/info", "gradio_api/mcp/", "gradio_api/heartbeat/x", "gradio_api/queue/status"):
        assert httpx.get(guarded + path).status_code == 401
    client = Client(guarded, auth=("bob", HASHED), verbose=False)
    assert "£36" in client.predict(PRICE, api_name="/chat")["answer"]
    with pytest.raises(ValueError, match="Could not login"):
        Client(guarded, auth=("bob", "guess"), verbose=False)
    basic = {"Authorization": "Basic " + base64.b64encode(f"bob:{HASHED}".encode()).decode()}
    assert [failed for failed, _ in tools(guarded, 2, basic)] == [False, False]
    assert httpx.get(f"{guarded}health").json() == {"status": "up"}
    assert httpx.get(f"{guarded}ready").status_code == 200


def test_no_secret_is_ever_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings.from_environment({**SECRETS, "SWITCHBOARD_DATA": str(tmp_path)})
    told: list[str] = [repr(settings), str(settings)]
    for url in served(tmp_path, **{one.name: getattr(settings, one.name) for one in fields(settings)}):
        told += [httpx.get(url + path).text for path in ("", "compare", "health", "ready", "metrics", "config", "no")]
        told.append(httpx.post(f"{url}login", data={"username": "ann", "password": "guess"}).text)
        client = Client(url, auth=("ann", PASSWORD), verbose=False)
        cookies = {"cookies": client.cookies}
        told += [httpx.get(url + path, **cookies).text for path in ("", "config", "gradio_api/info", "metrics")]
        for question in ("crash", "  ", PRICE):
            try:
                told.append(str(client.predict(question, mode="fine-tuned", api_name="/chat")))
            except AppError as error:
                told.append(str(error))
        for body in (b"{", b'{"data": [1, 2'):
            told.append(httpx.post(f"{url}gradio_api/call/chat", content=body, **cookies).text)
    out, err = capfd.readouterr()
    told += [out, err, caplog.text]
    told += [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert any("secret detail" in one for one in told), "the log has the trace of the crash, so it is looked at"
    for secret in (ADMIN, PASSWORD, HASHED, USERS.rsplit("$", maxsplit=1)[-1]):
        assert not [one for one in told if secret in one]


def test_what_is_not_loaded_is_said(tmp_path: Path) -> None:
    running = replace(demo(tmp_path), missing=("the model", "the index"))
    assert isinstance(running, Demo)
    app = create_app(running)
    options = {**launch_options(running.settings), "server_port": None, "quiet": True}
    _, url, _ = app.launch(**options, prevent_thread_lock=True)
    waiting = httpx.get(f"{url}ready")
    app.close()
    assert (waiting.status_code, waiting.json()["missing"]) == (503, ["the model", "the index"])


def test_what_a_visitor_added_is_gone_when_their_page_is_closed(
    visitor: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: WeakSet[shelf.Mine] = WeakSet()
    monkeypatch.setattr(shelf, "_HELD", held)
    monkeypatch.setattr(sessions, "STAY_SECONDS", 0.5)
    monkeypatch.setattr(sessions, "_LOOK_SECONDS", 0.2)
    file = tmp_path / "boats.md"
    file.write_text("A rowing boat costs £12 an hour.", encoding="utf-8")
    for url in served(tmp_path):
        page = visitor.new_page()
        page.goto(url)
        page.wait_for_selector(".welcome")
        page.locator('[data-action="documents"]').click()
        page.locator("#add-files input[type=file]").set_input_files(str(file))
        expect(page.locator("#documents-said")).to_contain_text("added: ")
        assert len(held) >= 1
        page.close()
        deadline = time.monotonic() + 20
        while held and time.monotonic() < deadline:
            time.sleep(0.2)
            gc.collect()
        assert not held
