"""Letting go of visitors who have left, with the documents that they added.

Gradio keeps what a closed page had for another hour, and of each page and API call a fifth of a megabyte until there
are ten thousand of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import AsyncIterator
from typing import Any

from switchboard.memory import trim

MOST_SESSIONS = 2000
"""The most that are kept; past them whoever did nothing for the longest time loses what they added."""
STAY_SECONDS = 60.0
"""How long a session is kept after its page was closed, in case that only the network was gone."""
_LOOK_SECONDS = 15.0
_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def letting_go(app: Any) -> AsyncIterator[None]:
    """Do so as long as the app runs."""
    task = asyncio.create_task(_for_ever(app))
    try:
        yield
    finally:
        task.cancel()


async def _for_ever(app: Any) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            if let_go(app):
                trim()
        except Exception:  # noqa: BLE001 - nobody waits for it, and the next look may do better
            _log.exception("Sessions were not let go of.")


def let_go(app: Any) -> int:
    """Drop the sessions of pages that are closed, and of API calls that are over; returns how many."""
    holder, connections = app.state_holder, app.get_blocks().service.connections
    recent = datetime.datetime.now() - datetime.timedelta(seconds=STAY_SECONDS)
    gone = [
        session
        for session in list(holder.session_data)
        if connections.gone(session, STAY_SECONDS) and holder.time_last_used.get(session, recent) <= recent
    ]
    for session in gone:
        holder.delete_state(session)
        with holder.lock:
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)
    connections.forget(list(holder.session_data))
    return len(gone)
