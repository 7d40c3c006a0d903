"""Train an adapter from its recipe, over the very base that serves it.

    python -m switchboard train customer-service

On CPU the base's quantized weights are expanded to float32 first: the same numbers, but matrix products there are
about twice as fast as in bfloat16, and the first evaluation cannot repack what training still reads. On CUDA the
quantized weights are used as they are (QLoRA). Killed or stopped with Ctrl-C, the same command goes on from the
last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from switchboard.errors import AdapterError, TrainingDataError, first_line
from switchboard.files import sha256_of
from switchboard.generation.model import LoadedModel, load_model, same_base
from switchboard.lora_files import WEIGHTS
from switchboard.progress import Report
from switchboard.settings import Settings
from switchboard.training import attention
from switchboard.training.card import Result, write_results
from switchboard.training.data import Example, split, tokenize
from switchboard.training.frozen import FrozenLayers
from switchboard.training.packing import Pack, pack, tensors
from switchboard.training.recipe import Recipe, read_recipe
from switchboard.training.sources import gather
from switchboard.training.taught_replies import write_replies
from switchboard.training.watch import Checkpoints, Clock, stop_on_interrupt

EVALUATIONS = 8
"""How often in a run the held-out loss is measured, besides before the first step."""
_LOGS = 100


@dataclass(frozen=True)
class Plan:
    """What will be trained on, and how long it is."""

    name: str
    recipe: Recipe
    training: list[Pack]
    held_out: list[Pack]
    counts: dict[str, int]
    digest: str


class _Packs(Dataset[dict[str, Any]]):
    def __init__(self, packs: list[Pack], frozen: FrozenLayers | None) -> None:
        self.packs = packs
        self.frozen = frozen

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        inputs = tensors(self.packs[index])
        if self.frozen:
            inputs["inputs_embeds"] = self.frozen.states(id(self.packs[index]), inputs)
            del inputs["input_ids"]
        return inputs


class _PackTrainer(Trainer):  # type: ignore[misc]
    """The Hugging Face trainer on packs, computing logits for the answers' tokens alone.

    TRL's SFTTrainer would do the rest, but its collators know no examples that share a beginning, and the logits
    of every other token cost a fifth of the time here.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_more: Any
    ) -> Any:
        labels = inputs.pop("labels")
        logits = model(**inputs | {"logits_to_keep": inputs["predict"]}).logits
        loss = torch.nn.functional.cross_entropy(logits[0].float(), labels[0])
        return (loss, {"logits": logits}) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, *_more: Any, **_named: Any) -> Any:
        with torch.no_grad():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None


def train(name: str, settings: Settings, report: Report) -> Path:
    """Train the adapter `name` and put its weights, card and loss curve in its folder; returns the folder.

    Raises TrainingDataError before anything is written when recipe or data are at fault, AdapterError when the
    recipe is for another base, and KeyboardInterrupt, after a checkpoint, when stopped.
    """
    folder = settings.adapters / name
    recipe = read_recipe(folder)
    records = gather(folder, recipe, settings, report)
    base = load_model(settings, report)
    if recipe.base and not same_base(recipe.base, base.identity):
        raise AdapterError(
            f"The recipe of '{name}' is for {recipe.base}, but the model in use is {base.identity}. Change `base` in "
            "the recipe or SWITCHBOARD_MODEL."
        )
    examples = tokenize(records, base.tokenizer, settings.company, recipe.max_length)
    start = settings.adapters / recipe.start / WEIGHTS if recipe.start else None
    plan = make_plan(name, recipe, examples, base.fingerprint + (_revision(start) if start else ""))
    report(base.describe())
    report(", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in plan.counts.items()))
    work = settings.data / "training" / f"{name}-{plan.digest}"
    model = adapted(base, recipe, report)
    if start:
        report(f"Starting from the adapter '{recipe.start}' ...")
        start_from(model, start)
    frozen = FrozenLayers(base.model.get_decoder(), recipe.frozen_layers) if recipe.frozen_layers else None
    clock = Clock(report, work / "log.jsonl", plan.counts["tokens_an_epoch"] / len(plan.training) * recipe.batch)
    with stop_on_interrupt() as stop:
        trainer = _trainer(model, plan, work, base, frozen, [clock, Checkpoints(stop)])
        last = last_checkpoint(work)
        if last:
            report(f"Going on from {last.name} ...")
        else:
            report(f"Held-out loss before training: {_held_out_loss(trainer, clock):.3f}")
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        if stop.is_set():
            report("Stopped after a checkpoint; the same command goes on from there.")
            raise KeyboardInterrupt
    _save(model, base, work / "made")
    if recipe.taught_replies:
        write_replies(records, work / "made", folder)
    write_results(Result(plan.name, recipe, plan.counts, base, clock.rows), work / "made", folder)
    shutil.rmtree(work)
    report(f"The adapter '{name}' is in {folder}.")
    if recipe.taught_replies:
        report(f"Now `python -m switchboard.training.calibrate_replies {name} QUESTIONS` sets when it declines.")
    return folder


def make_plan(name: str, recipe: Recipe, examples: list[Example], fingerprint: str) -> Plan:
    """Split and pack the examples. Raises TrainingDataError when there is nothing to train on."""
    training, held_out = split(examples, recipe.held_out, recipe.seed)
    if not training:
        raise TrainingDataError(f"The recipe of '{name}' comes to no example; give it some in `data`.")
    packs = pack(training, recipe.pack_tokens, recipe.seed)
    held_packs = pack(held_out, recipe.pack_tokens, recipe.seed)
    counts = {
        "examples": len(training),
        "held_out_examples": len(held_out),
        "packs": len(packs),
        "tokens_an_epoch": sum(p.length for p in packs),
        "answer_tokens_an_epoch": sum(p.answer_tokens for p in packs),
        "tokens_unpacked": sum(len(e.tokens) for e in training),
    }
    digest = hashlib.sha256(repr((asdict(recipe), fingerprint, examples)).encode()).hexdigest()[:12]
    return Plan(name, recipe, packs, held_packs, counts, digest)


def adapted(base: LoadedModel, recipe: Recipe, report: Report) -> Any:
    """The base with a fresh adapter of the recipe on it, in training mode."""
    model = base.model.train()
    if base.device == "cpu":
        if base.quantization != "none" and base.dtype != "float32":
            report("Expanding the quantized weights for training ...")
            model = model.dequantize()
        model = model.float()
    torch.manual_seed(recipe.seed)
    targets = recipe.targets if isinstance(recipe.targets, str) else list(recipe.targets)
    frozen = "|".join(map(str, range(recipe.frozen_layers)))
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=targets,
        exclude_modules=rf".*\.layers\.({frozen})\..*" if frozen else None,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    model.set_attn_implementation(attention.NAME)
    with_adapter = get_peft_model(model, config)
    for module in with_adapter.modules():
        if isinstance(module, LoraLayer):  # autocast does it, without a copy in float32
            module.cast_input_dtype_enabled = False
    return with_adapter


def start_from(model: Any, weights: Path) -> None:
    """Give a fresh adapter the weights of another one. Raises AdapterError unless every tensor fits."""
    try:
        outcome = set_peft_model_state_dict(model, load_file(weights), adapter_name="default")
    except RuntimeError as error:
        raise AdapterError(f"{weights} is of another shape than the recipe's: {first_line(error)}.") from error
    if outcome.unexpected_keys or any("lora_" in key for key in outcome.missing_keys):
        raise AdapterError(f"{weights} does not have the layers of the recipe; give both the same targets and layers.")


def _revision(weights: Path) -> str:
    if not weights.is_file():
        raise AdapterError(f"There is no {weights} to start from; train '{weights.parent.name}' first.")
    return sha256_of(weights)[:12]


def last_checkpoint(work: Path) -> Path | None:
    """The newest whole checkpoint; one that was cut off while being written is removed.

    The trainer writes trainer_state.json last, so a checkpoint that has a readable one is whole.
    """
    for path in sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
        else:
            return path
    return None


def _trainer(
    model: Any, plan: Plan, work: Path, base: LoadedModel, frozen: FrozenLayers | None, callbacks: list[Any]
) -> Any:
    recipe = plan.recipe
    steps = max(1, int(len(plan.training) / recipe.batch * recipe.epochs))
    on_cpu = base.device == "cpu"
    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=recipe.batch,
        max_steps=steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(recipe.warmup * steps),
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch",
        eval_strategy="steps" if plan.held_out else "no",
        eval_steps=max(1, steps // EVALUATIONS),
        logging_steps=max(1, steps // _LOGS),
        save_strategy="no",
        save_total_limit=1,
        seed=recipe.seed,
        use_cpu=on_cpu,
        bf16=not on_cpu and base.dtype == "bfloat16",
        fp16=not on_cpu and base.dtype == "float16",
        remove_unused_columns=False,
        prediction_loss_only=True,
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = _PackTrainer(
        model=model,
        args=arguments,
        train_dataset=_Packs(plan.training, frozen),
        eval_dataset=_Packs(plan.held_out, frozen) if plan.held_out else None,
        data_collator=lambda rows: rows[0],
        callbacks=callbacks,
    )
    trainer.model_accepts_loss_kwargs = False
    trainer.remove_callback(PrinterCallback)  # the clock says the same, in our words
    return trainer


def _held_out_loss(trainer: Any, clock: Clock) -> float:
    if trainer.eval_dataset is None:
        return float("nan")
    loss = float(trainer.evaluate()["eval_loss"])
    trainer.model.train()
    clock.keep({"step": 0, "held_out_loss": loss})
    return loss


def _save(model: Any, base: LoadedModel, target: Path) -> None:
    """Write weights in bfloat16, which halves the file, and the configuration that names the base."""
    shutil.rmtree(target, ignore_errors=True)
    model.peft_config["default"].base_model_name_or_path = base.identity
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    model.save_pretrained(target, safe_serialization=True, save_embedding_layers=False)
