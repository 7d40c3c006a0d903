"""What several test modules share."""

from __future__ import annotations

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
