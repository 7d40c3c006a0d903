"""What a finished training leaves beside its weights: a model card, and the loss as numbers and as a picture."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from switchboard.evaluation.costs import trainings_of
from switchboard.files import drop_checksum, write_checksum
from switchboard.generation.model import LoadedModel
from switchboard.generation.replies import REPLIES_FILE
from switchboard.lora_files import CONFIG, WEIGHTS
from switchboard.training.recipe import RECIPE, Recipe


@dataclass(frozen=True)
class Result:
    """A finished training.

    `counts` are the plan's; `rows` are the losses by step: `loss` of the last few packs, or `held_out_loss`, and
    `tokens_per_second`.
    """

    name: str
    recipe: Recipe
    counts: dict[str, int]
    base: LoadedModel
    rows: list[dict[str, float]]


def write_results(result: Result, made: Path, folder: Path) -> None:
    """Complete `made`, which holds the weights, and move its files into the adapter's `folder`, their digest last."""
    made.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, Any] = {"counts": result.counts, "epochs": result.recipe.epochs, "losses": result.rows}
    if result.recipe.start:
        before = trainings_of(folder.parent / result.recipe.start)
        other = {} if result.recipe.start == result.name else {"adapter": result.recipe.start}
        numbers["before"] = [{**other, **run} for run in before]
    (made / "loss.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    _draw(result.rows, made / "loss.png", result.name)
    (made / "README.md").write_text(_card(result), encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    drop_checksum(folder / WEIGHTS)
    for file in ("loss.json", "loss.png", "README.md", REPLIES_FILE, CONFIG, WEIGHTS):
        if not (made / file).is_file():
            (folder / file).unlink(missing_ok=True)  # replies of weights that are no more
            continue
        staged = folder / f".{file}.new"
        shutil.copyfile(made / file, staged)
        os.replace(staged, folder / file)
    write_checksum(folder / WEIGHTS)


def _draw(rows: list[dict[str, float]], path: Path, name: str) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import, and only needed here)

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes: Any = figure.subplots()
    for key, label, style in (("loss", "training", "-"), ("held_out_loss", "held out", "o-")):
        points = [(row["step"], row[key]) for row in rows if key in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=4)
    axes.set(xlabel="step", ylabel="loss, nats a token of the answer", title=name)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)


def _card(result: Result) -> str:
    recipe, counts, base = result.recipe, result.counts, result.base
    front = {
        "base_model": base.identity,
        "library_name": "peft",
        "license": "apache-2.0",
        "language": ["en"],
        "tags": ["lora", "customer-support"],
    }
    data = "\n".join(
        f"- `{source}`" if isinstance(source, str) else f"- made by a program: `{dict(source)}`"
        for source in recipe.data
    )
    notes = "".join(f"\n- {note}" for note in recipe.notes)
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {result.name}

{recipe.description.strip() or "A LoRA adapter made by Switchboard."}

## Data

{data}{notes}

{counts["examples"]:,} examples to train on and {counts["held_out_examples"]:,} held out, chosen by seed {recipe.seed}.
Examples that begin alike share that beginning in {counts["packs"]:,} packs, so an epoch is
{counts["tokens_an_epoch"]:,} tokens instead of {counts["tokens_unpacked"]:,}. {counts["answer_tokens_an_epoch"]:,}
of them are answers, the only ones with loss.

## Recipe

LoRA of rank {recipe.rank}, alpha {recipe.alpha:g}, on {recipe.targets}{_layers(recipe)}, over {base.identity}
({base.quantization}; fingerprint {base.fingerprint}){_begun(recipe)}. {recipe.epochs:g} epochs, {recipe.batch}
pack(s) a step, peak learning rate {recipe.learning_rate:g}, cosine with {recipe.warmup:.0%} warm-up, seed
{recipe.seed}: all of it is in `{RECIPE}`.

{_measured(result)}"""


def _layers(recipe: Recipe) -> str:
    return f" of all layers but the lowest {recipe.frozen_layers}" if recipe.frozen_layers else ""


def _begun(recipe: Recipe) -> str:
    return f", going on from the adapter `{recipe.start}`" if recipe.start else ""


def _measured(result: Result) -> str:
    held = [row["held_out_loss"] for row in result.rows if "held_out_loss" in row]
    losses = [row["loss"] for row in result.rows if "loss" in row]
    speeds = [row["tokens_per_second"] for row in result.rows if "tokens_per_second" in row]
    tokens = result.counts["tokens_an_epoch"] * result.recipe.epochs
    speed = speeds[-1] if speeds else float("nan")
    minutes = f"about {tokens / speed / 60:.0f} minutes for {tokens:,.0f} tokens on {_machine(result.base)}"
    return f"""## Measured

- Held-out loss: {_arrow(held)}; training loss: {_arrow(losses)} (`loss.png`, `loss.json`).
- {speed:.0f} tokens a second, {minutes}.
- Trained on {datetime.now(timezone.utc):%Y-%m-%d}.
"""


def _arrow(values: list[float]) -> str:
    return f"{values[0]:.3f} to {values[-1]:.3f}" if values else "not measured"


def _machine(base: LoadedModel) -> str:
    return "a CUDA device" if base.device == "cuda" else f"{os.cpu_count()} CPU cores"
