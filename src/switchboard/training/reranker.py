"""Train the reranker: which sentence answers a question, and that none does.

    python -m switchboard.training.reranker            # about 50 minutes on two cores
    python -m switchboard.training.reranker --judge    # the judge's weights alone, 9 minutes

Learns from the facts of the customer-service adapter (each wording with the sentence that answers it, and the sentences
most like it that do not), from the invented help centres of the reader, and from XQuAD where it is present. The
development questions, a wording of every fact and XQuAD's last articles are kept for judging. Writes
`adapters/reranker`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from switchboard.evaluation.questions import read_questions
from switchboard.files import drop_checksum, write_checksum
from switchboard.followups import search_query
from switchboard.lora_files import CONFIG, WEIGHTS
from switchboard.progress import quietly, to_stderr
from switchboard.retrieval.documents import ASKED
from switchboard.retrieval.embedding import SentenceEmbedder, Vectors, open_embedder
from switchboard.retrieval.focus import Place, part_text, parts_of
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.judge import JUDGE_FILE, Judge
from switchboard.retrieval.reranker import EVEN, MAX_TOKENS, RERANKER, SCALE, CrossEncoder
from switchboard.retrieval.search import (
    RERANKED_PASSAGES,
    Rankings,
    best_passages,
    evidence_for,
    most_promising,
    rankings_among,
)
from switchboard.settings import ROOT, Settings
from switchboard.training.facts import Fact, read_facts
from switchboard.training.over_passages import grounding
from switchboard.training.reader_public import cases, training_articles
from switchboard.training.reader_worlds import read_worlds
from switchboard.training.reading import Embed, best_part, part_vectors
from switchboard.types import Passage

BESIDE, FIRST, AMONG = 3, 2, 10
"""Sentences that do not answer, beside the one that does: the first are the most similar to the question, the others
any of those that are nearly so."""
WORDINGS = 5
"""Wordings of a fact that are learned, by lot."""
JUDGED_WORDING = 5
"""The wording of a fact that is not trained on, counted from 0."""
JUDGED = 100
"""How many of those, for fitting the weights beside the development questions."""
WORSE = 2.0
"""How much worse an answer is that nothing covers than declining what is covered, where questions are known. On the
development questions, whose answerable ones are harder than most, 1 declines 4 % of the covered and 91 % of the others,
2 does 9 and 95, 3 does 14 and 97 (fitted on nine tenths at a time, measured on the tenth)."""
WORSE_ALONE = 0.7
"""The same where none are known: the two errors are then about as 8 to 15, which the reader is held to, on the two
kinds of text that these weights are fitted on (11 and 18 in 100; measured in the same way)."""
EACH = 300.0
"""What the questions of one kind weigh in all, against the regression's own penalty."""
FOREIGN = (600, 300)
"""Questions that foreign texts answer and do not, for the weights where no questions are known."""
ALONE = [0, 1, 4]
"""What they weigh of that which `Evidence.whole` gives."""
XQUAD_QUESTIONS = 1000
WORLD_QUESTIONS = 80

MADE_FOR = "sentence-transformers/all-MiniLM-L6-v2"
RANK, ALPHA, LEARNING_RATE, GROUPS, SEED = 32, 64, 8e-4, 8, 3
_FIGURE = re.compile(r"\d[\d,.:]*\d|\d")
_WORD = re.compile(r"[a-z]{4,}")


@dataclass(frozen=True)
class Group:
    """A question and texts; the first answers it where `answered`, the others do not."""

    question: str
    texts: tuple[str, ...]
    answered: bool


class Parts:
    """The parts of passages with their vectors: where negatives are found."""

    def __init__(self, passages: Sequence[Passage], embed: Embed, rng: random.Random) -> None:
        self._rng = rng
        self.places = [(p.id, n) for p in passages for n in range(len(parts_of(p.text)))]
        self.texts = [part_text(p, part) for p in passages for part in parts_of(p.text)]
        self._bare = [part for p in passages for part in parts_of(p.text)]
        self._vectors: Vectors = embed(self.texts)
        self._number = {place: n for n, place in enumerate(self.places)}

    def group(self, question: str, query: Vectors, place: tuple[str, int] | None, answer: str) -> Group:
        """The question with the part at `place` and some that are similar to the question and do not say the same."""
        right = self._number[place] if place else None
        found: list[int] = []
        for n in np.argsort(-(self._vectors @ query)).tolist():
            if n != right and not _says(self._bare[n], answer):
                found.append(n)
            if len(found) == AMONG:
                break
        found = found[:FIRST] + self._rng.sample(found[FIRST:], min(BESIDE - FIRST, len(found[FIRST:])))
        texts = [self.texts[n] for n in ([] if right is None else [right]) + found]
        return Group(question, tuple(texts), right is not None)


def _says(part: str, answer: str) -> bool:
    """Whether the part may answer as well: it has the answer's figures, or most of its words where it has none."""
    if not answer:
        return False
    figures, words = set(_FIGURE.findall(answer)), set(_WORD.findall(answer.lower()))
    shared = len(words & set(_WORD.findall(part.lower()))) / max(1, len(words))
    return (figures <= set(_FIGURE.findall(part)) and shared > 0.3) if figures else shared > 0.6


def fact_groups(index: KnowledgeIndex, facts: Path, embed: Embed, rng: random.Random, judged: bool) -> list[Group]:
    """Groups of the company's own facts; with `judged` of what is not trained on."""
    parts = Parts(index.passages, embed, rng)
    by_article: dict[str, list[Passage]] = {}
    for passage in index.passages:
        by_article.setdefault(passage.source.rsplit(".", 1)[0], []).append(passage)
    asked: list[tuple[str, tuple[str, int] | None, str]] = []
    for article in read_facts(facts):
        for fact in article.facts:
            place = _place(fact, by_article.get(article.name, []))
            for ask in _wordings(fact, rng, judged) if place else ():
                asked.append((ask, place, fact.says[0]))
        asked += [(question, None, "") for question in (*article.unknown, *article.near_misses) if not judged]
    return _grouped(parts, asked, embed)


def _wordings(fact: Fact, rng: random.Random, judged: bool) -> list[str]:
    if judged:
        return list(fact.asks[JUDGED_WORDING : JUDGED_WORDING + 1])
    others = [ask for number, ask in enumerate(fact.asks) if number != JUDGED_WORDING]
    return rng.sample(others, min(WORDINGS, len(others)))


def _place(fact: Fact, passages: Sequence[Passage]) -> tuple[str, int] | None:
    found = grounding(fact.says[0], passages)
    return (found.id, best_part(found, fact.says[0])) if found else None


def _grouped(parts: Parts, asked: Sequence[tuple[str, Any, str]], embed: Embed) -> list[Group]:
    vectors = embed([question for question, _, _ in asked])
    return [
        parts.group(question, vector, place, answer)
        for (question, place, answer), vector in zip(asked, vectors, strict=True)
    ]


def world_groups(folder: Path, embed: Embed, rng: random.Random) -> Iterator[Group]:
    """Groups of the invented help centres."""
    for world in read_worlds(folder, embed, rng):
        asked: list[tuple[str, Any, str]] = [(ask, one.place, one.says) for one in world.asked for ask in one.asks]
        asked = rng.sample(asked, min(WORLD_QUESTIONS, len(asked))) + [(text, None, "") for text in world.unknown]
        yield from _grouped(Parts(world.passages, embed, rng), asked, embed)


def xquad_groups(folder: Path, embed: Embed, rng: random.Random) -> Iterator[Group]:
    """Groups of Wikipedia's paragraphs: every fourth without the answer's own."""
    for article in training_articles(folder):
        passages = [Passage(f"{n}", p.title, "", p.text, 0, len(p.text)) for n, p in enumerate(article)]
        questions = [(n, q) for n, p in enumerate(article) for q in p.questions]
        chosen = rng.sample(questions, min(len(questions), XQUAD_QUESTIONS // 40))
        whole = Parts(passages, embed, rng)
        asked: list[tuple[str, Any, str]] = []
        for number, (n, q) in enumerate(chosen):
            if number % 4 == 3:
                rest = [p for p in passages if p is not passages[n] and q.gold not in p.text]
                if rest:
                    yield from _grouped(Parts(rest, embed, rng), [(q.text, None, "")], embed)
                continue
            found = [i for i, part in enumerate(parts_of(article[n].text)) if q.gold in part]
            if len(found) == 1:
                asked.append((q.text, (passages[n].id, found[0]), q.gold))
        if asked:
            yield from _grouped(whole, asked, embed)


def logits(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
    """The logits of pairs of question and text, shape (pairs,).

    Both are read as one sequence, so that each sees the other; the logit is then the scaled cosine similarity of the
    mean state of the question's tokens and that of the text's, which is where an embedder starts from already.
    """
    questions, texts = zip(*pairs, strict=True)
    options = {"truncation": "longest_first", "max_length": MAX_TOKENS, "padding": True, "return_tensors": "pt"}
    batch = tokenizer(list(questions), list(texts), return_special_tokens_mask=True, **options)
    words = batch["attention_mask"] * (1 - batch["special_tokens_mask"])
    # The embedder was trained on single texts: to it all tokens are of one kind.
    states = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        token_type_ids=torch.zeros_like(batch["input_ids"]),
    ).last_hidden_state.float()
    sides = [(words * (batch["token_type_ids"] == side)).float().unsqueeze(-1) for side in (0, 1)]
    one, other = ((states * side).sum(1) / side.sum(1).clamp(min=1) for side in sides)
    return SCALE * (functional.cosine_similarity(one, other) - EVEN)


def load(embedder: Path, adapter: Path | None) -> tuple[Any, Any]:
    """The tokenizer, and the embedder with the adapter or as it is, in float32."""
    from peft import PeftModel  # noqa: PLC0415  seconds, for those who only read documents
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(embedder, local_files_only=True)
    model = AutoModel.from_pretrained(embedder, dtype=torch.float32, local_files_only=True, use_safetensors=True)
    if adapter:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return tokenizer, model.eval()


def train(folder: Path, groups: Sequence[Group], target: Path) -> None:
    """Fit the adapter to the groups, once through, and save it."""
    from peft import LoraConfig, TaskType, get_peft_model  # noqa: PLC0415  seconds

    torch.manual_seed(SEED)
    tokenizer, model = load(folder, None)
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"],
        layers_to_transform=[2, 3, 4, 5],  # the lower ones stay as they are, and backpropagation ends above them
    )
    model = get_peft_model(model, config)
    order = list(groups)
    random.Random(SEED).shuffle(order)  # noqa: S311
    order = [g for n in range(0, len(order), 64 * GROUPS) for g in sorted(order[n : n + 64 * GROUPS], key=_length)]
    batches = [order[n : n + GROUPS] for n in range(0, len(order), GROUPS)]
    random.Random(SEED).shuffle(batches)  # noqa: S311
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=len(batches), pct_start=0.06)
    began, mean = time.monotonic(), 0.0
    for step, batch in enumerate(batches, 1):
        loss = _loss(model, tokenizer, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        mean = 0.95 * mean + 0.05 * loss.item() if step > 1 else loss.item()
        if step % 20 == 0:
            left = (time.monotonic() - began) / step * (len(batches) - step) / 60
            to_stderr(f"step {step}/{len(batches)}: loss {mean:.3f}, {left:.1f} min left")
    model.peft_config["default"].base_model_name_or_path = MADE_FOR
    with tempfile.TemporaryDirectory() as made:
        # PEFT writes a card as well, which would take the place of ours.
        model.half().save_pretrained(made)
        target.mkdir(parents=True, exist_ok=True)
        drop_checksum(target / WEIGHTS)
        for name in (CONFIG, WEIGHTS):
            shutil.copyfile(Path(made) / name, target / name)
        write_checksum(target / WEIGHTS)


def _length(group: Group) -> int:
    return len(group.question) + max(map(len, group.texts))


def _loss(model: Any, tokenizer: Any, batch: Sequence[Group]) -> torch.Tensor:
    """Whether each text answers, and which of a question's texts does."""
    pairs = [(group.question, text) for group in batch for text in group.texts]
    found = logits(model, tokenizer, pairs)
    labels = torch.tensor([float(g.answered and n == 0) for g in batch for n in range(len(g.texts))])
    loss = functional.binary_cross_entropy_with_logits(found, labels, pos_weight=torch.tensor(2.0))
    start, ranked = 0, []
    for group in batch:
        scores = found[start : start + len(group.texts)]
        start += len(group.texts)
        if group.answered:
            ranked.append(-scores.log_softmax(0)[0])
    return loss + 0.5 * torch.stack(ranked).mean() if ranked else loss


def gather(settings: Settings, embedder: SentenceEmbedder) -> list[Group]:
    """All that is trained on."""
    rng = random.Random(SEED)  # noqa: S311  (not for secrets)
    embed = embedder.embed_queries
    index = KnowledgeIndex.open(settings.knowledge, settings.data, embedder, quietly)
    groups = fact_groups(index, settings.adapters / "customer-service" / "facts", embed, rng, judged=False)
    to_stderr(f"{len(groups):,} of facts")
    groups += world_groups(settings.adapters / "reader" / "worlds", embed, rng)
    to_stderr(f"{len(groups):,} with worlds")
    groups += xquad_groups(settings.data / "public", embed, rng)
    to_stderr(f"{len(groups):,} with XQuAD; {sum(len(g.texts) for g in groups):,} pairs")
    return groups


@dataclass(frozen=True)
class Evidence:
    """What speaks for a question's sentences at `places`, (sentences, 3): logit, similarity, nearest known question's;
    `right` is the number of the one that answers, -1 where it is unknown or none does."""

    places: Sequence[Place]
    rows: Vectors
    right: int
    covered: bool
    candidates: Sequence[Passage]
    ranks: Rankings

    def whole(self, sentence: Vectors) -> list[float]:
        """What the question is judged by, as `Judge.question` weighs it, given the weights of sentences, (3,)."""
        odds = dict(zip(self.places, (self.rows @ sentence).tolist(), strict=True))
        unseen = self.ranks.unseen(best_passages(self.candidates, odds))
        return [*self.rows.max(0)[:2].tolist(), *self.ranks.nearness, unseen]


def judged_questions(settings: Settings, embedder: SentenceEmbedder, index: KnowledgeIndex) -> list[tuple[str, str]]:
    """Questions that neither reranker nor index has seen, what was kept and the development questions, each with the
    sentence that answers it, "?" where that is not known, and nothing where none does."""
    rng = random.Random(SEED + 1)  # noqa: S311
    facts = settings.adapters / "customer-service" / "facts"
    groups = fact_groups(index, facts, embedder.embed_queries, rng, judged=True)
    asked = [(g.question, g.texts[0]) for g in rng.sample(groups, JUDGED)]
    development = read_questions(ROOT / "evaluation" / "development.jsonl")
    return asked + [(search_query(question.messages), "?" if question.answerable else "") for question in development]


def evidence(asked: Sequence[tuple[str, str]], reranker: CrossEncoder, index: KnowledgeIndex) -> list[Evidence]:
    """Evidence on questions with what answers them, as an index finds it."""
    by_id = {passage.id: passage for passage in index.passages}
    found = []
    for question, answer in tqdm(asked, unit="question", file=sys.stderr, desc="judging"):
        ranks = index.searcher.rank(question)
        candidates = [by_id[name] for name in ranks.fused[:RERANKED_PASSAGES]]
        places = evidence_for(ranks, candidates, index.part_vectors)
        found.append(_read(reranker, question, answer, candidates, ranks, places))
    return found


@contextmanager
def without_known_questions(settings: Settings, embedder: SentenceEmbedder) -> Iterator[KnowledgeIndex]:
    """The index of the same documents as if nobody had written down what is asked."""
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "knowledge"
        shutil.copytree(settings.knowledge, copy, ignore=shutil.ignore_patterns(ASKED))
        yield KnowledgeIndex.open(copy, Path(made), embedder, quietly)


def foreign_evidence(settings: Settings, embedder: SentenceEmbedder, reranker: CrossEncoder) -> list[Evidence]:
    """Evidence on the articles of XQuAD that are trained on; none where it is absent."""
    articles = training_articles(settings.data / "public")
    found = []
    for case in tqdm(cases(articles, SEED, *FOREIGN), unit="question", file=sys.stderr, desc="judging foreign texts"):
        vectors = part_vectors(case.passages, embedder.embed_queries)
        ranks = rankings_among(case.passages, case.question, embedder.embed_query(case.question))
        places = evidence_for(ranks, case.passages, lambda passage, of=vectors: of[passage.id])  # type: ignore[misc]
        found.append(_read(reranker, case.question, case.gold, case.passages, ranks, places))
    return found


def _read(
    reranker: CrossEncoder,
    question: str,
    answer: str,
    candidates: Sequence[Passage],
    ranks: Rankings,
    places: Mapping[Place, tuple[float, float]],
) -> Evidence:
    chosen, texts = most_promising(candidates, places)
    scores = reranker.score(question, texts)
    rows = np.array([[score, *places[place]] for score, place in zip(scores, chosen, strict=True)], np.float32)
    right = texts.index(answer) if answer in texts else -1
    return Evidence(chosen, rows, right, bool(answer), candidates, ranks)


def judge(found: Sequence[Evidence], apart: Sequence[Sequence[Evidence]]) -> tuple[Judge, dict[str, float]]:
    """Fit the weights; and what they do on the half of `found` that those for known questions are not fitted on.

    `apart` is evidence without known questions, by what it is from: all of them weigh alike.
    """
    placed = [e for e in found if e.right >= 0]
    rows = np.concatenate([e.rows for e in placed])
    labels = np.concatenate([np.arange(len(e.rows)) == e.right for e in placed])
    sentence = _fit(rows, labels, np.ones(len(labels))).coef_[0]
    question, covered = _told(found, sentence)
    half = np.arange(len(found)) % 2 == 0
    weights = _weights(covered, WORSE)
    tried = _fit(question[half], covered[half], weights[half]).predict(question[~half])
    said = {
        "judged_on": int((~half).sum()),
        "covered_declined": round(float(1 - tried[covered[~half]].mean()), 3),
        "uncovered_declined": round(float(1 - tried[~covered[~half]].mean()), 3),
    }
    told = [_told(some, sentence) for some in apart if some]
    whole = _fit(question, covered, weights)
    alone = _fit(
        np.concatenate([rows for rows, _ in told])[:, ALONE],
        np.concatenate([labels for _, labels in told]),
        np.concatenate([_weights(labels, WORSE_ALONE) for _, labels in told]),
    )
    fitted = Judge(
        tuple(sentence.tolist()),
        (*whole.coef_[0].tolist(), float(whole.intercept_[0])),
        (*alone.coef_[0].tolist(), float(alone.intercept_[0])),
    )
    return fitted, said


def _told(found: Sequence[Evidence], sentence: Vectors) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([e.whole(sentence) for e in found]), np.array([e.covered for e in found])


def _weights(covered: NDArray[np.bool_], worse: float) -> NDArray[np.float64]:
    """Weights of questions, (questions,): those that are not covered weigh `worse` times as much in all."""
    both = np.where(covered, 1 / covered.sum(), worse / (~covered).sum())
    weights: NDArray[np.float64] = EACH * both
    return weights


def _fit(rows: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.float64]) -> Any:
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # noqa: PLC0415  seconds

    return LogisticRegression(C=10.0).fit(rows, labels, sample_weight=weights)


def main() -> None:
    """Train, fit the weights beside similarities, and write both; with `--judge` the latter alone."""
    parser = argparse.ArgumentParser(prog="python -m switchboard.training.reranker", description=main.__doc__)
    parser.add_argument("--judge", action="store_true", help="Keep the reranker, and fit its judge's weights anew.")
    judging_alone = parser.parse_args().judge
    settings = Settings.from_environment()
    embedder = open_embedder(settings.embedder, settings.data, to_stderr)
    target = settings.adapters / RERANKER
    if not judging_alone:
        train(embedder.folder, gather(settings, embedder), target)
    (target / JUDGE_FILE).write_text(json.dumps(asdict(Judge())), encoding="utf-8")  # until it is fitted, below
    reranker = CrossEncoder(embedder.folder, target)
    index = KnowledgeIndex.open(settings.knowledge, settings.data, embedder, quietly)
    asked = judged_questions(settings, embedder, index)
    found = evidence(asked, reranker, index)
    with without_known_questions(settings, embedder) as plain:
        unknown = evidence(asked, reranker, plain)
    fitted, said = judge(found, [unknown, foreign_evidence(settings, embedder, reranker)])
    weights = {name: [round(x, 3) for x in values] for name, values in asdict(fitted).items()}
    (target / JUDGE_FILE).write_text(json.dumps({**weights, **said}, indent=1) + "\n", encoding="utf-8")
    to_stderr(json.dumps({**weights, **said}))


if __name__ == "__main__":
    main()
