"""The audit's verdict: that nothing was found is said only where something was looked up."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

import audit

GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}
SKIPPED = {"name": "unknown", "skip_reason": "Dependency not found on PyPI and could not be audited: unknown (1.0)"}


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ([GOOD, GOOD], 0, "no known vulnerabilities, 2 of 2 packages checked"),
        ([GOOD, BAD], 1, "bad 1.0: PYSEC-1, mended in 1.1\naudit: 1 known vulnerabilities, 2 of 2"),
        ([GOOD, SKIPPED], 2, "Not found: unknown\naudit: no known vulnerabilities, but only 1 of 2"),
        ([BAD, SKIPPED], 1, "1 of 2"),
        ([SKIPPED, SKIPPED], 3, "nothing was checked"),
        ([], 3, "nothing was checked"),
        (None, 3, "nothing was checked"),
    ],
)
def test_the_verdict(found: Any, code: int, words: str) -> None:
    got, said = audit.verdict(found)
    assert got == code
    assert words in said
    assert said.splitlines()[-1].startswith("audit: ")


@pytest.mark.parametrize("printed", ["", "Traceback", "[]", "{}"])
def test_an_audit_that_fails_is_no_audit(monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
    done = subprocess.CompletedProcess([], 1, printed, "requests.exceptions.ConnectionError: no route")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert audit.audited(Path("constraints.txt")) is None
