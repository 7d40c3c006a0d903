"""Quantized weights expanded for products with many rows: against bitsandbytes' own numbers and PyTorch's product."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

from switchboard.generation.fast import nf4
from switchboard.generation.fast.expanded import Ready, Room, room_for
from switchboard.generation.fast.lora import Lora
from switchboard.generation.fast.nf4 import BLOCK, MANY, Nf4
from switchboard.generation.fast.team import alone

pytestmark = pytest.mark.skipif(
    not torch.cpu._is_avx512_bf16_supported(), reason="weights are not multiplied in NF4 without bfloat16 arithmetic"
)
SHAPES = [(192, 128), (96, 64)]
"""Outputs and inputs; the second's outputs are no multiple of oneDNN's 64."""


def some(*shape: int, seed: int = 0, spread: float = 1.0) -> torch.Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread).bfloat16()


@pytest.fixture(params=SHAPES, ids=str)
def quantized(request: pytest.FixtureRequest) -> tuple[Nf4, torch.Tensor]:
    """Two matrices, one below the other, and what bitsandbytes says that they are, their scales in bfloat16."""
    parts, plain = [], []
    for seed in range(2):
        data, state = quantize_4bit(some(*request.param, seed=seed, spread=0.1), blocksize=BLOCK, quant_type="nf4")
        parts.append(SimpleNamespace(weight=SimpleNamespace(data=data, quant_state=state)))
        state.absmax = state.absmax.bfloat16().float()
        plain.append(dequantize_4bit(data, state))
    return Nf4(parts), torch.cat(plain)


@pytest.mark.parametrize("threads", ["all", "one"])
def test_weights_are_those_of_bitsandbytes(
    quantized: tuple[Nf4, torch.Tensor], threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if threads == "one":
        monkeypatch.setattr(nf4, "open_team", alone)
    weight, plain = quantized
    assert torch.equal(weight.expanded(), plain)


@pytest.mark.parametrize("rows", [MANY, 77])
def test_many_rows_are_multiplied_with_them(quantized: tuple[Nf4, torch.Tensor], rows: int) -> None:
    weight, plain = quantized
    x = some(rows, weight.columns, seed=3)
    assert torch.allclose(weight(x), torch.nn.functional.linear(x, plain), rtol=0.02, atol=0.02)


def test_an_adapter_is_added_to_the_weights_as_to_what_they_make(quantized: tuple[Nf4, torch.Tensor]) -> None:
    weight, plain = quantized
    lora = Lora(some(16, weight.columns, spread=0.1), some(8, weight.rows, seed=1, spread=0.1), [weight.rows // 2] * 2)
    x = some(40, weight.columns, seed=2)
    exact = x.float() @ (plain.float().t() + lora.whole().float())
    merged, added = weight.times_with(x, lora.whole()), weight(x)
    lora.add_to(added, x)
    assert (merged.float() - exact).abs().max() < 0.03
    assert (added.float() - exact).abs().max() < 0.03
    assert (exact - x.float() @ plain.float().t()).abs().max() > 0.1


def test_one_room_does_for_all_matrices_of_a_shape(quantized: tuple[Nf4, torch.Tensor]) -> None:
    weight, plain = quantized
    other = Nf4.of(some(weight.rows, weight.columns, seed=9))
    x = some(MANY, weight.columns)
    first = weight(x)
    other(x)
    assert torch.equal(weight(x), first)
    assert room_for(*plain.shape) is room_for(*plain.shape)


def test_onednn_reads_them_in_the_order_in_which_they_are_written() -> None:
    """If this fails, everything is right and a third slower: oneDNN has another order now."""
    assert isinstance(room_for(*SHAPES[0]), Ready)


@pytest.mark.parametrize("change", ["another order", "nothing given out"])
def test_where_onednn_has_another_order_pytorch_multiplies(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Changed:
        def __getattr__(self, name: str) -> Any:
            real = getattr(torch.ops.mkldnn, name)
            if name != "_linear_pointwise":
                return real
            if change == "nothing given out":
                raise AttributeError(name)
            return lambda x, *rest: real(x.flip(1).contiguous(), *rest)

    monkeypatch.setattr("switchboard.generation.fast.expanded._MKLDNN", Changed())
    room_for.cache_clear()
    room = room_for(64, 128)
    room_for.cache_clear()
    assert type(room) is Room
