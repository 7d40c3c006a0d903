"""What to search for when a question leans on the turns before it.

No second call of the language model: a question that cannot stand alone is searched together with the ones it
follows. tests/test_followups.py holds the pairs that the rules were measured on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from switchboard.types import Message

MAX_QUESTIONS = 3
"""How far back a chain of follow-ups is followed, the current question included."""

_COURTESY = re.compile(r"^((thanks|thank you|great|perfect|cool|hi|hello|please)\b[\s,.!]*)+", re.IGNORECASE)
_JOINER = re.compile(r"^((and|but|or|so|then|ok|okay|also)\b[\s,.!]*)+", re.IGNORECASE)
_LEANING = re.compile(
    r"^(what about|how about|what if|even if|in that case|same for|only|still|really|without|with|if so|if not)\b",
    re.IGNORECASE,
)
_POINTER = re.compile(
    r"\b(it|its|they|them|their|those|these|one|ones|the same|instead|either|neither|else|the other|the former|"
    r"the latter|the second|the first|(?<!is )(?<!are )there(?! (is|are)\b))\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w'£$€%-]+")
_QUESTION_WORDS = frozenset(
    "how what when where which who why is are was were be do does did can could would will shall should may might "
    "i we am have has".split()
)
_STOP_WORDS = _QUESTION_WORDS | frozenset(
    "a an the of to in on at for by from about after me my us our you your he she and or but so if then much many "
    "long often please thanks thank hi hello need want get had still too also again per don't doesn't can't that this "
    "there".split()
)


def is_follow_up(question: str) -> bool:
    """Whether a question leans on what was said before: by how it opens, what it points at, or how little it says."""
    said = _COURTESY.sub("", question.strip())
    rest = _JOINER.sub("", said)
    words = [word.lower() for word in _WORD.findall(rest)]
    content = content_words(rest)
    if _LEANING.search(rest) or len(content) <= 1:
        return True
    if rest != said and words[0] not in _QUESTION_WORDS:
        return True  # "and my mobile plan?"
    if len(words) <= 14 and (_POINTER.search(rest) or _points_with_that(words)):
        return True
    # "how long is the code valid?" speaks of a code that was mentioned; "how much is Fibre 500?" names its own.
    return len(content) <= 2 and "the" in words and not _names_something(rest)


def content_words(text: str) -> list[str]:
    """The words that say what a text is about, in lower case.

    >>> content_words("How much is the Bundle discount?")
    ['bundle', 'discount']
    """
    return [word for word in map(str.lower, _WORD.findall(text)) if word not in _STOP_WORDS]


def search_query(conversation: Sequence[Message]) -> str:
    """The text to search for: the last question, with the questions it follows after it, the latest first.

    `conversation` ends with the user's question. Only the visitor's own words are used: an answer may be wrong.
    The question itself comes first, as an embedder weighs the beginning most and cuts off the end. Each is one line.
    """
    questions = [" ".join(message.content.split()) for message in conversation if message.role == "user"]
    chain = [questions[-1]]
    for earlier in reversed(questions[:-1]):
        if len(chain) == MAX_QUESTIONS or not is_follow_up(chain[-1]):
            break
        chain.append(earlier)
    return "\n".join(chain)


def _points_with_that(words: Sequence[str]) -> bool:
    """Whether a `that` or `this` stands for something: not the one of `a call that looks odd` or `this month`."""
    for before, word, after in zip(["do", *words], words, [*words[1:], "do"], strict=False):
        if (word == "that" and before in _STOP_WORDS) or (word == "this" and after in _STOP_WORDS):
            return True
    return False


def _names_something(text: str) -> bool:
    """Whether a number or a capitalised word after the first names a subject."""
    return bool(re.search(r"\d|\s[A-Z][a-z]", text))
