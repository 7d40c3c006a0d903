"""Adapters for the tiny random Llama of conftest.py, and asking it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

from switchboard.lora_files import CONFIG
from switchboard.settings import Settings
from switchboard.types import GenerationSettings, Message

if TYPE_CHECKING:
    from switchboard.generation.local import LocalGenerator

SHORT = GenerationSettings(max_tokens=16)
SHAPE: Any = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
"""Of all tiny models."""


def make_adapter(
    settings: Settings, name: str, seed: int, base: str = "tiny-chat", rank: int = 4, targets: Any = "all-linear"
) -> Path:
    """Write a random adapter that visibly changes the tiny model."""
    torch.manual_seed(seed)
    full = LlamaForCausalLM.from_pretrained(settings.model, dtype=torch.bfloat16)
    config = LoraConfig(r=rank, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
    folder = settings.adapters / name
    get_peft_model(full, config).save_pretrained(folder)
    written = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**written, "base_model_name_or_path": base}))
    return folder


def conversation(*texts: str) -> list[Message]:
    turns = [Message("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]
    return [Message("system", "You are helpful."), *turns]


def say(generator: LocalGenerator, messages: list[Message], adapter: str | None = None, **turned: Any) -> str:
    return "".join(t.text for t in generator.stream(messages, replace(SHORT, **turned), adapter))
