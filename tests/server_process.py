"""An app's index over a Chroma server, in a process of its own: it does what each line of its input says.

    python tests/server_process.py URL FOLDER DATA [SECONDS-TO-EMBED-A-PASSAGE]

Lines are `open` and `search WORDS`; each is answered by one of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from retrieval_fakes import FakeEmbedder
from switchboard.errors import SwitchboardError
from switchboard.progress import quietly
from switchboard.retrieval.embedding import Vectors
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.server import ChromaServer
from switchboard.types import Passage


class SlowEmbedder(FakeEmbedder):
    """Takes its time, so that two processes embed at once, or one can be killed at it."""

    seconds = 0.0

    def embed_passages(self, passages: Sequence[Passage], progress: Callable[[int], None] | None = None) -> Vectors:
        time.sleep(self.seconds * len(passages))
        return super().embed_passages(passages, progress)


def main() -> None:
    """Answer the lines of the input."""
    url, folder, data, *seconds = sys.argv[1:]
    SlowEmbedder.seconds = float(seconds[0]) if seconds else 0.0
    index: KnowledgeIndex | None = None
    for line in sys.stdin:
        what, _, words = line.strip().partition(" ")
        try:
            if what == "open":
                embedder = SlowEmbedder()
                server = ChromaServer(url, "Acme")
                index = KnowledgeIndex.open(Path(folder), Path(data), embedder, quietly, 0.2, server=server)
                answer = {"embedded": embedder.embedded, "passages": len(index.passages)}
            else:
                found = index.search(words, 3) if index else None
                answer = {"found": [[p.source, p.text] for p in found.passages] if found else []}
        except SwitchboardError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
