"""The real adapters on a real server of OpenAI's protocol: `transformers serve`, as `make test-servers` starts it.

It finds models in a Hub cache, so one is laid out here, in which each adapter is a model of its name.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import FakeGenerator, FakeRetriever
from model_server import free_port
from switchboard.errors import GeneratorError
from switchboard.generation import remote
from switchboard.generation.model import PACKAGED_IDENTITY
from switchboard.generation.remote import RemoteGenerator
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import GenerationSettings, Message, Passage

pytestmark = pytest.mark.servers
BASE = PACKAGED_IDENTITY
LONG = [Message("user", "Write a long story about a lighthouse keeper and the sea.")]


def lay_out(hub: Path, name: str, files: list[Path]) -> None:
    """A model in a Hub cache, of links to files that are elsewhere."""
    folder = hub / f"models--{name.replace('/', '--')}"
    revision = "0" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision, encoding="utf-8")
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for file in files:
        (snapshot / file.name).symlink_to(file)


class Serve:
    """`transformers serve` on a free port; its log says which requests it was sent."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        prepared = settings.data / "models" / f"{BASE.replace('/', '--')}-{settings.quantization}"
        files = [file for file in prepared.iterdir() if file.name != "manifest.json"]
        lay_out(folder / "hub", BASE, files)
        for name in ("customer-service", "reader"):
            adapter = [settings.adapters / name / f"adapter_{part}" for part in ("config.json", "model.safetensors")]
            lay_out(folder / "hub", name, [*(file for file in files if file.suffix != ".safetensors"), *adapter])
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log = folder / "serve.log"
        self._hub = folder / "hub"
        self.start()

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("transformers"), "serve", "--device", "cpu", "--port", str(self.port)],
                env={**os.environ, "HF_HUB_CACHE": str(self._hub), "HF_HUB_OFFLINE": "1"},
                stdout=log,
                stderr=log,
            )
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.url}/models", timeout=1).close()
                return
            except OSError:
                time.sleep(0.5)
        raise AssertionError(self.log.read_text()[-2000:])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory, real_settings: Settings) -> Iterator[Serve]:
    running = Serve(tmp_path_factory.mktemp("serve"), real_settings)
    yield running
    running.kill()


@pytest.fixture
def generator(serve: Serve) -> RemoteGenerator:
    return RemoteGenerator(serve.url, model=BASE, adapters=("customer-service", "reader"))


def test_the_modes_are_answered_by_the_adapters_that_are_models_there(
    generator: RemoteGenerator, passages: list[Passage]
) -> None:
    assert generator.describe() == f"{BASE}; adapters customer-service, reader"
    switchboard = Switchboard(
        FakeGenerator(),
        FakeRetriever(passages),
        "Fernwave Telecom",
        elsewhere={"rag": generator, "fine-tuned": generator},
    )
    *growing, last = switchboard.answer(
        [Message("user", "How much is Fibre 100 a month?")], "rag", GenerationSettings(max_tokens=48)
    )
    assert "£27" in last.text
    assert last.cited == (1,)
    assert len({answer.text for answer in growing}) > 3  # it streams
    *_, last = switchboard.answer(
        [Message("user", "How much is Fibre 500 a month?")], "fine-tuned", GenerationSettings(max_tokens=48)
    )
    assert "£36" in last.text  # which only the fine-tuned model knows


def test_stopping_frees_the_server_for_the_next(generator: RemoteGenerator) -> None:
    tokens = generator.stream(LONG, GenerationSettings(max_tokens=512), None)
    next(token for token in tokens if token.text)
    began = time.monotonic()
    tokens.close()  # type: ignore[attr-defined]
    # The server writes one answer at a time: 500 more tokens would take it 20 seconds.
    next(token for token in generator.stream(LONG, GenerationSettings(max_tokens=16), None) if token.text)
    assert time.monotonic() - began < 8


def test_a_server_that_is_too_slow_is_given_up(generator: RemoteGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WORD_SECONDS", 0.001)
    monkeypatch.setattr(remote, "_WAIT_SECONDS", 0.001)
    with pytest.raises(GeneratorError, match="takes too long"):
        list(generator.stream([*LONG, Message("assistant", "Once. " * 600), *LONG], GenerationSettings(), None))


def test_killed_in_the_middle_of_an_answer_what_was_said_is_kept_and_it_works_again_after(
    serve: Serve, generator: RemoteGenerator, passages: list[Passage]
) -> None:
    switchboard = Switchboard(FakeGenerator(), FakeRetriever(passages), "F", elsewhere={"base": generator})
    answers = switchboard.answer(LONG, "base", GenerationSettings(max_tokens=512))
    said = next(answer for answer in answers if len(answer.text) > 40)
    serve.kill()
    *_, last = answers
    assert last.text.startswith(said.text)
    assert last.cut_off
    assert last.notice.startswith("The answer breaks off here: the model server has gone away.")
    with pytest.raises(GeneratorError, match="cannot be reached"):
        list(switchboard.answer(LONG, "base"))
    serve.start()
    *_, last = switchboard.answer([Message("user", "Say hello.")], "base", GenerationSettings(max_tokens=16))
    assert last.text
    assert not last.cut_off
