"""An answer and a search as JSON-able dictionaries: what the command line prints and the API returns.

And whole answers read back from JSON that may have been in a visitor's hands: strictly, and cut to a length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from switchboard.modes import mode_named
from switchboard.types import Answer, Metrics, Passage, SearchResult

MAX_TEXT = 20_000
"""The most characters of any one text that is read back."""
MAX_PASSAGES = 16


def answer_record(question: str, answer: Answer) -> dict[str, Any]:
    """One answered question; similarities and milliseconds rounded to what they can mean."""
    return {
        "question": question,
        "mode": answer.mode,
        "answer": answer.text,
        "abstained": answer.abstained,
        "passages": [
            {**passage_record(passage), "cited": number in answer.cited}
            for number, passage in enumerate(answer.passages, 1)
        ],
        "notice": answer.notice,
        "cut_off": answer.cut_off,
        "removed_citations": answer.removed_citations,
        "metrics": {
            key: round(value, 2) if isinstance(value, float) else value for key, value in asdict(answer.metrics).items()
        },
    }


def search_record(found: SearchResult) -> dict[str, Any]:
    """One search: the passages, whether the knowledge base covers the query, and the nearest thing either way.

    `coverage` is the probability that it does, 0 to 1; None where passages must have a similarity of `threshold`.
    """
    return {
        "query": found.query,
        "covered": bool(found.passages),
        "threshold": found.threshold,
        "coverage": None if found.coverage is None else round(found.coverage, 4),
        "passages": [passage_record(passage) for passage in found.passages],
        "nearest": passage_record(found.nearest) if found.nearest else None,
        "milliseconds": round(found.milliseconds, 2),
    }


def passage_record(passage: Passage) -> dict[str, Any]:
    """One passage; `score` is a cosine similarity from -1 to 1, higher is closer."""
    return {
        "source": passage.source,
        "title": passage.title,
        "heading": passage.heading,
        "score": round(passage.score, 4),
        "text": passage.text,
        "start": passage.start,
        "end": passage.end,
    }


def answer_from_json(value: Mapping[str, Any]) -> Answer:
    """Read back `asdict(answer)`. Raises KeyError, TypeError, ValueError, OverflowError or SettingsError."""
    passages = tuple(_passage_from_json(passage) for passage in _items(value["passages"])[:MAX_PASSAGES])
    nearest = value.get("nearest")
    return Answer(
        mode=mode_named(value["mode"]).name,
        text=text_from_json(value["text"]),
        passages=passages,
        nearest=_passage_from_json(nearest) if nearest else None,
        cited=tuple(int(n) for n in _items(value["cited"]) if 1 <= int(n) <= len(passages)),
        removed_citations=int(value["removed_citations"]),
        abstained=bool(value["abstained"]),
        notice=text_from_json(value["notice"]),
        metrics=_metrics_from_json(value["metrics"]),
        done=bool(value["done"]),
        cut_off=bool(value.get("cut_off")),
    )


def _metrics_from_json(value: Mapping[str, Any]) -> Metrics:
    return Metrics(
        retrieval_ms=float(value["retrieval_ms"]),
        time_to_first_token_ms=float(value["time_to_first_token_ms"]),
        prompt_tokens=int(value["prompt_tokens"]),
        reused_tokens=int(value["reused_tokens"]),
        output_tokens=int(value["output_tokens"]),
        tokens_per_second=float(value["tokens_per_second"]),
        total_ms=float(value["total_ms"]),
    )


def _passage_from_json(value: Mapping[str, Any]) -> Passage:
    texts = {name: text_from_json(value[name]) for name in ("source", "title", "heading", "text", "updated")}
    return Passage(
        **texts,
        start=int(value["start"]),
        end=int(value["end"]),
        score=float(value["score"]),
        left_out=int(value.get("left_out", 0)),
    )


def _items(value: object) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError("not a list")
    return value


def text_from_json(value: object) -> str:
    """A text, cut to MAX_TEXT. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value[:MAX_TEXT]
