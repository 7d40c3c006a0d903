"""The local engine: turns messages into tokens on the one model in memory.

One request runs at a time, in the order they came, because the adapter that is on is a property of the shared model.
The engine keeps the states after each message of a prompt, so that the next turn, or the next visitor with the same
system prompt, need not have it read again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import replace
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
from jinja2 import TemplateError

from switchboard.compute import compute, compute_later
from switchboard.generation.adapters import Adapters, wearing
from switchboard.generation.batch import batches, complete_batch
from switchboard.generation.decline import DeclineRule, log_probability
from switchboard.generation.fast.llama import FastLlama
from switchboard.generation.fast.states import States
from switchboard.generation.figures import FigureLimit, FigureTokens
from switchboard.generation.line import Line
from switchboard.generation.model import LoadedModel
from switchboard.generation.prefix_cache import Cache, PrefixCache
from switchboard.generation.quoting import write
from switchboard.generation.replies import Choice, Replies, choose, measure_priors
from switchboard.generation.together import Choose, Together
from switchboard.types import Completion, GenerationSettings, Grounding, Message, Token

_Step = TypeVar("_Step")
_GREEDY = 0.001
"""A temperature below it is as good as 0, and dividing by less would overflow."""
WAIT_SECONDS = 0.2
"""How long a request waits for its turn before it looks whether it is still wanted."""


class LocalGenerator:
    """A `Generator` on this machine's processor or GPU."""

    def __init__(self, base: LoadedModel, adapters: Adapters, fast: FastLlama | None = None) -> None:
        """`fast` is the fast decoder over the same model; without it transformers computes."""
        self._model: Any = fast or adapters.model
        self._fast = fast
        self._adapters = adapters
        self._tokenizer = base.tokenizer
        self._line = Line()
        self._together = Together(fast) if fast and fast.compiled else None
        self._prefixes = PrefixCache()
        self._figure_tokens = FigureTokens(base.tokenizer)
        stops = self._model.generation_config.eos_token_id
        self._stop_ids = set(stops if isinstance(stops, list) else [stops]) | {self._tokenizer.eos_token_id}

    @property
    def context_tokens(self) -> int:
        """The most tokens that a prompt and its answer may have together."""
        return int(getattr(self._model.config.get_text_config(), "max_position_embeddings", 2048))

    @property
    def refused_adapters(self) -> Mapping[str, str]:
        """Adapters that cannot be used with this base, and why, in a sentence."""
        return self._adapters.refused

    @property
    def fast(self) -> FastLlama | None:
        """The fast decoder; None where transformers computes."""
        return self._fast

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of the prompt that these messages make."""
        return self._encode(messages, generation_prompt=True)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The length of the prompt that these messages make."""
        return len(self.encode(messages))

    def stream(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        grounding: Grounding | None = None,
    ) -> Iterator[Token]:
        """Yield the answer token by token, after `waiting` ones while somebody else is answered.

        An `adapter` of None is the untouched base; `grounding` limits figures and citations, see figures.py. Closing
        the iterator stops the model and frees it for the next.
        """
        limit = self._limit(grounding)
        ids = self.encode(messages)
        ends = self._message_ends(messages, ids)
        said = _Spoken(self._tokenizer)
        with ExitStack() as held:
            ticket = self._line.join()
            held.callback(self._line.leave, ticket)
            while not self._line.wait(ticket, WAIT_SECONDS):
                ahead = max(1, self._line.ahead(ticket))
                yield Token("", len(ids), 0, waiting=ahead, wait_seconds=ahead * self._line.seconds)
            held.enter_context(self._wearing(adapter))
            replies = self._adapters.replies.get(adapter or "")
            if grounding and grounding.asked and replies:
                taught = list(islice(self._replying(replies, grounding.asked, adapter), settings.max_tokens))
                # They are whole: nobody else has to wait until they are read, or for a reader who has left.
                held.close()
                yield from taught
                return
            logits, cache, reused = compute(self._read, ids, ends, adapter)
            rule = self._decline_rule(grounding, adapter)
            if rule and compute(log_probability, self._model, logits[None], rule.phrase, cache)[0] > rule.above:
                for token in rule.phrase:
                    yield Token(said.add(token), len(ids), reused)
                return
            if grounding and grounding.quotes:
                written = write(lambda ids: self._forward(ids, cache), logits, self._tokenizer, grounding.quotes)
                like = Token("", len(ids), reused)
                for token, computed in _at_once(islice(written, settings.max_tokens), held.close):
                    yield replace(like, text=said.add(token), copied=not computed)
                return
            yield from self._writing(logits, cache, settings, limit, rule, adapter, Token("", len(ids), reused), held)

    def _writing(
        self,
        logits: torch.Tensor,
        cache: Cache,
        settings: GenerationSettings,
        limit: FigureLimit | None,
        rule: DeclineRule | None,
        adapter: str | None,
        like: Token,
        held: ExitStack,
    ) -> Iterator[Token]:
        """An answer in the model's own words after what is in `cache`; tokens are counted as `like` counts them.

        `held` is closed as soon as others may have their turn.
        """
        chosen = _Spoken(self._tokenizer)

        def choose(logits: torch.Tensor) -> int | None:
            logits = rule.forbid(chosen.tokens, logits) if rule else logits
            token = _choose(limit.apply(chosen.text, logits) if limit else logits, settings.temperature)
            if limit or rule:
                chosen.add(token)
            return None if token in self._stop_ids else token

        exact = limit is not None or settings.temperature >= _GREEDY
        said = _Spoken(self._tokenizer)
        if self._together and isinstance(cache, States):
            while not self._together.free:
                yield replace(like, waiting=1, wait_seconds=self._line.seconds)
                time.sleep(WAIT_SECONDS)
            written = self._together.begin(logits, cache, adapter, choose, exact, settings.max_tokens)
            held.close()
        else:
            written = _computed(self._alone(logits, cache, choose, exact, settings.max_tokens))
        with closing(written):  # type: ignore[type-var]
            for token in written:
                yield replace(like, text=said.add(token))

    def _alone(self, logits: torch.Tensor, cache: Cache, choose: Choose, exact: bool, most: int) -> Iterator[int]:
        """One token after the other."""
        for number in range(most):
            token = choose(logits)
            if token is None:
                return
            yield token
            if number + 1 < most:
                logits = self._forward([token], cache, not exact)

    def complete(
        self,
        prompts: Sequence[Sequence[Message]],
        settings: GenerationSettings,
        adapter: str | None,
        groundings: Sequence[Grounding | None],
        progress: Callable[[int], object],
    ) -> list[Completion]:
        """Answer many prompts, greedily and in batches; `progress` is told how many more are done."""
        ids = [self.encode(prompt) for prompt in prompts]
        done: dict[int, Completion] = {}
        brings = (adapter or "") in self._adapters.replies
        for row in [row for row, g in enumerate(groundings) if g and (g.quotes or (g.asked and brings))]:
            done[row] = self._completed(prompts[row], settings, adapter, groundings[row], len(ids[row]))
            progress(1)
        left = [row for row in range(len(ids)) if row not in done]
        for batch in batches([len(ids[row]) for row in left]):
            rows = [left[number] for number in batch]
            limits = [limit.apply if (limit := self._limit(groundings[row])) else None for row in rows]
            whole = [groundings[row] for row in rows if groundings[row]]
            rule = self._decline_rule(whole[0], adapter, math.inf) if len(whole) == len(rows) else None
            with self._line.turn(), self._wearing(adapter):
                written, scores = compute(
                    complete_batch,
                    self._model,
                    self._new_cache(),
                    self._tokenizer,
                    [ids[row] for row in rows],
                    limits,
                    rule,
                    self._stop_ids,
                    settings.max_tokens,
                )
            for row, tokens, score in zip(rows, written, scores, strict=True):
                text = self._tokenizer.decode(tokens, skip_special_tokens=True)
                done[row] = Completion(text, len(ids[row]), len(tokens), score)
            progress(len(rows))
        return [done[row] for row in range(len(prompts))]

    def _completed(
        self,
        prompt: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        grounding: Grounding | None,
        length: int,
    ) -> Completion:
        tokens = list(self.stream(prompt, settings, adapter, grounding))
        return Completion("".join(token.text for token in tokens), length, len(tokens))

    def warm_up(self, messages: Sequence[Message], adapter: str | None) -> None:
        """Read a prompt and write one token, for the side effects: prefixes kept, weights packed, kernels loaded."""
        stream = self.stream(messages, GenerationSettings(max_tokens=16), adapter)
        with closing(stream):  # type: ignore[type-var]
            next((token for token in stream if not token.waiting), None)

    def logits(self, messages: Sequence[Message], adapter: str | None) -> torch.Tensor:
        """The scores of the first answer token, shape (vocabulary,), float32: what tests compare."""
        ids = self.encode(messages)
        with self._line.turn(), self._wearing(adapter):
            return compute(self._forward, ids, self._new_cache()).float()

    def _decline_rule(
        self, grounding: Grounding | None, adapter: str | None, without: float | None = None
    ) -> DeclineRule | None:
        """How an adapter decides to decline; None where nothing was calibrated and no threshold is given `without`."""
        above = self._adapters.decline_above.get(adapter or "", without)
        if above is None or grounding is None or not grounding.decline:
            return None
        phrase = tuple(self._tokenizer.encode(grounding.decline, add_special_tokens=False))
        return DeclineRule(phrase, above) if len(phrase) > 1 else None

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _limit(self, grounding: Grounding | None) -> FigureLimit | None:
        return FigureLimit(self._figure_tokens, grounding) if grounding and grounding.passages else None

    def choices(self, asked: Sequence[Sequence[Message]], adapter: str) -> list[Choice]:
        """Which reply an adapter chooses after each prompt. Raises KeyError where it brings none."""
        with self._line.turn(), self._wearing(adapter):
            return [self._choice(self._adapters.replies[adapter], prompt, adapter)[0] for prompt in asked]

    def priors(self, prompt: Sequence[Message], adapter: str) -> list[float]:
        """How likely an adapter's replies are after a prompt that asks nothing. Raises KeyError where it has none."""
        ids = self.encode(prompt)
        with self._line.turn(), self._wearing(adapter):
            logits, cache, _ = compute(self._read, ids, self._message_ends(prompt, ids), adapter)
            return compute(measure_priors, self._model, self._adapters.replies[adapter], logits, cache)

    def _choice(self, replies: Replies, prompt: Sequence[Message], adapter: str | None) -> tuple[Choice, Token]:
        """A reply, and the token that counts as its tokens do."""
        ids = self.encode(prompt)
        logits, cache, reused = compute(self._read, ids, self._message_ends(prompt, ids), adapter)
        choice = compute(choose, self._model, replies, logits, cache)
        return choice.asked(prompt[-1].content, replies), Token("", len(ids), reused)

    def _replying(self, replies: Replies, asked: Sequence[Sequence[Message]], adapter: str | None) -> Iterator[Token]:
        """What the adapter was taught to reply to each thing asked; it declines where it would decline them all."""
        said: set[tuple[int, ...]] = set()
        for number, prompt in enumerate(asked, 1):
            choice, like = self._choice(replies, prompt, adapter)
            declines = choice.decline > replies.margin
            tokens = replies.decline[:-1] if declines else choice.tokens
            if tokens in said or (declines and (said or number < len(asked))):
                continue
            spoken = _Spoken(self._tokenizer)
            for place, token in enumerate(tokens):
                text = spoken.add(token)
                yield replace(like, text=" " + text if said and not place else text, copied=bool(said or place))
            said.add(tokens)

    def _wearing(self, adapter: str | None) -> AbstractContextManager[object]:
        """Put the adapter on, or all of them off, for as long as the lock is held."""
        return wearing(self._model, adapter) if self._adapters.loaded else nullcontext()

    @torch.inference_mode()
    def _read(self, ids: list[int], ends: list[int], adapter: str | None) -> tuple[torch.Tensor, Cache, int]:
        """Read the prompt; returns the last logits, the cache and how many tokens were reused.

        transformers' states can be kept only where they stand, so it reads piece by piece; the fast decoder's hold all
        that was before, and each piece less has the weights expanded once less.
        """
        reused, cache = self._prefixes.longest(adapter, ids, ends) or (0, self._new_cache())
        logits = torch.empty(0)
        start = reused
        for end in ends[-1:] if self._fast else [end for end in ends if end > reused]:
            logits = self._forward(ids[start:end], cache)
            start = end
            if end < len(ids):
                self._prefixes.keep(adapter, ids[:end], cache)
        if self._fast:
            # What every prompt begins with, and what this conversation's next one will: each is a copy of all before.
            for end in {*ends[:-1][:1], *ends[:-1][-1:]}:
                if end > reused:
                    self._prefixes.keep(adapter, ids[:end], cache)
        return logits, cache, reused

    # By call, not around the loop: a stream's steps may each run in another thread, and the mode is a thread's own.
    @torch.inference_mode()
    def _forward(self, ids: list[int], cache: Cache, likeliest: bool = False) -> torch.Tensor:
        """Read ids into the cache; returns the logits after the last one, shape (vocabulary,).

        With `likeliest` those of all but the likeliest tokens may be rough.
        """
        tensor = torch.tensor([ids], device=self._model.device)
        options = {"likeliest": likeliest} if self._fast else {}
        out: Any = self._model(input_ids=tensor, past_key_values=cache, use_cache=True, logits_to_keep=1, **options)
        logits: torch.Tensor = out.logits[0, -1]
        return logits

    def _new_cache(self) -> Cache:
        if self._fast:
            return self._fast.new_cache()
        from switchboard.generation.stock import DynamicCache  # noqa: PLC0415  (which the fast decoder does without)

        return DynamicCache(config=self._model.config)

    def _encode(self, messages: Sequence[Message], generation_prompt: bool) -> list[int]:
        rows = [{"role": m.role, "content": self._without_special_tokens(m.content)} for m in messages]
        options = {"tokenize": False, "add_generation_prompt": generation_prompt}
        try:
            text = self._tokenizer.apply_chat_template(rows, **options)
        except TemplateError:
            # Some templates, such as Gemma 2's, know no system role: its text opens the first question instead.
            text = self._tokenizer.apply_chat_template(_without_system_role(rows), **options)
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _without_special_tokens(self, text: str) -> str:
        """A text whose `<|im_start|>` and the like are words: nobody but the chat template begins a turn."""
        for token in self._tokenizer.all_special_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _message_ends(self, messages: Sequence[Message], ids: list[int]) -> list[int]:
        """Where messages end in the prompt, in tokens, rising; the last one is the prompt's own end.

        Chat templates may write a message differently once others follow it, or refuse a part of a conversation; such
        an end is left out.
        """
        ends = []
        for count in range(1, len(messages)):
            try:
                head = self._encode(messages[:count], generation_prompt=False)
            except TemplateError:
                continue
            if 0 < len(head) < len(ids) and ids[: len(head)] == head:
                ends.append(len(head))
        return [*sorted(set(ends)), len(ids)]


def _computed(steps: Iterator[_Step]) -> Iterator[_Step]:
    """The same steps, each taken in the computing thread: choosing among all tokens computes as well."""
    with closing(steps):  # type: ignore[type-var]
        while (step := compute(next, steps, None)) is not None:
            yield step


def _at_once(steps: Iterator[_Step], done: Callable[[], object]) -> Iterator[_Step]:
    """The same few steps, all taken in one go in the computing thread, where `done` is called after the last: nobody
    else has to wait until they are read, nor do they for what else is computed."""
    taken: SimpleQueue[_Step | None] = SimpleQueue()
    gone = threading.Event()

    def take() -> None:
        try:
            for step in steps:
                taken.put(step)
                if gone.is_set():
                    return
        finally:
            done()
            taken.put(None)

    ended = compute_later(take)
    try:
        while (step := taken.get()) is not None:
            yield step
    finally:
        gone.set()
        ended.result()


class _Spoken:
    """Tokens as they become text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.tokens: list[int] = []
        self.text = ""

    def add(self, token: int) -> str:
        """What the token adds to the text."""
        self.tokens.append(token)
        text = self._tokenizer.decode(self.tokens, skip_special_tokens=True)
        # A character cut in two decodes to the replacement character: wait for its other half.
        new = "" if text.endswith("\ufffd") else str(text[len(self.text) :])
        self.text += new
        return new


def _without_system_role(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same conversation with the system prompt at the head of the first question; alone it stays what it is."""
    if len(rows) < 2 or rows[0]["role"] != "system":
        return rows
    system, first, *rest = rows
    return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def _choose(logits: torch.Tensor, temperature: float) -> int:
    """The next token: the most likely one at temperature 0, else sampled from logits of shape (vocabulary,)."""
    if temperature < _GREEDY:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits.float() / temperature, dim=-1), 1))
