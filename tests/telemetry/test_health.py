"""The probes and /metrics, over HTTP, of a worker that starts, works, stands by, stalls and loses its bus."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwire import App, Event, SettingsError, handler
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock
from stepwire.errors import BusCorrupt
from stepwire.worker import Worker
from stepwire_handlers.services.health import Probes, health
from stepwire_handlers.services.watching import CALM, LOOK, Watch
from stepwire_handlers.telemetry import Metrics
from stepwire_handlers.telemetry.backlog import SLOW, STALLED


class Asked(Event, topic="asked"):
    n: int


@handler()
async def slow(asked: Asked) -> None:
    await asyncio.sleep(asked.n)


APP = App("probed", [slow])


async def get(url: str, path: str) -> tuple[int, dict[str, Any] | str]:
    """Status and body, by a client of a few lines: the loop that is asked must not be blocked by who asks."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    is_json = b"application/json" in head
    return int(head.split()[1]), json.loads(body) if is_json else body.decode()


@pytest.fixture
async def bus() -> AsyncIterator[LocalBus]:
    found = LocalBus(clock=VirtualClock())
    await found.open()
    yield found
    await found.close()


async def test_the_probes_follow_a_worker_from_start_to_work(bus: LocalBus) -> None:
    """Before the start only /livez is content, and the others say why; afterwards all are, and /metrics tells."""
    metrics, worker = Metrics(APP), Worker(APP, bus, clock=bus.clock)
    async with health(worker, metrics, "127.0.0.1", 0) as url:
        assert await get(url, "/livez") == (200, {"status": "ok", "why": []})
        why = {"status": "failed", "why": ["slow has not reached the bus"]}
        assert await get(url, "/startupz") == (503, why)
        assert await get(url, "/readyz") == (503, {"status": "failed", "why": ["slow has not joined"]})
        await worker.start()
        await worker.settle()
        for probe in ("/livez", "/startupz", "/readyz"):
            assert (await get(url, probe))[0] == 200
        status, body = await get(url, "/metrics")
        assert status == 200
        assert 'stepwire_assigned_partitions{group="probed.slow",topic="asked"} 1.0' in str(body)
        assert (await get(url, "/nothing"))[0] == 404
        await worker.stop()


async def test_a_broken_bus_is_not_ready_but_alive_and_a_slow_call_is_neither(bus: LocalBus) -> None:
    """/readyz says what the bus said; /livez and /startupz look at neither bus nor handlers."""
    metrics, worker = Metrics(APP), Worker(APP, bus, clock=bus.clock)
    metrics.watch(worker)
    assert metrics.backlog is not None
    probes = Probes(worker, metrics.backlog)
    await worker.start()
    await worker.settle()
    assert probes.startupz() == []
    await bus.publish([APP.record(Asked(n=10_000), now=0.0)[0]])
    while not worker.dispatchers[0].caller.running:
        await asyncio.sleep(0)
    worker.clock.turn(worker.clock.now() + 50.0)  # type: ignore[attr-defined]
    worker.dispatchers[0].committer.trouble = "the disk is full"
    await metrics.backlog.measure()
    assert probes.readyz() == ["the disk is full"]
    assert probes.livez() == []
    assert probes.startupz() == []
    for delivery in list(worker.dispatchers[0].caller.running):
        worker.dispatchers[0].caller.cancel(delivery)
    worker.dispatchers[0].active = 0
    await worker.stop()


async def test_a_person_is_told_why_nothing_is_taken(bus: LocalBus) -> None:
    """Once, when it begins and when it is over; probes do not mind, for it passes by itself."""
    metrics, worker, said = Metrics(APP), Worker(APP, bus, clock=bus.clock), list[str]()
    metrics.watch(worker)
    assert metrics.backlog is not None
    watch = Watch(worker, metrics.backlog, "probed", said.append)
    await worker.start()
    await worker.settle()
    ledger = next(ledger for p, ledger in worker.dispatchers[0].committer.ledgers.items() if p.topic == "asked")
    await bus.publish([APP.record(Asked(n=0), now=0.0)[0]])
    await worker.settle()
    ledger.next -= 1  # as if the record had never been fetched
    for seconds in (0.9 * SLOW, 0.2 * SLOW, 0.2 * SLOW):
        worker.clock.turn(worker.clock.now() + seconds)  # type: ignore[attr-defined]
        await metrics.backlog.measure()
        watch.look()
    assert said == ["probed: slow: nothing is taken just now, although something is there"]
    assert Probes(worker, metrics.backlog).readyz() == Probes(worker, metrics.backlog).livez() == []
    ledger.next += 1
    await metrics.backlog.measure()
    for _ in range(int(CALM / LOOK) + 1):
        watch.look()
    assert said[1:] == ["probed: works again"]
    await worker.stop()


async def test_a_poll_loop_that_stands_still_is_not_alive(bus: LocalBus) -> None:
    """Something to fetch, room for it, and nobody asks for a minute; an idle worker is not that."""
    metrics, worker = Metrics(APP), Worker(APP, bus, clock=bus.clock)
    metrics.watch(worker)
    assert metrics.backlog is not None
    probes = Probes(worker, metrics.backlog)
    await worker.start()
    await worker.settle()
    worker.clock.turn(worker.clock.now() + 10 * STALLED)  # type: ignore[attr-defined]
    await metrics.backlog.measure()
    assert probes.livez() == []
    ledger = next(ledger for p, ledger in worker.dispatchers[0].committer.ledgers.items() if p.topic == "asked")
    await bus.publish([APP.record(Asked(n=0), now=0.0)[0]])
    await worker.settle()
    ledger.next -= 1  # as if the record had never been fetched
    worker.clock.turn(worker.clock.now() + 2 * STALLED)  # type: ignore[attr-defined]
    await metrics.backlog.measure()
    assert probes.livez() == ["slow does not fetch although there is something"]
    ledger.next += 1
    await worker.stop()


async def test_a_worker_of_which_a_step_ended_is_not_alive(bus: LocalBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes its events any more and nobody begins it again, so /livez asks for another process."""

    async def corrupt(*_: object) -> None:
        raise BusCorrupt("garbage in a page")

    metrics, worker = Metrics(APP), Worker(APP, bus, clock=bus.clock)
    async with health(worker, metrics, "127.0.0.1", 0) as url:
        await worker.start()
        await worker.settle()
        assert (await get(url, "/livez"))[0] == 200
        monkeypatch.setattr(worker.dispatchers[0]._member, "fetch", corrupt)
        await bus.publish([APP.record(Asked(n=0), now=0.0)[0]])
        with pytest.raises(BusCorrupt):
            await worker.wait()
        assert await get(url, "/livez") == (503, {"status": "failed", "why": ["a dispatcher ended"]})
    await worker.stop()


@pytest.mark.parametrize("trouble", ["full", "locked"])
async def test_a_bus_that_takes_no_commits_for_long_restarts_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """A full disk and a locked file: not ready, with the reason; alive however long it lasts; then all is done."""
    monkeypatch.setattr("stepwire_handlers.telemetry.backlog.STALLED", 0.1)
    bus, outside = LocalBus(str(tmp_path / "bus.db")), LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    await outside.open()
    metrics, worker = Metrics(APP), Worker(APP, bus)
    metrics.watch(worker)
    assert metrics.backlog is not None
    probes = Probes(worker, metrics.backlog)
    await worker.start()
    await worker.settle()
    await outside.publish([APP.record(Asked(n=0), now=0.0)[0] for _ in range(1_000)])
    if trouble == "full":
        (pages,) = bus.store.db.execute("PRAGMA page_count").fetchone()
        bus.store.db.execute(f"PRAGMA max_page_count={pages}")
        await outside.publish([APP.record(Asked(n=0), now=0.0)[0] for _ in range(1_000)])
    else:
        outside.store.db.execute("BEGIN IMMEDIATE")
    while not probes.readyz():
        await asyncio.sleep(0.01)
    for _ in range(10):
        await metrics.backlog.measure()
        assert probes.livez() == [] and probes.startupz() == []
        assert trouble in probes.readyz()[0]
        await asyncio.sleep(0.05)
    if trouble == "full":
        bus.store.db.execute("PRAGMA max_page_count=1073741823")
    else:
        outside.store.db.execute("ROLLBACK")
    await worker.settle()
    await metrics.backlog.measure()
    assert probes.readyz() == []
    assert set(metrics.backlog.messages.values()) == {0}
    await worker.stop()
    await outside.close()
    await bus.close()


async def test_a_standby_is_started_ready_and_alive(tmp_path: Path) -> None:
    """The second worker on a file has no partitions, and that is no fault of it."""
    first_bus, second_bus = LocalBus(str(tmp_path / "bus.db")), LocalBus(str(tmp_path / "bus.db"))
    await first_bus.open()
    await second_bus.open()
    first, second = Worker(APP, first_bus), Worker(APP, second_bus)
    metrics = Metrics(APP)
    await first.start()
    await first.settle()
    await second.start()
    async with health(second, metrics, "127.0.0.1", 0) as url:
        while not second.dispatchers[0].joined:
            await asyncio.sleep(0)
        for probe in ("/startupz", "/readyz", "/livez"):
            assert await get(url, probe) == (200, {"status": "ok", "why": []})
    await second.stop()
    await first.stop()
    await second_bus.close()
    await first_bus.close()


async def test_a_taken_port_is_said_before_anything_runs(bus: LocalBus) -> None:
    """With the cure, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}.*choose another http_port"):
            async with health(Worker(APP, bus), Metrics(APP), "127.0.0.1", port):
                raise AssertionError("it listens twice")
