"""The threads of PyTorch's products, for compiled work of our own.

A team of its own would wait for work as actively as PyTorch's and take the cores from it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

_WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_SAYS = ctypes.CFUNCTYPE(ctypes.c_int)


class Team:
    """Does one piece of work on all threads at a time: a task of `parallel` or `unpacking`."""

    def __init__(self, begin: Callable[[int, int, int, int], object], which: Any, many: Any) -> None:
        """`begin` is called as GNU's `GOMP_parallel`; `which` and `many` are functions of C that say on a thread which
        one it is, and how many there are."""
        self._begin = begin
        self._keep = (which, many)
        self._asked = [int(ctypes.cast(function, ctypes.c_void_p).value or 0) for function in self._keep]

    def do(self, task: Any, *numbers: int | torch.Tensor) -> None:
        """Do a task with these numbers, tensors as their addresses."""
        assert all(n.is_contiguous() for n in numbers if isinstance(n, torch.Tensor))
        said = [n.data_ptr() if isinstance(n, torch.Tensor) else n for n in numbers]
        data = np.array([*self._asked, *said], np.int64)
        self._begin(task.address, data.ctypes.data, torch.get_num_threads(), 0)


@cache
def open_team() -> Team:
    """PyTorch's threads where they are those of GNU's OpenMP or Intel's, as on Linux; else the one that asks."""
    # One that was loaded before all others takes the place of PyTorch's own.
    for name in (None, str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(name)
            begin = library.GOMP_parallel
            begin.restype = None
            begin.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
            return Team(begin, library.omp_get_thread_num, library.omp_get_num_threads)
    return alone()


def alone() -> Team:
    """The thread that asks, without others."""
    return Team(lambda task, data, *_: _WORK(task)(data), _SAYS(lambda: 0), _SAYS(lambda: 1))
