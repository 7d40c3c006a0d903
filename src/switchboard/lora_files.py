"""LoRA adapters as PEFT writes them: their files, and what is in them, without PEFT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_PLAIN: Mapping[str, Any] = {
    "peft_type": "LORA",
    "bias": "none",
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
    "lora_bias": False,
    "fan_in_fan_out": False,
    "alpha_pattern": {},
    "rank_pattern": {},
    "layer_replication": None,
    "modules_to_save": None,
    "target_parameters": None,
    "trainable_token_indices": None,
}
"""What a configuration has to say, where it says anything of it, so that the adapter is the LoRA we know."""


@dataclass(frozen=True)
class LoraFiles:
    """For each module by its name in the model A, (rank, in), and B, (out, rank), in float32; to the module's weights
    `scaling` times B A is added."""

    matrices: Mapping[str, tuple[Any, Any]]
    scaling: float


def read_lora(folder: Path) -> LoraFiles:
    """What is in an adapter's folder. Raises ValueError for an adapter of another kind than plain LoRA on projections;
    OSError, KeyError, TypeError or SafetensorError where a file is missing or damaged."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if any(config.get(key, value) != value for key, value in _PLAIN.items()):
        raise ValueError("this is another kind of adapter")
    tensors = {name.removeprefix(_PREFIX): t.float() for name, t in load_file(folder / WEIGHTS).items()}
    if not all(name.endswith((_DOWN, _UP)) for name in tensors):
        raise ValueError("an adapter is on other parts than projections")
    modules = {name.removesuffix(_DOWN).removesuffix(_UP) for name in tensors}
    matrices = {module: (tensors[module + _DOWN], tensors[module + _UP]) for module in modules}
    return LoraFiles(matrices, config["lora_alpha"] / config["r"])


def for_an_embedder(folder: Path) -> bool:
    """Whether a folder holds an adapter of an embedder, such as the reranker, and not a language model's."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return bool(config["task_type"] == "FEATURE_EXTRACTION")
    except (OSError, ValueError, KeyError, TypeError):
        return False
