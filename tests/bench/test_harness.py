"""The benchmark's harness: its statistics, its verdicts, its page and its exit code, on made-up figures."""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `bench` is no installed package

from bench.bars import LINES, Bar, Line, Measure
from bench.machine import file_system, seconds_since_start
from bench.page import number, page
from bench.run import CLEARED, FAILED, NO_FIGURE, main
from bench.verdicts import Spread, judge, spread

from bench import load, process

ROOT = process.ROOT
Measuring = Callable[[Measure, Path], Mapping[str, Any]]

#: made-up figures: with ours good and everybody else's bad every bar is cleared
GOOD = {
    "runs_per_s": 9_000.0,
    "p50_ms": 0.1,
    "cpu_ms_per_run": 0.1,
    "wall_s": 1.1,
    "ready_s": 2.0,
    "peak_mb": 200.0,
}
BAD = {"runs_per_s": 100.0, "p50_ms": 10.0, "cpu_ms_per_run": 10.0}


def printed(measure: Measure, figures: Mapping[str, float]) -> dict[str, Any]:
    return {"peer": "made-up", "version": "1", "pattern": measure.name, "keeps": "nothing", **figures}


def good(measure: Measure, _: Path) -> Mapping[str, Any]:
    return printed(measure, GOOD if measure.environment == "ours" else BAD)


def slow_restart(measure: Measure, scratch: Path) -> Mapping[str, Any]:
    """As `good`, but a restart takes longer than its bar allows."""
    return {**good(measure, scratch), "ready_s": 5.5}


def versions(_: str) -> dict[str, str]:
    return {"stepwire": "0.1.0", "langgraph": "1.2.22"}


def run(tmp_path: Path, *argv: str, measuring: Measuring = good) -> int:
    return main([*argv, "--into", str(tmp_path), "--scratch", str(tmp_path)], measuring, versions)


def written(tmp_path: Path) -> list[str]:
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())


# -- statistics


def test_a_spread_is_the_median_with_the_lowest_and_the_highest() -> None:
    assert Spread(3.0, 1.0, 9.0) == spread([9.0, 1.0, 3.0, 2.0, 8.0])
    assert Spread(2.5, 2.0, 3.0) == spread([3.0, 2.0])


def test_without_a_value_there_is_no_median() -> None:
    with pytest.raises(ValueError, match="never run"):
        spread([])


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [load.percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert load.percentile([7.0], 0.5) == 7.0
    with pytest.raises(ValueError, match="no run ended"):
        load.percentile([], 0.5)


def test_a_closed_loop_starts_no_run_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    async def one() -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr(load, "time", SimpleNamespace(perf_counter=lambda: now, process_time=lambda: now / 2))
    sample = asyncio.run(load.closed_loop(one, at_once=1, seconds=3.0))
    assert list(sample.latencies) == [1.0, 1.0, 1.0]
    timed = {"runs": 3, "seconds": 3.0, "runs_per_s": 1.0, "p50_ms": 1_000.0, "p99_ms": 1_000.0}
    assert sample.figures() == {**timed, "cpu_ms_per_run": 500.0}


def test_a_blocking_loop_counts_alike_with_and_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()  # each look at the clock is a second, whoever looks
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)), process_time=lambda: 0.0)
    monkeypatch.setattr(load, "time", clock)
    for at_once in (1, 3):
        numbers = count()
        sample = load.closed_loop_in_threads(numbers.__next__, at_once=at_once, seconds=100.0)
        assert len(sample.latencies) == next(numbers) > 0


# -- verdicts


def bar(relation: Any, factor: float, against: Any = ("theirs",), field: str = "runs_per_s") -> Bar:
    return Bar("ours", field, relation, factor, against, "a reason")


def test_each_round_gives_a_ratio_and_their_median_is_judged() -> None:
    """In the second round the whole machine was slow: the ratio of that round does not suffer from it."""
    figures = {"ours": {"runs_per_s": [300.0, 30.0, 330.0]}, "theirs": {"runs_per_s": [100.0, 10.0, 100.0]}}
    verdict = judge(bar("at least", 3.0), figures)
    assert verdict.passed
    assert verdict.ratio == Spread(3.0, 3.0, 3.3)


@pytest.mark.parametrize(
    ("relation", "factor", "passed"),
    [("at least", 2.0, True), ("at least", 2.01, False), ("at most", 2.0, True), ("at most", 1.99, False)],
)
def test_exactly_on_the_bar_is_cleared_and_past_it_is_not(relation: str, factor: float, passed: bool) -> None:
    figures = {"ours": {"runs_per_s": [200.0]}, "theirs": {"runs_per_s": [100.0]}}
    assert judge(bar(relation, factor), figures).passed is passed


@pytest.mark.parametrize(("field", "best"), [("runs_per_s", "quick"), ("p50_ms", "brief")])
def test_the_best_of_several_opponents_counts(field: str, best: str) -> None:
    figures = {
        "ours": {"runs_per_s": [100.0], "p50_ms": [1.0]},
        "quick": {"runs_per_s": [90.0], "p50_ms": [5.0]},
        "brief": {"runs_per_s": [10.0], "p50_ms": [2.0]},
    }
    assert judge(bar("at least", 1.0, ("quick", "brief"), field), figures).claim.endswith(best)


def test_a_fixed_figure_is_the_opponent_of_every_round() -> None:
    figures = {"ours": {"wall_s": [1.1, 1.3, 1.15]}}
    verdict = judge(bar("at most", 1.2, 1.0, "wall_s"), figures)
    assert verdict.passed
    assert verdict.ratio == Spread(1.15, 1.1, 1.3)


# -- the table


def test_every_bar_is_about_something_that_its_line_measures() -> None:
    for line in LINES:
        names = {measure.name for measure in line.measures}
        for one in line.bars:
            opponents = set() if isinstance(one.against, float) else set(one.against)
            assert {one.measure} | opponents <= names
            assert one.field in line.fields
            assert one.reason


def test_every_measure_has_its_script_and_a_name_of_its_own() -> None:
    measures = [measure for line in LINES for measure in line.measures]
    assert len({measure.name for measure in measures}) == len(measures)
    for measure in [*measures, *[line.prepare for line in LINES if line.prepare]]:
        assert (ROOT / measure.module.replace(".", "/")).with_suffix(".py").exists()


# -- the harness


def test_cleared_bars_exit_with_0_and_leave_results_and_page(tmp_path: Path) -> None:
    assert run(tmp_path) == CLEARED == 0
    assert written(tmp_path) == ["bench/results.json", "docs/benchmarks.md"]
    results = json.loads((tmp_path / "bench/results.json").read_text())
    assert results["rounds"] == 5
    assert all(bar["passed"] for bar in results["bars"])
    assert (tmp_path / "docs/benchmarks.md").read_text() == page(results)


def test_a_failed_bar_exits_with_1_and_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, measuring=slow_restart) == FAILED == 1
    rows = [row for row in capsys.readouterr().out.splitlines() if "FAIL" in row]
    assert len(rows) == 1
    assert "stepwire, restart: ready_s at most 1 x 5" in rows[0]
    assert "1.10 (1.10 to 1.10)" in rows[0]
    assert "**FAIL**" in (tmp_path / "docs/benchmarks.md").read_text()


def test_a_script_without_a_figure_exits_with_2_and_nothing_is_written(tmp_path: Path) -> None:
    def broken(measure: Measure, _: Path) -> Mapping[str, Any]:
        raise process.MeasureFailed(f"{measure.name}: 9 in the file, 10 expected")

    assert run(tmp_path, measuring=broken) == NO_FIGURE == 2
    assert written(tmp_path) == []


@pytest.mark.parametrize("argv", [["--quick"], ["--rounds", "4"], ["--only", "chain"]])
def test_a_look_is_judged_but_never_written(tmp_path: Path, argv: list[str]) -> None:
    assert run(tmp_path, *argv) == CLEARED
    assert written(tmp_path) == []


def test_a_round_too_few_or_an_unknown_line_is_refused(tmp_path: Path) -> None:
    for argv in (["--rounds", "0"], ["--only", "nothing"]):
        with pytest.raises(SystemExit):
            run(tmp_path, *argv)


def test_scripts_take_turns_and_files_are_prepared_once(tmp_path: Path) -> None:
    started: list[str] = []

    def noting(measure: Measure, scratch: Path) -> Mapping[str, Any]:
        started.append(measure.name)
        return good(measure, scratch)

    run(tmp_path, "--rounds", "2", "--only", "latency", "parked", measuring=noting)
    lines: list[Line] = [line for line in LINES if line.name in ("latency", "parked")]
    turns = [measure.name for line in lines for measure in line.measures]
    assert started == ["stepwire, fill", *turns, *turns]


def test_results_name_no_path_of_the_machine(tmp_path: Path) -> None:
    run(tmp_path)
    for name in written(tmp_path):
        text = (tmp_path / name).read_text()
        assert str(tmp_path) not in text
        assert str(ROOT) not in text


# -- processes and machine


def test_a_script_answers_with_the_last_line_that_it_prints(tmp_path: Path) -> None:
    found = process.measured(Measure("versions", "bench.machine"), tmp_path)
    assert found["pytest"] == pytest.__version__


@pytest.mark.parametrize(
    ("module", "why"),
    [("bench.nowhere", "ended with code 1.*No module named"), ("bench.bars", "printed no JSON")],
)
def test_a_script_that_gives_no_figure_is_named_with_the_end_of_its_log(tmp_path: Path, module: str, why: str) -> None:
    with pytest.raises(process.MeasureFailed, match=f"(?s)broken {why}"):
        process.measured(Measure("broken", module), tmp_path)


def test_a_missing_environment_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "PEERS", tmp_path / "python")
    with pytest.raises(process.MeasureFailed, match="uv sync --frozen --only-group peers"):
        process.measured(Measure("peer", "bench.peer_langgraph", (), "peers"), tmp_path)


def test_the_file_system_is_that_of_the_longest_mount_point() -> None:
    mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpfoo xfs rw 0 0\n"
    found = [file_system(Path(path), mounts) for path in ("/tmp/x", "/home/x", "/tmpfoo/x")]  # noqa: S108
    assert found == ["tmpfs", "ext4", "xfs"]


def test_a_process_knows_how_long_ago_it_was_started() -> None:
    assert 0.0 < seconds_since_start() < 3_600.0


@pytest.mark.parametrize(("value", "text"), [(0.144, "0.14"), (12.34, "12.3"), (4_711.4, "4,711")])
def test_a_figure_is_shown_with_three_digits(value: float, text: str) -> None:
    assert number(value) == text
