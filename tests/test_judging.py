"""The judge's weights, fitted on evidence that is made up here."""

from __future__ import annotations

import random

import numpy as np

from switchboard.retrieval.asked import Nearness
from switchboard.retrieval.search import Rankings
from switchboard.training.reranker import Evidence, judge
from switchboard.types import Passage


def _evidence(rng: random.Random, covered: bool, nearness: Nearness, lacking: float) -> Evidence:
    """Two sentences, of which the first answers where `covered`: it is likelier and more similar then."""
    passages = [Passage(f"{n}.md", "", "", "x", 0, 1) for n in range(2)]
    high = rng.gauss(1.5 if covered else -1.5, 1.0)
    rows = np.array([[high, rng.gauss(0.6 if covered else 0.4, 0.05), 0.0], [-4.0, 0.2, 0.0]], np.float32)
    unseen = max(0.0, min(1.0, rng.gauss(lacking, 0.1)))
    ranks = Rankings((), (), (), {}, np.zeros(0, np.float32), nearness=nearness, unseen=lambda _best: unseen)
    return Evidence([(p.id, 0) for p in passages], rows, 0 if covered else -1, covered, passages, ranks)


def _some(covered: int, uncovered: int, known: bool, lacking: tuple[float, float]) -> list[Evidence]:
    rng = random.Random(covered + 7 * uncovered)
    near = {True: Nearness(0.8, 0.4), False: Nearness(0.4, 0.8)} if known else {}
    wanted = [True] * covered + [False] * uncovered
    rng.shuffle(wanted)
    return [_evidence(rng, one, near.get(one, Nearness(0.0, 0.0)), lacking[0 if one else 1]) for one in wanted]


def test_missing_words_are_weighed_where_they_tell_and_each_kind_of_text_weighs_alike() -> None:
    found = _some(60, 30, known=True, lacking=(0.3, 0.3))
    few, many = _some(30, 15, known=False, lacking=(0.2, 0.8)), _some(120, 60, known=False, lacking=(0.2, 0.8))
    fitted, said = judge(found, [few, []])
    again, _ = judge(found, [many])
    assert said["judged_on"] == 45
    assert fitted.alone[2] < -1.0
    assert again.alone[2] < -1.0
    assert fitted.question == again.question
    assert fitted.coverage(1.5, 0.6, 0.0, 0.0, 0.2) > 0.5 > fitted.coverage(-1.5, 0.4, 0.0, 0.0, 0.8)
    both, _ = judge(found, [_some(30, 15, known=False, lacking=(0.5, 0.5)), many])
    assert again.alone[2] < both.alone[2], "a small set of texts in which the words tell nothing counts as much"
