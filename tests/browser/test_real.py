"""The shipped app as a visitor meets it: app.py in a process of its own, with the real model, adapters and index."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from gradio_client import Client
from playwright.sync_api import BrowserContext, Page, expect
from steps import LAST, answer, ask, choose, finished

from switchboard.settings import ROOT

pytestmark = pytest.mark.real

PRICE = "How much is Fibre 500 a month?"
ASIDE = ", as my house is old and the street is long and nobody could tell me" * 25


@pytest.fixture(scope="module")
def real_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as it ships."""
    yield from _started(tmp_path_factory, {})


@pytest.fixture(scope="module")
def free_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with a model that writes freely, word by word."""
    yield from _started(tmp_path_factory, {"SWITCHBOARD_ANSWERS": "free"})


def _started(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[str]:
    """Start app.py from another folder, as a person would, and wait for its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("elsewhere")
    log = folder / "log.txt"
    with log.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")],
            cwd=folder,
            env={**os.environ, "PORT": str(port), **settings},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    _wait_for(url, process, log)
    yield url
    process.terminate()
    process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=5) as response:
                assert response.status == 200
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"No page after 120 s: {log.read_text()}")


@pytest.fixture
def real_page(visitor: BrowserContext, real_url: str) -> Page:
    page = visitor.new_page()
    page.goto(real_url)
    page.wait_for_selector(".welcome")
    return page


def test_every_path_answers_with_its_label_sources_and_metrics(real_page: Page) -> None:
    for label, searched in (("Fine-tuned", False), ("RAG", True), ("Combined", True)):
        choose(real_page, label)
        ask(real_page, PRICE)
        expect(real_page.locator(f"{LAST} .chip")).to_have_text(label)
        expect(answer(real_page)).to_have_text(re.compile(r"\w{3}"))
        expect(real_page.locator(f"{LAST} .metrics")).to_have_text(re.compile(r"s to first word .* \d+ tokens"))
        cards = real_page.locator("#sources details[open] .card")
        assert (cards.count() > 0) == searched
        if searched:
            expect(cards.filter(has_text="£36").first).to_contain_text("Fibre plans and prices")


def test_a_citation_leads_to_its_card_and_the_card_to_the_article(real_page: Page) -> None:
    ask(real_page, PRICE)
    citation = real_page.locator(f"{LAST} .cite").first
    number = citation.inner_text().strip("[] ")
    citation.click()
    card = real_page.locator('#sources details[open] .card[data-cited="true"]').first
    expect(card).to_be_in_viewport()
    expect(card).to_contain_text(number)
    card.locator('[data-action="article"]').click()
    expect(real_page.locator("#article[open] .here").first).to_be_in_viewport()


def test_what_is_not_covered_is_said(real_page: Page) -> None:
    ask(real_page, "How do I bake sourdough bread?")
    expect(answer(real_page)).to_contain_text("does not cover")
    expect(real_page.locator("#sources details[open]")).to_contain_text(re.compile("nearest", re.IGNORECASE))


def test_stop_frees_the_model_for_the_next_question(visitor: BrowserContext, free_url: str) -> None:
    page = visitor.new_page()
    page.goto(free_url)
    page.wait_for_selector(".welcome")
    # So long a question that reading it takes a while on a fast machine too, and an answer not in taught replies.
    choose(page, "Fine-tuned")
    ask(page, f"Explain everything about moving home{ASIDE * 4}.", wait=False)
    page.locator("#stop").click()
    finished(page)
    expect(page.locator(f"{LAST} .badge")).to_have_text("Stopped")
    began = time.monotonic()
    ask(page, "Hello")
    assert time.monotonic() - began < 30


def test_stop_frees_the_model_while_it_looks_for_what_it_was_taught(real_page: Page) -> None:
    choose(real_page, "Fine-tuned")
    # Looking for the replies to three long questions takes seconds on a fast machine too.
    asked = ("How much is Fibre 500 a month", "And when are home bills issued", "And what is the late payment fee")
    ask(real_page, " ".join(f"{question}{ASIDE}?" for question in asked), wait=False)
    real_page.wait_for_timeout(1000)
    began = time.monotonic()
    real_page.locator("#stop").click()
    finished(real_page)
    assert time.monotonic() - began < 3
    expect(real_page.locator(f"{LAST} .badge")).to_have_text("Stopped")
    ask(real_page, "Hello")
    expect(real_page.locator(f"{LAST} .badge")).to_have_count(0)
    assert time.monotonic() - began < 60


def test_a_conversation_survives_a_reload(real_page: Page) -> None:
    choose(real_page, "Fine-tuned")
    ask(real_page, "Hello")
    said = answer(real_page).inner_text()
    real_page.reload()
    expect(answer(real_page)).to_have_text(said)


def test_the_api_answers_and_searches(real_url: str) -> None:
    client = Client(real_url, verbose=False)
    record = client.predict(PRICE, "rag", api_name="/chat")
    assert record["mode"] == "rag"
    assert any("£36" in passage["text"] for passage in record["passages"])
    assert record["metrics"]["output_tokens"] > 0
    found = client.predict("early exit fee", 3, api_name="/search")
    assert found["covered"]
    assert any(passage["source"].startswith("contracts/") for passage in found["passages"])
    names = set(client.view_api(return_format="dict")["named_endpoints"])
    assert names == {"/chat", "/search"}


def test_mcp_lists_both_tools(real_url: str) -> None:
    with urlopen(f"{real_url}/gradio_api/mcp/schema", timeout=20) as response:
        schema = response.read().decode()
    assert "chat" in schema
    assert "search" in schema


def test_every_path_answers_side_by_side(visitor: BrowserContext, real_url: str) -> None:
    page = visitor.new_page()
    page.goto(f"{real_url}/compare")
    page.wait_for_selector(".board-empty")
    page.locator("#compare-modes label", has_text="Combined").click()
    page.locator("#question textarea").fill(PRICE)
    page.locator("#ask").click()
    page.wait_for_selector('.round[data-state="done"]', timeout=120_000)
    paths = page.locator(".path")
    expect(paths).to_have_count(3)
    for n in range(3):
        expect(paths.nth(n).locator(".prose-answer")).to_contain_text("£36")
        expect(paths.nth(n).locator(".metrics")).to_contain_text("in all")
    expect(paths.nth(1).locator(".unsupported")).to_have_count(0)  # quoted, so it stands in the passages


def test_a_changed_price_is_found_in_two_seconds_and_the_learned_one_stays(
    visitor: BrowserContext, real_url: str
) -> None:
    page = visitor.new_page()
    page.goto(f"{real_url}/change")
    expect(page.locator("#change-text textarea")).to_have_value(re.compile("Fibre 500"), timeout=120_000)
    for price in ("£36", "£41"):
        if price == "£41":
            page.get_by_role("button", name="Raise the price").click()
            expect(page.locator("#change-said")).to_contain_text("Save it")
            page.locator("#change-save").click()
            expect(page.locator("#change-said")).to_contain_text("is indexed", timeout=30_000)
            took = re.search(r"took ([\d.]+) s", page.locator("#change-said").inner_text())
            assert took
            assert float(took[1]) < 2
        rounds = page.locator(".round").count()
        page.locator("#ask").click()
        expect(page.locator(".round")).to_have_count(rounds + 1)
        page.wait_for_selector('.round:first-child[data-state="done"]', timeout=120_000)
        learned, looked_up = (page.locator(".round:first-child .path").nth(n) for n in range(2))
        expect(learned).to_contain_text("£36")
        expect(looked_up).to_contain_text(price)
        expect(looked_up).to_contain_text("cited")


def test_results_and_the_recommendation_stand_on_the_shipped_report(visitor: BrowserContext, real_url: str) -> None:
    page = visitor.new_page()
    page.goto(f"{real_url}/results")
    expect(page.locator(".bar-row").first).to_be_visible()
    page.goto(f"{real_url}/choose")
    expect(page.locator(".verdict")).to_contain_text("Measured, ")
