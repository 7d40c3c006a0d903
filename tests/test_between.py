"""What lies between the products of a prompt: the compiled way against PyTorch's operations, and on one thread."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch

from switchboard.generation.fast import bfloat16
from switchboard.generation.fast.between import Compiled, Plain, Shape

SHAPE = Shape(groups=3, each=2, width=8)
HEADS = SHAPE.groups * SHAPE.each
PLAIN = Plain(SHAPE, 1e-5)


@pytest.fixture(params=["all threads", "one thread"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Compiled:
    if request.param == "one thread":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    return Compiled(SHAPE, 1e-5)


def test_what_was_compiled_is_compiled_anew_where_its_helpers_change() -> None:
    """Numba looks at a function's own file alone."""
    folder = Path(bfloat16.__file__).parent
    named = 0
    for path in folder.glob("*.py"):
        for line in re.findall(r"^# Compiled with (.*)\.$", path.read_text(encoding="utf-8"), re.MULTILINE):
            for helper, digest in (pair.split() for pair in line.split(", ")):
                assert digest == hashlib.sha256((folder / helper).read_bytes()).hexdigest()[:12], (path.name, helper)
                named += 1
    assert named == 4


def some(*shape: int, seed: int = 0, spread: float = 1.0) -> torch.Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread).bfloat16()


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether no number differs by more than two roundings to bfloat16, and few by more than none."""
    apart = (one.float() - other.float()).abs()
    return bool((apart <= 2**-6 * other.float().abs() + 1e-6).all()) and bool((apart > 0).float().mean() < 0.02)


@pytest.mark.parametrize("more", [True, False])
def test_norms_are_those_of_pytorch(compiled: Compiled, more: bool) -> None:
    ours, theirs = some(37, 96), some(37, 96)
    added = some(37, 96, seed=1) if more else None
    assert near(compiled.normed(ours, added, some(96, seed=2)), PLAIN.normed(theirs, added, some(96, seed=2)))
    assert torch.equal(ours, theirs)
    assert torch.equal(ours, some(37, 96)) == (not more)


def test_gates_are_those_of_pytorch(compiled: Compiled) -> None:
    gates = some(37, 128, spread=8.0)
    gates[0, :3] = torch.tensor([200.0, -200.0, 0.0])
    assert near(compiled.gated(gates), PLAIN.gated(gates))


def test_queries_keys_and_values_are_those_of_pytorch(compiled: Compiled) -> None:
    texts, tokens, start, room = 2, 11, 4, 20
    read = some(texts * tokens, (HEADS + 2 * SHAPE.groups) * SHAPE.width)
    ours, theirs = (torch.zeros(texts, 2, SHAPE.groups, room, SHAPE.width).bfloat16() for _ in range(2))
    places = torch.stack([torch.arange(4, 15), torch.arange(11)])
    tables = some(2, 30, SHAPE.width, seed=3).float()
    found = compiled.turned(read, ours, start, places, tables)
    assert near(found, PLAIN.turned(read, theirs, start, places, tables))
    assert near(ours, theirs)
    assert bool((ours[:, :, :, :start] == 0).all() and (ours[:, :, :, start + tokens :] == 0).all())


@pytest.mark.parametrize("firsts", [None, [0, 9]])
def test_shares_are_those_of_pytorch_and_nothing_is_seen_that_is_not_there_yet(
    compiled: Compiled, firsts: list[int] | None
) -> None:
    texts, tokens, own, places = 2, 5, 7, 16
    scores = some(texts * SHAPE.groups, tokens, SHAPE.each, places, spread=4.0)
    wanted = PLAIN.shares(scores, own, firsts)
    found = compiled.shares(scores.clone(), own, firsts).view(texts, SHAPE.groups, tokens, SHAPE.each, places)
    wanted = wanted.view_as(found)
    for text in range(texts):
        first = firsts[text] if firsts else 0
        for token in range(tokens):
            shares = found[text, :, token]
            assert bool((shares[..., own + token + 1 :] == 0).all())
            assert torch.allclose(shares.float().sum(-1), torch.tensor(1.0), atol=0.02)
            if own + token >= first:  # padding sees itself here and everything there, and nobody looks at it
                assert bool((shares[..., :first] == 0).all())
                assert near(shares, wanted[text, :, token])
