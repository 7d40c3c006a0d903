"""The drawer of documents as HTML: the list, what became of each file, and what a search sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from switchboard.retrieval.search import reciprocal_rank_sums
from switchboard.types import Document, Passage, SearchResult
from switchboard.ui.markup import plain
from switchboard.ui.render import counted

EDITABLE = (".md", ".txt")
"""The endings of files whose text can be edited in the page; others are changed where they were written."""
_SHOWN = 8


class Rankings(Protocol):
    """What a search ranked: ids, best first, and their scores."""

    @property
    def dense(self) -> tuple[str, ...]: ...
    @property
    def lexical(self) -> tuple[str, ...]: ...
    @property
    def fused(self) -> tuple[str, ...]: ...
    @property
    def similarity(self) -> Mapping[str, float]: ...
    @property
    def words(self) -> Mapping[str, float]: ...
    @property
    def known(self) -> Mapping[tuple[str, int], float]: ...


class Passages(Protocol):
    """Where a passage is looked up."""

    def passage(self, name: str) -> Passage: ...
    def left_out(self, passage: Passage) -> frozenset[int]: ...


def listed(
    own: Sequence[Document],
    shared: Sequence[Document],
    passages: Sequence[Passage],
    most: int,
    changes: Mapping[str, bool] | None = None,
) -> str:
    """The documents: the visitor's own first, of which `most` fit, then everybody's by topic.

    `changes` is what the staff is shown: which of everybody's were changed in the page, and whether by removing.
    """
    counts = Counter(passage.source for passage in passages)
    topics: dict[str, list[Document]] = {}
    for one in sorted(shared, key=lambda one: (one.topic, one.title)):
        topics.setdefault(one.topic, []).append(one)
    yours = "".join(_item(one, counts[one.source], "edit-document", "remove-document") for one in own)
    tools = () if changes is None else ("edit-document", "remove-document")
    changed = changes or {}

    def of(topic: Sequence[Document]) -> str:
        undo = {one.source: ["undo-document"] if one.source in changed else [] for one in topic}
        return "".join(_item(one, counts[one.source], *tools, *undo[one.source]) for one in topic)

    rest = "".join(
        f"<details><summary>{plain(topic)} <small>{len(some)}</small></summary><ul>{of(some)}</ul></details>"
        for topic, some in topics.items()
    )
    gone = "".join(
        f'<li><span class="document"><span>{plain(source)}</span><small>removed</small></span>'
        f"{_tool('undo-document', source, source)}</li>"
        for source, removed in sorted(changed.items())
        if removed
    )
    away = f"<h3>Removed from everybody’s</h3><ul>{gone}</ul>" if gone else ""
    mine_now = f"<ul>{yours}</ul>" if own else '<p class="drawer-note">None yet.</p>'
    return (
        f"<h3>Yours <small>{len(own)} of at most {most}</small></h3>{mine_now}"
        f"<h3>Everybody’s <small>{len(shared)} documents, {len(passages)} passages in all</small></h3>{rest}{away}"
    )


def said(lines: Sequence[str]) -> str:
    """What became of each document."""
    return f'<ul class="said" role="status">{"".join(lines)}</ul>'


def good(name: str, words: str) -> str:
    """A line about a document with which all is well."""
    return f"<li><strong>{plain(name)}</strong> {plain(words)}</li>"


def bad(name: str, words: str) -> str:
    """A line about a document that was refused."""
    return f'<li class="error"><strong>{plain(name)}</strong> {plain(words)}</li>'


def is_bad(line: str) -> bool:
    """Whether a line is about a document that was refused."""
    return line.startswith('<li class="error">')


def busy(words: str) -> str:
    """A line about what is being done."""
    return f'<li class="busy">{plain(words)}</li>'


def seen(rankings: Rankings, result: SearchResult, index: Passages) -> str:
    """What both searches rank, how they are fused, which passages an answer would be given, and why not the others."""
    read = [passage.id for passage in result.passages]
    sums = reciprocal_rank_sums((rankings.dense, rankings.lexical))
    known: dict[str, float] = {}
    for (name, _), score in rankings.known.items():
        known[name] = max(score, known.get(name, -1.0))
    rows = []
    for place, name in enumerate(rankings.fused[:_SHOWN], 1):
        passage = index.passage(name)
        similarity = rankings.similarity[name]
        rank = f"read as {read.index(name) + 1}" if name in read else f"not read: {_why_not(similarity, result)}"
        whose = " (of a question that it is known to answer)" if known.get(name, -1.0) >= similarity else ""
        if hidden := len(index.left_out(passage)):
            rank += f", {counted(hidden, 'sentence')} left out for giving orders to a model"
        rows.append(
            f'<li data-read="{str(name in read).lower()}"><span class="place">{place}</span><div>'
            f'<button type="button" class="link" data-action="article" data-source="{plain(passage.source)}" '
            f'data-start="{int(passage.start)}" data-end="{int(passage.end)}">{plain(passage.label)}</button>'
            f"<small>by meaning {_rank(rankings.dense, name)}, similarity {similarity:.2f}{whose} · by words "
            f"{_rank(rankings.lexical, name)}{_score(rankings.words.get(name))} · "
            f"fused {sums[name]:.4f} · {rank}</small></div></li>"
        )
    further = [plain(index.passage(name).label) for name in read if name not in rankings.fused[:_SHOWN]]
    also = f'<p class="drawer-note">Read as well: {"; ".join(further)}.</p>' if further else ""
    return f'<p class="round-note">{plain(_verdict(result))}</p><ol class="seen">{"".join(rows)}</ol>{also}'


def _why_not(similarity: float, result: SearchResult) -> str:
    """Why a passage that was found is not read."""
    if result.coverage is None and similarity < result.threshold:
        return f"below the threshold of {result.threshold:.2f}"
    if not result.passages:
        return "the question is declined"
    return "the best sentences are in others"


def _verdict(result: SearchResult) -> str:
    if not result.nearest:
        return "There is nothing to search."
    if result.coverage is not None:
        judged = f"That something here answers this is judged {round(result.coverage * 100)} % likely"
        return f"{judged}, so {'passages are read' if result.passages else 'the question is declined'} (from 50 %)."
    least = f"the threshold is {result.threshold:.2f}"
    return f"The nearest has a similarity of {result.nearest.score:.2f}; {least}."


def _rank(names: Sequence[str], name: str) -> str:
    return f"{names.index(name) + 1}." if name in names else "not found"


def _score(score: float | None) -> str:
    return "" if score is None else f", BM25 {score:.1f}"


def _item(document: Document, passages: int, *actions: str) -> str:
    about = (
        f"{plain(document.source)} · {passages} passage{'' if passages == 1 else 's'} · "
        f"{len(document.text):,} characters"
    )
    if document.updated:
        about += f" · updated {plain(document.updated)}"
    if "undo-document" in actions:
        about += " · changed here"
    can_edit = PurePosixPath(document.source).suffix.lower() in EDITABLE
    tools = "".join(
        _tool(action, document.source, document.title) for action in actions if action != "edit-document" or can_edit
    )
    return (
        f'<li><button type="button" class="document" data-action="article" data-source="{plain(document.source)}" '
        f'data-start="0" data-end="0"><span>{plain(document.title)}</span><small>{about}</small></button>{tools}</li>'
    )


_TOOLS = {
    "edit-document": ("Edit", "edit"),
    "remove-document": ("Remove", "bin"),
    "undo-document": ("Undo the change of", "undo"),
}
"""What a document's buttons say, and their pictures."""


def _tool(action: str, source: str, title: str) -> str:
    word, icon = _TOOLS[action]
    return (
        f'<button type="button" class="close" data-action="{action}" data-source="{plain(source)}" '
        f'aria-label="{word} “{plain(title)}”" title="{word}"><i class="icon icon-{icon}" aria-hidden="true"></i>'
        "</button>"
    )
