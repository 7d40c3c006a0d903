"""How much memory one mode takes in a process of its own: the model with its adapters, and what the mode searches.

    python -m switchboard.evaluation.memory rag knowledge

Prints the peak in MiB after a few questions; a mode without passages loads no embedder and no index.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from switchboard.build import build, load_generators
from switchboard.errors import SwitchboardError
from switchboard.evaluation.machine import peak_mib
from switchboard.modes import ABLATION, MODES, Mode
from switchboard.progress import quietly
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import Message, SearchResult

_QUESTIONS = (
    "How much is it a month, and what does it cost to set up?",
    "My payment did not go through. What happens now?",
    "What do I have to do when I move to another address?",
)


class _NothingLoaded:
    """Stands where a retriever would; the modes measured with it never search."""

    def search(self, query: str, k: int) -> SearchResult:
        raise NotImplementedError

    def small_talk(self, _message: str) -> str:
        return ""


def peak_of(mode: Mode, knowledge: Path) -> float | None:
    """The peak of a mode in MiB, in a new process; None where that failed."""
    command = [sys.executable, "-m", "switchboard.evaluation.memory", mode.name, str(knowledge)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return round(float(done.stdout))
    except ValueError:
        return None


def main() -> None:
    """Answer the questions in the mode that is named and print the peak."""
    mode = {**MODES, ABLATION.name: ABLATION}[sys.argv[1]]
    settings = replace(Settings.from_environment(), knowledge=Path(sys.argv[2]).resolve())
    if mode.searches:
        switchboard = build(settings, quietly).switchboard
    else:
        generator, elsewhere, _ = load_generators(settings, quietly)
        switchboard = Switchboard(generator, _NothingLoaded(), settings.company, settings.quoting, elsewhere)
    for question in _QUESTIONS:
        for _ in switchboard.answer([Message("user", question)], mode):
            pass
    print(peak_mib())


if __name__ == "__main__":
    try:
        main()
    except SwitchboardError as error:
        sys.exit(f"Error: {error}")
