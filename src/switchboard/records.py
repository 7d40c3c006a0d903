"""An answer and a search as JSON-able dictionaries: what the command line prints and the API returns."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from switchboard.types import Answer, Passage, SearchResult


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
