"""The decoder for models of the Llama family, on the processor: the computation of transformers' own, with less around.

A token of a model this small is 250 small operations for transformers and PEFT, and most of its time goes by between
them. Here the projections that read the same thing are one matrix, adapters too, and keys and values are written where
they stay. It rounds where transformers rounds, so what it writes is what the plain model writes; `works` proves it on
the machine at hand, and where it does not hold, or the model is of another make, the plain one answers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch

from switchboard.generation.fast.between import Between, Compiled, Plain, Shape
from switchboard.generation.fast.lora import Lora, lora_of
from switchboard.generation.fast.nf4 import Dense, Nf4, Weight
from switchboard.generation.fast.states import States
from switchboard.generation.fast.stepping import Stepping, is_compiled
from switchboard.memory import give_back
from switchboard.progress import Report, quietly

_log = logging.getLogger(__name__)
TYPES = {"llama", "qwen2"}
"""The models that it knows, as their configurations name them."""
_TOLERANCE = 0.03
"""How far two ways to compute the same may lie apart on average, as a share of the average. Measured: 0.003 for the
kernel, 0.001 to 0.01 for the shipped model's logits; padding that is read gives 0.05, another adapter 0.09."""
_FEW = 24
"""The most tokens that go the compiled way, which does all but the products on one core: measured, 2 tokens take it 12
instead of 42 ms, 8 take 24 instead of 37, 24 take 53 instead of 59, and 33 more than the other way."""
_MERGED = 512
"""Rows from which on an adapter is added to the weights for one product instead of to what they make. Measured, that
takes as long as adding it to the output of 512, whatever the rows."""
_EXACT = 64
"""Tokens whose logits are computed exactly where the likeliest are asked for. The quantized head alone errs by less
than what lies between the first and the 64th."""
_ROUNDED = 32
"""A prompt's tokens are read as if they were a multiple of so many. PyTorch's products keep a program for each number
of rows: measured, 60 lengths from 80 to 700 leave 254 MB behind as they are and 110 so, in the same time."""
_TOGETHER = 320
"""Tokens of a prompt whose scores are computed at a time: with fewer the products are too small, with more too much is
computed that nobody may see. 900 tokens take 842 ms with 128 of them, 838 with 192, 803 with 320, 847 with 448."""


@dataclass(frozen=True)
class _Projection:
    """Matrices that read the same input, one below the other, and what each adapter adds."""

    weight: Weight
    bias: torch.Tensor | None
    added: dict[str, Lora]

    def __call__(self, x: torch.Tensor, adapter: str | None) -> torch.Tensor:
        lora = self.added.get(adapter or "")
        if lora and len(x) >= _MERGED and isinstance(self.weight, Nf4):
            out, lora = self.weight.times_with(x, lora.whole()), None
        else:
            out = self.weight(x)
        if self.bias is not None:
            out += self.bias
        if lora:
            lora.add_to(out, x)
        return out


@dataclass(frozen=True)
class _Layer:
    norm_in: torch.Tensor
    qkv: _Projection
    out: _Projection
    norm_mid: torch.Tensor
    gate_up: _Projection
    down: _Projection


class FastLlama:
    """The model, called as transformers' is; `adapter` is the one that is on, None for the base.

    Raises ValueError for a model that it does not know how to compute.
    """

    def __init__(self, base: Any, adapters: Sequence[str]) -> None:
        self.config = config = base.config
        self.generation_config = base.generation_config
        self.device = base.device
        self.adapter: str | None = None
        self._names = frozenset(adapters)
        decoder = base.get_decoder()
        _check(base, config)
        self._embedding = base.get_input_embeddings().weight.detach()
        head = base.get_output_embeddings()
        if any(hasattr(part, "lora_A") for part in (head, base.get_input_embeddings())):
            raise ValueError("an adapter is on the head or the embedding")
        self._head = head.weight.detach()
        self._dtype = self._embedding.dtype
        heads, groups = config.num_attention_heads, config.num_key_value_heads
        width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        self._shape = Shape(groups, heads // groups, width)
        self._eps = float(config.rms_norm_eps)
        self._norm = decoder.norm.weight.detach()
        self._layers = [_layer(layer, adapters, self._dtype) for layer in decoder.layers]
        self._rotary = decoder.rotary_emb
        self._turns = self._turned(256)
        self._stepping = self._compiled(adapters)
        give_back()  # packing takes more memory than what is packed
        self._rough = _rough_head(self._head) if self._stepping else None

    def new_cache(self) -> States:
        """Nothing read yet."""
        return States(len(self._layers), self._shape.groups, self._shape.width, self._dtype)

    def set_adapter(self, name: str) -> None:
        """Put an adapter on. Raises ValueError for one that is not there."""
        if name not in self._names:
            raise ValueError(f"There is no adapter '{name}'.")
        self.adapter = name

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Take the adapter off for a while."""
        before, self.adapter = self.adapter, None
        try:
            yield
        finally:
            self.adapter = before

    def __call__(
        self,
        input_ids: torch.Tensor,
        past_key_values: States,
        use_cache: bool = True,  # noqa: ARG002 - as transformers is called
        logits_to_keep: int = 0,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        likeliest: bool = False,
    ) -> Any:
        """Read ids (rows, tokens) after what is in the cache; `logits` (rows, tokens or the last ones, vocabulary).

        `attention_mask` (rows, all tokens) has 0 where a row is padded on the left. With `likeliest` only the logits of
        the likeliest 64 tokens are exact where few tokens are read, which takes a third of the time.
        """
        rows, tokens = input_ids.shape
        start = past_key_values.length
        kept = slice(max(0, tokens - logits_to_keep) if logits_to_keep else 0, tokens)
        end = start + tokens
        few = self._stepping is not None and rows * tokens <= _FEW
        if rows == 1 and attention_mask is None and position_ids is None and not few:
            tokens = _up(tokens, _ROUNDED)
        data = past_key_values.make_room(rows, tokens)
        self._turn_to(start + tokens)
        firsts = _firsts(attention_mask)
        if firsts is not None and len(firsts) != rows:
            raise ValueError("the mask is of another number of rows")
        if few:
            x = self._step(input_ids, past_key_values, firsts, position_ids)[:, kept]
            past_key_values.length = end
            return SimpleNamespace(logits=self._logits(x.flatten(0, 1), likeliest).view(rows, x.shape[1], -1))
        between = self._between
        places = (
            torch.arange(start, start + tokens).repeat(rows, 1) if position_ids is None else position_ids.contiguous()
        )
        ids = torch.nn.functional.pad(input_ids, (0, tokens - input_ids.shape[1]))
        x = torch.nn.functional.embedding(ids, self._embedding).view(rows * tokens, -1)
        read = between.normed(x, None, self._layers[0].norm_in)
        for number, layer in enumerate(self._layers):
            made = layer.qkv(read, self.adapter)
            queries = between.turned(made, data[number], start, places, self._turns)
            last = number == len(self._layers) - 1
            if last:
                x = x.view(rows, tokens, -1)[:, kept].flatten(0, 1).contiguous()
                queries = queries[:, kept]
            seen = self._attend(queries, data[number], start + (kept.start if last else 0), firsts)
            read = between.normed(x, layer.out(seen, self.adapter), layer.norm_mid)
            made = layer.down(between.gated(layer.gate_up(read, self.adapter)), self.adapter)
            read = between.normed(x, made, self._norm if last else self._layers[number + 1].norm_in)
        past_key_values.length = end
        return SimpleNamespace(logits=torch.nn.functional.linear(read.view(rows, -1, read.shape[-1]), self._head))

    def _step(
        self, ids: torch.Tensor, cache: States, firsts: list[int] | None, places: torch.Tensor | None
    ) -> torch.Tensor:
        """Few tokens the compiled way, (rows, tokens, hidden): in each layer a text's tokens come one after the other,
        so that each finds the keys and values of those before it."""
        assert self._stepping
        rows, tokens = ids.shape
        each = range(tokens)
        at = [row._replace(length=row.length + n) for row in cache.rows() for n in each]
        begun = None if firsts is None else [n for n in firsts for _ in each]
        turned = None if places is None else places.flatten().tolist()
        x = self._stepping(ids.flatten().tolist(), at, self._turns, [self.adapter] * len(at), begun, turned)
        return x.view(rows, tokens, -1)

    def step_each(
        self, tokens: Sequence[int], states: Sequence[States], adapters: Sequence[str | None], likeliest: bool
    ) -> torch.Tensor:
        """Read one token of each of several texts, each after its own states and with its own adapter, None for none;
        logits (texts, vocabulary). Raises ValueError where single tokens are not computed the compiled way."""
        if not self._stepping:
            raise ValueError("there is no compiled step")
        for state in states:
            state.make_room(1, 1)
        self._turn_to(max(state.length for state in states) + 1)
        rows = [row for state in states for row in state.rows()]
        x = self._stepping(tokens, rows, self._turns, adapters)
        for state in states:
            state.length += 1
        return self._logits(x, likeliest)

    @property
    def compiled(self) -> bool:
        """Whether single tokens go the compiled way."""
        return self._stepping is not None

    def token_bytes(self, adapter: str | None) -> int:
        """The bytes of weights that have to be read for a token, without what was read of the prompt."""
        total: int = (self._rough.nbytes if self._rough else self._head.nbytes) + self._norm.nbytes
        for layer in self._layers:
            for projection in (layer.qkv, layer.out, layer.gate_up, layer.down):
                total += projection.weight.nbytes
                if adapter in projection.added:
                    total += projection.added[adapter].nbytes
        return total

    @torch.inference_mode()
    def works(self) -> bool:
        """Whether this machine computes here what it should: the kernel what the expanded weights give, and a token by
        itself, or a piece of a text, what it gives among others."""
        for projection in (self._layers[-1].qkv, self._layers[-1].down):
            weight = projection.weight
            if isinstance(weight, Nf4):
                x = torch.randn(3, weight.columns, generator=torch.Generator().manual_seed(0)).bfloat16()
                if not _near(weight(x), torch.nn.functional.linear(x.float(), weight.expanded().float())):
                    return False
        return self._reads_well() and all(self._steps_well(adapter) for adapter in (None, *sorted(self._names)))

    def _steps_well(self, adapter: str | None) -> bool:
        """Whether the last tokens of two rows, one of them padded, are computed by themselves as among the others."""
        ids = torch.arange(100, 140).view(2, 20)
        mask = torch.ones(2, 20, dtype=torch.long)
        mask[1, :3] = 0
        places = (mask.cumsum(1) - 1).clamp(min=0)
        before, self.adapter = self.adapter, adapter
        at_once, by_few = self.new_cache(), self.new_cache()
        whole = self(ids, at_once, logits_to_keep=1, attention_mask=mask, position_ids=places).logits
        for start, end in ((0, 17), (17, 19), (19, 20)):
            some, at = ids[:, start:end], places[:, start:end]
            last = self(some, by_few, logits_to_keep=1, attention_mask=mask[:, :end], position_ids=at).logits
        self.adapter = before
        return _near(last, whole)

    def _reads_well(self) -> bool:
        """Whether a text is read in one piece as in two, by the base: an adapter moves further with what is rounded."""
        ids = torch.arange(100, 140).view(1, 40)
        with self.disable_adapter():
            once = self(ids, self.new_cache(), logits_to_keep=1).logits
            pieces = self.new_cache()
            self(ids[:, :10], pieces)
            return _near(self(ids[:, 10:], pieces, logits_to_keep=1).logits, once)

    def _logits(self, x: torch.Tensor, likeliest: bool) -> torch.Tensor:
        """The logits (rows, vocabulary) of normed outputs (rows, hidden)."""
        if not likeliest or self._rough is None:
            return torch.nn.functional.linear(x, self._head)
        rough = self._rough(x)
        best = rough.topk(_EXACT, sorted=False).indices
        return rough.scatter_(1, best, torch.bmm(self._head[best], x[:, :, None])[..., 0])

    def _compiled(self, adapters: Sequence[str]) -> Stepping | None:
        """The compiled way of single tokens; None where not all weights are quantized."""
        projections = [[one.qkv, one.out, one.gate_up, one.down] for one in self._layers]
        if not all(isinstance(p.weight, Nf4) and p.bias is None for row in projections for p in row):
            return None
        norms = [norm for one in self._layers for norm in (one.norm_in, one.norm_mid)]
        loras = {name: [[projection.added.get(name) for projection in row] for row in projections] for name in adapters}
        weights: Any = [[projection.weight for projection in row] for row in projections]
        return Stepping(self._embedding, torch.stack([*norms, self._norm]), weights, loras, self._eps)

    @cached_property
    def _between(self) -> Between:
        """What is done between a prompt's products: compiled as single tokens are, when it is first needed."""
        return (Compiled if self._stepping else Plain)(self._shape, self._eps)

    def _attend(
        self, queries: torch.Tensor, data: torch.Tensor, start: int, firsts: Sequence[int] | None
    ) -> torch.Tensor:
        """What each token makes of those before it, (texts x tokens, heads x width).

        `queries` (texts x groups, tokens, heads of a group, width), and `data` (texts, 2, groups, room, width) with the
        keys and values, those of these tokens from `start` on.
        """
        blocks, tokens, each, width = queries.shape
        rows = data.shape[0]
        # Places to come are read up to the next multiple, and count for nobody: see _ROUNDED.
        multiple = _ROUNDED if firsts is None else 1
        room = min(data.shape[3], _up(start + tokens, multiple))
        keys, values = (data[:, part, :, :room].reshape(blocks, -1, width) for part in range(2))
        seen = queries.new_empty(rows, tokens, self._shape.groups, each * width)
        for first in range(0, tokens, _TOGETHER):
            last = min(tokens, first + _TOGETHER)
            end = min(room, _up(start + last, multiple))
            # A group's heads read the same keys, so that a token's are rows one below the other.
            asking = queries[:, first:last].reshape(blocks, -1, width)
            scores = torch.bmm(asking, keys[:, :end].transpose(1, 2)).view(blocks, last - first, each, end)
            shares = self._between.shares(scores, start + first, firsts).view(blocks, -1, end)
            found = torch.bmm(shares, values[:, :end]).view(rows, self._shape.groups, last - first, -1)
            seen[:, first:last] = found.transpose(1, 2)
        return seen.view(rows * tokens, -1)

    def _turn_to(self, end: int) -> None:
        """Have the rotary embedding for so many places."""
        if end > self._turns.shape[1]:
            self._turns = self._turned(max(end, 2 * self._turns.shape[1]))

    def _turned(self, places: int) -> torch.Tensor:
        """Cosines and sines of the rotary embedding for the first places, (2, places, width), in float32 for the
        compiled way; the first half's sines are negative, so that a half turned to the other end need not be."""
        cos, sin = self._rotary(self._embedding[:1], torch.arange(places)[None])
        half = self._shape.width // 2
        return torch.stack([cos[0], torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)]).float()


def fast_version(base: Any, adapters: Sequence[str], report: Report = quietly) -> FastLlama | None:
    """The fast decoder over a loaded model and its adapters; None where it does not know the model or the machine."""
    try:
        fast = FastLlama(base, adapters)
        if fast.compiled and not is_compiled():
            report("Compiling the decoder (a quarter of a minute, once) ...")
        return fast if fast.works() else None
    except Exception:  # noqa: BLE001 - whatever is amiss here, the plain decoder answers
        _log.info("The plain decoder answers.", exc_info=True)
        return None


def _rough_head(head: torch.Tensor) -> Nf4 | None:
    """The head in NF4; None for a vocabulary that the kernel does not know."""
    try:
        return Nf4.of(head)
    except ValueError:
        return None


def _up(number: int, multiple: int) -> int:
    """The next multiple, or the number itself where it is one."""
    return number + -number % multiple


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one.float() - other.float()).abs().mean() <= _TOLERANCE * other.float().abs().mean())


def _check(base: Any, config: Any) -> None:
    """Raise ValueError unless the model is computed as here."""
    known = config.model_type in TYPES and config.hidden_act == "silu" and base.device.type == "cpu"
    plain = config.rope_parameters.get("rope_type") == "default" and not getattr(config, "use_sliding_window", False)
    if not known or not plain:
        raise ValueError(f"{config.model_type} is computed in another way")


def _layer(layer: Any, adapters: Sequence[str], dtype: torch.dtype) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return _Layer(
        layer.input_layernorm.weight.detach(),
        _projection([attention.q_proj, attention.k_proj, attention.v_proj], adapters, dtype),
        _projection([attention.o_proj], adapters, dtype),
        layer.post_attention_layernorm.weight.detach(),
        _projection([mlp.gate_proj, mlp.up_proj], adapters, dtype),
        _projection([mlp.down_proj], adapters, dtype),
    )


def _projection(modules: Sequence[Any], adapters: Sequence[str], dtype: torch.dtype) -> _Projection:
    """The modules as one, with what each adapter adds to them. Raises ValueError for adapters of other kinds."""
    plain = [getattr(module, "base_layer", module) for module in modules]
    weight = (Nf4 if hasattr(plain[0].weight, "quant_state") else Dense)(plain)
    biases = [module.bias for module in plain]
    if any(bias is not None for bias in biases) != all(bias is not None for bias in biases):
        raise ValueError("some projections have a bias and others none")
    bias = None if biases[0] is None else torch.cat([bias.detach() for bias in biases])
    added = {name: lora for name in adapters if (lora := lora_of(modules, name, dtype)) is not None}
    return _Projection(weight, bias, added)


def _firsts(mask: torch.Tensor | None) -> list[int] | None:
    """The places of the rows' first tokens that are not padding; None where there is no padding."""
    if mask is None or bool(mask.all()):
        return None
    return [int(places) for places in (mask == 0).sum(1)]
