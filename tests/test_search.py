"""Fusion, the threshold and what a search gives."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_fakes import FakeEmbedder
from switchboard.progress import quietly
from switchboard.retrieval.embedding import Vectors, embedded_text
from switchboard.retrieval.focus import parts_of
from switchboard.retrieval.judge import JUDGE_FILE, Judge, read_judge
from switchboard.retrieval.search import (
    Searcher,
    best_passages,
    rankings_among,
    reciprocal_rank_fusion,
    search_among,
    search_passages,
    threshold_for,
)
from switchboard.retrieval.store import PassageStore
from switchboard.types import Passage

RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=12), max_size=4)


def test_fusion_sums_reciprocal_ranks() -> None:
    # b: 1/62 + 1/61; a: 1/61; c: 1/62 and d: 1/63.
    assert reciprocal_rank_fusion([["a", "b"], ["b", "c", "d"]]) == ["b", "a", "c", "d"]


def test_fusion_prefers_agreement_to_one_high_rank() -> None:
    assert reciprocal_rank_fusion([["a", "x", "y"], ["b", "x", "z"]])[0] == "x"


@given(RANKINGS)
def test_fusion_keeps_every_item_once_and_is_repeatable(rankings: list[list[int]]) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert len(fused) == len(set(fused))
    assert set(fused) == {item for ranking in rankings for item in ranking}
    assert fused == reciprocal_rank_fusion(rankings)


@given(st.lists(st.integers(), unique=True), st.integers(1, 4))
def test_fusing_a_ranking_with_itself_keeps_its_order(ranking: list[int], times: int) -> None:
    assert reciprocal_rank_fusion([ranking] * times) == ranking


@given(RANKINGS, st.permutations(range(21)))
def test_fusion_does_not_look_at_names(rankings: list[list[int]], names: list[int]) -> None:
    renamed = [[names[item] for item in ranking] for ranking in rankings]
    assert reciprocal_rank_fusion(renamed) == [names[item] for item in reciprocal_rank_fusion(rankings)]


@given(RANKINGS)
def test_an_item_above_another_everywhere_stays_above(rankings: list[list[int]]) -> None:
    fused = reciprocal_rank_fusion([["top", *ranking] for ranking in rankings])
    assert fused[:1] == (["top"] if rankings else [])


TEXTS = ["router lights red blue", "late fee pounds", "roaming in europe", "PAC code for leaving"]


@pytest.fixture
def found_in(tmp_path: Path) -> Iterator[tuple[Searcher, dict[str, Passage]]]:
    passages = [Passage(f"{n}.md", "", "", text, 0, len(text)) for n, text in enumerate(TEXTS)]
    embedder = FakeEmbedder()
    store = PassageStore(tmp_path / "index", "x", quietly)
    for passage in passages:
        store.add_documents([("s", [passage])], embedder.embed_passages([passage]))
    ids = [passage.id for passage in passages]
    yield Searcher(embedder, store, ids, [embedded_text(p) for p in passages]), dict(zip(ids, passages, strict=True))
    store.close()


def test_search_gives_the_best_with_cosine_scores(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    result = search_passages(*found_in, "late fee", 2, 0.3)
    assert len(result.passages) == 2
    assert result.passages[0].source == "1.md"
    assert 0.7 < result.passages[0].score <= 1
    assert result.nearest == result.passages[0]
    assert (result.query, result.threshold) == ("late fee", 0.3)
    assert result.milliseconds > 0


def test_below_the_threshold_only_the_nearest_is_told(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    result = search_passages(*found_in, "roast a leg of lamb", 3, 0.9)
    assert result.passages == ()
    assert result.nearest is not None


def test_a_passage_found_by_words_alone_has_its_similarity(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    ranks = found_in[0].rank("blue late late late fee", depth=1)
    assert set(ranks.similarity) == {*ranks.dense, *ranks.lexical}
    every = found_in[0].rank("blue late late late fee", depth=4)
    assert all(ranks.similarity[name] == pytest.approx(every.similarity[name], abs=1e-5) for name in ranks.similarity)


def test_searches_in_many_threads_agree(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    expected = [found_in[0].rank(text).fused for text in TEXTS]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: found_in[0].rank(text).fused, TEXTS * 20)) == expected * 20


def test_what_another_process_added_or_removed_since_is_passed_over(
    found_in: tuple[Searcher, dict[str, Passage]],
) -> None:
    searcher, passages = found_in
    added = Passage("new.md", "", "", "late fee", 0, 8)
    searcher._store.add_documents([("s", [added])], FakeEmbedder().embed_passages([added]))
    searcher._store.delete(["1.md#0"])
    result = search_passages(searcher, passages, "late fee", 4, 0.0)
    assert {passage.source for passage in result.passages} == {"0.md", "2.md", "3.md"}


def test_thresholds_go_by_the_models_name() -> None:
    assert threshold_for("sentence-transformers/all-MiniLM-L6-v2") == threshold_for("all-MiniLM-L6-v2")
    assert threshold_for("someone/else") is None


class Lover:
    """A reranker that finds an answer where a word stands."""

    def __init__(self, word: str, judge: Judge) -> None:
        self.word = word
        self.judge = judge

    def score(self, question: str, texts: Sequence[str]) -> Vectors:
        assert question
        return np.array([4.0 if self.word in text else -4.0 for text in texts], np.float32)


def part_vectors(passage: Passage) -> Vectors:
    return FakeEmbedder().embed_queries(parts_of(passage.text))


def test_a_reranker_puts_first_what_it_finds_to_answer(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    lover = Lover("europe", Judge())
    result = search_passages(*found_in, "late fee", 2, 0.99, part_vectors, lover)
    assert result.passages[0].source == "2.md"
    assert result.quotes[0].text == "roaming in europe"
    assert [quote.passage for quote in result.quotes] == [1, 2]
    assert result.coverage is not None
    assert result.coverage > 0.9


class Hearer(Lover):
    """A reranker that finds an answer in a text that shares a long word with the question."""

    def score(self, question: str, texts: Sequence[str]) -> Vectors:
        words = {word for word in question.lower().strip("?").split() if len(word) > 3}
        return np.array([4.0 if words & set(text.lower().split()) else -4.0 for text in texts], np.float32)


@pytest.mark.parametrize("k", [1, 3])
def test_each_thing_asked_has_its_own_sentence(found_in: tuple[Searcher, dict[str, Passage]], k: int) -> None:
    asked = "How much is the late fee, and what is it for leaving early?"
    result = search_passages(*found_in, asked, k, 0.0, part_vectors, Hearer("", Judge()))
    leading = {quote.asked: quote.text for quote in reversed(result.quotes)}
    assert leading == {0: "late fee pounds", 1: "PAC code for leaving"}
    assert {result.passages[quote.passage - 1].text for quote in result.quotes[:2]} == set(leading.values())


def test_a_thing_asked_that_nothing_answers_has_none(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    asked = "How much is the late fee, and what is it about kettles?"
    result = search_passages(*found_in, asked, 3, 0.0, part_vectors, Hearer("", Judge()))
    assert {quote.asked for quote in result.quotes} == {0}


def test_one_sentence_that_answers_both_is_given_once(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    asked = "How much is the late fee, and when is the late fee due?"
    result = search_passages(*found_in, asked, 3, 0.0, part_vectors, Hearer("", Judge()))
    assert {quote.asked for quote in result.quotes} == {0}


def test_what_is_asked_of_two_things_is_answered_from_two_passages(
    found_in: tuple[Searcher, dict[str, Passage]],
) -> None:
    asked = "late fee and roaming: what is the price of each?"
    result = search_passages(*found_in, asked, 3, 0.0, part_vectors, Hearer("", Judge()))
    assert [quote.asked for quote in result.quotes[:2]] == [0, 1]
    assert result.quotes[0].passage != result.quotes[1].passage


def test_where_it_finds_nothing_there_are_no_passages(found_in: tuple[Searcher, dict[str, Passage]]) -> None:
    result = search_passages(*found_in, "late fee", 2, 0.0, part_vectors, Lover("cake", Judge()))
    assert (result.passages, result.quotes) == ((), ())
    assert result.nearest is not None
    assert result.coverage is not None
    assert result.coverage < 0.1


def test_what_was_found_elsewhere_is_ordered_as_a_search_orders_it() -> None:
    passages = [Passage(f"{n}.md", "", "", text, 0, len(text)) for n, text in enumerate(TEXTS)]
    vector = FakeEmbedder().embed_query("late fee")
    plain = search_among(passages, "late fee", vector, part_vectors, None)
    assert (plain.passages[0].source, len(plain.passages), plain.coverage) == ("1.md", 4, None)
    judged = search_among(passages, "late fee", vector, part_vectors, Lover("PAC", Judge()))
    assert judged.passages[0].source == "3.md"
    assert search_among(passages, "x", vector, part_vectors, Lover("cake", Judge())).passages == ()


def test_words_that_the_best_passage_lacks_tell_where_no_question_is_known(
    found_in: tuple[Searcher, dict[str, Passage]],
) -> None:
    searcher, passages = found_in
    here, *others = passages.values()
    asked = " ".join(here.text.split()[:4])
    for ranks in (searcher.rank(asked), rankings_among([here, *others], asked, FakeEmbedder().embed_query(asked))):
        assert ranks.unseen([here, *others]) == 0.0
        assert ranks.unseen([others[0], here]) > 0.5
    assert searcher.rank("trombone").unseen([here]) == 1.0
    assert searcher.rank("trombone").unseen([]) == 1.0


def test_a_judge_weighs_what_it_is_given() -> None:
    judge = Judge((1.0, 2.0, 3.0), (1.0, 0.0, 2.0, -2.0, -1.0, 0.5), (0.5, 0.0, -1.0, 0.5))
    assert judge.odds(1.0, 0.5, 0.25) == pytest.approx(2.75)
    assert judge.coverage(0.0, 0.9, 0.0, 0.0, 0.5) == pytest.approx(0.5)  # no known questions
    assert judge.coverage(0.0, 0.9, 0.5, 0.0, 0.5) == pytest.approx(0.5)  # none that nothing answers
    assert judge.coverage(0.0, 0.9, 0.5, 0.75, 0.0) == pytest.approx(0.5)
    assert judge.coverage(0.0, 0.9, 0.5, 0.25, 1.0) == pytest.approx(0.5)
    assert judge.coverage(0.0, 0.9, 0.9, 0.1, 0.5) > judge.coverage(0.0, 0.9, 0.5, 0.4, 0.5)


def test_a_judge_with_other_weights_is_refused(tmp_path: Path) -> None:
    weights = asdict(Judge())
    (tmp_path / JUDGE_FILE).write_text(json.dumps(weights))
    assert read_judge(tmp_path) == Judge()
    (tmp_path / JUDGE_FILE).write_text(json.dumps({**weights, "question": [1.0, 0.0, 0.0, 0.0, 0.0]}))
    with pytest.raises(ValueError, match="other weights"):
        read_judge(tmp_path)


def test_the_best_passages_are_those_with_the_best_parts() -> None:
    passages = [Passage(f"{n // 2}.md", "", "", f"{n}", n, n + 1) for n in range(10)]
    scores = {(passage.id, 0): float(n % 7) for n, passage in enumerate(passages)}
    assert [passage.text for passage in best_passages(passages, scores)][:3] == ["6", "5", "4"]
    assert best_passages(passages, {}) == []
