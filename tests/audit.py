"""Look the pinned versions up among known vulnerabilities: `make audit`, or `python tests/audit.py`.

pip-audit says that it found nothing, and exits with 0, also where it could look nothing up. So its answers are counted.
The last line says what came of it, and so does the exit code: 0 for nothing found, 1 for vulnerabilities, 2 where some
packages could not be looked up, 3 where none could.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PINS = Path(__file__).resolve().parents[1] / "constraints.txt"
COMMAND = (sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off")


def audited(pins: Path) -> list[dict[str, Any]] | None:
    """What pip-audit says of each pin; None where it could not ask."""
    done = subprocess.run([*COMMAND, "--format", "json", "-r", str(pins)], capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        print((done.stderr.strip().splitlines() or ["pip-audit said nothing."])[-1])
        return None
    return found


def verdict(found: Sequence[Mapping[str, Any]] | None) -> tuple[int, str]:
    """The exit code, and the lines that say why."""
    packages = found or []
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    if len(skipped) == len(packages):
        return 3, "audit: nothing was checked, as the database of vulnerabilities cannot be reached from here."
    lines = [
        f"{one['name']} {one['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'none yet'}"
        for one in packages
        for known in one.get("vulns", ())
    ]
    checked = f"{len(packages) - len(skipped)} of {len(packages)} packages checked"
    if lines:
        return 1, "\n".join([*lines, f"audit: {len(lines)} known vulnerabilities, {checked}."])
    if skipped:
        return 2, f"Not found: {', '.join(skipped)}\naudit: no known vulnerabilities, but only {checked}."
    return 0, f"audit: no known vulnerabilities, {checked}."


if __name__ == "__main__":
    code, said = verdict(audited(PINS))
    print(said)
    sys.exit(code)
