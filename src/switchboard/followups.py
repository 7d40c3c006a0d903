"""What to search for when a question leans on the turns before it.

No second call of the language model: a question that cannot stand alone is searched together with the ones it
follows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from switchboard.types import Message

MAX_QUESTIONS = 3
"""How far back a chain of follow-ups is followed, the current question included."""

_OPENER = re.compile(
    r"^(and|but|or|so|then|ok|okay|what about|how about|what if|why|even if|also|in that case|does that|is that|"
    r"same for|only|still|really|without|with)\b",
    re.IGNORECASE,
)
_POINTER = re.compile(
    r"\b(it|its|that|this|they|them|their|those|these|there|one|ones|the same|instead|either|neither|else|"
    r"the other|the former|the latter|the second|the first)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w'£$€%-]+")
_STOP_WORDS = frozenset(
    "a an the of to in on at for by from is are was were be do does did can could would will shall should may might "
    "i me my we us our you your he she and or but so if then how much many what when where which who why long often "
    "please thanks thank hi hello need want get have has had".split()
)


def is_follow_up(question: str) -> bool:
    """Whether a question leans on what was said before: how it opens, what it points at, or how short it is."""
    words = [word.lower() for word in _WORD.findall(question)]
    content = [word for word in words if word not in _STOP_WORDS]
    if _OPENER.search(question.strip()) or len(content) <= 1:
        return True
    return len(words) <= 14 and bool(_POINTER.search(question))


def search_query(conversation: Sequence[Message]) -> str:
    """The text to search for: the last question, with the questions it follows before it.

    `conversation` ends with the user's question. Only the visitor's own words are used: an answer may be wrong.
    """
    questions = [message.content.strip() for message in conversation if message.role == "user"]
    chain = [questions[-1]]
    for earlier in reversed(questions[:-1]):
        if len(chain) == MAX_QUESTIONS or not is_follow_up(chain[0]):
            break
        chain.insert(0, earlier)
    return "\n".join(chain)
