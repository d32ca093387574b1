"""Runs are counted in temporary tables: to the same counts as in plain sets, in bounded memory, and in nobody's way."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.door.shop import APP as SHOP
from tests.telemetry import crowd, plain_tally
from tests.telemetry.forged import APP, Forger
from tests.telemetry.plain_tally import PlainTeller

from stepwire.bus.local import LocalBus
from stepwire.bus.sqlite import Store
from stepwire_handlers.services import reasons
from stepwire_handlers.services.reasons import Reasons
from stepwire_handlers.services.tally import Teller, reader

ROOT = Path(__file__).parents[2]
#: runs that are neither open nor closing, and still remembered as taken up again
FORGOTTEN = "SELECT count(*) FROM $again WHERE $fresh"


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))])
async def test_any_file_is_counted_as_in_plain_sets(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies there, and in whatever order it appears and goes: each look comes to the same."""
    for module in (plain_tally, reasons):
        monkeypatch.setattr(module, "MOST", 2 if seed % 4 == 1 else 20_000)  # more than that is not looked at
    forger = Forger(seed)
    await forger.open()
    teller, plain = Teller(APP, forger.bus), PlainTeller(APP, forger.bus)
    seen = [0] * 6
    for number in range(150):
        forger.step()
        if number % 3 == seed % 3 or number % 7 == 0:
            tally = teller.look()
            assert tally == plain.look()
            assert teller._sets.count(FORGOTTEN) == 0
            numbers = (tally.started, tally.completed, tally.failed, *tally.open)
            seen = [before + now for before, now in zip(seen, numbers, strict=True)]
    assert min(*seen[:2], *seen[3:5]) > 0, "a history in which one of these numbers stays 0 shows nothing of it"
    await forger.bus.close()


async def test_a_look_that_failed_is_as_if_nobody_had_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middle, with half of the runs found: the next look counts what came since the last good one."""
    forger = Forger(5)
    await forger.open()
    teller, plain = Teller(APP, forger.bus), PlainTeller(APP, forger.bus)
    find = Reasons.find

    def breaks(reasons: Reasons) -> bool:
        find(reasons)
        raise sqlite3.OperationalError("disk I/O error")

    for number in range(120):
        forger.step()
        if number % 4 == 0:
            with monkeypatch.context() as patch:
                patch.setattr(Reasons, "find", breaks)
                with pytest.raises(Exception, match="disk I/O error"):
                    teller.look()
            assert not forger.bus.store.db.in_transaction
        if number % 5 == 0:
            assert teller.look() == plain.look()
    await forger.bus.close()


async def test_tellers_on_one_connection_keep_apart_and_leave_nothing() -> None:
    """Names of their own, no look is a commit that anybody would notice, and close drops all."""
    forger = Forger(7)
    await forger.open()
    tellers = [Teller(APP, forger.bus) for _ in range(2)]
    for _ in range(60):
        forger.step()
        version = forger.bus.store.data_version()
        first, second = (teller.look() for teller in tellers)
        assert first == second
        assert forger.bus.store.data_version() == version and not forger.bus.log.is_stale()
    tables = "SELECT count(*) FROM temp.sqlite_master"
    assert forger.bus.store.db.execute(tables).fetchone() > (0,)
    for teller in tellers:
        teller.close()
    assert forger.bus.store.db.execute(tables).fetchone() == (0,)
    await forger.bus.close()


def test_a_look_neither_waits_for_writers_nor_holds_them_up(tmp_path: Path) -> None:
    """While somebody writes, what is counted is written elsewhere; and a writer commits in the middle of a look."""
    path = tmp_path / "bus.db"
    crowd.fill(path, 50)
    other, writer = reader(LocalBus(str(path))), LocalBus(str(path))
    teller = Teller(SHOP, other)
    writer = reader(LocalBus(str(path)))
    writer.store.begin()
    assert sum(teller.look().open) == 50
    find = teller._reasons.find

    def meanwhile() -> bool:
        whole = find()
        writer.store.add_topics({"elsewhere": 1})
        writer.store.commit()
        return whole

    teller._reasons.find = meanwhile  # type: ignore[method-assign]
    assert sum(teller.look().open) == 50
    assert "elsewhere" in writer.store.topics()
    writer.store.close()
    other.store.close()


def test_a_look_costs_what_came_not_what_lies_there(tmp_path: Path) -> None:
    """Twenty times the history, all of it done: a look at one new run takes as many steps of SQLite's machine."""
    taken = []
    for number in (500, 10_000):
        path = tmp_path / f"{number}.db"
        crowd.fill(path, number)
        store = Store(str(path))
        _done(store, "check")
        other = reader(LocalBus(str(path)))
        teller, steps = Teller(SHOP, other), list[int]()
        assert [sum(teller.look().open) for _ in range(2)] == [0, 0]
        crowd.orders(store, number, number + 1)
        other.store.db.set_progress_handler(lambda steps=steps: steps.append(1), 10)
        assert teller.look()[:4] == (1, 0, 0, (1, 0, 0))
        taken.append(len(steps))
        other.store.close()
        store.close()
    assert taken[1] < 1.2 * taken[0]


def _done(store: Store, handler: str) -> None:
    """A handler has nothing before it any more."""
    store.begin()
    group, _ = store.group(f"{SHOP.name}.{handler}")
    places = [(topic, part) for topic, partitions in store.topics().values() for part in range(partitions)]
    store.save_progress([(group, topic, part, store.end(topic, part), "") for topic, part in places])
    store.commit()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_memory_does_not_follow_how_many_runs_are_open(tmp_path: Path) -> None:
    """200,000 runs that nobody took, 20,000 that wait for a person, 3,000 that failed: some MB, and 20 us for each."""
    path = tmp_path / "bus.db"
    crowd.fill(path, 200_000, 20_000, 3_000)
    told = subprocess.run(
        [sys.executable, "-m", "tests.telemetry.crowd", str(path)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found = json.loads(told.stdout)
    assert found["open"] == 223_000
    assert found["grew_mb"] < 30, found
    assert found["seconds"] < 20e-6 * 223_000, found
