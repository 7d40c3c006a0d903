"""Scoring retrieval on a folder in BEIR's format."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from retrieval_fakes import FakeEmbedder
from switchboard.errors import EvaluationError
from switchboard.evaluation.beir import evaluate_retrieval, ndcg, recall, score_rankings
from switchboard.progress import quietly

CORPUS = """{"_id": "d1", "title": "Router", "text": "A red lamp means no connection."}
{"_id": "d2", "title": "Fees", "text": "The late fee is added after ten days."}
{"_id": "d3", "text": "Roaming in Europe is included."}
"""
QUERIES = """{"_id": "q1", "text": "red lamp on the router"}
{"_id": "q2", "text": "late fee"}
{"_id": "unjudged", "text": "x"}
"""
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\nq2\td3\t0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bench"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(CORPUS, encoding="utf-8")
    (folder / "queries.jsonl").write_text(QUERIES, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(QRELS, encoding="utf-8")
    return folder


def test_ndcg_by_hand() -> None:
    # Graded gains 3, 2 and 1; found at ranks 2, 4 and not at all.
    gains = {"a": 3, "b": 2, "c": 1}
    found = 3 / math.log2(3) + 2 / math.log2(5)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(["x", "a", "y", "b"], gains, 10) == pytest.approx(found / ideal)
    assert ndcg(["x", "a", "y", "b"], gains, 3) == pytest.approx((3 / math.log2(3)) / ideal)
    assert ndcg(["a", "b", "c"], gains, 10) == pytest.approx(1)
    assert ndcg([], gains, 10) == 0


def test_recall_by_hand() -> None:
    assert recall(["x", "a", "b"], {"a": 1, "b": 2, "c": 1, "x": 0}, 2) == pytest.approx(1 / 3)


def test_scores_are_means_over_the_queries() -> None:
    scores = score_rankings({"q": ["a"], "r": ["b"]}, {"q": {"a": 1}, "r": {"a": 1}})
    assert scores == {"ndcg@10": 0.5, "recall@10": 0.5, "recall@100": 0.5}


def test_a_folder_is_scored_by_all_three_and_embedded_once(folder: Path, tmp_path: Path) -> None:
    embedder, seen = FakeEmbedder(), list[tuple[int, int]]()
    scores = evaluate_retrieval(folder, embedder, quietly, tmp_path, lambda done, of: seen.append((done, of)))
    assert {name: list(values) for name, values in scores.items()} == {
        name: ["ndcg@10", "recall@10", "recall@100"] for name in ("dense", "bm25", "fused")
    }
    assert scores["bm25"]["ndcg@10"] == 1
    assert scores["fused"]["recall@100"] == 1
    assert seen == [(3, 3)]
    assert evaluate_retrieval(folder, embedder, quietly, tmp_path) == scores
    assert len(embedder.embedded) == 3


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(EvaluationError, match=name):
        evaluate_retrieval(folder, FakeEmbedder(), quietly, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "b"}\n{"oops', "line 2"),
        ("corpus.jsonl", '{"_id": "a"}', "needs '_id' and 'text'"),
        ("corpus.jsonl", "", "no documents"),
        ("queries.jsonl", '{"_id": "q1", "text": "x"}', "lacks query q2"),
        ("qrels/test.tsv", "q1\td1\n", "line 1"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\thigh\n", "line 2"),
        ("qrels/test.tsv", "q1\td1\t0\n", "nothing as relevant"),
    ],
)
def test_a_wrong_file_is_named_with_the_reason(folder: Path, tmp_path: Path, name: str, text: str, reason: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=reason) as caught:
        evaluate_retrieval(folder, FakeEmbedder(), quietly, tmp_path)
    assert name in str(caught.value)
