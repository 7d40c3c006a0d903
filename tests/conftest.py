"""What several test modules share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fakes import EXIT, FIBRE
from switchboard.settings import Settings
from switchboard.types import Passage

if TYPE_CHECKING:
    from switchboard.generation.local import LocalGenerator


@pytest.fixture
def passages() -> list[Passage]:
    return [FIBRE, EXIT]


@pytest.fixture(scope="session")
def real_settings() -> Settings:
    """The shipped settings on this checkout's own data folder, so that the model is prepared only once."""
    return Settings()


@pytest.fixture(scope="session")
def real_generator(real_settings: Settings) -> LocalGenerator:
    """The real model with the real adapters."""
    from switchboard.build import load_generator  # noqa: PLC0415
    from switchboard.progress import to_stderr  # noqa: PLC0415

    generator, _ = load_generator(real_settings, to_stderr)
    return generator


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, real_settings: Settings) -> Path:
    """A random two-layer Llama with the shipped model's tokenizer, saved as a local folder would be."""
    import torch  # noqa: PLC0415
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    from switchboard.generation.model import PACKAGED_IDENTITY, load_model  # noqa: PLC0415
    from switchboard.progress import quietly  # noqa: PLC0415
    from tiny_model import SHAPE  # noqa: PLC0415

    load_model(real_settings, quietly)
    cached = real_settings.data / "models" / f"{PACKAGED_IDENTITY.replace('/', '--')}-nf4"
    folder = tmp_path_factory.mktemp("models") / "tiny-chat"
    torch.manual_seed(0)
    config = LlamaConfig(
        **SHAPE,
        vocab_size=49152,
        num_hidden_layers=2,
        eos_token_id=2,
        bos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(cached).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_settings(tiny: Path, tmp_path: Path) -> Settings:
    """The tiny model, with an adapters' folder of its own."""
    return Settings(model=str(tiny), data=tmp_path / "data", adapters=tmp_path / "adapters")
