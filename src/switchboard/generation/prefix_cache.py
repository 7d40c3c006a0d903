"""Key/value states of prompt prefixes, kept by adapter and by exact tokens, the least recently used dropped first.

A state is found only by giving all of its tokens, so nothing of one visitor's text reaches another who has not
written the same.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

from switchboard.generation.fast.states import States

if TYPE_CHECKING:
    from transformers import DynamicCache

MAX_BYTES = 32 * 2**20
"""Memory for kept states; SmolLM2-135M takes 23 kB a token, so this holds about 1,450 tokens."""

Cache: TypeAlias = Union["DynamicCache", States]
"""What was read: transformers' own, or the fast decoder's."""
_Key = tuple[str | None, tuple[int, ...]]


class PrefixCache:
    """Not thread-safe: the engine uses it under its own lock."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept: OrderedDict[_Key, tuple[Cache, int]] = OrderedDict()
        self._max_bytes = max_bytes
        self.bytes = 0

    def longest(self, adapter: str | None, ids: Sequence[int], ends: Sequence[int]) -> tuple[int, Cache] | None:
        """The longest kept prefix of `ids` that ends at one of `ends`: its length and a state to write on."""
        for end in sorted(ends, reverse=True):
            key = (adapter, tuple(ids[:end]))
            if end < len(ids) and key in self._kept:
                self._kept.move_to_end(key)
                return end, copy.deepcopy(self._kept[key][0])
        return None

    def keep(self, adapter: str | None, ids: Sequence[int], cache: Cache) -> None:
        """Keep a copy of the state after `ids`; the fast decoder's may have gone on since."""
        key = (adapter, tuple(ids))
        if key in self._kept:
            self._kept.move_to_end(key)
            return
        copied = cache.beginning(len(ids)) if isinstance(cache, States) else copy.deepcopy(cache)
        size = _bytes_of(copied)
        if size == 0 or size > self._max_bytes:
            return
        while self._kept and self.bytes + size > self._max_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self.bytes -= freed
        self._kept[key] = (copied, size)
        self.bytes += size


def _bytes_of(cache: Cache) -> int:
    """The size of a state's keys and values; 0 for kinds of state that are not kept."""
    if isinstance(cache, States):
        return cache.nbytes
    size = 0
    for layer in cache.layers:
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        if keys is None or values is None or getattr(layer, "is_sliding", False):
            return 0
        size += keys.nbytes + values.nbytes
    return size
