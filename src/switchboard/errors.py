"""The errors a person can meet. Each message is fit to be shown to a visitor and names the way out.

SwitchboardError
├── SettingsError          a value out of its range, in the environment or from the page
├── ModelError             the model or the embedder cannot be had, read or quantized
│   └── AdapterError       an adapter is missing, damaged or was made for another base
├── GeneratorError         the server that writes answers is gone, slow, or says what is no answer
├── KnowledgeError         a document or the index cannot be read
├── StorageError           what is stored cannot be read or written now: the disk is full, or a database is gone
├── MessageTooLongError    one message does not fit the prompt's token budget
├── TooManyError           a visitor does more within a minute than is allowed
├── TrainingDataError      training data that would teach the wrong thing
└── EvaluationError        questions or a benchmark folder that cannot be scored
"""

from __future__ import annotations


class SwitchboardError(Exception):
    """Root of the tree: whatever is caught as this may be shown as it is."""


class SettingsError(SwitchboardError):
    """A setting is out of its range."""


class ModelError(SwitchboardError):
    """The model or the embedder cannot be had, read or quantized."""


class AdapterError(ModelError):
    """An adapter is missing, damaged or was made for another base."""


class GeneratorError(SwitchboardError):
    """The server that writes answers is gone, slow or too busy, or what it says is no answer."""


class KnowledgeError(SwitchboardError):
    """A document or the index cannot be read."""


class StorageError(SwitchboardError):
    """What is stored cannot be read or written now: the disk is full or read-only, or a database is gone."""


class MessageTooLongError(SwitchboardError):
    """One message is longer than the prompt's token budget leaves room for."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(
            f"Your message is {length:,} tokens long and at most {limit:,} fit. Please shorten it or ask in two parts."
        )
        self.length = length
        self.limit = limit


class TooManyError(SwitchboardError):
    """A visitor does more within a minute than is allowed; `seconds` from now on it is allowed again."""

    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class TrainingDataError(SwitchboardError):
    """Training data that would teach the wrong thing; names file, line and reason."""


class EvaluationError(SwitchboardError):
    """Questions or a benchmark folder that cannot be scored."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in a line without its full stop, to be quoted in one of ours; never empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
