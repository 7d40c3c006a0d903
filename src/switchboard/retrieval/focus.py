"""What of the passages found the model is given to read: the sentences and lists nearest to the question.

A small model takes a like sentence of the right passage; the embedder tells sentences apart better. So the passages are
cut to their nearest parts, in their own order: fewer tokens to read, and fewer wrong figures to take. The visitor is
shown whole passages all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from switchboard.retrieval.embedding import Vectors
from switchboard.types import Passage

PARTS = 6
"""Parts of all passages together that are read; each passage keeps at least its nearest one. On the evaluation set the
six nearest hold all required facts of 9 in 10 questions that whole passages hold them for."""

_BLOCK = re.compile(r"\n\s*\n")
_STEP = re.compile(r"^\s*\d+[.)]\s")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'“(A-Z0-9])")


def parts_of(text: str) -> list[str]:
    """The sentences of a text; a bullet is a part of its own, numbered steps are one with the line before them.

    >>> parts_of("It is red. Do this:\\n\\n1. Open it.\\n2. Wait.\\n\\n- One costs £5.\\n- Two costs £7.")
    ['It is red.', 'Do this:\\n1. Open it.\\n2. Wait.', '- One costs £5.', '- Two costs £7.']
    """
    parts: list[str] = []
    for line in (line.strip() for block in _BLOCK.split(text) for line in block.split("\n")):
        if _STEP.match(line):
            leading = parts and (parts[-1].endswith(":") or _STEP.match(parts[-1].rsplit("\n", 1)[-1]))
            if leading:
                parts[-1] += f"\n{line}"
            else:
                parts.append(line)
        elif line.startswith(("- ", "* ")):
            parts.append(line)
        else:
            parts += [sentence for sentence in _SENTENCE.split(line) if sentence]
    return parts


def focused(
    query: Vectors, passages: Sequence[Passage], vectors: Callable[[Passage], Vectors], most: int = PARTS
) -> tuple[str, ...]:
    """The text of each passage that is read, in the passages' order.

    `query` (dimensions,) is the question's vector and `vectors` gives a passage's parts', (parts, dimensions).
    """
    parts = [parts_of(passage.text) for passage in passages]
    scores = [(vectors(p) @ query).tolist() if some else [] for p, some in zip(passages, parts, strict=True)]
    ranked = sorted(
        ((score, p, n) for p, some in enumerate(scores) for n, score in enumerate(some)), key=lambda row: -row[0]
    )
    firsts = {p: n for _, p, n in reversed(ranked)}
    kept = set(firsts.items())
    for _, p, n in ranked:
        if len(kept) >= max(most, len(firsts)):
            break
        kept.add((p, n))
    return tuple(
        "\n".join(part for n, part in enumerate(some) if (p, n) in kept) or passage.text
        for p, (passage, some) in enumerate(zip(passages, parts, strict=True))
    )
