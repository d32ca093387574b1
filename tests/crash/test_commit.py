"""kill -9 of a real process at each numbered point of its commits, inside an effect, and again and again on one event.

The verdict imports nothing of Stepwire: it reads the SQLite file and the lines that the handlers wrote.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.crash.victim import Begin, Early, Event, Kept, LocalBus, Poison, Whole, Worker, app
from tests.forked import Forked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]
RUNS = 6


@contextmanager
def victim(folder: Path, what: str = "work", at: str = "") -> Iterator[Forked]:
    """A process that may kill itself; it is ended at the latest when the block is left."""
    environment = {**os.environ, "CRASH_FOLDER": str(folder), "CRASH_AT": at}
    process = Forked("tests.crash.victim", [what], environment, ROOT, folder / "victim.log")
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(come_true: Callable[[], bool], what: str) -> None:
    """Look until it is so."""
    end = time.monotonic() + 30
    while not come_true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def records(folder: Path, topic: str) -> list[tuple[dict[str, str], dict[str, object]]]:
    """(headers, value) of everything on a topic."""
    database = sqlite3.connect(f"file:{folder / 'bus.db'}?mode=ro", uri=True, timeout=5)
    rows = database.execute(
        "SELECT e.headers, e.value FROM events e JOIN topics t ON (e.pos >> 44) = t.id WHERE t.name = ?", (topic,)
    ).fetchall()
    database.close()
    return [(json.loads(headers), json.loads(value)) for headers, value in rows]


def lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def unknown(folder: Path) -> list[str]:
    """Deliveries that wait for a person."""
    database = sqlite3.connect(f"file:{folder / 'bus.db'}?mode=ro", uri=True, timeout=5)
    rows = database.execute("SELECT key, value FROM state WHERE key LIKE 'i/%'").fetchall()
    database.close()
    return [key for key, value in rows if b'"unknown"' in bytes(value).split(b"\n", 1)[0]]


async def publish(folder: Path, *events: Event) -> None:
    """From another process than the worker's; the groups are founded before."""
    bus = LocalBus(str(folder / "bus.db"))
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    await worker.stop()
    await bus.publish([app.record(event, id=f"b{n}", source="crash", now=0.0)[0] for n, event in enumerate(events)])
    await bus.close()


def assert_exactly_once(folder: Path) -> None:
    """Every output is there once; a payment is made, or its call was claimed when the worker died."""
    parked = len(unknown(folder))
    for topic, number in (("item", RUNS * 3), ("weighed", RUNS * 3), ("total", RUNS), ("paid", RUNS - parked)):
        found = records(folder, topic)
        assert len(found) == number, f"{len(found)} on {topic}, not {number}"
        assert len({(h["ce_source"], h["ce_id"]) for h, _ in found}) == number, topic
    assert all(value["items"] == [0, 1, 2] for _, value in records(folder, "total"))
    effects = Counter(lines(folder, "effects"))
    assert max(effects.values(), default=0) <= 1, f"an effect was repeated: {effects}"
    assert {f"end {value['n']}" for _, value in records(folder, "paid")} <= set(effects)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("point", ["1", "2", "3", "4", "5", "6"])
async def test_nothing_is_lost_or_doubled_at_a_point_of_a_commit(tmp_path: Path, point: str, number: int) -> None:
    """Whatever instant of whichever commit it dies in: every output is there once, no effect happened twice."""
    await publish(tmp_path, *(Begin(n=n) for n in range(RUNS)))
    with victim(tmp_path, at=f"{point}:{number}") as first:
        until(lambda: first.poll() == -signal.SIGKILL, "it never came to that point")
    with victim(tmp_path):
        until(lambda: len(records(tmp_path, "paid")) + len(unknown(tmp_path)) >= RUNS, "it does not go on")
    assert_exactly_once(tmp_path)


async def test_a_commit_in_two_halves_is_noticed(tmp_path: Path) -> None:
    """Outputs in one transaction and progress in another, and death between them: the same verdict must be bad."""
    await publish(tmp_path, *(Begin(n=n) for n in range(RUNS)))
    with victim(tmp_path, at="halves:1") as first:
        until(lambda: first.poll() == -signal.SIGKILL, "it never came to that point")
    with victim(tmp_path):
        until(lambda: len(records(tmp_path, "paid")) + len(unknown(tmp_path)) >= RUNS, "it does not go on")
    with pytest.raises(AssertionError, match=r"on item|on weighed|on total|on paid"):
        assert_exactly_once(tmp_path)


async def test_an_effect_that_was_under_way_is_never_repeated(tmp_path: Path) -> None:
    """R13: killed inside the call, its delivery waits for a person; the others are done."""
    await publish(tmp_path, *(Begin(n=n) for n in range(RUNS)))
    with victim(tmp_path, at="inside:3") as first:
        until(lambda: first.poll() == -signal.SIGKILL, "it did not die inside the effect")
    with victim(tmp_path):
        until(lambda: len(records(tmp_path, "paid")) + len(unknown(tmp_path)) == RUNS, "it does not go on")
    assert unknown(tmp_path)
    assert_exactly_once(tmp_path)
    ends = sum(line.startswith("end") for line in lines(tmp_path, "effects"))
    assert ends < sum(line.startswith("begin") for line in lines(tmp_path, "effects")), "one began and never ended"


async def test_an_event_that_kills_its_worker_is_called_alone_and_then_put_away(tmp_path: Path) -> None:
    """R12: it kills at most five workers, then it is a dead letter `CrashLoop`; its neighbours are done, once each."""
    await publish(tmp_path, *(Poison(n=n) for n in range(5)))
    deaths = 0
    while not records(tmp_path, "victim.swallow.dlt"):
        with victim(tmp_path, at="call:1") as process:
            until(lambda p=process: p.poll() is not None or bool(records(tmp_path, "victim.swallow.dlt")), "it hangs")  # type: ignore[misc]
            deaths += process.poll() is not None
        assert deaths <= 6, "it kills for ever"
    ((headers, value),) = records(tmp_path, "victim.swallow.dlt")
    assert headers["kafka_dlt-exception-fqcn"].endswith("CrashLoop")
    assert value == {"n": 0}
    with victim(tmp_path):
        until(lambda: {value["n"] for _, value in _poison_ended(tmp_path)} == set(), "neighbours are left")
    calls = Counter(lines(tmp_path, "calls"))
    assert set(calls) == {"0", "1", "2", "3", "4"}


async def test_one_from_state_that_kills_is_put_away_although_others_go_on(tmp_path: Path) -> None:
    """R12 holds for what waits in state too: that the worker makes progress with others each time is no acquittal."""
    await publish(tmp_path, Kept(n=0, who="x"))
    lives = 0
    while not records(tmp_path, "victim.keep.dlt"):
        lives += 1
        assert lives <= 7, "it kills for ever"
        with victim(tmp_path, at="kept:1") as process:
            until(lambda: len(lines(tmp_path, "started")) == lives, "it does not start")  # noqa: B023 - in this round
            await go_on(tmp_path, lives)
            until(lambda p=process: p.poll() is not None or bool(records(tmp_path, "victim.keep.dlt")), "it hangs")  # type: ignore[misc]
    ((headers, value),) = records(tmp_path, "victim.keep.dlt")
    assert headers["kafka_dlt-exception-fqcn"].endswith("CrashLoop")
    assert value["n"] == 0
    assert {str(n) for n in range(lives)} <= set(lines(tmp_path, "kept")), "nobody else went on meanwhile"


@pytest.mark.parametrize(("kind", "step"), [(Early, "hurry"), (Whole, "mend")])
async def test_one_that_kills_before_it_is_stored_is_put_away(tmp_path: Path, kind: Any, step: str) -> None:
    """On a bus that stores as it forwards, a call without any await comes before both are committed; a join's too."""
    await publish(tmp_path, *(kind(n=n) for n in range(3)))
    topic, lives = f"victim.{step}.dlt", 0
    while not records(tmp_path, topic):
        lives += 1
        assert lives <= 9, "it kills for ever"
        with victim(tmp_path, at="early:1") as process:
            until(lambda p=process: p.poll() is not None or bool(records(tmp_path, topic)), "it hangs")  # type: ignore[misc]
    ((headers, _),) = records(tmp_path, topic)
    assert headers["kafka_dlt-exception-fqcn"].endswith("CrashLoop")
    with victim(tmp_path):
        until(lambda: {"1", "2"} <= set(lines(tmp_path, "calls")), "neighbours are left")


async def go_on(folder: Path, life: int) -> None:
    """Something for the queues of others, in every partition of the state."""
    bus = LocalBus(str(folder / "bus.db"))
    await bus.open()
    events = {f"{life}-{n}": Kept(n=life, who=f"y{n}") for n in range(40)}
    await bus.publish([app.record(event, id=id_, source="crash", now=0.0)[0] for id_, event in events.items()])
    await bus.close()


def _poison_ended(folder: Path) -> list[tuple[dict[str, str], dict[str, object]]]:
    """Poison events without the record that says they ended."""
    ended = {value["delivery"] for _, value in records(folder, "victim.runs") if value["handler"] == "swallow"}
    return [] if len(ended) == 4 else records(folder, "poison")


@pytest.mark.parametrize("point", ["4", "5", "6"])
async def test_what_was_acknowledged_is_there(tmp_path: Path, point: str) -> None:
    """A publisher that dies in the middle of a commit: everything it was told is written is written, once."""
    await publish(tmp_path)
    with victim(tmp_path, "publish", at=f"{point}:40") as process:
        until(lambda: process.poll() == -signal.SIGKILL, "it did not die")
    acknowledged = {int(line) for line in lines(tmp_path, "acknowledged")}
    there = [value["n"] for _, value in records(tmp_path, "begin")]
    assert len(acknowledged) > 10
    assert acknowledged <= set(there)
    assert len(there) == len(set(there))
    assert len(there) - len(acknowledged) <= 1
