"""A recipe: everything that makes an adapter what it is, in `adapters/<name>/recipe.yaml`.

data:
  - data/*.jsonl            # chat messages, one example a line, below the adapter's folder
  - generated: reader       # made by a program of ours, see GENERATORS in training/sources.py
rank: 16
epochs: 4
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from switchboard.errors import TrainingDataError, first_line

RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained.

    `data` lists file patterns below the adapter's folder, and mappings that name a generator and its arguments.
    `base`, where given, must be the base in use; `start` names an adapter beside this one, of the same shape, whose
    weights training goes on from. `alpha` scales the update by alpha / rank; `targets` is a list
    of module names or `all-linear`, in all layers but the lowest `frozen_layers`. `learning_rate` is the peak of a
    cosine after a `warmup` share of the steps.
    `batch` is in packs of at most `pack_tokens` tokens; an example longer than `max_length` tokens is an error.
    `held_out` is the share of the examples that is only measured. With `taught_replies` the adapter brings the replies
    that it was taught several times, and answers in them without passages; see generation/replies.py.
    """

    data: tuple[str | Mapping[str, Any], ...]
    description: str = ""
    base: str = ""
    start: str = ""
    rank: int = 16
    alpha: float = 32.0
    targets: str | tuple[str, ...] = "all-linear"
    frozen_layers: int = 0
    epochs: float = 3.0
    learning_rate: float = 5e-4
    warmup: float = 0.05
    batch: int = 1
    max_length: int = 2048
    pack_tokens: int = 1024
    held_out: float = 0.05
    taught_replies: bool = False
    seed: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "rank": (1, 256),
            "alpha": (1e-6, 1024),
            "frozen_layers": (0, 1024),
            "epochs": (1e-6, 1000),
            "learning_rate": (1e-8, 1),
            "warmup": (0, 0.9),
            "batch": (1, 1024),
            "max_length": (16, 131072),
            "pack_tokens": (16, 131072),
            "held_out": (0, 0.5),
            "seed": (0, 2**32 - 1),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise TrainingDataError(f"{name} is {value!r}; it must be a number from {low:g} to {high:g}.")


def read_recipe(folder: Path) -> Recipe:
    """Read `folder`/recipe.yaml. Raises TrainingDataError that names the file and what is wrong with it."""
    path = folder / RECIPE
    if not path.is_file():
        raise TrainingDataError(
            f"There is no {path}. Make the folder and a {RECIPE} with at least `data: [data/*.jsonl]`."
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{path} is not YAML: {first_line(error)}.") from error
    if not isinstance(values, dict) or not isinstance(values.get("data"), list) or not values["data"]:
        raise TrainingDataError(f"{path} names no data; write for example `data: [data/*.jsonl]`.")
    known = {f.name for f in fields(Recipe)}
    if unknown := sorted(set(map(str, values)) - known):
        raise TrainingDataError(f"{path} has no meaning for {', '.join(unknown)}; it takes {', '.join(sorted(known))}.")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return Recipe(**values)
    except TrainingDataError as error:
        raise TrainingDataError(f"{path}: {error}") from error
