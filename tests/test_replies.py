"""Answering in taught replies: the likeliest is found, declining weighed against it, and each question gets one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, LlamaForCausalLM

from switchboard.errors import AdapterError
from switchboard.generation.adapters import Adapters
from switchboard.generation.local import LocalGenerator
from switchboard.generation.model import LoadedModel
from switchboard.generation.replies import BEAMS, REPLIES_FILE, Replies, choose, measure_priors, read_replies
from switchboard.generation.taught_words import TaughtWords
from switchboard.prompts import SERVICE_DECLINE
from switchboard.training.calibrate_replies import margin_for
from switchboard.training.data import Record
from switchboard.training.taught_replies import TAUGHT, taught_replies, taught_words, write_replies
from switchboard.types import GenerationSettings, Grounding, Message, Passage
from training_fakes import tiny_llama, tiny_tokenizer

TEXTS = ["It costs £5.", "It costs £57.", "It costs £5. A month.", "You wait.", "A fee of £7 is due."]
DECLINE = "No idea."


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    # Large weights, so that it says something else to each question.
    return tiny_llama(1, initializer_range=0.5)


def replies(margin: float = 0.0) -> Replies:
    return Replies.of(TEXTS, DECLINE, margin, tiny_tokenizer())


@torch.inference_mode()
def read(model: LlamaForCausalLM, prompt: torch.Tensor) -> tuple[torch.Tensor, DynamicCache]:
    cache = DynamicCache(config=model.config)
    return model(prompt, past_key_values=cache, use_cache=True).logits[0, -1], cache


@torch.inference_mode()
def likelihood(model: LlamaForCausalLM, prompt: torch.Tensor, row: tuple[int, ...]) -> float:
    logits = model(torch.cat([prompt, torch.tensor([row])], dim=1)).logits[0].log_softmax(-1)
    return sum(float(logits[prompt.shape[1] - 1 + n, token]) for n, token in enumerate(row))


def test_with_beams_for_all_it_is_the_likeliest_reply(model: LlamaForCausalLM) -> None:
    assert len(TEXTS) <= BEAMS + 1
    for seed in range(20):
        prompt = torch.randint(0, 200, (1, 7), generator=torch.Generator().manual_seed(seed))
        taught = Replies.of(TEXTS[:BEAMS], DECLINE, 0.0, tiny_tokenizer())
        expected = {row: likelihood(model, prompt, row) for row in taught.tokens}
        best = max(expected, key=lambda row: expected[row])
        found = choose(model, taught, *read(model, prompt))
        assert found.tokens == best[:-1]
        declining = likelihood(model, prompt, taught.decline)
        assert found.decline == pytest.approx(declining - expected[best], abs=1e-3)


def test_what_is_likely_whatever_is_asked_is_weighed_less(model: LlamaForCausalLM) -> None:
    prompt = torch.randint(0, 200, (1, 7), generator=torch.Generator().manual_seed(3))
    plain = Replies.of(TEXTS[:BEAMS], DECLINE, 0.0, tiny_tokenizer())
    best = plain.tokens.index((*choose(model, plain, *read(model, prompt)).tokens, tiny_tokenizer().eos_token_id))
    likely = [1000.0 if number == best else 0.0 for number in range(BEAMS)]
    weighed = Replies.of(TEXTS[:BEAMS], DECLINE, 0.0, tiny_tokenizer(), likely)
    assert choose(model, weighed, *read(model, prompt)).tokens != plain.tokens[best][:-1]


def test_priors_are_the_replies_own_likelihoods_and_leave_the_states_alone(model: LlamaForCausalLM) -> None:
    prompt = torch.randint(0, 200, (1, 7), generator=torch.Generator().manual_seed(4))
    logits, cache = read(model, prompt)
    before = cache.layers[0].keys.clone()
    found = measure_priors(model, replies(), logits, cache, batch=2)
    assert found == pytest.approx([likelihood(model, prompt, row) for row in replies().tokens], abs=1e-3)
    torch.testing.assert_close(cache.layers[0].keys, before)


def engine(model: LlamaForCausalLM, taught: Replies) -> LocalGenerator:
    base = LoadedModel(model, tiny_tokenizer(), "tiny", "0", "none", "cpu", "float32", "a test")
    return LocalGenerator(base, Adapters(model, replies={"service": taught}))


def say(generator: LocalGenerator, *questions: str, adapter: str = "service") -> str:
    asked = tuple((Message("user", question),) for question in questions)
    settings = GenerationSettings(max_tokens=100)
    stream = list(generator.stream(asked[0], settings, adapter, Grounding(asked=asked)))
    (whole,) = generator.complete([asked[0]], settings, adapter, [Grounding(asked=asked)], lambda _: None)
    text = "".join(token.text for token in stream)
    if adapter == "service":
        assert whole.text == text
    return text


def test_an_answer_is_one_of_the_replies(model: LlamaForCausalLM) -> None:
    generator = engine(model, replies(margin=1e9))
    assert {say(generator, f"What about {n}?") for n in range(8)} <= set(TEXTS)


def test_an_adapter_without_replies_writes_freely(model: LlamaForCausalLM) -> None:
    assert say(engine(model, replies()), "What is it?", adapter="other") not in TEXTS


def test_it_declines_where_that_is_likelier_by_the_margin(model: LlamaForCausalLM) -> None:
    assert say(engine(model, replies(margin=-1e9)), "What is it?") == DECLINE
    assert say(engine(model, replies(margin=-1e9)), "What is it?", "And that?") == DECLINE


def test_each_thing_asked_gets_a_reply_once(model: LlamaForCausalLM) -> None:
    alike = ["It is £5.", "Do wait.", "Yes, and", "No fees."]  # long ones are never likelier to a random model
    generator = engine(model, Replies.of([text[:8] for text in alike], DECLINE, 1e9, tiny_tokenizer()))
    one = say(generator, "What is it?")
    assert say(generator, "What is it?", "What is it?") == one
    other = next(text for n in range(50) if (text := f"a {n * n}") and say(generator, text) != one)
    assert say(generator, "What is it?", other) == f"{one} {say(generator, other)}"


def test_the_choices_leave_nothing_behind(model: LlamaForCausalLM) -> None:
    generator = engine(model, replies())
    prompt = [Message("user", "What is it?")]
    assert generator.choices([prompt, prompt], "service")[0] == generator.choices([prompt], "service")[0]


def record(question: str, answer: str, passages: tuple[Passage, ...] = ()) -> Record:
    return Record((Message("user", question), Message("assistant", answer)), passages, "x:1")


def test_an_adapter_brings_what_it_was_taught_several_times(tmp_path: Path) -> None:
    seen = Passage("a.md", "A", "", "It costs £9.", 0, 12)
    records = [record(f"{n}?", text) for n in range(TAUGHT) for text in ("It costs £5.", SERVICE_DECLINE)]
    records += [record("a?", "It costs £9.", (seen,)) for _ in range(TAUGHT)] + [record("b?", "Only once.")]
    assert taught_replies(records) == ["It costs £5."]
    before = tmp_path / "before"
    before.mkdir()
    write_replies(records, tmp_path, before)
    assert json.loads((tmp_path / REPLIES_FILE).read_text(encoding="utf-8"))["margin"] == 0.0
    (before / REPLIES_FILE).write_text('{"margin": 2.5}', encoding="utf-8")
    write_replies(records, tmp_path, before)
    found = read_replies(tmp_path, tiny_tokenizer())
    assert found is not None
    assert (len(found.tokens), found.margin) == (1, 2.5)


TAUGHT_WORDS = TaughtWords(4.0, (0, 0, 1, -1, 1), (frozenset({"late", "fee"}), frozenset({"late", "lamp", "red"})))


def test_words_that_a_replys_article_lacks_speak_against_it_the_more_the_rarer_they_are() -> None:
    assert TAUGHT_WORDS.against("Late fees?", 0) == 0.0
    assert TAUGHT_WORDS.against("Trombone?", 1) == 4.0
    assert 0.0 < TAUGHT_WORDS.against("late fee", 2) < TAUGHT_WORDS.against("fee trombone late", 2) < 4.0
    assert TAUGHT_WORDS.against("a fee for a lamp", 2) > TAUGHT_WORDS.against("is late red", 2) == 0.0
    assert TAUGHT_WORDS.against("Trombone?", 3) == 0.0  # small talk is of no article
    assert TAUGHT_WORDS.against("of the", 0) == 0.0


def test_an_adapter_declines_what_has_other_words_than_it_was_taught(model: LlamaForCausalLM) -> None:
    tokenizer = tiny_tokenizer()
    words = TaughtWords(1e9, (0,) * len(TEXTS), (frozenset({"fee"}),))
    generator = engine(model, Replies.of(TEXTS, DECLINE, 1e8, tokenizer, taught=words))
    assert say(generator, "The fee?") in TEXTS
    assert say(generator, "The trombone?") == DECLINE
    assert say(generator, "The trombone?", "The fee?") in TEXTS


def test_the_words_are_those_of_an_articles_records(tmp_path: Path) -> None:
    told = [replace(record(f"Late {n}?", "It costs £5."), article="fees") for n in range(TAUGHT)]
    told.append(replace(record("Trombones?", SERVICE_DECLINE), article="fees"))
    made = taught_words([*told, record("Hello lamp", "Good day.")], ["Good day.", "It costs £5."])
    assert (made["groups"], made["words"]) == ([-1, 0], ["cost late"])
    assert taught_words([record("Hello", "Good day.")], ["Good day."]) == {}
    write_replies(told, tmp_path, tmp_path)
    found = read_replies(tmp_path, tiny_tokenizer())
    assert found is not None
    assert found.taught is not None
    assert found.taught.against("trombone", 0) == found.taught.weight > 0.0


def test_an_adapter_whose_replies_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert read_replies(tmp_path, tiny_tokenizer()) is None
    rows = (
        '"replies": []',
        '"replies": ["a", "a"]',
        '"replies": ["a", "b"], "priors": [1.0]',
        '"replies": ["a"], "words": ["x"], "groups": [0, 0], "unseen": 1',
        '"replies": ["a"], "words": ["x"], "groups": [1], "unseen": 1',
        '"replies": ["a"], "words": ["x"], "groups": [0]',
        '"replies": ["a"], "words": 3, "groups": [0], "unseen": 1',
    )
    for text in ("{", "[]", *(f'{{"decline": "No.", "margin": 0, {row}}}' for row in rows)):
        (tmp_path / REPLIES_FILE).write_text(text, encoding="utf-8")
        with pytest.raises(AdapterError, match=r"no readable replies\.json .* Restore the file"):
            read_replies(tmp_path, tiny_tokenizer())


def test_the_margin_declines_no_more_than_is_allowed() -> None:
    scores = [float(n) for n in range(100)]
    assert sum(score > margin_for(scores, 0.06) for score in scores) == 6
    assert margin_for([1.0], 0.0) == 1.0
