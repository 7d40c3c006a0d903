"""What watches a training run: how far it is, when to checkpoint, and how it is stopped."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from switchboard.progress import Report

SECONDS_BETWEEN_CHECKPOINTS = 60


class Clock(TrainerCallback):  # type: ignore[misc]
    """Says how far training is, and keeps the losses in a file, so that they outlive a kill."""

    def __init__(self, report: Report, path: Path, tokens_a_step: float) -> None:
        self.report = report
        self.path = path
        self.tokens_a_step = tokens_a_step
        self.rows: list[dict[str, float]] = []
        self.began, self.first = 0.0, 0

    def keep(self, row: dict[str, float]) -> None:
        """Add a row to the losses."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
        self.began, self.first = time.monotonic(), state.global_step
        if state.global_step and self.path.is_file():
            rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line.strip()]
            self.rows = [row for row in rows if row["step"] <= state.global_step]
            self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_more: Any) -> None:
        done = state.global_step - self.first
        if not logs or not done:
            return
        seconds = time.monotonic() - self.began
        if "eval_loss" in logs:
            self.keep({"step": state.global_step, "held_out_loss": logs["eval_loss"]})
            self.report(f"step {state.global_step}/{state.max_steps}: held-out loss {logs['eval_loss']:.3f}")
        elif "loss" in logs:
            speed = done * self.tokens_a_step / seconds
            self.keep({"step": state.global_step, "loss": logs["loss"], "tokens_per_second": round(speed, 1)})
            left = (state.max_steps - state.global_step) * seconds / done
            self.report(
                f"step {state.global_step}/{state.max_steps}: loss {logs['loss']:.3f}, {speed:.0f} tokens/s, "
                f"{left / 60:.0f} min left"
            )


class Checkpoints(TrainerCallback):  # type: ignore[misc]
    """A checkpoint every so many seconds, and one before stopping."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.last = time.monotonic()

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_more: Any) -> None:
        if self.stop.is_set():
            control.should_training_stop = True
        if self.stop.is_set() or time.monotonic() - self.last > SECONDS_BETWEEN_CHECKPOINTS:
            control.should_save = True
            self.last = time.monotonic()


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one interrupts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handler(_number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
