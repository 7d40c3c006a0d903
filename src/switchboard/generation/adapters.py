"""LoRA adapters: found in their folders, checked against the base, all loaded onto the one base in memory."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from switchboard.errors import AdapterError, first_line
from switchboard.files import damaged, sha256_of
from switchboard.generation.decline import read_threshold
from switchboard.generation.fast.stored import Stored
from switchboard.generation.model import LoadedModel, same_base
from switchboard.generation.replies import Replies, read_replies
from switchboard.lora_files import CONFIG, WEIGHTS, for_an_embedder


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
    decline_above: dict[str, float] = field(default_factory=dict)
    """Name -> the log probability of declining above which it declines, where one was calibrated; see decline.py."""
    replies: dict[str, Replies] = field(default_factory=dict)
    """Name -> the replies that it was taught, where it brings them; see replies.py."""


def load_adapters(base: LoadedModel, folder: Path, wanted: Collection[str] = ()) -> Adapters:
    """Load every adapter below `folder` onto the base, which stays one in memory.

    A folder counts as an adapter when it holds adapter_config.json, unless that is an embedder's. One that does not
    fit is refused, with its reason, and the others are loaded all the same; so is one that is `wanted` and not there.
    Raises ValueError for a base that is `Stored` where an adapter is none that it knows.
    """
    model: Any = base.model
    loaded: dict[str, str] = {}
    refused = {name: _missing(name) for name in wanted if not (folder / name / CONFIG).is_file()}
    thresholds: dict[str, float | None] = {}
    replies: dict[str, Replies | None] = {}
    for path in sorted(p.parent for p in folder.glob(f"*/{CONFIG}") if not for_an_embedder(p.parent)):
        try:
            check_adapter(path, base.identity)
            _check_tensors(path, base.model if not loaded else model.get_base_model())
            thresholds[path.name] = read_threshold(path)
            replies[path.name] = read_replies(path, base.tokenizer)
            model = _add(model, path, base.device, first=not loaded)
        except AdapterError as error:
            refused[path.name] = str(error)
        else:
            loaded[path.name] = sha256_of(path / WEIGHTS)[:12]
    decline_above = {name: above for name in loaded if (above := thresholds[name]) is not None}
    brought = {name: found for name in loaded if (found := replies[name]) is not None}
    return Adapters(model.eval(), loaded, refused, decline_above, brought)


def wearing(model: Any, adapter: str | None) -> AbstractContextManager[object]:
    """Put an adapter on the model, which stays on; or have all of them off, for None, as long as the context lasts."""
    if adapter is None:
        off: AbstractContextManager[object] = model.disable_adapter()
        return off
    model.set_adapter(adapter)
    return nullcontext()


def check_adapter(path: Path, identity: str) -> None:
    """Raise AdapterError unless the folder holds an undamaged LoRA adapter in safetensors made for `identity`."""
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
    if damaged(path / WEIGHTS):
        raise AdapterError(_unfit(path, "its weights are not those that were trained"))


def _check_tensors(path: Path, model: Any) -> None:
    """Raise AdapterError unless each LoRA matrix fits the layer it names.

    PEFT puts an adapter's layers on the model before it reads its tensors, so what does not fit has to be found
    first, or the base would be left half dressed.
    """
    rank = json.loads((path / CONFIG).read_text(encoding="utf-8")).get("r")
    try:
        with safe_open(path / WEIGHTS, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118  (safe_open is no mapping)
                name, _, matrix = key.removeprefix("base_model.model.").partition(".lora_")
                layer = model.get_submodule(name)
                layer = getattr(layer, "base_layer", layer)
                shape = tuple(tensors.get_slice(key).get_shape())
                fits = {"A.weight": (rank, layer.in_features), "B.weight": (layer.out_features, rank)}
                if fits.get(matrix) != shape:
                    raise AdapterError(_unfit(path, f"{key} is {shape}"))
                if not tensors.get_tensor(key).isfinite().all():
                    raise AdapterError(_unfit(path, f"{key} holds numbers that are none"))
    except (SafetensorError, OSError, AttributeError) as error:
        raise AdapterError(_unfit(path, first_line(error))) from error


def _missing(name: str) -> str:
    return f"There is no adapter '{name}' yet; train it with `python -m switchboard train {name}`."


def _unfit(path: Path, reason: str) -> str:
    return (
        f"The adapter '{path.name}' does not fit this base or is damaged ({reason}). Train it again with "
        f"`python -m switchboard train {path.name}`."
    )


def _add(model: Any, path: Path, device: str, first: bool) -> Any:
    """Put one adapter on the model; PEFT wraps it in the first one.

    Raises AdapterError when its tensors do not fit, and ValueError for one that only PEFT knows.
    """
    if isinstance(model, Stored):
        model.put_on(path)
        return model
    from switchboard.generation.stock import PeftModel  # noqa: PLC0415  (which the fast decoder does without)

    try:
        if first:
            return PeftModel.from_pretrained(
                model, path, adapter_name=path.name, torch_device=device, autocast_adapter_dtype=True
            )
        model.load_adapter(path, adapter_name=path.name, torch_device=device, autocast_adapter_dtype=True)
    except Exception as error:  # peft, torch and safetensors each raise types of their own
        raise AdapterError(_unfit(path, first_line(error))) from error
    return model
