"""Settings: defaults, ranges, and errors that name the variable and the way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from switchboard.errors import SettingsError
from switchboard.modes import MODES, mode_named
from switchboard.settings import ROOT, Settings
from switchboard.types import LIMITS, GenerationSettings


def test_nothing_needs_to_be_configured() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert settings.knowledge == ROOT / "knowledge"
    assert (settings.host, settings.port) == ("127.0.0.1", 7860)


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "SWITCHBOARD_MODEL": "some/model",
            "SWITCHBOARD_QUANTIZATION": "int8",
            "SWITCHBOARD_EMBEDDER": "some/embedder",
            "SWITCHBOARD_ADAPTERS": str(tmp_path / "a"),
            "SWITCHBOARD_KNOWLEDGE": str(tmp_path / "k"),
            "SWITCHBOARD_DATA": str(tmp_path / "d"),
            "SWITCHBOARD_REPORT": str(tmp_path / "r.json"),
            "SWITCHBOARD_COMPANY": "Acme",
            "SWITCHBOARD_THRESHOLD": "0.5",
            "SWITCHBOARD_ANSWERS": "free",
            "SWITCHBOARD_DATABASE_URL": "postgresql://u:secret@h/n",
            "SWITCHBOARD_ADMIN_PASSWORD": "secret",
            "SWITCHBOARD_GENERATOR_URL": "https://models.example:8000/v1/",
            "SWITCHBOARD_GENERATOR_KEY": "sk-secret",
            "SWITCHBOARD_GENERATOR_MODEL": "big",
            "SWITCHBOARD_GENERATOR_MODES": "combined, rag",
            "SWITCHBOARD_CHROMA_URL": "http://chroma:8000",
            "SWITCHBOARD_TURNS_PER_MINUTE": "7",
            "SWITCHBOARD_DOCUMENTS_PER_MINUTE": "0",
            "SWITCHBOARD_PROXIES": "10.0.0.0/8, 192.168.1.7",
            "SWITCHBOARD_METRICS": "public",
            "HOST": "0.0.0.0",
            "PORT": "8000",
        }
    )
    assert settings == Settings(
        "some/model",
        "int8",
        "some/embedder",
        tmp_path / "a",
        tmp_path / "k",
        tmp_path / "d",
        tmp_path / "r.json",
        "Acme",
        0.5,
        False,
        "0.0.0.0",
        8000,
        "postgresql://u:secret@h/n",
        "secret",
        "https://models.example:8000/v1",
        "sk-secret",
        "big",
        ("rag", "combined"),
        "http://chroma:8000",
        turns_per_minute=7,
        documents_per_minute=0,
        proxies=("10.0.0.0/8", "192.168.1.7"),
        public_metrics=True,
    )
    assert "secret" not in repr(settings)


def test_a_space_listens_to_the_outside() -> None:
    assert Settings.from_environment({"SPACE_ID": "me/space"}).host == "0.0.0.0"


def test_a_space_believes_its_proxy_and_a_laptop_believes_nobody() -> None:
    assert "10.0.0.0/8" in Settings.from_environment({"SPACE_ID": "me/space"}).proxies
    assert Settings.from_environment({}).proxies == ()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("SWITCHBOARD_QUANTIZATION", "fp4", "nf4, int8, none"),
        ("SWITCHBOARD_THRESHOLD", "2", "from -1 to 1"),
        ("PORT", "seven", "from 1 to 65535"),
        ("SWITCHBOARD_GENERATOR_URL", "127.0.0.1:8000", "such as http://"),
        ("SWITCHBOARD_GENERATOR_MODES", "magic", "base, fine-tuned, rag, combined"),
        ("SWITCHBOARD_CHROMA_URL", "http://host:port", "such as http://"),
        ("SWITCHBOARD_TURNS_PER_MINUTE", "-1", "from 0 to"),
        ("SWITCHBOARD_DOCUMENTS_PER_MINUTE", "many", "from 0 to"),
        ("SWITCHBOARD_PROXIES", "*", "such as 10.0.0.0/8"),
        ("SWITCHBOARD_PROXIES", "10.0.0.1/8", "such as 10.0.0.0/8"),
        ("SWITCHBOARD_METRICS", "everybody", "must be local or public"),
    ],
)
def test_a_wrong_value_is_refused_with_the_rule(name: str, value: str, rule: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}.*{re.escape(value)}.*{rule}"):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SWITCHBOARD_GENERATOR_KEY", "sk-secret\nsecond"),
        ("SWITCHBOARD_GENERATOR_URL", "http://me:sk-secret@host/v1"),
        ("SWITCHBOARD_CHROMA_URL", "http://host?key=sk-secret"),
    ],
)
def test_a_refused_secret_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        Settings.from_environment({name: value})
    assert "sk-secret" not in str(refused.value)


@pytest.mark.parametrize("name", LIMITS)
def test_generation_settings_hold_their_limits(name: str) -> None:
    low, high = LIMITS[name]
    GenerationSettings(**{name: type(getattr(GenerationSettings(), name))(low)})
    with pytest.raises(SettingsError, match=f"{name} is .* from {low:g} to {high:g}"):
        GenerationSettings(**{name: high + 1})  # type: ignore[arg-type]


def test_the_table_of_modes_is_the_designs() -> None:
    assert {m.name: (m.adapter, m.searches, m.in_chat) for m in MODES.values()} == {
        "base": (None, False, False),
        "fine-tuned": ("customer-service", False, True),
        "rag": ("reader", True, True),
        "combined": ("customer-service", True, True),
    }
    assert mode_named("rag") is MODES["rag"]


def test_answers_are_quoted_or_free() -> None:
    with pytest.raises(SettingsError, match=r"SWITCHBOARD_ANSWERS is 'loud'; it must be quoted or free"):
        Settings.from_environment({"SWITCHBOARD_ANSWERS": "loud"})
