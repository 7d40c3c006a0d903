"""A start that does not keep the visitor waiting: the page is served while the model is still being loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from switchboard.errors import SwitchboardError
from switchboard.progress import Report
from switchboard.settings import Settings
from switchboard.types import Answer, GenerationSettings, Message, Retriever

if TYPE_CHECKING:
    from switchboard.build import Running
    from switchboard.retrieval.index import KnowledgeIndex
    from switchboard.retrieval.knowledge import Knowledge
    from switchboard.switch import Switchboard


class Starting:
    """A `Running` in the making: whoever asks for a part of it waits until it is there.

    Whatever `build` raises is raised to each of them.
    """

    def __init__(self, settings: Settings, report: Report) -> None:
        self.settings = settings
        loader = ThreadPoolExecutor(1, thread_name_prefix="loading")
        self._running: Future[Running] = loader.submit(_build, settings, report)
        loader.shutdown(wait=False)

    @property
    def ready(self) -> bool:
        """Whether nobody has to wait any more."""
        return self._running.done()

    @property
    def missing(self) -> tuple[str, ...]:
        """What some question cannot be answered without and is not there: what is being loaded, or cannot be."""
        if not self._running.done():
            return "the model", "the index"
        if error := self._running.exception():
            return (str(error) if isinstance(error, SwitchboardError) else "what failed to load",)
        return ("the index",) if self.knowledge.missing else ()

    def wait(self) -> Running:
        """Wait for all of it."""
        return self._running.result()

    @property
    def switchboard(self) -> Switchboard:
        """The switch, once it is there."""
        return self.wait().switchboard

    @property
    def index(self) -> KnowledgeIndex:
        """The knowledge index, once it is there."""
        return self.wait().index

    @property
    def knowledge(self) -> Knowledge:
        """The documents and what is changed of them, once they are there."""
        return self.wait().knowledge

    @property
    def about(self) -> tuple[tuple[str, str], ...]:
        """What runs here and why, once it does."""
        return self.wait().about

    def answer(
        self,
        conversation: Sequence[Message],
        mode: str,
        settings: GenerationSettings | None = None,
        retriever: Retriever | None = None,
    ) -> Iterator[Answer]:
        """Answer a turn as `Switchboard.answer` does, once it can; over another `retriever` where one is given."""
        yield from self.switchboard.over(retriever).answer(conversation, mode, settings)


def _build(settings: Settings, report: Report) -> Running:
    from switchboard.build import build  # noqa: PLC0415  (seconds of imports, which the page need not wait for)

    return build(settings, report)
