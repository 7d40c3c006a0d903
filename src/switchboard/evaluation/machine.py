"""What a measurement was made on, and how much memory it took."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "sentence-transformers", "chromadb", "gradio")


def machine() -> dict[str, str]:
    """Processor, cores, memory, system and the versions that matter, in words."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def peak_mib() -> float:
    """The most memory this process has held, in MiB."""
    # Not from getrusage: Linux counts there what the parent held when this process was started.
    found = _status("VmHWM:")
    if found is None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (2**20 if sys.platform == "darwin" else 2**10)
    return found


def resident_mib() -> float:
    """The memory that this process holds now, in MiB; the most it has held where the system does not say."""
    return _status("VmRSS:") or peak_mib()


def _status(name: str) -> float | None:
    """A figure of Linux's about this process, in MiB; None on other systems."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
