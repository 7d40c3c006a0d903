"""Declining is decided once, by a probability that is the model's own, and leaves no trace in the states."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, LlamaForCausalLM

from switchboard.errors import AdapterError
from switchboard.generation.adapters import Adapters
from switchboard.generation.decline import DeclineRule, log_probability, read_threshold
from switchboard.generation.local import LocalGenerator
from switchboard.generation.model import LoadedModel
from switchboard.training.calibrate_decline import choose_above, share_above
from switchboard.types import GenerationSettings, Grounding, Message
from training_fakes import tiny_llama, tiny_tokenizer

GROUNDED = Grounding(("It costs £41.",), 1, "No idea.")
QUESTION = [Message("user", "What is it?")]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_llama(0)


def test_the_probability_is_that_of_the_tokens_one_by_one(model: LlamaForCausalLM) -> None:
    prompt, phrase = torch.randint(0, 200, (1, 9)), [5, 17, 40]
    whole = model(torch.cat([prompt, torch.tensor([phrase])], dim=1)).logits[0].log_softmax(-1)
    expected = sum(whole[8 + n, token] for n, token in enumerate(phrase))
    cache = DynamicCache(config=model.config)
    logits = model(prompt, past_key_values=cache, use_cache=True).logits[:, -1]
    before = cache.layers[0].keys.clone()
    assert log_probability(model, logits, phrase, cache)[0] == pytest.approx(float(expected), abs=1e-3)
    torch.testing.assert_close(cache.layers[0].keys, before)


def engine(model: LlamaForCausalLM, **above: float) -> LocalGenerator:
    base = LoadedModel(model, tiny_tokenizer(), "tiny", "0", "none", "cpu", "float32", "a test")
    return LocalGenerator(base, Adapters(model, {}, {}, above))


@pytest.mark.parametrize("above", [-math.inf, 0.0])
def test_an_adapter_declines_above_its_threshold_and_nowhere_else(model: LlamaForCausalLM, above: float) -> None:
    generator = engine(model, reader=above)
    settings = GenerationSettings(max_tokens=20)
    text = "".join(token.text for token in generator.stream(QUESTION, settings, "reader", GROUNDED))
    assert (text == "No idea.") == (above == -math.inf)
    (done,) = generator.complete([QUESTION], settings, "reader", [GROUNDED], lambda _: None)
    assert done.text.rstrip("\ufffd") == text  # the stream waits for the other half of a character
    assert done.decline is not None
    assert done.decline < 0
    plain = generator.complete([QUESTION], settings, "reader", [replace(GROUNDED, decline="")], lambda _: None)[0]
    assert plain.decline is None


def test_the_sentence_cannot_be_begun_once_it_was_decided_against() -> None:
    rule = DeclineRule((3, 4, 5), -1.0)
    logits = torch.zeros(8)
    assert rule.forbid([3], logits).isinf().nonzero().flatten().tolist() == [4]
    assert not rule.forbid([], logits).isinf().any()
    assert not rule.forbid([3, 1], logits).isinf().any()


def test_the_threshold_stands_beside_the_weights(tmp_path: Path) -> None:
    assert read_threshold(tmp_path) is None
    (tmp_path / "decline.json").write_text("{", encoding="utf-8")
    with pytest.raises(AdapterError, match=r"no readable decline\.json"):
        read_threshold(tmp_path)
    (tmp_path / "decline.json").write_text(json.dumps({"log_probability": -1.5}), encoding="utf-8")
    assert read_threshold(tmp_path) == -1.5


def test_the_threshold_is_the_one_that_tells_best_apart() -> None:
    assert choose_above([-9, -8, -7], [-2, -1]) == -4.5
    assert choose_above([-9, -8, -2], [-1, -0.5, -2.5]) == -5.25  # as good as -1.5, and the gap is wider
    assert share_above([], 0) == 0
    assert share_above([-2, -1], -1.5) == 0.5
