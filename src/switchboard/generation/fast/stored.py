"""A model of the Llama family and its adapters as they lie in files, in the shape in which the decoder reads them.

That is the shape of transformers' and PEFT's modules, which the decoder can be made of as well. They themselves, with
what they import, take more memory than the model, and most of a start's time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file

from switchboard.generation.fast.llama import TYPES
from switchboard.generation.fast.nf4 import CODES, expanded_exactly
from switchboard.lora_files import read_lora

_ATTENTION, _MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
_STATE = "quant_state.bitsandbytes__nf4"


class _Linear:
    """A projection, and what adapters add to it: as PEFT names it, by the adapters' names."""

    def __init__(self, weight: Any, bias: torch.Tensor | None, shape: tuple[int, int]) -> None:
        self.weight = weight
        self.bias = bias
        self.out_features, self.in_features = shape
        self.lora_A: dict[str, Any] = {}
        self.lora_B: dict[str, Any] = {}
        self.scaling: dict[str, float] = {}
        self.lora_variant: dict[str, Any] = {}


class Stored:
    """The model in a folder. Raises ValueError for one of another make.

    OSError, KeyError, TypeError or SafetensorError come of damaged files. `dtype` is that of computing; other than in
    bfloat16, quantized weights are expanded.
    """

    device = torch.device("cpu")

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["model_type"] not in TYPES:
            raise ValueError(f"{config['model_type']} is computed in another way")
        self.config = _config(config)
        ends = folder / "generation_config.json"
        written = json.loads(ends.read_text(encoding="utf-8")) if ends.is_file() else {}
        self.generation_config = SimpleNamespace(eos_token_id=written.get("eos_token_id", self.config.eos_token_id))
        self._dtype = dtype
        self._tensors: dict[str, torch.Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            self._tensors |= load_file(path)
        self._linears: dict[str, _Linear] = {}
        names = [f"model.layers.{number}" for number in range(self.config.num_hidden_layers)]
        width = self.config.head_dim or self.config.hidden_size // self.config.num_attention_heads
        self._decoder = SimpleNamespace(
            layers=[self._layer(name) for name in names],
            norm=self._plain("model.norm"),
            rotary_emb=_Rotary(width, float(self.config.rope_parameters["rope_theta"])),
        )
        self._embedding = self._plain("model.embed_tokens")
        head = self._embedding.weight if self.config.tie_word_embeddings else self._take("lm_head.weight")
        self._head = SimpleNamespace(weight=head, out_features=head.shape[0], in_features=head.shape[1])
        if any(not name.endswith("rotary_emb.inv_freq") for name in self._tensors.keys() - {"lm_head.weight"}):
            raise ValueError("it has weights that are unknown here")
        del self._tensors

    def get_decoder(self) -> Any:
        """As transformers names it; so are the others."""
        return self._decoder

    def get_input_embeddings(self) -> Any:
        return self._embedding

    def get_output_embeddings(self) -> Any:
        return self._head

    def get_base_model(self) -> Stored:
        return self

    def eval(self) -> Stored:
        return self

    def get_submodule(self, name: str) -> Any:
        """A projection by its full name, or the head. Raises AttributeError for one that is not there."""
        if name != "lm_head" and name not in self._linears:
            raise AttributeError(f"there is no {name}")
        return self._linears.get(name, self._head)

    def put_on(self, adapter: Path) -> None:
        """Have an adapter beside the others. Raises ValueError, before anything is done, for one of another kind."""
        lora = read_lora(adapter)
        if not lora.matrices.keys() <= self._linears.keys():
            raise ValueError("an adapter is on other parts than projections")
        for name, (down, up) in lora.matrices.items():
            linear = self._linears[name]
            linear.lora_A[adapter.name] = SimpleNamespace(weight=down)
            linear.lora_B[adapter.name] = SimpleNamespace(weight=up)
            linear.scaling[adapter.name] = lora.scaling

    def _layer(self, name: str) -> Any:
        parts = {part: self._linear(f"{name}.self_attn.{part}") for part in _ATTENTION}
        mlp = {part: self._linear(f"{name}.mlp.{part}") for part in _MLP}
        return SimpleNamespace(
            input_layernorm=self._plain(f"{name}.input_layernorm"),
            self_attn=SimpleNamespace(**parts),
            post_attention_layernorm=self._plain(f"{name}.post_attention_layernorm"),
            mlp=SimpleNamespace(**mlp),
        )

    def _plain(self, name: str) -> Any:
        return SimpleNamespace(weight=self._take(f"{name}.weight"))

    def _take(self, name: str) -> torch.Tensor:
        """A tensor, as a copy, so that nothing of its file stays mapped."""
        return self._tensors.pop(name).to(self._dtype, copy=True)

    def _linear(self, name: str) -> _Linear:
        bias = self._take(f"{name}.bias") if f"{name}.bias" in self._tensors else None
        if self._tensors[f"{name}.weight"].is_floating_point():
            dense = self._take(f"{name}.weight")
            made = _Linear(dense, bias, (dense.shape[0], dense.shape[1]))
        else:
            data, absmax, codes, said = (
                self._tensors.pop(f"{name}.weight{part}") for part in ("", ".absmax", ".quant_map", f".{_STATE}")
            )
            state = json.loads(bytes(said.tolist()))
            shape = (int(state["shape"][0]), int(state["shape"][1]))
            if "nested_blocksize" in state or not torch.equal(codes, torch.tensor(CODES)):
                raise ValueError("these weights are not plain NF4")
            quantized = SimpleNamespace(
                quant_type=state["quant_type"], blocksize=state["blocksize"], nested=False, shape=shape, absmax=absmax
            )
            weight: Any = SimpleNamespace(data=data, quant_state=quantized)
            if self._dtype != torch.bfloat16:
                weight = expanded_exactly(weight).bfloat16().to(self._dtype)
            made = _Linear(weight, bias, shape)
        self._linears[name] = made
        return made


class _Rotary:
    """The rotary embedding of a width, with a base: no part of the model, which does not stay in memory for it."""

    def __init__(self, width: int, base: float) -> None:
        self._turns = 1.0 / (base ** (torch.arange(0, width, 2).float() / width))

    def __call__(self, like: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines at places (1, n), each (1, n, width), in the type of `like`."""
        angles = (places[..., None].float() * self._turns).repeat(1, 1, 2)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _config(written: Mapping[str, Any]) -> Any:
    """A configuration with what transformers has where a file leaves it out. Raises ValueError for other rotary
    embeddings than the plain one."""
    rope = written.get("rope_parameters") or {
        "rope_type": (written.get("rope_scaling") or {"rope_type": "default"}).get("rope_type"),
        "rope_theta": written.get("rope_theta", 10_000.0),
    }
    if rope.get("rope_type") != "default" or not math.isclose(rope.get("partial_rotary_factor", 1.0), 1.0):
        raise ValueError("its places are told in another way")
    usual = {
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "head_dim": None,
        "num_key_value_heads": written["num_attention_heads"],
        "tie_word_embeddings": False,
        "max_position_embeddings": 2048,
        "eos_token_id": 2,
    }
    config = SimpleNamespace(**{**usual, **written, "rope_parameters": rope})
    config.get_text_config = lambda: config
    return config
