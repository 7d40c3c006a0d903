"""The command line: whole transcripts over fakes, exit codes, one-line errors; and the real thing once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fakes import FakeGenerator, FakeRetriever
from switchboard import cli
from switchboard.errors import SettingsError
from switchboard.switch import Switchboard
from switchboard.types import Answer, Passage
from switchboard.users import Users

COMMANDS = [
    "ask",
    "bench",
    "search",
    "index",
    "retrieve-eval",
    "calibrate",
    "evaluate",
    "train",
    "feedback",
    "password",
    "setup",
]


@pytest.fixture
def fake_switchboard(passages: list[Passage], monkeypatch: pytest.MonkeyPatch) -> FakeGenerator:
    generator = FakeGenerator("It is £27 [1].", "Sixty per cent [1].")
    switchboard = Switchboard(generator, FakeRetriever(passages, threshold=0.2), "Fernwave")
    monkeypatch.setattr(cli, "_switchboard", lambda: switchboard)
    return generator


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(arguments))
    return result.exit_code, result.stdout


def test_ask_streams_the_answer_and_lists_its_sources(fake_switchboard: FakeGenerator) -> None:
    code, printed = run("ask", "fibre 100 costs", "--mode", "rag")
    assert code == 0
    answer, sources, metrics = printed.split("\n\n")
    assert answer == "It is £27 [1]."
    assert sources.splitlines() == [
        "[1] Fibre plans › Prices (similarity 1.00, cited)",
        "[2] Cancel fibre › Exit fee (similarity 0.33, retrieved)",
    ]
    assert "4 tokens" in metrics
    assert "search 1 ms" in metrics


def test_a_blank_before_a_removed_citation_does_not_end_the_printing(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_stream(
        iter([Answer("rag", text) for text in (" It is £27", " It is £27 ", " It is £27.", "It is £27.")])
    )
    assert capsys.readouterr().out == "It is £27.\n"


def test_ask_json_is_one_object_with_the_agreed_keys(fake_switchboard: FakeGenerator) -> None:
    code, printed = run("ask", "fibre 100 costs", "--json")
    (line,) = printed.splitlines()
    record = json.loads(line)
    assert code == 0
    assert {"question", "mode", "answer", "abstained", "passages", "metrics"} <= set(record)
    assert record["mode"] == "rag"
    assert {"source", "heading", "score", "text", "cited"} <= set(record["passages"][0])
    assert record["passages"][0]["cited"] is True


def test_ask_file_prints_one_object_a_line(fake_switchboard: FakeGenerator, tmp_path: Path) -> None:
    questions = tmp_path / "q.txt"
    questions.write_text("fibre 100 costs\n\nearly exit fee\n", encoding="utf-8")
    code, printed = run("ask", "--file", str(questions))
    assert code == 0
    assert [json.loads(line)["question"] for line in printed.splitlines()] == ["fibre 100 costs", "early exit fee"]


def test_a_question_that_is_refused_does_not_stop_the_ones_after_it(
    fake_switchboard: FakeGenerator, tmp_path: Path
) -> None:
    questions = tmp_path / "q.txt"
    questions.write_text(f"{'long ' * 5000}\nfibre 100 costs\n", encoding="utf-8")
    code, printed = run("ask", "--file", str(questions), "--mode", "fine-tuned")
    refused, answered = (json.loads(line) for line in printed.splitlines())
    assert code == 1
    assert "5,000 tokens long" in refused["error"]
    assert answered["answer"]


def test_ask_says_why_nothing_was_found(fake_switchboard: FakeGenerator) -> None:
    code, printed = run("ask", "sourdough recipe")
    assert code == 0
    assert "does not cover" in printed
    assert "Nearest: Fibre plans › Prices (similarity 0.00)" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "hi", "--mode", "magic"], "There is no mode 'magic'. The modes are base, fine-tuned, rag, combined."),
        (["ask", "hi", "-k", "99"], "passages is 99; it must be from 1 to 8."),
        (["ask"], "There is no question."),
        (["search", " "], "There is nothing to search for."),
        (["ask", "--file", "no-such-file.txt"], "no-such-file.txt cannot be read"),
        (["retrieve-eval", "no-such-folder"], "no-such-folder"),
        (["train", "no-such-adapter"], "no-such-adapter"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_code_1(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "switchboard", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    code, printed = run(command, "--help")
    assert code == 0
    assert "Example: python -m switchboard" in printed


def test_the_list_of_commands_is_whole() -> None:
    names = [c.name or getattr(c.callback, "__name__", "") for c in cli.app.registered_commands]
    assert sorted(names) == sorted(COMMANDS)


@pytest.mark.real
def test_the_real_command_answers_each_mode_with_its_own_adapter_and_sources() -> None:
    for mode, searched in (("base", False), ("fine-tuned", False), ("rag", True), ("combined", True)):
        done = subprocess.run(
            [sys.executable, "-m", "switchboard", "ask", "How much is Fibre 500 a month?", "--mode", mode, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert record["mode"] == mode
        assert bool(record["passages"]) == searched
        assert record["answer"]
        assert record["metrics"]["output_tokens"] > 0
        if searched:
            assert any("£36" in passage["text"] for passage in record["passages"])


def test_a_password_is_made_into_a_line_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(cli.app, ["password", "ann"], input="sword, fish\n")
    assert done.exit_code == 0
    assert "sword" not in done.output
    assert Users.read(done.output.strip()).allow("ann", "sword, fish")
    with pytest.raises(SettingsError, match="neither a colon nor a comma"):
        CliRunner().invoke(cli.app, ["password", "a:b"], input="x\n", catch_exceptions=False)
