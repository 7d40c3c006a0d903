"""Visitors who have left: what Gradio kept for them goes, and for nobody else."""

from __future__ import annotations

import datetime
import time
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from switchboard.ui.service import Connections
from switchboard.ui.sessions import STAY_SECONDS, let_go


@pytest.fixture
def app() -> Any:
    with gr.Blocks() as blocks:
        gr.State("nothing", delete_callback=deleted.append)
    deleted.clear()
    holder = StateHolder()
    holder.set_blocks(blocks)
    connections = Connections()
    blocks.service = SimpleNamespace(connections=connections)
    return SimpleNamespace(state_holder=holder, get_blocks=lambda: blocks, connections=connections)


deleted: list[Any] = []


def use(app: Any, session: str, seconds_ago: float) -> None:
    state = app.state_holder[session]
    key = next(iter(app.get_blocks().blocks))
    state[key] = f"what {session} added"
    app.state_holder.time_last_used[session] = datetime.datetime.now() - datetime.timedelta(seconds=seconds_ago)


def test_an_open_page_keeps_its_session_however_long_nothing_is_asked(app: Any) -> None:
    use(app, "open", seconds_ago=7000)
    with app.connections.one("a", "open"):
        assert let_go(app) == 0
        assert "open" in app.state_holder


def test_a_closed_page_loses_it_after_a_minute(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(app, "closed", seconds_ago=7000)
    with app.connections.one("a", "closed"):
        pass
    assert let_go(app) == 0
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + STAY_SECONDS + 1)
    assert let_go(app) == 1
    assert "closed" not in app.state_holder
    assert deleted == ["what closed added"]
    assert not app.connections._closed


def test_a_page_that_comes_back_meanwhile_keeps_it(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(app, "back", seconds_ago=7000)
    with app.connections.one("a", "back"):
        pass
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + STAY_SECONDS + 1)
    with app.connections.one("a", "back"):
        assert let_go(app) == 0


def test_a_call_that_never_was_a_page_goes_when_it_is_over(app: Any) -> None:
    use(app, "just now", seconds_ago=1)
    use(app, "over", seconds_ago=STAY_SECONDS + 1)
    assert let_go(app) == 1
    assert "just now" in app.state_holder
    assert "over" not in app.state_holder


def test_two_connections_of_a_page_are_one_page(app: Any) -> None:
    with app.connections.one("a", "page"):
        with app.connections.one("a", "page"):
            assert app.connections.pages == 1
        assert not app.connections.gone("page", 0)
    assert app.connections.gone("page", 0)
    assert (app.connections.pages, app.connections.visitors) == (0, 0)
