"""Old things on a file: what runs that still wait need is kept, and what is shown, or offered to be done, is true."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import pytest

from stepwire import App, Decision, Event, Retry, Sensitive, external, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Progress, Transaction
from stepwire.clock import VirtualClock
from stepwire.dispatch.step import control_topic
from stepwire.gate import decision
from stepwire.worker import Worker
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.gates import Gates
from stepwire_handlers.services.listing import newest
from stepwire_handlers.services.retention import expire
from stepwire_handlers.services.runs import Runs

HOUR = 3_600.0


class Asked(Event, topic="kept.asked", entry=True):
    n: int


class Odd(Event, topic="kept.odd"):
    n: int


class Even(Event, topic="kept.even"):
    n: int


class Answered(Event, topic="kept.answered", result=True):
    n: int


@handler()
async def sort(asked: Asked) -> Odd | Even:
    return Odd(n=asked.n) if asked.n % 2 else Even(n=asked.n)


@handler()
async def ask(odd: Decision[Odd]) -> Answered | None:
    return Answered(n=odd.final.n) if odd.approved else None


@handler()
async def ignore(even: Even) -> None:
    """So that a record says how it ended."""


class Card(Event, topic="kept.card", entry=True):
    number: Annotated[str, Sensitive()]


@handler(retry=Retry(attempts=1))
async def pay(card: Card) -> None:
    raise ValueError(f"no card {card.number}")


class Question(Event, topic="kept.question"):
    n: int


class Told(Event, topic="kept.told", terminal=True):
    n: int


@handler()
async def wonder(asked: Asked) -> Question:
    return Question(n=asked.n)


APP = App("kept", handlers=[sort, ask, ignore, pay])


@pytest.mark.parametrize("path", [":memory:", "bus.db"])
async def test_a_run_that_waits_keeps_its_history(tmp_path: Path, path: str) -> None:
    """What ended before it began is deleted; it is listed as waiting, completes when decided, and then goes."""
    clock = VirtualClock(1_000_000.0)
    bus = LocalBus(path if path == ":memory:" else str(tmp_path / path), clock=clock)
    await bus.open()
    worker = Worker(APP, bus, clock=clock)
    await worker.start()
    for n in (2, 4, 1, 6, 3):  # the third and the last one wait for a person
        await bus.publish([APP.record(Asked(n=n), id=str(n), now=clock.now())[0]])
        await worker.settle()
        clock.turn(clock.now() + HOUR)
    bus.store.db.execute(
        "INSERT INTO state (grp, part, key, value) VALUES (99, 0, 'i/odd', x'ff')"
    )  # another release's
    clock.turn(clock.now() + 48 * HOUR)
    await expire(APP, bus, 24 * HOUR)
    waiting, over = newest(APP, bus, 9, "waiting").views, newest(APP, bus, 9, "completed").views
    assert [(view.state, [line.event.n for line in view.lines]) for view in waiting] == [
        ("waiting", [3, 3]), ("waiting", [1, 1]),
    ]  # fmt: skip
    assert [view.lines[0].event.n for view in over] == [6]  # it came after the first of those began
    for gate in Gates(APP, bus).open():
        entry = decision(gate.id, approved=True, by="ann", sent=clock.now())
        await bus.publish([Out(control_topic("kept", "ask"), gate.id, {}, entry.encode())])
        await worker.settle()
        view = Runs(APP, bus).view(gate.run)
        assert (view.state, type(view.result)) == ("completed", Answered)
    clock.turn(clock.now() + 48 * HOUR)
    await expire(APP, bus, 24 * HOUR)
    left = dict(bus.store.db.execute("SELECT pos >> 44, count(*) FROM events GROUP BY 1").fetchall())
    topics = {number: name for name, (number, _) in bus.log.topics.items()}
    assert {topics[number]: count for number, count in left.items()} == {
        "kept.answered": 1, "kept.runs": 3,  # the last result: offsets go on from there
    }  # fmt: skip
    assert Runs(APP, bus).view(gate.run).state == "completed"
    await worker.stop()
    await bus.close()


@asynccontextmanager
async def working(app: App, **options: object) -> AsyncIterator[tuple[LocalBus, Worker, VirtualClock]]:
    """A worker of an app on a bus in memory."""
    clock = VirtualClock(1_000_000.0)
    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(app, bus, clock=clock, **options)  # type: ignore[arg-type]
    await worker.start()
    yield bus, worker, clock
    await worker.stop()
    await bus.close()


async def test_what_a_service_outside_was_asked_stays() -> None:
    """Nothing is stored of a run that waits for it: only the question says that it is open."""
    app = App("kept", [wonder, external(Question, Told)])
    async with working(app) as (bus, worker, clock):
        for n in range(3):
            await bus.publish([app.record(Asked(n=n), id=str(n), now=clock.now())[0]])
        await worker.settle()
        clock.turn(clock.now() + 48 * HOUR)
        await expire(app, bus, 24 * HOUR)
        assert len(await bus.read(Partition("kept.question", 0), 0, 9)) == 3


async def test_what_another_app_reads_stays_in_new_partitions_too() -> None:
    """It has no progress there yet, for it was away when the topic grew."""
    async with working(APP) as (bus, _, clock):
        await bus.create({"b.read.control": 1})
        await bus.found({"b.read": ["kept.answered", "b.read.control"]})
        member = await bus.join("b.read", ["kept.answered"], "b.read.control")
        progress = {Partition("kept.answered", 0): Progress(0)}
        await member.commit(Transaction(progress=progress), member.assignment.generation)
        await member.leave()
        await bus.create({"kept.answered": 3})
        await bus.publish([Out("kept.answered", None, {}, b"{}", partition=n % 3) for n in range(9)])
        clock.turn(clock.now() + 48 * HOUR)
        await expire(APP, bus, 24 * HOUR)
        assert [len(await bus.read(Partition("kept.answered", n), 0, 9)) for n in range(3)] == [3, 3, 3]


async def test_a_run_that_a_step_is_behind_with_keeps_its_history() -> None:
    """Its step has no worker for longer than the retention; it is listed all the same."""
    async with working(APP, only={"sort"}) as (bus, worker, clock):
        await bus.found({"kept.ignore": ["kept.even", "kept.ignore.control"]})
        member = await bus.join("kept.ignore", ["kept.even"], "kept.ignore.control")
        progress = {Partition("kept.even", 0): Progress(0)}
        await member.commit(Transaction(progress=progress), member.assignment.generation)
        await member.leave()
        await bus.publish([APP.record(Asked(n=2), id="2", now=clock.now())[0]])
        await worker.settle()
        clock.turn(clock.now() + 48 * HOUR)
        await expire(APP, bus, 24 * HOUR)
        assert [view.state for view in newest(APP, bus, 9).views] == ["running"]


async def test_a_dead_letter_shows_no_secret_of_an_event_that_was_deleted() -> None:
    """What it quotes is masked by its own payload."""
    async with working(APP) as (bus, worker, clock):
        out, run = APP.record(Card(number="4111-2222"), id="c", now=clock.now())
        await bus.publish([out])
        await worker.settle()
        for _ in range(2):  # the last record of a topic stays
            await bus.publish([APP.record(Asked(n=2), now=clock.now())[0]])
        await worker.settle()
        clock.turn(clock.now() + 48 * HOUR)
        await expire(APP, bus, 24 * HOUR)
        view = Runs(APP, bus).view(run)
        assert (view.state, view.lines) == ("failed", [])
        assert [letter.message for letter in view.dead] == ["no card ***"]
        assert "4111" not in view.open[0].about


@pytest.mark.parametrize("decision", ["replay", "drop"])
async def test_a_dead_letter_that_was_answered_never_opens_again(decision: str) -> None:
    """Its verdict is kept for a month, the letter on a file for good: who replays all does not replay it once more."""
    async with working(APP) as (bus, worker, clock):
        out, _ = APP.record(Card(number="4111-2222"), id="c", now=clock.now())
        await bus.publish([out])
        await worker.settle()
        (letter,) = DeadLetters(APP, bus).open()
        clock.turn(clock.now() + 1.0)
        answer = DeadLetters(APP, bus)
        await (answer.drop([letter]) if decision == "drop" else answer.resume([letter], b'{"number": "5000-0000"}'))
        clock.turn(clock.now() + 1.0)
        await worker.settle()
        still = [each.number for each in DeadLetters(APP, bus).open()]  # a replay that fails is the next one
        clock.turn(clock.now() + 40 * 24 * HOUR)
        await worker.settle()
        assert [each.number for each in DeadLetters(APP, bus).open()] == still == ([1] if decision == "replay" else [])
        assert DeadLetters(APP, bus).status(letter) == ("replayed" if decision == "replay" else "dropped")


async def test_a_dead_letter_that_no_worker_wrote_hides_no_run() -> None:
    """One of a join whose parts are no JSON, though it has every header: the run is shown with the rest."""
    async with working(APP) as (bus, worker, clock):
        out, run = APP.record(Card(number="4111-2222"), id="c", now=clock.now())
        await bus.publish([out])
        await worker.settle()
        (letter,) = DeadLetters(APP, bus).open()
        odd = {**letter.record.headers, "sw_kind": "join", "sw_delivery": "kept/ask/" + 32 * "0"}
        for value in (b"\xff", b"[]"):
            await bus.publish([Out("kept.ask.dlt", run, odd, value, partition=0)])
            assert {each.message for each in Runs(APP, bus).view(run).dead} == {"no card ***"}
