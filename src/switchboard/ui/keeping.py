"""Conversations of people who log in: kept here too, so that they find them in another browser."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gradio as gr

from switchboard.conversations import ConversationStore
from switchboard.errors import StorageError
from switchboard.ui.conversation import from_json, to_json
from switchboard.ui.visitors import user_of

_log = logging.getLogger(__name__)


class KeepingEvents:
    """The handlers. Each looks at who has logged in, and does nothing for anybody else."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store

    def keep(self, memory: object, request: gr.Request) -> None:
        """Store the conversation on the page."""
        user = user_of(request)
        conversation = from_json(memory.get("current") if isinstance(memory, Mapping) else None)
        if user and conversation.turns:
            try:
                self._store.save(user, to_json(conversation))
            except StorageError as error:
                gr.Warning(f"{error} This conversation is in this browser alone until then.")

    def recall(self, request: gr.Request) -> dict[str, Any]:
        """What is stored of whoever has logged in, for the browser to keep."""
        user = user_of(request)
        try:
            return {"conversations": self._store.of(user) if user else []}
        except StorageError:
            _log.warning("Stored conversations could not be read.")
            return {"conversations": []}

    def forget(self, event: gr.EventData, request: gr.Request) -> None:
        """Forget one of them."""
        user, name = user_of(request), getattr(event, "id", None)
        if user and isinstance(name, str):
            try:
                self._store.remove(user, name)
            except StorageError as error:
                gr.Warning(f"The conversation is still stored. {error}")
