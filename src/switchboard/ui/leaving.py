"""What a visitor leaves behind: nothing, a minute after the page was closed. Gradio would keep it for an hour."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import gradio as gr

SECONDS = 60.0
"""How long after its page was closed a session is kept: a connection that breaks for a moment looks the same."""
_CLOSING = timedelta(seconds=1)
"""Closing a session is itself a use of it."""


def forget_when_left(app: gr.Blocks) -> None:
    """Give up all that a session holds, SECONDS after it was closed, unless it has been used since."""

    def left(request: gr.Request) -> None:
        timer = threading.Timer(SECONDS, _forget, (app, str(request.session_hash), datetime.now()))
        timer.daemon = True
        timer.start()

    app.unload(left)


def _forget(app: gr.Blocks, session: str, closed: datetime) -> None:
    held = app.app.state_holder  # there is one once the page is served
    used = held.time_last_used.get(session)
    if used and used <= closed + _CLOSING:
        held.delete_state(session)
        held.session_data.pop(session, None)
        held.time_last_used.pop(session, None)
