"""Vectors on a Chroma server, which several apps share; like store.py, which knows Chroma on disk.

Each collection is named after the installation, the knowledge folder and what its vectors were made with: an app with
another embedder or chunking finds one of its own and touches no other. A collection that no app uses any more stays
until somebody deletes it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import chromadb
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import NotFoundError

from switchboard.errors import KnowledgeError, first_line
from switchboard.progress import Report
from switchboard.retrieval.embedding import Vectors
from switchboard.retrieval.store import HNSW, PassageStore

OPEN_SECONDS = 30.0
"""How long a start waits for a server that is not there yet."""
_PROBE_SECONDS = 3.0
SEARCH_SECONDS = 5.0
"""How long a search waits for the server, each time that it asks it something."""
BUILD_SECONDS = 120.0
"""The same while the index is built: the server sorts in thousands of vectors at once."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChromaServer:
    """A server by its address, and whose index is meant: those of the same `owner` and knowledge folder share one."""

    url: str
    owner: str


class ServerStore(PassageStore):
    """Passages' vectors in a collection on a server; what several apps write there is the same whoever wrote it."""

    def __init__(self, server: ChromaServer, name: str, made_with: str, report: Report) -> None:
        """Open the collection, or make it; waits OPEN_SECONDS for the server. `made_with` names the embedder and the
        chunking. Raises KnowledgeError when the server does not answer until then."""
        self._url = server.url
        self._made_with = made_with
        digest = hashlib.sha256(f"{server.owner}\n{made_with}".encode()).hexdigest()[:12]
        self._name = f"{re.sub('[^a-zA-Z0-9-]+', '-', name).strip('-')}-{digest}"
        self._clients: dict[bool, Any] = {}
        self._collections: dict[bool, Any] = {}
        deadline = time.monotonic() + OPEN_SECONDS
        waiting = False
        while True:
            try:
                self._connect()
                return
            except Exception as error:
                self.close()
                if not waiting:
                    report(f"Waiting for the Chroma server at {self._url} ({first_line(error)}) ...")
                waiting = True
                if time.monotonic() > deadline:
                    raise KnowledgeError(
                        f"The Chroma server at {self._url} does not answer ({first_line(error)}). Start it and then "
                        "this app again, or unset SWITCHBOARD_CHROMA_URL to keep the index in a folder here."
                    ) from error
                time.sleep(1)

    def add(self, ids: Sequence[str], vectors: Vectors, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Store vectors of length 1 under their ids, and have the server sort them in before a visitor searches."""
        super().add(ids, vectors, rows)
        if len(ids):
            self._ask("query", query_embeddings=vectors[:1], n_results=1, include=[])

    def seal(self) -> None:
        """Nothing: the files are the server's."""

    def unseal(self) -> None:
        """Nothing, likewise."""

    def close(self) -> None:
        """Release the connections; the store cannot be used after that."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _connect(self) -> None:
        # Chroma's client has no timeout while it connects, so a server that says nothing has to be found first.
        urllib.request.urlopen(f"{self._url}/api/v2/heartbeat", timeout=_PROBE_SECONDS).close()  # noqa: S310
        for quick, seconds in ((False, BUILD_SECONDS), (True, SEARCH_SECONDS)):
            client = chromadb.HttpClient(self._url, settings=ChromaSettings(anonymized_telemetry=False))
            # Nor has it a setting for one afterwards.
            client._server._session.timeout = seconds
            self._clients[quick] = client
        self._collections[False] = self._clients[False].get_or_create_collection(
            self._name,
            metadata={"made_with": self._made_with},
            configuration={"hnsw": HNSW},
            embedding_function=None,
        )

    def _ask(self, method: str, quick: bool = False, **arguments: Any) -> Any:
        """Call a method of the collection. Raises KnowledgeError, in words for a visitor where it is `quick`."""
        try:
            try:
                return getattr(self._collection_of(quick), method)(**arguments)
            except NotFoundError:
                # Somebody has made it anew, and it has another number now.
                self._collections.clear()
                return getattr(self._collection_of(quick), method)(**arguments)
        except Exception as error:
            _log.warning("The Chroma server at %s: %s: %s", self._url, type(error).__name__, first_line(error))
            if quick:
                raise KnowledgeError(
                    f"The index cannot be searched just now, as its server {_why(error)}. Please try again in a "
                    "minute, or ask a path that needs no sources."
                ) from error
            raise KnowledgeError(
                f"The Chroma server at {self._url} {_why(error)} ({first_line(error)}). See that it runs and has "
                "space, then start again."
            ) from error

    def _collection_of(self, quick: bool) -> Any:
        if quick not in self._collections:
            self._collections[quick] = self._clients[quick].get_collection(self._name, embedding_function=None)
        return self._collections[quick]


def _why(error: Exception) -> str:
    """What is wrong with the server, as the end of a sentence about it; Chroma raises what its HTTP library does."""
    name = type(error).__name__
    if name in ("ReadTimeout", "ConnectTimeout", "WriteTimeout", "PoolTimeout"):
        return "takes too long"
    if isinstance(error, NotFoundError):
        return "has lost it"
    return "cannot be reached" if name in ("ConnectError", "ReadError", "RemoteProtocolError") else "has failed"
