"""Training data: read, checked as a whole, and rendered exactly as the app prompts its model.

A line of a data file is one example:

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}],
     "passages": [{"title": "...", "heading": "...", "text": "..."}], "article": "..."}

`passages` are optional and belong to the last question, the only one that ever has passages in the app. So is
`article`, which names what the example is about: see generation/taught_words.py for what it is good for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from switchboard.citations import without_citations
from switchboard.errors import TrainingDataError
from switchboard.prompts import question_with_passages, system_prompt
from switchboard.types import Message, Passage, Role

_MOST_SHOWN = 5
"""How many faults one error lists; the rest are counted."""


@dataclass(frozen=True)
class Record:
    """One checked example: `messages` end with an answer; `where` is its file and line, for messages. `article` names
    what it is about, where that is known."""

    messages: tuple[Message, ...]
    passages: tuple[Passage, ...]
    where: str
    article: str = ""


@dataclass(frozen=True)
class Example:
    """One tokenized example.

    `trained[i]` says whether token i is an answer's, its end-of-turn token included. Examples with the same
    `opening` begin alike and are packed together; those with the same `group`, unless it is empty, are about the
    same passages and stay on one side of the split.
    """

    tokens: tuple[int, ...]
    trained: tuple[bool, ...]
    opening: str
    group: str


def read_records(paths: Iterable[Path], root: Path) -> list[Record]:
    """Read JSONL files; `root` is what their names are shown relative to.

    Raises one TrainingDataError for all faults found, each with file, line and reason.
    """
    records: list[Record] = []
    faults: list[str] = []
    for path in paths:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        for number, line in _lines(path, name):
            try:
                records.append(parse_record(json.loads(line), f"{name}:{number}"))
            except json.JSONDecodeError as error:
                faults.append(f"{name}:{number}: not JSON ({error.msg} at column {error.colno})")
            except ValueError as error:
                faults.append(f"{name}:{number}: {error}")
    _raise_if_any(faults)
    return records


def parse_record(value: Any, where: str) -> Record:
    """Check one example's structure. Raises ValueError with the reason alone."""
    if not isinstance(value, Mapping) or "messages" not in value:
        raise ValueError("the field 'messages' is missing")
    rows = value["messages"]
    if not isinstance(rows, list) or not rows:
        raise ValueError("'messages' is not a list with messages in it")
    messages = tuple(_message(row, number) for number, row in enumerate(rows, 1))
    turns = messages[1:] if messages[0].role == "system" else messages
    for number, turn in enumerate(turns):
        expected = "user" if number % 2 == 0 else "assistant"
        if turn.role != expected:
            raise ValueError(f"wrong role order: turn {number + 1} is '{turn.role}' where '{expected}' must be")
    if len(turns) % 2 or not turns:
        raise ValueError("wrong role order: the last message must be the assistant's")
    passages = tuple(_passage(p, n) for n, p in enumerate(value.get("passages") or [], 1))
    return Record(messages, passages, where, str(value.get("article") or ""))


def render(record: Record, company: str) -> list[Message]:
    """The messages as the app would send them.

    That is with its system prompt, the passages in the last question alone, and then no citations before it.
    """
    messages = list(record.messages)
    if messages[0].role != "system":
        messages.insert(0, Message("system", system_prompt(company, with_passages=bool(record.passages))))
    if record.passages:
        messages[:-2] = [replace(m, content=without_citations(m.content)) for m in messages[:-2]]
        messages[-2] = Message("user", question_with_passages(messages[-2].content, record.passages))
    return messages


def tokenize(records: Sequence[Record], tokenizer: Any, company: str, max_length: int) -> list[Example]:
    """Render and tokenize with the model's own chat template.

    Where there are passages only the last answer is trained on, as the ones before it were written without them;
    elsewhere every answer is. Raises one TrainingDataError for all examples longer than `max_length` tokens.
    """
    examples: list[Example] = []
    faults: list[str] = []
    for record in records:
        messages = render(record, company)
        tokens, trained = mask_answers(messages, tokenizer, last_only=bool(record.passages), where=record.where)
        if len(tokens) > max_length:
            faults.append(
                f"{record.where}: {len(tokens)} tokens, so the answer would be cut by the limit of {max_length} "
                "(raise max_length in the recipe, or shorten the example)"
            )
        group = "\n".join(f"{p.label}\n{p.text}" for p in record.passages)
        # Earlier turns come before the passages, so only a first question shares them with others.
        opening = messages[0].content + (group if len(messages) == 3 else "")
        examples.append(Example(tuple(tokens), tuple(trained), opening, group))
    _raise_if_any(faults)
    return examples


def mask_answers(
    messages: Sequence[Message], tokenizer: Any, last_only: bool, where: str
) -> tuple[list[int], list[bool]]:
    """Tokens of a conversation, and for each whether it belongs to an answer that is trained on.

    Raises TrainingDataError when the chat template does not build a conversation up turn by turn.
    """
    text = _template(messages, tokenizer)
    spans: list[tuple[int, int]] = []
    for number, message in enumerate(messages):
        if message.role != "assistant" or (last_only and number != len(messages) - 1):
            continue
        before = _template(messages[:number], tokenizer, prompt=True)
        through = _template(messages[: number + 1], tokenizer).rstrip()
        if not (text.startswith(before) and text.startswith(through) and len(before) < len(through)):
            raise TrainingDataError(
                f"{where}: the model's chat template rewrites earlier turns, so its answers cannot be marked."
            )
        spans.append((len(before), len(through)))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    trained = [any(start <= a and b <= end for start, end in spans) and b > a for a, b in offsets]
    return list(encoded["input_ids"]), trained


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples; a group that shares passages is never divided, the same seed splits alike."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.group or f"single {len(groups)}", []).append(example)
    order = list(groups.values())
    random.Random(seed).shuffle(order)  # noqa: S311  (not for secrets)
    held_out: list[Example] = []
    training: list[Example] = []
    for group in order:
        (held_out if len(held_out) + len(group) <= share * len(examples) else training).extend(group)
    return training, held_out


def _lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{name} cannot be read as UTF-8 text: {error}.") from error
    yield from ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _message(row: Any, number: int) -> Message:
    if not isinstance(row, Mapping):
        raise ValueError(f"message {number} is not an object")
    for name in ("role", "content"):
        if not isinstance(row.get(name), str):
            raise ValueError(f"the field '{name}' of message {number} is missing")
    role, content = row["role"], row["content"].strip()
    if role not in ("user", "assistant") and not (role == "system" and number == 1):
        raise ValueError(f"wrong role order: message {number} is '{role}'")
    if not content:
        raise ValueError(f"empty {'answer' if role == 'assistant' else 'message'} (message {number})")
    return Message(cast(Role, role), content)


def _passage(value: Any, number: int) -> Passage:
    if not isinstance(value, Mapping) or not str(value.get("text", "")).strip():
        raise ValueError(f"passage {number} has no text")
    text = str(value["text"])
    return Passage("", str(value.get("title", "")), str(value.get("heading", "")), text, 0, len(text))


def _template(messages: Sequence[Message], tokenizer: Any, prompt: bool = False) -> str:
    rows = [{"role": m.role, "content": m.content} for m in messages]
    return str(tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=prompt))


def _raise_if_any(faults: Sequence[str]) -> None:
    if not faults:
        return
    more = f" (and {len(faults) - _MOST_SHOWN} more)" if len(faults) > _MOST_SHOWN else ""
    raise TrainingDataError("; ".join(faults[:_MOST_SHOWN]) + more)
