"""The two public endpoints, `/chat` and `/search`, which the MCP server offers as tools."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from switchboard.errors import SettingsError, SwitchboardError
from switchboard.limits import Limits
from switchboard.records import MAX_TEXT, answer_record, search_record
from switchboard.types import LIMITS, Message, SearchResult
from switchboard.ui.chat import OUR_FAULT, AnswerFunction
from switchboard.ui.conversation import LONGEST_QUESTION, MAX_TURNS, settings_from
from switchboard.ui.visitors import visitor_of

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def add_api(
    answer: AnswerFunction,
    search_passages: Callable[[str, int], SearchResult],
    concurrency_id: str,
    concurrency: int,
    limits: Limits,
) -> None:
    """Add the endpoints to the Blocks that is being built."""

    def chat(
        question: str,
        mode: str = "rag",
        history: list[dict[str, str]] | None = None,
        passages: int = 3,
        temperature: float = 0.0,
        max_tokens: int = 256,
        request: gr.Request | None = None,
    ) -> dict[str, Any]:
        """Answer a question down one of the four paths and say what the answer cost.

        Args:
            question: The question, in plain words.
            mode: base, fine-tuned, rag or combined. rag and combined look the question up and cite their sources.
            history: Earlier messages, oldest first, as objects with role (user or assistant) and content.
            passages: How many passages to look up, from 1 to 8.
            temperature: 0 gives the same answer each time; up to 1.5 gives more varied ones.
            max_tokens: The longest answer in tokens, from 16 to 512.

        Returns:
            An object with question, mode, answer, abstained (the question is not covered), passages (source,
            heading, title, score, text, cited), notice, cut_off (the model failed before the answer's end, and the
            notice says why), removed_citations and metrics (milliseconds and tokens).
        """

        def run() -> dict[str, Any]:
            limits.count("turns", visitor_of(request))
            _check_length("question", question)
            conversation = [*_history(history), Message("user", question)]
            answers = answer(conversation, mode, settings_from(passages, temperature, max_tokens))
            (last,) = deque(answers, maxlen=1)
            return answer_record(question, last)

        return _guarded(run)

    def search(query: str, k: int = 5, request: gr.Request | None = None) -> dict[str, Any]:
        """Look a question up in the help centre without asking the model.

        Args:
            query: What to search for.
            k: How many passages at most, from 1 to 8.

        Returns:
            An object with query, covered (whether a passage reached the threshold), threshold, passages (source,
            heading, title, score, text; best first; score is a cosine similarity, higher is closer), nearest (the
            closest passage either way) and milliseconds.
        """

        def run() -> dict[str, Any]:
            limits.count("turns", visitor_of(request))
            _check_length("query", query)
            low, high = LIMITS["passages"]
            if not query.strip():
                raise SettingsError("There is nothing to search for. Please give a query.")
            if not low <= k <= high:
                raise SettingsError(f"k is {k:g}; it must be from {low:g} to {high:g}.")
            return search_record(search_passages(query, k))

        return _guarded(run)

    gr.api(chat, api_name="chat", concurrency_id=concurrency_id, concurrency_limit=concurrency)
    gr.api(search, api_name="search", concurrency_limit=concurrency)


def _check_length(name: str, text: str) -> None:
    if len(text) > LONGEST_QUESTION:
        raise SettingsError(f"{name} has {len(text):,} characters and at most {LONGEST_QUESTION:,} fit. Shorten it.")


def _history(history: list[dict[str, str]] | None) -> list[Message]:
    """Earlier messages as values. Raises SettingsError that says what they must look like."""
    messages = []
    if len(history or []) > 2 * MAX_TURNS or sum(len(str(message)) for message in history or []) > MAX_TEXT:
        raise SettingsError(
            f"history has at most {MAX_TURNS} turns and {MAX_TEXT:,} characters; leave out the oldest turns."
        )
    for n, message in enumerate(history or []):
        role = "assistant" if n % 2 else "user"
        if not isinstance(message, dict) or message.get("role") != role or not isinstance(message.get("content"), str):
            raise SettingsError(
                "history must alternate {'role': 'user', 'content': ...} and {'role': 'assistant', 'content': ...}, "
                "beginning with the user."
            )
        messages.append(Message("assistant" if n % 2 else "user", message["content"]))
    if len(messages) % 2:
        raise SettingsError("history must end with the assistant's message; the new question goes into question.")
    return messages


def _guarded(run: Callable[[], _Result]) -> _Result:
    """Errors as sentences: ours as they are, any other logged and told as one plain sentence."""
    try:
        return run()
    except SwitchboardError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Exception:  # noqa: BLE001 - whatever it is, a visitor gets a sentence and the log gets the trace
        _log.exception("An API call failed.")
        raise gr.Error(OUR_FAULT, print_exception=False) from None
