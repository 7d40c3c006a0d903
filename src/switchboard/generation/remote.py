"""Answers from a server that speaks OpenAI's protocol: vLLM, llama.cpp's, `transformers serve` and others.

The adapter of a mode is a model of that name there, as vLLM names the LoRA adapters that it serves. Figures and quotes
are limited by logits, which no server gives, so its model answers freely; citations and declines are looked at as ever.
No such server is asked to count tokens either: a prompt's length is estimated from its bytes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import openai

from switchboard.errors import GeneratorError, first_line
from switchboard.types import GenerationSettings, Grounding, Message, Token

CONNECT_SECONDS = 3.0
LIST_SECONDS = 2.0
"""How long the server may take to list its models, before which nothing is done for a question."""
FIRST_WORD_SECONDS = 60.0
"""How long the server may take for the first word, with its queue, the prompt and all that is tried again."""
BETWEEN_SECONDS = 15.0
"""How long it may say nothing after that."""
RETRIES = 3
"""How often a request is made again that was refused or not answered: after about 0.5, 1 and 2 seconds."""
DEFAULT_CONTEXT = 4096
"""The context of a model whose server does not say `max_model_len`."""
BYTES_A_TOKEN = 3
TOKENS_A_MESSAGE = 8
"""What is counted for a message's role and marks."""
_LISTED_SECONDS = 60.0
_ASK_AGAIN_SECONDS = 5.0
"""How long what the server has listed, or that it did not, is taken for true."""
_WAIT_SECONDS = 0.2
_LONGEST_TOKEN = 64
"""Characters; a server that says more than `max_tokens` of these is not listened to."""
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which nothing can show or store."""
_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>")
"""Tokens by which the chat templates of usual models begin and end turns; whose are the server's is not known."""
_TOO_LONG = re.compile(r"context|too (long|large|many tokens)", re.IGNORECASE)
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class RemoteGenerator:
    """A `Generator` on a server. It is asked when a question comes, so it may be started later, or again."""

    def __init__(
        self, url: str, key: str = "", model: str = "", adapters: Collection[str] = (), others: Sequence[str] = ()
    ) -> None:
        """`model` is the base's name there, the first that it lists by default; `adapters` are the names that modes
        may ask for. `others` are the modes that answer without this server, in words for a visitor."""
        self._url = url
        self._key = key
        self._named = model
        self._adapters = tuple(adapters)
        self._instead = f", or ask {' or '.join(others)} instead" if others else ""
        self._models: dict[str, int] | None = None
        self._ask_again = 0.0
        self._asking = threading.Lock()
        self._connecting = threading.Lock()
        self._connection: tuple[int, asyncio.AbstractEventLoop, openai.AsyncOpenAI] | None = None

    @property
    def context_tokens(self) -> int:
        """The most tokens that a prompt and its answer may have together."""
        models = self._listed() or {}
        base = self._named or self._first(models)
        return models.get(base) or min((length for length in models.values() if length), default=DEFAULT_CONTEXT)

    @property
    def refused_adapters(self) -> Mapping[str, str]:
        """Adapters that the server does not list, and a sentence that says so; none while it cannot be asked."""
        models = self._listed()
        if models is None:
            return {}
        return {name: f"The model server has no model '{name}'." for name in self._adapters if name not in models}

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The length of the prompt that these messages make: an estimate, see docs/servers.md."""
        return sum(len(message.content.encode()) // BYTES_A_TOKEN + TOKENS_A_MESSAGE for message in messages)

    def describe(self) -> str:
        """What answers there, or that nothing does yet."""
        models = self._listed()
        if models is None:
            return f"{self._named or 'not known yet'}, which could not be reached when this app started"
        adapters = [name for name in self._adapters if name in models]
        return f"{self._named or self._first(models) or 'none'}; adapters {', '.join(adapters) or 'none'}"

    def stream(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        grounding: Grounding | None = None,  # noqa: ARG002 - what a server's model says cannot be limited to it
    ) -> Iterator[Token]:
        """Yield the answer as the server sends it, after `idle` tokens while it does not; None is the base.

        Closing the iterator closes the connection, at which the server stops. Raises GeneratorError where it is gone,
        slow or busy or sends what is no answer, which may be after some tokens.
        """
        length = self.count_tokens(messages)
        pieces: SimpleQueue[str | Exception | None] = SimpleQueue()
        reading = self._start(self._read(messages, settings, adapter, pieces))
        said = False
        deadline = time.monotonic() + FIRST_WORD_SECONDS
        try:
            while True:
                try:
                    piece = pieces.get(timeout=_WAIT_SECONDS)
                except Empty:
                    if time.monotonic() > deadline:
                        raise self._error(TimeoutError(), said) from None
                    yield Token("", length, 0, idle=True)
                    continue
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise self._error(piece, said) from piece
                said = said or bool(piece)
                deadline = time.monotonic() + (BETWEEN_SECONDS if said else FIRST_WORD_SECONDS)
                yield Token(piece, length, 0, idle=not piece)
        finally:
            reading.cancel()

    async def _read(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        pieces: SimpleQueue[str | Exception | None],
    ) -> None:
        """Ask the server and put what it says into `pieces`, then what went wrong, if anything did, and None."""
        try:
            client = self._connected()[1]
            model = adapter or self._named or self._first(await _list(client))
            rows: Any = [
                {"role": message.role, "content": _without_special_tokens(message.content)} for message in messages
            ]
            # The client asks again where it is refused; a connection that breaks before the first word is its caller's.
            for last in (False, True):
                stream = await client.chat.completions.create(
                    model=model,
                    messages=rows,
                    temperature=settings.temperature,
                    max_tokens=settings.max_tokens,
                    stream=True,
                )
                said = False
                try:
                    async with stream:
                        async for piece in _pieces(stream, settings.max_tokens):
                            pieces.put(piece)
                            said = said or bool(piece)
                    break
                except Exception:
                    if said or last:
                        raise
        except Exception as error:  # noqa: BLE001 - strange servers make the client raise strange things
            pieces.put(error)
        finally:
            pieces.put(None)

    def _error(self, error: Exception, said: bool) -> GeneratorError:
        """The visitor's sentence; the log has the server's own words, and where it is."""
        _log.warning("The model server at %s: %s: %s", self._url, type(error).__name__, first_line(error))
        if isinstance(error, openai.BadRequestError) and _TOO_LONG.search(str(error)):
            return GeneratorError(
                "The question, and what was found for it, are too long for the model server. Please shorten it, or "
                "choose fewer passages or a shorter answer."
            )
        why = _why(error, said)
        begun = "The answer breaks off here: the" if said else "The"
        return GeneratorError(f"{begun} model server {why}. Please try again in a minute{self._instead}.")

    def _listed(self) -> Mapping[str, int] | None:
        """The models that the server has, with their context lengths or 0; None while it has never said."""
        with self._asking:
            if time.monotonic() >= self._ask_again:
                listing = self._start(self._list_quickly())
                try:
                    self._models = listing.result(LIST_SECONDS)
                    self._ask_again = time.monotonic() + _LISTED_SECONDS
                except Exception as error:  # noqa: BLE001 - as above; the question itself will meet it
                    listing.cancel()
                    _log.warning("The model server at %s lists no models: %s", self._url, first_line(error))
                    self._ask_again = time.monotonic() + _ASK_AGAIN_SECONDS
            return self._models

    async def _list_quickly(self) -> dict[str, int]:
        return await _list(self._connected()[1].with_options(max_retries=0))

    def _first(self, models: Mapping[str, int]) -> str:
        """The first model that is no adapter of ours; empty where there is none."""
        return next((name for name in models if name not in self._adapters), "")

    def _start(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Have something done beside; cancelling it ends it at once, wherever it is, and closes its connection."""
        return asyncio.run_coroutine_threadsafe(work, self._connected()[0])

    def _connected(self) -> tuple[asyncio.AbstractEventLoop, openai.AsyncOpenAI]:
        """The client and the event loop that it lives in, a thread; a forked process has none and gets its own."""
        with self._connecting:
            if not self._connection or self._connection[0] != os.getpid():
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="model server", daemon=True).start()
                client = openai.AsyncOpenAI(
                    base_url=self._url,
                    api_key=self._key or "none",
                    max_retries=RETRIES,
                    timeout=openai.Timeout(FIRST_WORD_SECONDS, connect=CONNECT_SECONDS),
                )
                self._connection = os.getpid(), loop, client
            return self._connection[1:]


async def _list(client: openai.AsyncOpenAI) -> dict[str, int]:
    """The server's models in its order, with the context lengths that vLLM says; 0 where none is said."""
    page = await client.models.list()
    return {str(model.id): int(getattr(model, "max_model_len", None) or 0) for model in page.data}


async def _pieces(stream: Any, max_tokens: int) -> AsyncIterator[str]:
    """What the server says, piece by piece; empty ones are signs of life, such as a thought that is not shown.

    Raises EOFError where it ends before the answer does, and whatever comes of chunks that are none.
    """
    room, chunks = max_tokens * _LONGEST_TOKEN, 2 * max_tokens
    async for chunk in stream:
        if not chunk.choices:
            continue
        choice = chunk.choices[0]
        text = choice.delta.content or ""
        yield _NO_TEXT.sub("", text)[:room]
        room, chunks = room - len(text), chunks - 1
        if choice.finish_reason or room <= 0 or not chunks:
            return
    raise EOFError


def _without_special_tokens(text: str) -> str:
    """A text whose `<|im_start|>` and the like are words: nobody but the server's chat template begins a turn."""
    return _SPECIAL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def _why(error: Exception, said: bool) -> str:
    """What is wrong with the server, as the end of a sentence about it."""
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return "takes too long"
    if isinstance(error, openai.APIConnectionError) or (said and isinstance(error, EOFError)):
        return "has gone away" if said else "cannot be reached"
    if isinstance(error, openai.APIStatusError):
        status = {401: "does not let this app in", 403: "does not let this app in", 404: "has no such model"}
        busy = error.status_code in (429, 503)
        return "is too busy" if busy else status.get(error.status_code, "has failed")
    return "has sent what is no answer"
