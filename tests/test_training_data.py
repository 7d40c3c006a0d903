"""Training data: faults named before anything happens, masks that cover the answers alone, packs that leak nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from switchboard.errors import TrainingDataError
from switchboard.prompts import READER_DECLINE, SERVICE_DECLINE
from switchboard.training import attention
from switchboard.training.data import Example, parse_record, read_records, render, split, tokenize
from switchboard.training.frozen import FrozenLayers
from switchboard.training.packing import pack, tensors
from training_fakes import tiny_tokenizer

GOOD = {"messages": [{"role": "user", "content": "How much?"}, {"role": "assistant", "content": "It costs £27."}]}
PASSAGES = [{"title": "Fibre", "heading": "Prices", "text": "Fibre 100 costs £27."}, {"title": "TV", "text": "£9."}]


def write(folder: Path, *rows: object) -> Path:
    path = folder / "some.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def turns(*pairs: tuple[str, str]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"messages": [', "not JSON"),
        ({"article": "plans/x"}, "the field 'messages' is missing"),
        ({"messages": [{"role": "user"}]}, "the field 'content' of message 1 is missing"),
        (turns(("user", "Hi"), ("assistant", "  ")), "empty answer (message 2)"),
        (turns(("assistant", "Hi"), ("user", "Hello")), "wrong role order: turn 1 is 'assistant'"),
        (turns(("user", "Hi")), "the last message must be the assistant's"),
        (turns(("user", "Hi"), ("user", "Hi?"), ("assistant", "Hi")), "wrong role order: turn 2 is 'user'"),
        (turns(("user", "Hi"), ("robot", "Hi")), "wrong role order: message 2 is 'robot'"),
        ({**GOOD, "passages": [{"title": "Fibre"}]}, "passage 1 has no text"),
    ],
)
def test_a_fault_is_named_with_file_line_and_reason(tmp_path: Path, row: object, reason: str) -> None:
    path = write(tmp_path, GOOD, "", row)
    with pytest.raises(TrainingDataError) as raised:
        read_records([path], tmp_path)
    assert "some.jsonl:3: " in str(raised.value)
    assert reason in str(raised.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"some.jsonl:1.*some.jsonl:3"):
        read_records([write(tmp_path, "{", GOOD, {})], tmp_path)


def test_an_answer_that_the_limit_would_cut_is_named() -> None:
    records = [
        parse_record(GOOD, "some.jsonl:1"),
        parse_record(turns(("user", "Hi"), ("assistant", "no " * 500)), "some.jsonl:2"),
    ]
    with pytest.raises(TrainingDataError, match=r"some.jsonl:2: \d+ tokens, so the answer would be cut"):
        tokenize(records, tiny_tokenizer(), "Acme", max_length=300)


def test_records_are_rendered_as_the_app_prompts() -> None:
    plain = render(parse_record(GOOD, "x"), "Acme")
    assert plain[0].role == "system"
    assert SERVICE_DECLINE in plain[0].content
    assert "Acme" in plain[0].content
    row = turns(("user", "First?"), ("assistant", "Yes [2]."), ("user", "Second?"), ("assistant", "No [1]."))
    reading = render(parse_record({**row, "passages": PASSAGES}, "x"), "Acme")
    assert READER_DECLINE in reading[0].content
    assert [message.content for message in reading[1:3]] == ["First?", "Yes."]
    assert reading[3].content == "[1] Fibre › Prices\nFibre 100 costs £27.\n\n[2] TV\n£9.\n\nQuestion: Second?"


@pytest.mark.parametrize("passages", [False, True])
def test_masks_cover_exactly_the_answers(passages: bool) -> None:
    tokenizer = tiny_tokenizer()
    row = turns(
        ("user", "It costs?"), ("assistant", "It costs £27."), ("user", "Really?"), ("assistant", "Yes, really.")
    )
    record = parse_record({**row, "passages": PASSAGES if passages else []}, "x")
    (example,) = tokenize([record], tokenizer, "Acme", 2048)
    trained = tokenizer.decode([t for t, on in zip(example.tokens, example.trained, strict=True) if on])
    last = "Yes, really.<|im_end|>"
    assert trained == (last if passages else f"It costs £27.<|im_end|>{last}")
    whole = tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in render(record, "Acme")], tokenize=False
    )
    assert tokenizer.decode(example.tokens) == whole


def test_the_split_keeps_passages_together_and_repeats() -> None:
    examples = [Example((n,), (True,), "", f"set {n // 5}") for n in range(100)]
    training, held_out = split(examples, 0.2, seed=3)
    assert len(held_out) == 20
    assert not {e.group for e in training} & {e.group for e in held_out}
    assert (training, held_out) == split(examples, 0.2, seed=3)
    assert held_out != split(examples, 0.2, seed=4)[1]


@given(st.lists(st.integers(2, 30), min_size=1, max_size=20), st.integers(8, 64), st.integers(0, 5))
def test_packing_loses_nothing_and_is_repeatable(lengths: list[int], limit: int, seed: int) -> None:
    examples = [
        Example((7, *([n] * length)), (False,) * length + (True,), "a" if n % 2 else "b", "")
        for n, length in enumerate(lengths)
    ]
    packs = pack(examples, limit, seed)
    assert sorted(e.tokens for p in packs for e in p.examples) == sorted(e.tokens for e in examples)
    assert all(len({e.opening for e in p.examples}) == 1 for p in packs)
    assert all(p.length <= limit or len(p.examples) == 1 for p in packs)
    assert packs == pack(examples, limit, seed)


@pytest.mark.parametrize(("key_heads", "frozen"), [(4, 0), (2, 0), (2, 1), (2, 3)])
def test_a_pack_gives_each_example_the_logits_it_has_alone(key_heads: int, frozen: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=key_heads,
        )
    ).eval()
    rows = [turns(("user", f"What is {n}?"), ("assistant", f"It is {'very ' * n}{n}.")) for n in range(4)]
    records = [parse_record({**row, "passages": PASSAGES}, "x") for row in rows]
    (packed,) = pack(tokenize(records, tokenizer, "Acme", 2048), 2048, seed=0)
    assert packed.shared > 100
    batch = tensors(packed)
    wanted = batch.pop("labels")[0].tolist()
    predict = batch.pop("predict")
    model.set_attn_implementation(attention.NAME)
    if frozen:
        layers = FrozenLayers(model.get_decoder(), frozen)
        batch["inputs_embeds"] = layers.states(1, batch)
        assert layers.states(1, {}) is batch["inputs_embeds"]
        del batch["input_ids"]
    together = model(**batch, logits_to_keep=predict).logits[0]
    if frozen:
        layers.put_back()
    model.set_attn_implementation("eager")
    alone, labels = [], []
    for example in packed.examples:
        logits = model(input_ids=torch.tensor([example.tokens])).logits[0]
        alone += [logits[i - 1] for i, on in enumerate(example.trained) if on]
        labels += [t for t, on in zip(example.tokens, example.trained, strict=True) if on]
    assert labels == wanted
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=1e-3)
