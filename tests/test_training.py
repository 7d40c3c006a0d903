"""The whole of training, on a tiny random model with a tokenizer of its own: no network, nothing shipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from switchboard.errors import AdapterError, TrainingDataError
from switchboard.generation.replies import REPLIES_FILE
from switchboard.progress import quietly
from switchboard.settings import ROOT, Settings
from switchboard.training.recipe import read_recipe
from switchboard.training.train import last_checkpoint, train
from training_fakes import tiny_model

RECIPE = {
    "data": ["data/*.jsonl"],
    "rank": 4,
    "epochs": 4,
    "learning_rate": 0.01,
    "max_length": 600,
    "pack_tokens": 600,
    "held_out": 0.1,
    "seed": 1,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An own adapter's folder as an engineer would make it, and an own model to train it on."""
    folder = tmp_path / "adapters" / "mine"
    (folder / "data").mkdir(parents=True)
    rows = [
        {"messages": [{"role": "user", "content": f"Price of {n}?"}, {"role": "assistant", "content": f"£{n}."}]}
        for n in range(40)
    ]
    (folder / "data" / "prices.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    torch.manual_seed(0)
    return Settings(
        model=str(tiny_model(tmp_path / "tiny")),
        quantization="none",
        adapters=tmp_path / "adapters",
        data=tmp_path / "data",
    )


def test_training_writes_an_adapter_that_loads_and_learned(settings: Settings) -> None:
    lines: list[str] = []
    (settings.adapters / "mine" / REPLIES_FILE).write_text("{}", encoding="utf-8")  # of weights that are replaced
    folder = train("mine", settings, lines.append)
    files = {path.name for path in folder.iterdir()}
    assert files >= {"adapter_model.safetensors", "adapter_config.json", "README.md", "loss.json", "loss.png"}
    assert REPLIES_FILE not in files
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    losses = json.loads((folder / "loss.json").read_text())["losses"]
    held_out = [row["held_out_loss"] for row in losses if "held_out_loss" in row]
    assert held_out[0] > held_out[-1]
    assert len(held_out) >= 4
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---")[1])["base_model"] == "tiny"
    assert "36 examples to train on and 4 held out" in card
    assert any("tokens/s" in line and "left" in line for line in lines)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(settings.model), folder)
    changed = [p.abs().max() for name, p in model.named_parameters() if "lora_B" in name]
    assert len(changed) == 14
    assert min(changed) > 0
    assert not (settings.data / "training").exists() or not list((settings.data / "training").iterdir())


def test_an_adapter_that_answers_in_taught_replies_brings_them(settings: Settings) -> None:
    path = settings.adapters / "mine" / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "epochs": 0.1, "taught_replies": True}), encoding="utf-8")
    lines: list[str] = []
    folder = train("mine", settings, lines.append)
    assert len(json.loads((folder / REPLIES_FILE).read_text(encoding="utf-8"))["replies"]) == 40
    assert "calibrate_replies mine" in lines[-1]


def test_training_can_freeze_layers_and_start_from_another_adapter(settings: Settings) -> None:
    first = settings.adapters / "mine"
    change = {**RECIPE, "frozen_layers": 1}
    (first / "recipe.yaml").write_text(yaml.safe_dump(change), encoding="utf-8")
    train("mine", settings, quietly)
    learned = load_file(first / "adapter_model.safetensors")
    assert len(learned) == 14
    assert all(".layers.1." in name for name in learned)
    reached = [
        row["held_out_loss"]
        for row in json.loads((first / "loss.json").read_text())["losses"][-2:]
        if "held_out_loss" in row
    ][-1]
    second = settings.adapters / "second"
    shutil.copytree(first / "data", second / "data")
    (second / "recipe.yaml").write_text(yaml.safe_dump({**change, "start": "mine", "epochs": 0.2}), encoding="utf-8")
    lines: list[str] = []
    train("second", settings, lines.append)
    assert "Starting from the adapter 'mine' ..." in lines
    begun = json.loads((second / "loss.json").read_text())["losses"][0]
    assert begun["step"] == 0
    assert begun["held_out_loss"] == pytest.approx(reached, rel=0.05)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"start": "nobody"}, "to start from; train 'nobody' first"), ({"start": "mine", "rank": 8}, "another shape")],
)
def test_a_start_that_does_not_fit_is_refused(settings: Settings, change: dict[str, object], reason: str) -> None:
    train("mine", settings, quietly)
    second = settings.adapters / "second"
    shutil.copytree(settings.adapters / "mine" / "data", second / "data")
    (second / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, **change}), encoding="utf-8")
    with pytest.raises(AdapterError, match=reason):
        train("second", settings, quietly)


def test_bad_data_stops_before_anything_is_written(settings: Settings) -> None:
    folder = settings.adapters / "mine"
    (folder / "data" / "more.jsonl").write_text('{"messages": []}\n', encoding="utf-8")
    before = sorted(settings.adapters.rglob("*"))
    with pytest.raises(TrainingDataError, match=r"data/more.jsonl:1: 'messages' is not a list"):
        train("mine", settings, quietly)
    assert sorted(settings.adapters.rglob("*")) == before
    assert not settings.data.exists()


def test_a_recipe_for_another_base_is_refused(settings: Settings) -> None:
    path = settings.adapters / "mine" / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "base": "someone/else"}), encoding="utf-8")
    with pytest.raises(AdapterError, match="is for someone/else, but the model in use is tiny"):
        train("mine", settings, quietly)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rank": 0}, "rank is 0; it must be a number from 1 to 256"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"lr": 1}, "has no meaning for lr"),
        ({"data": []}, "names no data"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, **change}), encoding="utf-8")
    with pytest.raises(TrainingDataError) as raised:
        read_recipe(tmp_path)
    assert reason in str(raised.value)


def test_a_missing_recipe_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"data: \[data/\*\.jsonl\]"):
        read_recipe(tmp_path)


def test_training_goes_on_after_a_kill(settings: Settings) -> None:
    """Kill -9 in the middle, with a checkpoint cut off as well; the second run ends where one run would."""
    path = settings.adapters / "mine" / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "epochs": 60, "learning_rate": 0.002}), encoding="utf-8")
    program = (
        "import sys; from switchboard.settings import Settings; from switchboard.progress import quietly\n"
        "from switchboard.training import train, watch; watch.SECONDS_BETWEEN_CHECKPOINTS = 0.2\n"
        "train.train('mine', Settings.from_environment(), quietly)"
    )
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT / "src"),
        "SWITCHBOARD_MODEL": settings.model,
        "SWITCHBOARD_QUANTIZATION": "none",
        "SWITCHBOARD_ADAPTERS": str(settings.adapters),
        "SWITCHBOARD_DATA": str(settings.data),
    }
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not list((settings.data / "training").glob("*/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.wait()
    (work,) = (settings.data / "training").iterdir()
    (work / "checkpoint-999999").mkdir()
    assert not (settings.adapters / "mine" / "adapter_config.json").exists()
    found = last_checkpoint(work)
    assert found is not None
    assert found.name != "checkpoint-999999"

    lines: list[str] = []
    folder = train("mine", settings, lines.append)
    assert f"Going on from {found.name} ..." in lines
    losses = json.loads((folder / "loss.json").read_text())["losses"]
    steps = [row["step"] for row in losses if "loss" in row]
    assert steps == sorted(set(steps))
    assert steps[0] <= int(found.name.split("-")[1]) < steps[-1]
    resumed = load_file(folder / "adapter_model.safetensors")
    train("mine", replace(settings, data=settings.data / "again"), quietly)
    for name, straight in load_file(folder / "adapter_model.safetensors").items():
        torch.testing.assert_close(resumed[name], straight, atol=0.02, rtol=0.02)
