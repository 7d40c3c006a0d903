"""The report of all modes: what is measured, that it goes on after being killed, and the files it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from report_fakes import ROWS, Knowing, plan_in
from switchboard import cli
from switchboard.evaluation.costs import break_even, per_thousand_turns, trainings_of
from switchboard.evaluation.machine import machine, peak_mib
from switchboard.evaluation.questions import read_questions
from switchboard.evaluation.report import ALL, Plan, measure, seconds_of_update
from switchboard.evaluation.written import as_markdown, write_report
from switchboard.modes import MODES
from switchboard.progress import quietly
from switchboard.settings import Settings


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_in(tmp_path)


def test_every_mode_is_asked_everything_and_scored(plan: Plan) -> None:
    done: list[int] = []
    report = measure(plan, done.append, quietly)
    assert sum(done) == len(ROWS) * len(ALL)
    assert list(report["modes"]) == [mode.name for mode in ALL]
    assert report["modes"]["rag"]["all_facts"] == 0.5  # the fee's answer says the fibre's price
    assert report["modes"]["rag"]["declined"] == 1.0
    assert report["modes"]["fine-tuned"]["all_facts"] == 0.0
    assert report["modes"]["fine-tuned"]["wrong_figures"] == 1.0
    assert report["modes"]["base"]["peak_mib"] == 512
    assert len(report["modes"]["rag"]["timings_ms"]) == len(ROWS)
    assert report["questions"]["answerable"] == 2
    behind = report["answers"][0]["modes"]["rag"]
    assert behind["answer"] == "It costs £27 a month [1]."
    assert behind["sources"] == ["plans/fibre.md"]
    assert (behind["all_facts"], behind["declined"]) == (True, False)


def test_pairs_are_of_the_same_questions_without_what_changed(plan: Plan) -> None:
    pairs = measure(plan, lambda _n: None, quietly)["pairs"]
    (pair,) = [p for p in pairs if (p["first"], p["second"], p["measure"]) == ("fine-tuned", "rag", "all_facts")]
    assert (pair["n"], pair["first_alone"], pair["second_alone"], pair["difference"]) == (1, 0, 1, -1.0)


def test_a_run_that_was_killed_asks_only_what_is_left(plan: Plan) -> None:
    killed = replace(plan, switchboard=replace(plan.switchboard, generator=Knowing(until=5)))
    with pytest.raises(KeyboardInterrupt):
        measure(killed, lambda _n: None, quietly)
    whole = measure(plan, lambda _n: None, quietly)
    again = Knowing(until=0)
    same = measure(replace(plan, switchboard=replace(plan.switchboard, generator=again)), lambda _n: None, quietly)
    assert again.history == []
    assert same["answers"] == whole["answers"]
    generator = plan.switchboard.generator
    assert isinstance(generator, Knowing)
    # Base and fine-tuned answer three questions each; those of base were answered before the run was killed.
    assert len(generator.history) < 3 * len(ALL) - 3


def test_a_line_that_was_cut_is_asked_again(plan: Plan) -> None:
    measure(plan, lambda _n: None, quietly)
    (file,) = (plan.settings.data / "evaluations").glob("*/rag-timed.jsonl")
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]) + lines[-1][:20], encoding="utf-8")
    measure(plan, lambda _n: None, quietly)
    assert len(file.read_text(encoding="utf-8").splitlines()) == len(ROWS)


def test_other_questions_are_another_run(plan: Plan) -> None:
    measure(plan, lambda _n: None, quietly)
    plan.file.write_text(plan.file.read_text(encoding="utf-8").replace("boats", "kites"), encoding="utf-8")
    other = replace(plan, questions=read_questions(plan.file))
    assert measure(other, lambda _n: None, quietly)["answers"][2]["question"].startswith("Do you sell kites")


def test_the_files_hold_every_mode_every_plot_and_what_it_was_measured_on(plan: Plan, tmp_path: Path) -> None:
    report = measure(plan, lambda _n: None, quietly)
    write_report(report, tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for mode in ALL:
        assert mode.label in text
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8")) == report
    pictures = [line.split("(")[-1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(pictures) == 7
    assert all((tmp_path / "out" / picture).stat().st_size > 5000 for picture in pictures)
    assert "a fake" in text
    assert machine()["processor"] in text
    assert "120 min of training" in text


def test_a_report_of_one_mode_has_no_pairs_and_can_be_written(plan: Plan, tmp_path: Path) -> None:
    report = measure(replace(plan, modes=[MODES["rag"]]), lambda _n: None, quietly)
    assert report["pairs"] == []
    write_report(report, tmp_path / "out")
    assert "| RAG |" in as_markdown(report, [])


def test_costs_add_every_training_that_led_to_an_adapter(plan: Plan) -> None:
    runs = trainings_of(plan.settings.adapters / "customer-service")
    assert [run["hours"] for run in runs] == [0.5, 2.0]
    assert trainings_of(plan.settings.adapters / "none") == []
    costs = measure(plan, lambda _n: None, quietly)["costs"]["modes"]
    assert costs["fine-tuned"]["training"] == pytest.approx(0.25)
    assert costs["fine-tuned"]["update_seconds"] == 7200
    assert costs["rag"]["update_seconds"] == 0.4
    assert costs["base"]["update_seconds"] is None


def test_who_costs_more_to_make_breaks_even_where_a_turn_costs_less() -> None:
    assert per_thousand_turns(3.6, 1.0) == pytest.approx(1.0)
    assert break_even(10, 0.01, 0, 0.02) == pytest.approx(1000)
    assert break_even(10, 0.02, 0, 0.02) is None
    assert break_even(0, 0.02, 0, 0.02) == 0.0


def test_an_update_is_timed_on_a_copy(tmp_path: Path) -> None:
    knowledge = tmp_path / "knowledge"
    knowledge.mkdir()
    (knowledge / "a.md").write_text("# A\n\nText.\n", encoding="utf-8")
    seen: list[str] = []

    def reopen(settings: Settings) -> None:
        assert settings.knowledge != knowledge
        seen.append((settings.knowledge / "a.md").read_text(encoding="utf-8"))

    assert seconds_of_update(Settings(knowledge=knowledge, data=tmp_path), reopen, "News.") >= 0
    assert ["News." in text for text in seen] == [False, True]
    assert "News." not in (knowledge / "a.md").read_text(encoding="utf-8")


def test_the_peak_is_this_process_own() -> None:
    before = peak_mib()
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_mib() >= max(before, 64)


def test_the_command_writes_a_report_of_the_modes_that_are_named(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = SimpleNamespace(fingerprint=plan.fingerprint)
    running = SimpleNamespace(switchboard=plan.switchboard, about=plan.about, index=index)
    opened: list[Settings] = []
    monkeypatch.setattr("switchboard.build.build", lambda settings, _report, **_: opened.append(settings) or running)
    monkeypatch.setattr("switchboard.evaluation.memory.peak_of", lambda _mode, _knowledge: 512.0)
    monkeypatch.setattr("switchboard.evaluation.report.seconds_of_update", lambda _settings, _reopen: 0.4)
    monkeypatch.setenv("SWITCHBOARD_DATA", str(tmp_path / "data"))
    (tmp_path / "documents").mkdir()
    command = [
        "evaluate",
        "--all",
        "--modes",
        "rag,base",
        "--questions",
        str(plan.file),
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(
        cli.app, [*command, "--knowledge", str(tmp_path / "documents"), "--hourly-price", "0.5"]
    )
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert list(report["modes"]) == ["rag", "base"]
    assert report["costs"]["hourly_price"] == 0.5
    assert opened[0].knowledge == (tmp_path / "documents").resolve()
    assert "report.md" in result.output
