"""Load on the real app: it runs in a process of its own, and visitors.py in another, by Locust.

make load                       # thirty-two visitors for ten minutes
make load FOR=120 VISITORS=8    # a short run

Writes docs/load.json and docs/load.png and ends with one line of figures. Exits with 1 where a reply was mixed up or
lost, or a refusal was not a sentence. Keep the machine quiet meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 300
_SAMPLE_SECONDS = 5.0
_SHOWN_SECONDS = 30.0
_AT_ONCE = 200
"""So many questions at once are more than the 16 that are answered and the 64 that wait."""
_BUSY = "Too many people are asking just now."
_TURNS = ("fine-tuned", "rag", "combined")


def main() -> None:
    """Run the load and say what came of it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--locust", type=Path, required=True, help="the load tool's program")
    options.add_argument("--seconds", type=int, default=600)
    options.add_argument("--visitors", type=int, default=32)
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "load.json")
    chosen = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The load run was ended."))
    with tempfile.TemporaryDirectory() as folder:
        with app(Path(folder)) as (url, process):
            memory = Samples(process)
            records = visitors(chosen.locust, url, chosen.visitors, chosen.seconds, Path(folder))
            samples = memory.stop()
            past = asyncio.run(past_the_limit(url))
            numbers = httpx.get(f"{url}/metrics").text
        log = (Path(folder) / "app.log").read_text(encoding="utf-8", errors="replace")
    found = summary(records, samples, past, chosen.visitors, chosen.seconds)
    found["tracebacks"] = log.count("Traceback")
    found["server_failures"] = sum(
        float(line.split()[-1]) for line in numbers.splitlines() if "turns_total{" in line and '"failed"' in line
    )
    chosen.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(records, samples, chosen.out.with_suffix(".png"))
    if found["tracebacks"]:
        print(log[-5000:])
    print(line(found))
    sys.exit(bool(found["mixed"] or found["lost"] or past["other"] or found["tracebacks"]))


@contextmanager
def app(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The app, ready, without limits by address: all visitors here have the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lifted = {"SWITCHBOARD_TURNS_PER_MINUTE": "0", "SWITCHBOARD_DOCUMENTS_PER_MINUTE": "0", "PORT": str(port)}
    with (folder / "app.log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")], env={**os.environ, **lifted}, stdout=log, stderr=subprocess.STDOUT
        )
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _START_SECONDS
        try:
            while not _ready(url):
                if running.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"The app did not start: {(folder / 'app.log').read_text()}")
                time.sleep(0.5)
            yield url, psutil.Process(running.pid)
        finally:
            running.terminate()
            running.wait(30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


class Samples:
    """The app's memory, threads and open files, every few seconds."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._taken: list[dict[str, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def stop(self) -> list[dict[str, float]]:
        self._over.set()
        self._thread.join()
        return self._taken

    def _take(self) -> None:
        shown = 0.0
        while True:
            with self._process.oneshot():
                sample = {
                    "at": time.time(),
                    "mb": self._process.memory_info().rss / 1e6,
                    "threads": float(self._process.num_threads()),
                    "files": float(self._process.num_fds()),
                }
            self._taken.append(sample)
            if sample["at"] - shown >= _SHOWN_SECONDS:
                shown = sample["at"]
                seconds = shown - self._taken[0]["at"]
                print(
                    f"{seconds:5.0f} s {sample['mb']:6.0f} MB {sample['threads']:4.0f} threads "
                    f"{sample['files']:4.0f} files"
                )
            if self._over.wait(_SAMPLE_SECONDS):
                return


def visitors(locust: Path, url: str, number: int, seconds: int, folder: Path) -> list[dict[str, Any]]:
    """Have so many visitors ask for so long; what became of each turn, in order."""
    file = folder / "records.jsonl"
    subprocess.run(
        [
            *(str(locust), "-f", str(Path(__file__).with_name("visitors.py")), "--headless", "--only-summary"),
            *("--host", url, "--users", str(number), "--spawn-rate", "2", "--run-time", f"{seconds}s"),
            *("--stop-timeout", "60", "--exit-code-on-error", "0", "--loglevel", "WARNING"),
        ],
        env={**os.environ, "LOAD_RECORDS": str(file)},
        check=True,
    )
    return [json.loads(one) for one in file.read_text(encoding="utf-8").splitlines()]


async def past_the_limit(url: str) -> dict[str, int]:
    """Ask far more at once than there is room for: what is answered, refused in a sentence, and anything else."""
    async with httpx.AsyncClient(timeout=180, limits=httpx.Limits(max_connections=None)) as client:

        async def one(number: int) -> str:
            asked = {"data": ["How much is Fibre 500 a month?", "rag", None, 3, 0, 256]}
            joined = await client.post(f"{url}/gradio_api/call/chat", json=asked)
            if joined.status_code == 503 and joined.json()["detail"].startswith(_BUSY):
                return "refused"
            if joined.status_code != 200:
                return "other"
            said = (await client.get(f"{url}/gradio_api/call/chat/{joined.json()['event_id']}")).text
            return "answered" if "event: complete" in said and "36" in said else "other"

        counted = Counter(await asyncio.gather(*map(one, range(_AT_ONCE))))
    return {kind: counted[kind] for kind in ("answered", "refused", "other")}


def summary(
    records: Sequence[dict[str, Any]],
    samples: Sequence[dict[str, float]],
    past: dict[str, int],
    number: int,
    seconds: int,
) -> dict[str, Any]:
    """The figures of a run."""
    turns = [one for one in records if one["kind"] in _TURNS or one["kind"].startswith("api ")]
    outcomes = Counter(one["outcome"] for one in turns)
    whole = [one["whole"] for one in turns if one["outcome"] in ("right", "other")]
    first = [one["first"] for one in turns if one["first"]]
    first_at, last_at = samples[0]["at"], samples[-1]["at"]
    settled = [one for one in samples if one["at"] > first_at + (last_at - first_at) / 3]
    growth, error = fitted([one["at"] / 3600 for one in settled], [one["mb"] for one in settled])
    by_mode = {}
    for kind in sorted({one["kind"] for one in turns}):
        took = [one["whole"] for one in turns if one["kind"] == kind and one["outcome"] in ("right", "other")]
        by_mode[kind] = {"turns": len(took), "seconds": _percentiles(took)}
    return {
        "visitors": number,
        "seconds": seconds,
        "turns": len(turns),
        "turns_per_second": round(len(turns) / seconds, 2),
        "documents": sum(one["kind"] == "document" for one in records),
        "left": sum(one["kind"] == "left" for one in records),
        **{kind: outcomes[kind] for kind in ("right", "other", "mixed", "lost", "error", "refused")},
        "troubles": Counter(f"{one['kind']}: {one['words']}" for one in records if one["words"]).most_common(20),
        "first_frame_seconds": _percentiles(first),
        "whole_seconds": _percentiles(whole),
        "by_mode": by_mode,
        "past_the_limit": past,
        "memory_mb": {
            "start": round(samples[0]["mb"]),
            "end": round(samples[-1]["mb"]),
            "most": round(max(one["mb"] for one in samples)),
            "growth_an_hour": None if math.isnan(growth) else round(growth),
            "growth_error": None if math.isnan(error) else round(error),
            "fitted_seconds": round(settled[-1]["at"] - settled[0]["at"]),
        },
        "threads_most": round(max(one["threads"] for one in samples)),
        "files_most": round(max(one["files"] for one in samples)),
        "every_30_seconds": [
            {
                "seconds": round(one["at"] - first_at),
                "mb": round(one["mb"]),
                "threads": one["threads"],
                "files": one["files"],
            }
            for one in samples[:: round(_SHOWN_SECONDS / _SAMPLE_SECONDS)]
        ],
    }


def fitted(hours: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The slope of a straight line through the values, and its standard error."""
    if len(hours) < 4:
        return float("nan"), float("nan")
    (slope, _), covariance = np.polyfit(np.array(hours) - hours[0], values, 1, cov=True)
    return float(slope), float(covariance[0, 0] ** 0.5)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {f"p{share}": round(float(np.percentile(values, share)), 2) for share in (50, 90, 99)}


def draw(records: Sequence[dict[str, Any]], samples: Sequence[dict[str, float]], file: Path) -> None:
    """Memory and latency over time, as a picture."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    began = samples[0]["at"]
    for kind, colour in zip(_TURNS, ("#8a4700", "#0a6460", "#5940a8"), strict=True):
        some = [one for one in records if one["kind"] == kind and one["outcome"] in ("right", "other")]
        at = [(one["at"] - began) / 60 for one in some]
        upper.scatter(at, [one["whole"] for one in some], s=6, alpha=0.6, color=colour, label=kind)
    upper.set(ylabel="Whole answer, seconds", ylim=(0, None))
    if upper.get_legend_handles_labels()[0]:
        upper.legend(frameon=False, ncols=3)
    lower.plot([(one["at"] - began) / 60 for one in samples], [one["mb"] for one in samples], color="#0a6460")
    lower.set(ylabel="Memory of the process, MB", xlabel="Minutes", ylim=(0, None))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dedbd3", linewidth=0.6)
    figure.savefig(file, dpi=120)


def line(found: dict[str, Any]) -> str:
    """A run in one line."""
    first, whole, memory, past = (
        found[name] for name in ("first_frame_seconds", "whole_seconds", "memory_mb", "past_the_limit")
    )
    grew = memory["growth_an_hour"]
    grows = "too short to see growth" if grew is None else f"{grew:+} ± {memory['growth_error']} MB an hour"
    return (
        f"load: {found['visitors']} visitors, {found['seconds']} s, "
        f"{found['turns']} turns ({found['turns_per_second']}/s), {found['mixed']} mixed, {found['lost']} lost, "
        f"{found['error'] + found['refused']} refused or failed, first frame {first.get('p50')}/{first.get('p99')} s "
        f"and whole {whole.get('p50')}/{whole.get('p99')} s (median/p99), {memory['start']} to {memory['end']} MB, "
        f"{grows}, at most {found['threads_most']} threads "
        f"and {found['files_most']} files; of {sum(past.values())} at once {past['answered']} answered, "
        f"{past['refused']} told to wait, {past['other']} otherwise."
    )


if __name__ == "__main__":
    main()
