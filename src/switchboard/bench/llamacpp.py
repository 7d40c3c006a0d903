"""A peer: llama.cpp, run in an environment of its own that has llama-cpp-python and nothing of ours.

    python llamacpp.py quantize FROM.gguf TO.gguf q4_0    makes another variant of a model
    python llamacpp.py serve MODEL.gguf THREADS           answers JSON lines: {"ids": [...], "out": 64, "fresh": true}

Each answer is {"first": seconds, "total": seconds}: to the first token, and to the last of `out`.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from typing import Any

import llama_cpp  # type: ignore[import-not-found]

TYPES = {
    "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}


def quantize(source: str, target: str, kind: str) -> None:
    """Write a model in another quantization."""
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize = TYPES[kind], True
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(options)):
        sys.exit(f"{source} could not be made {kind}.")


def serve(path: str, threads: int) -> None:
    """Answer what comes on standard input, one line each, until it ends."""
    model = llama_cpp.Llama(
        path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, flash_attn=True, logits_all=False, verbose=False
    )
    print(json.dumps({"ready": llama_cpp.__version__}), flush=True)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if asked["fresh"]:
            model.reset()
            model._ctx.kv_cache_clear()
        began = time.perf_counter()
        first = 0.0
        # It reuses what its cache has of the prompt's beginning.
        for number, _token in enumerate(model.generate(asked["ids"], temp=0.0, top_k=1), 1):
            first = first or time.perf_counter() - began
            if number == asked["out"]:
                break
        print(json.dumps({"first": first, "total": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "quantize":
        quantize(*sys.argv[2:5])
    else:
        serve(sys.argv[2], int(sys.argv[3]))
