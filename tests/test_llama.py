"""The fast decoder against transformers' own, on a tiny Llama and on the shipped model."""

from __future__ import annotations

import copy
import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from switchboard.bench.same import compare
from switchboard.build import load_generator
from switchboard.generation.adapters import Adapters, load_adapters, wearing
from switchboard.generation.fast.llama import FastLlama, fast_version
from switchboard.generation.fast.states import States
from switchboard.generation.fast.stored import Stored
from switchboard.generation.model import LoadedModel, load_model
from switchboard.lora_files import WEIGHTS
from switchboard.progress import quietly
from switchboard.settings import Settings
from tiny_model import SHAPE, conversation, make_adapter

pytestmark = pytest.mark.real

IDS = torch.tensor([[5, 900, 31, 7, 4000, 12, 77, 3, 2500]])


@pytest.fixture(params=["from the files", "from transformers"])
def dressed(tiny_settings: Settings, request: pytest.FixtureRequest) -> tuple[LoadedModel, Adapters, FastLlama]:
    """A tiny quantized model with two adapters of different ranks, plain and fast."""
    make_adapter(tiny_settings, "polite", seed=1)
    make_adapter(tiny_settings, "rude", seed=2, rank=8)
    base = load_model(tiny_settings, quietly)
    adapters = load_adapters(base, tiny_settings.adapters)
    read = stored(tiny_settings) if request.param == "from the files" else adapters
    fast = fast_version(read.model, list(read.loaded))
    assert fast
    return base, adapters, fast


def stored(settings: Settings) -> Adapters:
    """The model and its adapters as they lie in their files."""
    base = load_model(settings, quietly, bare=True)
    assert isinstance(base.model, Stored)
    return load_adapters(base, settings.adapters)


@torch.inference_mode()
def read(model: Any, cache: Any, ids: torch.Tensor, pieces: list[int]) -> torch.Tensor:
    """The logits of all tokens, read in pieces of so many."""
    found, start = [], 0
    for size in pieces:
        some = ids[:, start : start + size]
        found.append(model(input_ids=some, past_key_values=cache, use_cache=True).logits)
        start += size
    return torch.cat(found, dim=1).float()


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors of logits differ by no more than bfloat16 does: by 0.5 % of the largest on average."""
    apart, largest = (one - other).abs(), float(one.abs().max())
    return bool(apart.mean() < 0.005 * largest and apart.max() < 0.12 * largest)


@pytest.mark.parametrize("adapter", [None, "polite", "rude"])
@pytest.mark.parametrize("pieces", [[9], [1] * 9, [4, 1, 3, 1]])
def test_it_computes_what_transformers_computes(
    dressed: tuple[LoadedModel, Adapters, FastLlama], adapter: str | None, pieces: list[int]
) -> None:
    base, adapters, fast = dressed
    assert fast.compiled == (base.dtype == "bfloat16")
    with wearing(adapters.model, adapter), wearing(fast, adapter):
        plain = read(adapters.model, DynamicCache(config=base.model.config), IDS, pieces)
        ours = read(fast, fast.new_cache(), IDS, pieces)
    assert near(plain, ours)
    assert (plain.argmax(-1) == ours.argmax(-1)).float().mean() > 0.85


def test_adapters_differ_and_the_base_stays_the_base(dressed: tuple[LoadedModel, Adapters, FastLlama]) -> None:
    _, _, fast = dressed
    found = {}
    for adapter in (None, "polite", "rude"):
        with wearing(fast, adapter):
            found[adapter] = read(fast, fast.new_cache(), IDS, [9])
    assert (found[None] - found["polite"]).abs().max() > 0.1
    assert (found["rude"] - found["polite"]).abs().max() > 0.1
    with wearing(fast, None):
        assert torch.equal(read(fast, fast.new_cache(), IDS, [9]), found[None])


def test_rows_of_different_lengths_are_answered_as_alone(dressed: tuple[LoadedModel, Adapters, FastLlama]) -> None:
    _, _, fast = dressed
    fast.set_adapter("polite")
    short = IDS[:, 4:]
    ids = torch.cat([IDS, torch.cat([torch.full((1, 4), 2), short], dim=1)])
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, :4] = 0
    with torch.inference_mode():
        places = (mask.cumsum(1) - 1).clamp(min=0)
        together = fast.new_cache()
        first = fast(ids, together, attention_mask=mask, position_ids=places, logits_to_keep=1).logits[1, -1]
        grown = torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], dim=1)
        more = (grown.cumsum(1) - 1)[:, -1:]
        second = fast(torch.tensor([[9], [9]]), together, attention_mask=grown, position_ids=more).logits[1, -1]
        alone = fast.new_cache()
        assert torch.allclose(first, fast(short, alone, logits_to_keep=1).logits[0, -1], atol=0.02)
        assert torch.allclose(second, fast(torch.tensor([[9]]), alone).logits[0, -1], atol=0.02)


def test_a_long_prompt_attends_in_pieces_as_at_once(dressed: tuple[LoadedModel, Adapters, FastLlama]) -> None:
    base, adapters, fast = dressed
    ids = torch.randint(3, 40_000, (1, 300), generator=torch.Generator().manual_seed(3))
    with wearing(adapters.model, "polite"), wearing(fast, "polite"):
        plain = read(adapters.model, DynamicCache(config=base.model.config), ids, [300])
        ours = read(fast, fast.new_cache(), ids, [300])
        later = read(fast, fast.new_cache(), ids, [170, 130])
    assert near(plain, ours)
    assert near(ours, later)


def test_texts_of_different_lengths_and_adapters_are_written_together_as_alone(
    dressed: tuple[LoadedModel, Adapters, FastLlama],
) -> None:
    _, _, fast = dressed
    if not fast.compiled:
        pytest.skip("single tokens are not compiled on this machine")
    worn = ["polite", None, "rude", "polite"]
    alone, together = [], []
    with torch.inference_mode():
        for length, adapter in zip([3, 9, 5, 200], worn, strict=True):
            ids = torch.randint(3, 40_000, (1, length), generator=torch.Generator().manual_seed(length))
            states = [fast.new_cache(), fast.new_cache()]
            with wearing(fast, adapter):
                for state in states:
                    fast(ids, state, logits_to_keep=1)
                alone.append(fast(torch.tensor([[7]]), states[0]).logits[0, -1].float())
            together.append(states[1])
        found = fast.step_each([7] * 4, together, worn, likeliest=False).float()
    assert [state.length for state in together] == [4, 10, 6, 201]
    assert all(near(one, row) for one, row in zip(alone, found, strict=True))


def test_what_is_forgotten_copied_or_repeated_is_as_if_read_so(
    dressed: tuple[LoadedModel, Adapters, FastLlama],
) -> None:
    _, _, fast = dressed
    with torch.inference_mode(), wearing(fast, None):
        cache = fast.new_cache()
        fast(IDS, cache)
        cache.crop(-3)
        kept = copy.deepcopy(cache)
        after = fast(torch.tensor([[8]]), cache).logits[0, -1]
        again = fast.new_cache()
        fast(IDS[:, :6], again)
        assert torch.equal(fast(torch.tensor([[8]]), again).logits[0, -1], after)
        assert kept.length == 6
        kept.batch_repeat_interleave(3)
        three = fast(torch.tensor([[1], [8], [5]]), kept).logits[:, -1]
        assert torch.allclose(three[1], after, atol=0.01)
        assert kept.data is not None
        before = kept.data.clone()
        kept.batch_select_indices(torch.tensor([2, 0, 0]))
        assert torch.equal(kept.data[..., :7, :], before[:, [2, 0, 0], ..., :7, :])
        assert not torch.equal(kept.data[..., :7, :], before[..., :7, :])
        kept.batch_select_indices(torch.tensor([1, 1]))
        assert torch.equal(kept.data[:, 0], kept.data[:, 1])


def test_room_grows_and_what_was_there_stays() -> None:
    states = States(2, 3, 4, torch.bfloat16)
    states.make_room(1, 5)[..., :5, :] = 1.0
    states.length = 5
    assert states.make_room(1, 1000).shape[4] >= 1005
    assert bool((states.make_room(1, 1)[..., :5, :] == 1.0).all())
    assert states.nbytes == 2 * 1 * 2 * 3 * 5 * 4 * 2


def test_weights_that_are_not_quantized_are_read_as_they_are(tiny_settings: Settings) -> None:
    make_adapter(tiny_settings, "polite", seed=1)
    settings = replace(tiny_settings, quantization="none")
    base = load_model(settings, quietly)
    adapters = load_adapters(base, tiny_settings.adapters)
    for found in (adapters, stored(settings)):
        fast = fast_version(found.model, list(found.loaded))
        assert fast
        assert not fast.compiled
        with wearing(adapters.model, "polite"), wearing(fast, "polite"):
            plain = read(adapters.model, DynamicCache(config=base.model.config), IDS, [5, 1, 3])
            ours = read(fast, fast.new_cache(), IDS, [5, 1, 3])
        assert near(plain, ours)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_qwen_with_its_biases_is_computed_too(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = Qwen2Config(**SHAPE, vocab_size=500, num_hidden_layers=2)
    model = Qwen2ForCausalLM(config).to(dtype).eval()
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.self_attn.q_proj.bias)
    ids = IDS % 500
    plain = read(model, DynamicCache(config=config), ids, [9])
    model.save_pretrained(tmp_path)
    for found in (model, Stored(tmp_path, dtype)):
        fast = fast_version(found, [])
        assert fast
        assert near(plain, read(fast, fast.new_cache(), ids, [4, 1, 4]))


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}},
        {"rope_parameters": None, "rope_scaling": {"rope_type": "yarn"}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        {"model_type": "mistral"},
        {"num_hidden_layers": 1},
    ],
)
def test_files_of_another_kind_of_model_are_left_to_transformers(tmp_path: Path, change: dict[str, Any]) -> None:
    LlamaForCausalLM(LlamaConfig(**SHAPE, vocab_size=500, num_hidden_layers=2)).save_pretrained(tmp_path)
    Stored(tmp_path, torch.float32)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(ValueError, match=r"another way|unknown here"):
        Stored(tmp_path, torch.float32)


@pytest.mark.parametrize("change", [{"use_dora": True}, {"rank_pattern": {"q_proj": 2}}, {"modules_to_save": ["x"]}])
def test_an_adapter_of_another_kind_is_left_to_peft(tiny_settings: Settings, change: dict[str, Any]) -> None:
    folder = make_adapter(tiny_settings, "other", seed=1)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    base = load_model(tiny_settings, quietly, bare=True)
    with pytest.raises(ValueError, match="another kind"):
        load_adapters(base, tiny_settings.adapters)


def test_nothing_of_what_was_loaded_stays_in_memory_but_the_decoder(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Any]] = []

    def noted(*args: Any, **options: Any) -> LoadedModel:
        base = load_model(*args, **options)
        made.append(weakref.ref(base.model))
        return base

    monkeypatch.setattr("switchboard.build.load_model", noted)
    make_adapter(tiny_settings, "reader", seed=1)
    generator, _ = load_generator(tiny_settings, quietly)
    gc.collect()
    assert generator.fast
    assert [model() for model in made] == [None]


def test_another_kind_of_model_is_left_to_transformers(tiny_settings: Settings) -> None:
    scaled = LlamaConfig(
        **SHAPE,
        vocab_size=500,
        num_hidden_layers=1,
        rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0},
    )
    assert fast_version(LlamaForCausalLM(scaled), []) is None
    base = load_model(replace(tiny_settings, quantization="int8"), quietly)
    assert fast_version(base.model, []) is None


def test_a_machine_that_multiplies_otherwise_is_left_to_transformers(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_model(tiny_settings, quietly)
    monkeypatch.setattr(
        "switchboard.generation.fast.nf4.Nf4.expanded", lambda self: torch.zeros(self.rows, self.columns)
    )
    assert fast_version(base.model, []) is None


def test_both_decoders_write_the_same(real_settings: Settings) -> None:
    """Greedily, with the shipped model: the same, or the plain one found what it preferred hardly likelier."""
    base = load_model(real_settings, quietly)
    plain = load_adapters(base, real_settings.adapters)
    generator, _ = load_generator(real_settings, quietly)
    assert generator.fast
    assert generator.fast.compiled == (base.dtype == "bfloat16")
    questions = ("How do I restart a router?", "Hello", "How much is Fibre 500 a month?", "Can I pay by cheque?") * 3
    prompts = [generator.encode(conversation(question)) for question in questions]
    names = [None, "reader", "customer-service"]
    done: list[int] = []
    compared = compare(generator.fast, plain.model, prompts, names, 12, {base.tokenizer.eos_token_id}, done.append)
    assert (compared.prompts, sum(done)) == (12, 12)
    assert compared.same >= 6
    assert compared.largest_gap <= 0.75


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["down_proj"], "all-linear"])
def test_an_adapter_on_some_projections_adds_what_it_adds(tiny_settings: Settings, targets: Any) -> None:
    make_adapter(tiny_settings, "partial", seed=4, targets=targets)
    base = load_model(tiny_settings, quietly)
    adapters = load_adapters(base, tiny_settings.adapters)
    fast = fast_version(adapters.model, list(adapters.loaded))
    assert fast
    with wearing(adapters.model, "partial"), wearing(fast, "partial"):
        plain = read(adapters.model, DynamicCache(config=base.model.config), IDS, [5, 1, 3])
        ours = read(fast, fast.new_cache(), IDS, [5, 1, 3])
    assert near(plain, ours)


def test_an_adapter_that_is_not_there_is_refused(dressed: tuple[LoadedModel, Adapters, FastLlama]) -> None:
    _, _, fast = dressed
    with pytest.raises(ValueError, match="There is no adapter 'absent'"):
        fast.set_adapter("absent")


def test_an_adapter_on_the_head_is_refused_or_left_to_transformers(tiny_settings: Settings) -> None:
    folder = make_adapter(tiny_settings, "head", seed=4, targets=["lm_head", "q_proj"])
    base = load_model(tiny_settings, quietly)
    for found in (stored(tiny_settings), load_adapters(base, tiny_settings.adapters)):
        assert "does not fit" in found.refused["head"]  # it brings the tied head's own weights
    matrices = load_file(folder / WEIGHTS)
    save_file({name: t for name, t in matrices.items() if "base_layer" not in name}, folder / WEIGHTS)
    with pytest.raises(ValueError, match="other parts than projections"):
        stored(tiny_settings)
    adapters = load_adapters(base, tiny_settings.adapters)
    assert "head" in adapters.loaded
    assert fast_version(adapters.model, list(adapters.loaded)) is None
