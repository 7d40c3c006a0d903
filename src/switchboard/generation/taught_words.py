"""The words of the questions for which an adapter was taught its replies.

A model this small finds the reply to what sounds like the question. Where the question has words that no question of
the reply's article had, it is mostly about something else, and the adapter was not taught that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from switchboard.words import missing, stems


@dataclass(frozen=True)
class TaughtWords:
    """`groups` has the number of each reply's group, the replies of one article, or -1 for one of no group; `words` are
    the stems of each group's questions and replies. `weight` is how many natural logarithms likelier it makes declining
    that all words of a question are missing there."""

    weight: float
    groups: tuple[int, ...]
    words: tuple[frozenset[str], ...]

    def against(self, question: str, reply: int) -> float:
        """What missing words say against a reply, given by its number: from 0 to `weight`."""
        group = self.groups[reply]
        if group < 0:
            return 0.0
        return self.weight * missing(set(stems([question])[0]), self.words[group], self._rarity)

    @cached_property
    def _groups_with(self) -> Mapping[str, int]:
        return Counter(word for some in self.words for word in some)

    def _rarity(self, word: str) -> float:
        """How few groups have a word: the logarithm of their share, as IDF has it."""
        return math.log((len(self.words) + 1) / (self._groups_with.get(word, 0) + 0.5))


def read_words(row: Mapping[str, object], replies: int) -> TaughtWords | None:
    """The words in a `replies.json`; None where it has none. Raises ValueError or TypeError where they do not fit."""
    if "words" not in row:
        return None
    groups, words = row["groups"], row["words"]
    if not isinstance(groups, Sequence) or not isinstance(words, Sequence):
        raise TypeError("groups and words are lists")
    found = TaughtWords(
        float(str(row["unseen"])), tuple(map(int, groups)), tuple(frozenset(str(some).split()) for some in words)
    )
    if len(found.groups) != replies or not all(-1 <= group < len(found.words) for group in found.groups):
        raise ValueError("the groups are not those of the replies")
    return found
