"""What is timed: our decoder, transformers' own, and peers in processes of their own. All get the same token ids."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from switchboard.compute import compute
from switchboard.errors import SettingsError
from switchboard.generation.adapters import Adapters, wearing
from switchboard.generation.fast.llama import FastLlama

_SCRIPT = Path(__file__).with_name("llamacpp.py")


@dataclass(frozen=True)
class Timing:
    """Seconds to the first token, and to the last."""

    first: float
    total: float


class Engine(Protocol):
    """Something that reads token ids and writes as many greedily as it is asked for."""

    def turn(self, ids: Sequence[int], out: int, adapter: str | None, fresh: bool) -> Timing:
        """Read `ids` and write `out` tokens, whatever they are; `fresh` forgets what was read before."""
        ...


class Ours:
    """The fast decoder, keeping what it read of the prompt's beginning."""

    def __init__(self, model: FastLlama) -> None:
        self._model = model
        self._read: list[int] = []
        self._cache = model.new_cache()

    def turn(self, ids: Sequence[int], out: int, adapter: str | None, fresh: bool) -> Timing:
        return compute(self._turn, list(ids), out, adapter, fresh)

    @torch.inference_mode()
    def _turn(self, ids: list[int], out: int, adapter: str | None, fresh: bool) -> Timing:
        began = time.perf_counter()
        same = 0
        if not fresh:
            same = next((n for n, (a, b) in enumerate(zip(self._read, ids, strict=False)) if a != b), len(self._read))
        same = min(same, len(ids) - 1)
        if same:
            self._cache.length = same
        else:
            self._cache = self._model.new_cache()
        with wearing(self._model, adapter):
            logits = self._model(torch.tensor([ids[same:]]), self._cache, logits_to_keep=1).logits
            token = int(logits[0, -1].argmax())
            first = time.perf_counter() - began
            for _ in range(out - 1):
                logits = self._model(torch.tensor([[token]]), self._cache, logits_to_keep=1, likeliest=True).logits
                token = int(logits[0, -1].argmax())
        self._read = ids
        return Timing(first, time.perf_counter() - began)


class Transformers:
    """The stock stack: `generate` of transformers over the same quantized weights with PEFT's adapters."""

    def __init__(self, adapters: Adapters) -> None:
        self._model = adapters.model

    def turn(self, ids: Sequence[int], out: int, adapter: str | None, fresh: bool) -> Timing:  # noqa: ARG002
        return compute(self._turn, list(ids), out, adapter)

    @torch.inference_mode()
    def _turn(self, ids: list[int], out: int, adapter: str | None) -> Timing:
        with wearing(self._model, adapter):
            return self._generate(ids, out)

    def _generate(self, ids: list[int], out: int) -> Timing:
        began = time.perf_counter()
        firsts: list[float] = []

        class Watch:
            """A streamer that is given the prompt, then each token."""

            def put(self, _value: Any) -> None:
                firsts.append(time.perf_counter() - began)

            def end(self) -> None: ...

        given = torch.tensor([ids])
        self._model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            past_key_values=DynamicCache(config=self._model.config),
            max_new_tokens=out,
            min_new_tokens=out,
            do_sample=False,
            streamer=Watch(),
        )
        return Timing(firsts[1], time.perf_counter() - began)


class LlamaCpp:
    """llama.cpp with one model file, in another process; a context manager. It knows no adapter of ours."""

    def __init__(self, python: Path, model: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), str(_SCRIPT), "serve", str(model), str(torch.get_num_threads())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version = str(self._answer()["ready"])

    def turn(self, ids: Sequence[int], out: int, adapter: str | None, fresh: bool) -> Timing:  # noqa: ARG002
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"ids": list(ids), "out": out, "fresh": fresh}) + "\n")
        self._process.stdin.flush()
        said = self._answer()
        return Timing(said["first"], said["total"])

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SettingsError("llama.cpp ended without an answer. Make its environment again with `make bench`.")
        found: dict[str, Any] = json.loads(line)
        return found


def variants(python: Path, source: Path, folder: Path, kinds: Sequence[str]) -> dict[str, Path]:
    """The model in each of llama.cpp's quantizations, made from `source` where they are not in `folder` yet."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"q4_1": source}
    for kind in kinds:
        target = folder / f"{source.stem.rsplit('.', 1)[0]}.{kind}.gguf"
        if not target.is_file():
            made = target.with_suffix(".part")
            subprocess.run([str(python), str(_SCRIPT), "quantize", str(source), str(made), kind], check=True)
            made.rename(target)
        found[kind] = target
    return found
