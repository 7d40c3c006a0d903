"""An app's knowledge in a process of its own: `python sharing_process.py CHROMA DATABASE KNOWLEDGE DATA`.

Takes lines of JSON: {"add": source, "text": ...}, {"remove": source} or {"find": query}; answers each with a line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from retrieval_fakes import FakeEmbedder
from switchboard.database import Database
from switchboard.progress import quietly
from switchboard.retrieval.index import KnowledgeIndex
from switchboard.retrieval.knowledge import Knowledge
from switchboard.retrieval.server import ChromaServer
from switchboard.retrieval.shared import SharedDocuments


def main(chroma: str, database: str, folder: Path, data: Path) -> None:
    """Serve until there are no more lines."""

    def opened(edits: SharedDocuments | None) -> KnowledgeIndex:
        server = ChromaServer(chroma, "Acme")
        return KnowledgeIndex.open(folder, data, FakeEmbedder(), quietly, 0.2, edits=edits, server=server)

    knowledge = Knowledge(folder, data, SharedDocuments(Database(database), "help"), opened, quietly)
    knowledge.watch(0.2)
    for line in sys.stdin:
        asked = json.loads(line)
        if "add" in asked:
            knowledge.add(asked["add"], asked["text"].encode())
        if "remove" in asked:
            knowledge.remove(asked["remove"])
        found = knowledge.current.search(asked.get("find", ""), 1).passages if "find" in asked else ()
        print(json.dumps([passage.text for passage in found]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
