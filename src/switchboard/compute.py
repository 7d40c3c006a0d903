"""The one thread in which the models compute.

OpenMP gives each thread that computes a team of its own. As soon as the teams together outnumber the cores, its workers
stop waiting actively for the next piece of work, and with the many small ones of decoding that halves the speed:
measured on two cores, 28 tokens a second in the only computing thread against 13 in a second one. A web server answers
from many threads, so whatever computes is handed over to this one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_NAME = "compute"
_THREAD = ThreadPoolExecutor(1, thread_name_prefix=_NAME)


def _after_fork() -> None:
    """In a forked process, such as ZeroGPU's, the thread is not there; the executor would wait for it for ever."""
    global _THREAD  # noqa: PLW0603 - there is one a process
    _THREAD = ThreadPoolExecutor(1, thread_name_prefix=_NAME)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def compute(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function in the computing thread and wait; raises what it raises. In that thread it is a plain call."""
    if threading.current_thread().name.startswith(_NAME):
        return function(*arguments)
    return _THREAD.submit(function, *arguments).result()


def compute_later(function: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
    """Have a function called in the computing thread, after all that was asked of it before."""
    return _THREAD.submit(function, *arguments)
