"""The benchmark: what it works out from timings, and a short run with the real model that says nothing about time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from switchboard.bench import run
from switchboard.bench.engines import Timing
from switchboard.bench.written import table, write

ROW = {"first_s": 1.0, "total_s": 2.0, "tokens_per_second": 50.0}


def found() -> dict[str, object]:
    half = {"first_s": 0.5, "total_s": 1.0, "tokens_per_second": 100.0}
    turns = {
        work: {"switchboard": half, "llama.cpp q4_0": ROW, "llama.cpp q8_0": {**ROW, "tokens_per_second": 80.0}}
        for work in ("w1", "w2", "w3")
    }
    product = {"switchboard": 0.6, "llama.cpp q4_0": 1.2, "llama.cpp q8_0": 1.5}
    return {"turns": turns, "product_turn_s": product, "ratios": run.ratios(turns, product, 10.0, 15.0)}


def test_ratios_are_against_the_best_rival() -> None:
    assert found()["ratios"] == {
        "w3_ttft_vs_w2": 1.0,
        "w4_throughput_vs_one": 1.5,
        "w1_decode_vs_best_llamacpp": 1.25,
        "w2_ttft_vs_best_llamacpp": 0.5,
        "w2_total_vs_best_llamacpp": 0.5,
        "product_turn_vs_best_llamacpp": 0.5,
    }


def test_without_rivals_only_our_own_ratios_are_there() -> None:
    turns = {work: {"switchboard": ROW} for work in ("w1", "w2", "w3")}
    assert set(run.ratios(turns, {"switchboard": 1.0}, 10.0, 15.0)) == {"w3_ttft_vs_w2", "w4_throughput_vs_one"}


def test_medians_do_not_follow_one_slow_turn() -> None:
    timings = run.Timings()
    for total in (1.0, 1.1, 60.0):
        timings.add("switchboard", "w1", Timing(0.1, total))
    assert timings.medians()["w1"]["switchboard"] == {"first_s": 0.1, "total_s": 1.1, "tokens_per_second": 63.0}


def test_the_figures_are_written_as_json_and_as_a_picture(tmp_path: Path) -> None:
    write(found(), tmp_path / "deep" / "bench.json")
    assert json.loads((tmp_path / "deep" / "bench.json").read_text())["ratios"]["w2_total_vs_best_llamacpp"] == 0.5
    assert (tmp_path / "deep" / "bench.png").stat().st_size > 5000
    assert "| W1, fine-tuned turn | llama.cpp q8_0 | 1.000 | 2.000 | 80 |" in table(found())


@pytest.mark.real
def test_a_short_run_measures_everything(tmp_path: Path) -> None:
    from switchboard.bench.command import measure  # noqa: PLC0415
    from switchboard.progress import quietly  # noqa: PLC0415
    from switchboard.settings import Settings  # noqa: PLC0415

    measured = measure(Settings(), None, 1, 6, quietly, visits=1, sizes=[500], tokens=8)
    assert {engine for work in measured["turns"].values() for engine in work} == {"switchboard", "transformers"}
    assert measured["greedy"]["prompts"] == 6
    assert measured["greedy"]["largest_gap"] < 1.0
    assert measured["w4"]["as shipped"]["together"]["visitors"] == 8
    assert [row["passages"] for row in measured["retrieval_ms"].values()][-1] == 500
    assert 0 < measured["at_rest_mib"] <= measured["peak_mib_without_peers"]
    json.dumps(measured)
