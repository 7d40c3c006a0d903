"""A model server, real and small: what is asked of it, what becomes of its answers, and of all that goes wrong."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import switchboard.build as build_module
from fakes import FakeGenerator, FakeRetriever
from model_server import (
    KEY,
    Handler,
    ModelServer,
    Reply,
    chunk,
    cut,
    free_port,
    hangs,
    model_server,
    refuses,
    says,
    then,
)
from switchboard.errors import AdapterError, GeneratorError
from switchboard.evaluation.questions import Question
from switchboard.evaluation.run import ask_all
from switchboard.generation import remote
from switchboard.generation.remote import RemoteGenerator
from switchboard.modes import ABLATION, MODES
from switchboard.progress import quietly
from switchboard.prompts import QUOTATIONS
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import Answer, GenerationSettings, Message, Passage, Token
from switchboard.ui.chat import ChatEvents, Parts
from switchboard.ui.conversation import new_conversation

SETTINGS = GenerationSettings(max_tokens=32)
ASKED = [Message("system", "Be brief."), Message("user", "How much is it?")]
ADAPTERS = ("customer-service", "reader")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test does not wait as long as a visitor may have to."""
    monkeypatch.setattr(remote, "FIRST_WORD_SECONDS", 5.0)
    monkeypatch.setattr(remote, "BETWEEN_SECONDS", 0.5)
    monkeypatch.setattr(remote, "RETRIES", 1)


def said(tokens: Iterator[Token]) -> str:
    return "".join(token.text for token in tokens)


def over(server: ModelServer, **more: object) -> RemoteGenerator:
    return RemoteGenerator(server.url, KEY, adapters=ADAPTERS, **more)  # type: ignore[arg-type]


def test_an_answer_comes_piece_by_piece_from_the_model_named_as_the_adapter(server: ModelServer) -> None:
    server.script.append(says("It is", " £27", ".", pause=0.05))
    tokens = list(over(server).stream(ASKED, replace(SETTINGS, temperature=0.5), "reader"))
    assert [token.text for token in tokens if token.text] == ["It is", " £27", "."]
    assert all(token.prompt_tokens == over(server).count_tokens(ASKED) for token in tokens)
    (request,) = server.requests
    assert request["model"] == "reader"
    assert request["messages"] == [{"role": m.role, "content": m.content} for m in ASKED]
    assert (request["max_tokens"], request["temperature"], request["stream"]) == (32, 0.5, True)
    assert server.keys == [f"Bearer {KEY}"]


def test_nobodys_text_begins_a_turn_there(server: ModelServer) -> None:
    said(over(server).stream([Message("user", "<|im_end|> [INST] </s><end_of_turn> a < b [1]")], SETTINGS, None))
    (request,) = server.requests
    assert request["messages"][0]["content"] == "< |im_end|> [ INST] < /s>< end_of_turn> a < b [1]"


def test_the_base_is_the_first_model_listed_that_is_no_adapter_or_the_one_that_is_named() -> None:
    with model_server("reader", "big", "bigger") as server:
        said(over(server).stream(ASKED, SETTINGS, None))
        said(over(server, model="bigger").stream(ASKED, SETTINGS, None))
        assert [request["model"] for request in server.requests] == ["big", "bigger"]


def test_the_context_is_what_the_server_says() -> None:
    with model_server(context=1234) as server:
        assert over(server).context_tokens == 1234
    with model_server(context=None) as server:
        assert over(server).context_tokens == remote.DEFAULT_CONTEXT
        assert over(server, model="not listed").context_tokens == remote.DEFAULT_CONTEXT


def test_an_adapter_that_is_not_listed_is_refused_in_a_sentence() -> None:
    with model_server("big", "reader") as server:
        generator = over(server)
        assert generator.refused_adapters == {"customer-service": "The model server has no model 'customer-service'."}
        assert generator.describe() == "big; adapters reader"
        assert len(server.asked_for) == 1  # and not again for each question


def test_a_server_that_comes_later_is_found(monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    monkeypatch.setattr(remote, "_ASK_AGAIN_SECONDS", 0.0)
    server.listing.append(refuses(500))
    generator = over(server)
    assert generator.refused_adapters == {}
    assert "could not be reached" in RemoteGenerator(f"http://127.0.0.1:{free_port()}/v1").describe()
    assert generator.describe() == "big; adapters customer-service, reader"


def test_a_question_does_not_wait_long_for_a_list_of_models(
    monkeypatch: pytest.MonkeyPatch, server: ModelServer
) -> None:
    monkeypatch.setattr(remote, "LIST_SECONDS", 0.3)
    server.listing.append(hangs())
    began = time.monotonic()
    generator = over(server)
    assert generator.refused_adapters == {}
    assert generator.context_tokens == remote.DEFAULT_CONTEXT
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "beginning",
    [refuses(429, Retry_After="0.1"), refuses(503), then([], cut), then([], lambda h: h.event("{nonsense"))],
    ids=["busy", "failing", "cut", "rubbish"],
)
def test_what_goes_wrong_before_the_first_word_is_tried_again(server: ModelServer, beginning: Reply) -> None:
    server.script.append(beginning)
    assert said(over(server).stream(ASKED, SETTINGS, None)) == "Hello there."
    assert len(server.requests) == 2


REFUSALS = {
    "busy": (refuses(429, Retry_After="0.1"), "too busy"),
    "failing": (refuses(500), "has failed"),
    "starting": (refuses(503), "too busy"),
    "locked": (refuses(401, KEY), "let this app in"),
    "missing": (refuses(404), "no such model"),
    "too long": (refuses(400, "maximum context length is 2048 tokens"), "shorten it"),
    "wrong": (refuses(422), "has failed"),
    "cut": (then([], cut), "cannot be reached|no answer"),
    "rubbish": (then([], lambda h: h.event("{nonsense")), "no answer"),
    "no text": (then([], lambda h: h.event(chunk({"a": 1}))), "no answer"),
    "no object": (then([], lambda h: h.event([1])), "no answer"),
    "a page": (lambda h: h.send_json(200, "<html>Welcome</html>"), "no answer"),
    "an error inside": (then([], lambda h: h.event({"error": {"message": "out of memory"}})), "no answer|has failed"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_stays_wrong_is_one_plain_sentence(
    server: ModelServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    reply, words = REFUSALS[name]
    server.script.extend([reply] * 4)
    generator = over(server, others=["Fine-tuned", "Combined"])
    with caplog.at_level(logging.DEBUG), pytest.raises(GeneratorError, match=words) as raised:
        said(generator.stream(ASKED, SETTINGS, None))
    sentence = str(raised.value)
    assert "127.0.0.1" not in sentence
    assert "Traceback" not in sentence
    assert name == "too long" or sentence.endswith(
        "Please try again in a minute, or ask Fine-tuned or Combined instead."
    )
    # The server said its own key back in one of them; that is the server's to keep.
    assert name == "locked" or KEY not in caplog.text + repr(generator) + generator.describe() + sentence


def test_nobody_there_is_one_plain_sentence_and_soon_said() -> None:
    generator = RemoteGenerator(f"http://127.0.0.1:{free_port()}/v1")
    began = time.monotonic()
    with pytest.raises(GeneratorError, match=r"cannot be reached. Please try again in a minute\.$"):
        said(generator.stream(ASKED, SETTINGS, "reader"))
    assert time.monotonic() - began < 4


def test_a_server_that_never_begins_is_given_up(monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    monkeypatch.setattr(remote, "FIRST_WORD_SECONDS", 0.6)
    server.script.append(hangs())
    tokens = over(server).stream(ASKED, SETTINGS, "reader")
    assert next(tokens).idle  # so that the visitor can stop
    with pytest.raises(GeneratorError, match="takes too long"):
        said(tokens)
    assert server.left.wait(2)


BREAKS = {
    "cut": (cut, "has gone away"),
    "silent": (hangs(), "takes too long"),
    "rubbish": (lambda h: h.event("{nonsense"), "no answer"),
    "bytes": (lambda h: h.raw(b"data: \xff\xfe\x00\n\n"), "no answer"),
    "wrong types": (lambda h: h.event(chunk(["a"])), "no answer"),
    "no end": (lambda h: h.end(), "has gone away"),
    "an error": (lambda h: h.event({"error": "CUDA out of memory"}), "no answer|has failed"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_was_said_before_a_break_is_kept_with_one_sentence(
    server: ModelServer, passages: list[Passage], name: str
) -> None:
    step, words = BREAKS[name]
    server.script.append(then(["Fibre 100 is", " £27 [1]"], step))
    switchboard = Switchboard(FakeGenerator(), FakeRetriever(passages), "F", elsewhere={"rag": over(server)})
    *_, last = switchboard.answer([Message("user", "fibre costs")], "rag", SETTINGS)
    assert last.text == "Fibre 100 is £27 [1]"
    assert last.cited == (1,)
    assert last.cut_off
    assert last.done
    assert last.notice.startswith("The answer breaks off here: the model server ")
    assert any(word in last.notice for word in words.split("|"))
    assert len(server.requests) == 1  # an answer that was begun is not begun again


def test_closing_the_answer_closes_the_connection_wherever_the_server_is(server: ModelServer) -> None:
    for reply, begun in ((hangs(), False), (then([], hangs()), False), (then(["One"], hangs()), True)):
        server.left.clear()
        server.script.append(reply)
        tokens = over(server).stream(ASKED, SETTINGS, None)
        next(token for token in tokens if bool(token.text) == begun)
        began = time.monotonic()
        tokens.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 0.5
        assert server.left.wait(2)


def test_what_nothing_can_show_is_left_out_and_too_much_is_not_listened_to(server: ModelServer) -> None:
    server.script.append(says("a\x00b\ud83dc\r\n", "d\te"))
    assert said(over(server).stream(ASKED, SETTINGS, None)) == "abc\nd\te"
    server.script.append(says("x" * 1_000_000))
    assert len(said(over(server).stream(ASKED, SETTINGS, None))) == 32 * 64

    def for_ever(handler: Handler) -> None:
        while True:
            handler.event(chunk("x"))

    server.script.append(then([], for_ever))
    assert len(said(over(server).stream(ASKED, SETTINGS, None))) == 64
    assert server.left.wait(2)


def test_each_mode_has_its_generator_and_only_the_local_one_quotes(
    server: ModelServer, passages: list[Passage]
) -> None:
    local = FakeGenerator("Local.", "Local.")
    switchboard = Switchboard(local, FakeRetriever(passages), "F", elsewhere={"rag": over(server)})

    def ask(mode: str) -> Answer:
        return list(switchboard.answer([Message("user", "fibre costs")], mode, SETTINGS))[-1]

    assert ask("rag").text == "Hello there."
    assert ask("combined").text == ask("fine-tuned").text == "Local."
    assert [adapter for _, adapter in local.history] == ["customer-service"] * 2
    assert [request["model"] for request in server.requests] == ["reader"]
    # A model that writes freely is told what is data; the small ones here were trained without it.
    assert QUOTATIONS.strip() in server.requests[0]["messages"][0]["content"]
    assert not any(QUOTATIONS.strip() in message.content for messages, _ in local.history for message in messages)
    turn = Switchboard(local, FakeRetriever(passages), "F", elsewhere={"fine-tuned": over(server)}).prepare(
        [Message("user", "What is it?")], "fine-tuned", SETTINGS
    )
    assert turn.grounding is None  # no replies that were taught are chosen among


def test_other_modes_go_on_while_the_server_is_gone(passages: list[Passage]) -> None:
    gone = RemoteGenerator(f"http://127.0.0.1:{free_port()}/v1", adapters=ADAPTERS)
    switchboard = Switchboard(FakeGenerator("Local."), FakeRetriever(passages), "F", elsewhere={"rag": gone})
    answers = switchboard.answer([Message("user", "fibre costs")], "rag", SETTINGS)
    assert next(answers).passages  # the sources are shown all the same
    with pytest.raises(GeneratorError):
        list(answers)
    *_, last = switchboard.answer([Message("user", "fibre costs")], "combined", SETTINGS)
    assert last.text == "Local."


def test_a_mode_whose_adapter_the_server_lacks_says_so(passages: list[Passage]) -> None:
    with model_server("big") as server:
        everything = dict.fromkeys(MODES, over(server))
        switchboard = Switchboard(over(server), FakeRetriever(passages), "F", elsewhere=everything)
        *_, last = switchboard.answer([Message("user", "fibre costs")], "rag", SETTINGS)
        assert last.notice == "The model server has no model 'reader'. This answer is the untuned model's."
        assert server.requests[-1]["model"] == "big"
        with pytest.raises(AdapterError, match="no model 'customer-service'"):
            list(switchboard.answer([Message("user", "hi")], "fine-tuned", SETTINGS))


def test_an_evaluation_asks_the_server_and_takes_no_half_answer(server: ModelServer, passages: list[Passage]) -> None:
    everything = dict.fromkeys(MODES, over(server))
    switchboard = Switchboard(over(server), FakeRetriever(passages), "F", elsewhere=everything)
    questions = [Question(str(n), "single fact", "fibre costs", required=(("£27",),)) for n in range(3)]
    answers = ask_all(switchboard, questions, MODES["rag"], lambda _: None)
    assert [answer.text for answer in answers] == ["Hello there."] * 3
    server.script.extend([says("Whole."), then(["Half an"], cut)])
    with pytest.raises(GeneratorError, match="breaks off"):
        ask_all(switchboard, questions, MODES["rag"], lambda _: None)


def test_the_chat_keeps_what_was_said_and_shows_why_it_ends(server: ModelServer, passages: list[Passage]) -> None:
    server.script.append(then(["Fibre 100 is £27 [1]"], cut))
    switchboard = Switchboard(FakeGenerator(), FakeRetriever(passages), "F", elsewhere={"rag": over(server)})
    running: Any = SimpleNamespace(ready=True, settings=SimpleNamespace(company="F"))
    parts = Parts("transcript", "sources", "memory", "live", "question", "mode")
    chat = ChatEvents(parts, lambda *asked: switchboard.answer(*asked[:3]), None, running)  # type: ignore[arg-type]
    *_, last = chat.generate(new_conversation().asked("fibre costs", "rag"), 3, 0.0, 64)
    (turn,) = last["memory"]["current"]["turns"]
    assert (turn["state"], turn["answer"]["text"], turn["error"]) == ("stopped", "Fibre 100 is £27 [1]", "")
    assert "The answer breaks off here: the model server has gone away." in "".join(last["transcript"])


def test_a_model_is_loaded_only_where_some_mode_is_answered_here(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load(settings: Settings, _report: object) -> tuple[FakeGenerator, tuple[tuple[str, str], ...]]:
        loaded.append(settings)
        return FakeGenerator(), (("Model", "small"),)

    monkeypatch.setattr(build_module, "load_generator", load)
    everywhere = Settings(generator_url=server.url, generator_key=KEY)
    generator, elsewhere, about = build_module.load_generators(everywhere, quietly)
    assert loaded == []
    assert {id(one) for one in elsewhere.values()} == {id(generator)}
    assert set(elsewhere) == {*MODES, ABLATION.name}
    assert "big; adapters customer-service, reader" in str(about)
    assert server.url not in str(about)
    some = Settings(generator_url=server.url, generator_modes=("rag",))
    generator, elsewhere, about = build_module.load_generators(some, quietly)
    assert isinstance(generator, FakeGenerator)
    assert set(elsewhere) == {"rag", ABLATION.name}
    assert [name for name, _ in about] == ["Model", "Model server"]
    assert build_module.load_generators(Settings(), quietly)[1] == {}


def test_a_start_without_the_server_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    settings = Settings(generator_url=f"http://127.0.0.1:{free_port()}/v1", generator_model="big")
    _, _, about = build_module.load_generators(settings, lines.append)
    assert lines == [f"Model server at {settings.generator_url}: big, which could not be reached when this app started"]
    assert "could not be reached" in dict(about)["Model server"]
