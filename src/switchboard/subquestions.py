"""Taking a message apart that asks several things, so that each of them is searched for by itself.

One search for two things finds the passages of the one that has more words. (Query decomposition; see for example
Press and others, Measuring and narrowing the compositionality gap in language models, 2023.) Here it is done by rules,
without a second call of the language model.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from switchboard.followups import content_words, is_follow_up

MOST = 3
"""Sub-questions that are told apart; later ones stay with the last of them."""
_LEAST_WORDS = 3
"""Words that a part must have to be a question of its own."""

_INTERROGATIVE = (
    r"(?:(?:what|how|when|where|which|who|why)(?:'?s|'?re|'?ll)?|do|does|did|don'?t|doesn'?t|is|isn'?t|are|aren'?t|am|"
    r"can|can'?t|could|will|won'?t|would|should|must|may)\b"
)
_ASKS = re.compile(rf"\b{_INTERROGATIVE}", re.IGNORECASE)
_WORDED = r"(?:what|how|when|where|which|who)(?:'?s|'?re|'?ll)?\b"
_BEFORE = r"(?:(?:also|then|if so|if not|at|in|on|for|to|by|from|with|within|until|after|before|up to|under),?\s+)*"
_CONDITION = r"(?:if|when|once|while|assuming|should|after|instead)\b[^?]{3,80}?\b"
_JOINT = re.compile(
    rf",?\s+(?:and|plus|also|but|n|&)\s+(?={_BEFORE}{_INTERROGATIVE}|{_CONDITION}{_WORDED}|{_CONDITION}(?:do|does|is|can|will|would)\b)"
    rf"|[,;]\s+(?={_WORDED})",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_OPENS = re.compile(
    rf"^(?:(?:and|also|then|or|plus|second(?:ly)?|so|but)\b[\s,:]*)*{_BEFORE}"
    rf"(?:{_INTERROGATIVE}|(?:if|when|once)\b.*\b{_WORDED})",
    re.IGNORECASE,
)
_KNOWS = re.compile(r"^(?:and )?(?:i|we)(?:'d)? (?:also )?(?:need|want|would like|like) to know\b", re.IGNORECASE)


_EACH = re.compile(
    r"\beach(?:\s+of\b|\s*[?.!]|\s*$)"
    r"|\b(?:for|of|in|on|is|are) (?:each|both)(?!\s+(?:day|week|month|year|time|bill)s?\b)"
    r"|\b(?:respectively|vs|versus|which two)\b",
    re.IGNORECASE,
)


def asks_of_each(message: str) -> bool:
    """Whether one question asks the same of two things, and so needs two answers.

    >>> asks_of_each("How long is the contract for each?"), asks_of_each("How long is the contract?")
    (True, False)
    """
    return bool(_EACH.search(message))


class SubQuestion(NamedTuple):
    """One of several things that a message asks, and what of the rest of the message belongs to it."""

    question: str
    context: str


def sub_questions(message: str) -> list[SubQuestion]:
    """The questions in a message, each with what else is said and is not asked; empty where there are not two.

    >>> sub_questions("I pay by card. How do I stop that, and when is the next bill due?")[1]
    SubQuestion(question='when is the next bill due?', context='I pay by card.')
    >>> sub_questions("Is it true that fibre got dearer, and why?")
    []
    """
    asked: list[str] = []
    told: list[str] = []
    for sentence in filter(None, map(str.strip, _SENTENCE.split(message))):
        if not (
            sentence.endswith("?") or (sentence[-1] not in ".!" and _OPENS.match(sentence)) or _KNOWS.match(sentence)
        ):
            told.append(sentence)
            continue
        for piece in _pieces(sentence):
            if asked and (not content_words(piece) or len(asked) == MOST):
                asked[-1] += f" {piece}"  # "and why?"
            elif content_words(piece):
                asked.append(piece)
    if len(asked) < 2:
        return []
    found: list[SubQuestion] = []
    for piece in asked:
        before = found[-1] if found and is_follow_up(piece) else None
        found.append(SubQuestion(piece, f"{before.context} {before.question}".strip() if before else " ".join(told)))
    return found


def _pieces(sentence: str) -> list[str]:
    """A sentence cut where a further question begins, if both sides can stand."""
    pieces: list[str] = []
    start = 0
    for joint in _JOINT.finditer(sentence):
        left, right = sentence[start : joint.start()], sentence[joint.end() :]
        if _ASKS.search(left) and min(len(left.split()), len(right.split())) >= _LEAST_WORDS:
            pieces.append(left.strip())
            start = joint.end()
    return [*pieces, sentence[start:].strip()]
