"""Small talk: what is said to a help desk without asking it anything, so that no passages are read for it."""

from __future__ import annotations

import re

MOST_WORDS = 9

_PHRASES = (
    r"hi+|hello+|hey+|hiya|yo|howdy|good (morning|afternoon|evening|day)|greetings"
    r"|thanks?|thank you|thx|ta|cheers|many thanks|much appreciated|appreciate it"
    r"|bye|goodbye|see (you|ya)|have a (nice|good|great|lovely) \w+|take care|good night"
    r"|ok(ay)?|great|perfect|brilliant|lovely|super|got it|fine|no worries|sorry"
    r"|how are (you|things)|how'?s it going|what'?s up|nice to meet you"
    r"|who are you|what are you|are you (a |an )?(bot|robot|human|person|real|there|ai)"
    r"|what can you (do|help)|can you help|is (anyone|anybody|somebody|someone) there|you'?re (great|helpful|welcome)"
)
_WORDS = (
    r"there|again|all|everyone|team|fernwave|so|very|much|a lot|for|that|the|your|you|help|helping|doing|today|"
    r"been|helpful|useful|kind|quick|me|with|now|then|i'?m|you'?ve|was|is|it|really|and|to|this|do|person|or|human|real|lot|just|wanted|say|day"
)
_OPENING = re.compile(rf"^(?:{_PHRASES})\b", re.IGNORECASE)
_WHOLE = re.compile(rf"^(?:(?:{_PHRASES}|{_WORDS})\b[\s,.!?:;)('-]*)+$", re.IGNORECASE)


def is_small_talk(text: str) -> bool:
    """Whether a message is a greeting, thanks, a goodbye or about the assistant itself, and nothing else.

    >>> is_small_talk("Hi there!"), is_small_talk("thanks, that was helpful"), is_small_talk("Hi, is it £7.50?")
    (True, True, False)
    """
    text = text.strip()
    return len(text.split()) <= MOST_WORDS and bool(_OPENING.match(text) and _WHOLE.match(text))
