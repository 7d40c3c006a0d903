"""LoRA adapters: found in their folders, checked against the base, all loaded onto the one base in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftModel

from switchboard.errors import AdapterError
from switchboard.files import sha256_of
from switchboard.generation.model import LoadedModel, same_base

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Adapters:
    """The adapters of a running model.

    `model` is the base with the `loaded` adapters on it; without any it is the base itself. `refused` has the
    reason, a sentence fit for a visitor, of each adapter that could not be loaded.
    """

    model: Any
    loaded: dict[str, str] = field(default_factory=dict)
    """Name -> the first digits of its weights' SHA-256, its revision in reports."""
    refused: dict[str, str] = field(default_factory=dict)


def load_adapters(base: LoadedModel, folder: Path) -> Adapters:
    """Load every adapter below `folder` onto the base, which stays one in memory.

    A folder counts as an adapter when it holds adapter_config.json. One that does not fit is refused, with its
    reason, and the others are loaded all the same.
    """
    model: Any = base.model
    loaded: dict[str, str] = {}
    refused: dict[str, str] = {}
    for path in sorted(p.parent for p in folder.glob(f"*/{CONFIG}")):
        try:
            check_adapter(path, base.identity)
            model = _add(model, path, base.device, first=not loaded)
        except AdapterError as error:
            refused[path.name] = str(error)
        else:
            loaded[path.name] = sha256_of(path / WEIGHTS)[:12]
    return Adapters(model.eval(), loaded, refused)


def check_adapter(path: Path, identity: str) -> None:
    """Raise AdapterError unless the folder holds a LoRA adapter in safetensors made for the base `identity`."""
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        made_for = str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"The adapter '{path.name}' has no readable {CONFIG}; train it again with "
            f"`python -m switchboard train {path.name}`."
        ) from error
    if not same_base(made_for, identity):
        raise AdapterError(
            f"The adapter '{path.name}' was trained for {made_for}, but this app runs {identity}. Train it for this "
            f"base with `python -m switchboard train {path.name}`, or unset SWITCHBOARD_MODEL."
        )
    if not (path / WEIGHTS).is_file():
        raise AdapterError(
            f"The adapter '{path.name}' has no {WEIGHTS}, and nothing but safetensors is ever loaded. Train it with "
            f"`python -m switchboard train {path.name}`."
        )


def _add(model: Any, path: Path, device: str, first: bool) -> Any:
    """Put one adapter on the model; the first one wraps it. Raises AdapterError when its tensors do not fit."""
    try:
        if first:
            return PeftModel.from_pretrained(
                model, path, adapter_name=path.name, torch_device=device, autocast_adapter_dtype=True
            )
        model.load_adapter(path, adapter_name=path.name, torch_device=device, autocast_adapter_dtype=True)
    except Exception as error:  # peft, torch and safetensors each raise types of their own
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise AdapterError(
            f"The adapter '{path.name}' does not fit this base or is damaged ({reason}). Train it again with "
            f"`python -m switchboard train {path.name}`."
        ) from error
    return model
