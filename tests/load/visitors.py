"""Visitors for Locust, which run.py starts: they speak to the page's own events as a browser does, and to the API.

A visitor adds a document of their own, which says that the locker of a made-up name has a made-up number, and asks for
it. Nobody else's document has that number, so a number that is not the visitor's own, anywhere in what their page is
sent, has come from somebody else. Each turn is a line of JSON in the file that LOAD_RECORDS names.

This runs in the load tool's own environment and knows nothing of Switchboard but its protocol.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gevent
import requests
from locust import HttpUser, between, task

API = "/gradio_api"
NUMBER = re.compile(r"\bN\d{7}\b")
SHARED = (
    ("How much is Fibre 500 a month?", "36"),
    ("How much is Fibre 900 a month?", "45"),
    ("What is the late payment fee?", ""),
    ("How do I return the router?", ""),
    ("Can I keep my number?", ""),
)
"""Questions about everybody's documents, and a figure that a path which looks it up has to have."""
PATHS = ("fine-tuned", "rag", "combined")
SETTINGS = (3, 0, 256)
PATIENCE = 120
"""Seconds after which a reply counts as lost."""
_records = open(os.environ["LOAD_RECORDS"], "w", encoding="utf-8")  # noqa: SIM115 - open as long as the process


class LostError(Exception):
    """A reply did not come, or came without its end."""


class RefusedError(Exception):
    """The server has said no."""


class Visitor(HttpUser):
    """One at a time asks, reads, thinks for a while and asks again; some leave in the middle and others come."""

    wait_time = between(4, 16)

    def on_start(self) -> None:
        config = self.client.get("/config", name="page").json()
        by_name = {one["api_name"]: one["id"] for one in reversed(config["dependencies"])}
        after = {one.get("trigger_after"): one["id"] for one in reversed(config["dependencies"])}
        self.events = {**by_name, "answer": after[by_name["ask"]]}
        self.arrive()

    def on_stop(self) -> None:
        self.page.kill()

    def arrive(self) -> None:
        """Open the page, as somebody who was not there before, and add a document."""
        self.session = uuid.uuid4().hex
        self.memory: Any = {"current": None, "others": []}
        self.client.get("/", name="page")
        self.page = gevent.spawn(self.stay)
        self.name = "".join(random.choice("bdfgklmnprstvz") + random.choice("aeiou") for _ in range(4)).title()
        self.number = f"N{random.randrange(10**6, 10**7)}"
        began = time.time()
        try:
            self.queued("tell", [])
            text = f"The locker of {self.name} has the number {self.number}. It is on the ground floor."
            said = json.dumps(self.queued("paste", [f"The locker of {self.name}", text, None, None, False, None]))
            self.record("document", began, "added" if "added: " in said else "error", said[:300])
        except (LostError, RefusedError, requests.RequestException) as error:
            self.record("document", began, _kind(error), str(error))

    @task(9)
    def ask_for_ones_own(self) -> None:
        self.turn(f"What number has the locker of {self.name}?", random.choice(("rag", "rag", "combined")), self.number)

    @task(6)
    def ask_for_everybodys(self) -> None:
        question, figure = random.choice(SHARED)
        mode = random.choice(PATHS)
        self.turn(question, mode, "" if mode == "fine-tuned" else figure)

    @task(3)
    def ask_by_the_api(self) -> None:
        question, figure = random.choice(SHARED)
        mode, began = random.choice(PATHS), time.time()
        try:
            said = self.called([question, mode, None, *SETTINGS])
            wanted = "" if mode == "fine-tuned" else figure
            self.record(f"api {mode}", began, self.judged(said["answer"], json.dumps(said), wanted))
        except (LostError, RefusedError, requests.RequestException) as error:
            self.record(f"api {mode}", began, _kind(error), str(error))

    @task(1)
    def leave_in_the_middle(self) -> None:
        began = time.time()
        try:
            self.asked(f"What number has the locker of {self.name}?", "rag")
            for message in self.messages(self.joined("answer", [None, *SETTINGS, None])):
                if message["msg"] == "process_generating":
                    break
            self.record("left", began, "left")
        except (LostError, RefusedError, requests.RequestException) as error:
            self.record("left", began, _kind(error), str(error))
        self.page.kill()
        self.arrive()

    def stay(self) -> None:
        """Keep the page open: its session lives as long as this request."""
        with closing(self.client.get(f"{API}/heartbeat/{self.session}", stream=True, name="heartbeat")) as stream:
            for _ in stream.iter_content(64):
                pass

    def turn(self, question: str, mode: str, wanted: str) -> None:
        """Ask on the page and read the answer to its end; a `wanted` text has to be in it."""
        began, first, seen = time.time(), 0.0, ""
        try:
            self.asked(question, mode)
            for message in self.messages(self.joined("answer", [None, *SETTINGS, None])):
                seen += json.dumps(message)
                if message["msg"] == "process_generating":
                    first = first or time.time() - began
            self.memory = message["output"]["data"][2]
            last = self.memory["current"]["turns"][-1]
            if last["question"] != question or last["state"] not in ("done", "failed"):
                raise LostError(f"{last['state']}: {last['question']}")
            outcome = "error" if last["error"] else self.judged(last["answer"]["text"], seen, wanted)
            self.record(mode, began, outcome, last["error"] or last["answer"]["text"], first)
        except (LostError, RefusedError, requests.RequestException, KeyError, TypeError) as error:
            self.record(mode, began, _kind(error), f"{type(error).__name__}: {error}", first)

    def judged(self, answer: str, seen: str, wanted: str) -> str:
        """What became of an answer, from its text and from all that was sent for it."""
        if set(NUMBER.findall(seen)) - {self.number}:
            return "mixed"
        if not answer.strip():
            return "lost"
        return "right" if wanted in answer else "other"

    def asked(self, question: str, mode: str) -> None:
        """What the page does first: put the question into the conversation, which is not in the queue."""
        body = {"data": [question, mode, self.memory], "fn_index": self.events["ask"], "session_hash": self.session}
        answered = self.client.post(f"{API}/run/predict", json=body, name="ask")
        if answered.status_code != 200:
            raise RefusedError(answered.text)

    def queued(self, event: str, data: list[Any]) -> Any:
        """What an event in the queue gives back."""
        for message in self.messages(self.joined(event, data)):
            last = message
        if not last.get("success"):
            raise RefusedError(json.dumps(last))
        return last["output"]["data"]

    def joined(self, event: str, data: list[Any]) -> str:
        """Put an event into the queue; returns its name there."""
        body = {"data": data, "fn_index": self.events[event], "session_hash": self.session, "event_data": None}
        answered = self.client.post(f"{API}/queue/join", json=body, name=f"join {event}")
        if answered.status_code != 200:
            raise RefusedError(answered.text)
        return str(answered.json()["event_id"])

    def messages(self, event: str) -> Iterator[dict[str, Any]]:
        """What the server says of an event, to its end."""
        wanted = {"session_hash": self.session}
        stream = self.client.get(f"{API}/queue/data", params=wanted, stream=True, name="stream", timeout=PATIENCE)
        with closing(stream):
            for line in stream.iter_lines():
                if line.startswith(b"data:"):
                    message = json.loads(line[5:])
                    if message.get("event_id") == event:
                        yield message
                        if message["msg"] == "process_completed":
                            return
        raise LostError("the stream ended before the reply")

    def called(self, data: list[Any]) -> dict[str, Any]:
        """What /chat gives back."""
        answered = self.client.post(f"{API}/call/chat", json={"data": data}, name="call /chat")
        if answered.status_code != 200:
            raise RefusedError(answered.text)
        path, event = f"{API}/call/chat/{answered.json()['event_id']}", ""
        with closing(self.client.get(path, stream=True, name="result of /chat", timeout=PATIENCE)) as stream:
            for line in stream.iter_lines(decode_unicode=True):
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:") and event in ("complete", "error"):
                    if event == "error":
                        raise RefusedError(line)
                    said: dict[str, Any] = json.loads(line[5:])[0]
                    return said
        raise LostError("the stream ended before the reply")

    def record(self, kind: str, began: float, outcome: str, words: str = "", first: float = 0.0) -> None:
        """Keep a turn, and tell Locust."""
        whole = time.time() - began
        kept = words[:300] if outcome in ("mixed", "lost", "error", "refused", "other") else ""
        line = {"at": began, "kind": kind, "outcome": outcome, "first": first, "whole": whole, "words": kept}
        _records.write(json.dumps(line) + "\n")
        _records.flush()
        wrong = None if outcome in ("right", "other", "left", "added") else Exception(f"{outcome}: {kept}")
        self.environment.events.request.fire(
            request_type="turn", name=kind, response_time=whole * 1000, response_length=0, exception=wrong, context={}
        )


def _kind(error: Exception) -> str:
    return "refused" if isinstance(error, RefusedError) else "lost"
