"""Decisions: early ones, second ones, signed ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from stepwire import App, Decision, Event, RetryLater, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition
from stepwire.clock import VirtualClock
from stepwire.envelope import ROOT, join_id
from stepwire.errors import BusUnavailable
from stepwire.gate import decision, signature, signed
from stepwire.memory import replay, replay_key
from stepwire.state import Entry
from stepwire.telemetry import Fact, Skipped
from stepwire.worker import Worker
from stepwire_handlers.telemetry.unanswered import open_gates


class Ask(Event, topic="ask"):
    n: int = 0


class Yes(Event, topic="yes", result=True):
    n: int


@handler()
async def approve(asked: Decision[Ask]) -> Yes | None:
    return Yes(n=asked.final.n) if asked.approved else None


APP = App("a", [approve])


async def decide(bus: LocalBus, id_: str, key: str = "", *, approved: bool = True) -> None:
    entry = decision(id_, approved=approved, by="ann", why="", key=key, sent=1_000.0)
    await bus.publish([Out("a.approve.control", id_, {}, entry.encode())])


async def worker_with(key: str, facts: list[Fact]) -> tuple[LocalBus, Worker]:
    bus = LocalBus(clock=VirtualClock(1_000.0))
    await bus.open()
    worker = Worker(APP, bus, settings=Settings(), clock=bus.clock, telemetry=facts.append, decision_key=key)
    await worker.start()
    return bus, worker


async def test_an_early_decision_waits_for_its_event_and_a_second_one_is_refused() -> None:
    """Whoever knows the run may decide before the event is there; the first in control order wins."""
    facts: list[Fact] = []
    bus, worker = await worker_with("", facts)
    out, run = APP.record(Ask(n=1), id="x", now=1_000.0)
    id_ = join_id("a", "approve", run, ROOT)
    await decide(bus, id_)
    await decide(bus, id_, approved=False)
    await bus.publish([out])
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 1
    assert [fact.why for fact in facts if isinstance(fact, Skipped)] == ["already_decided"]
    await worker.stop()
    await bus.close()


@pytest.mark.parametrize("key", ["old", "new\r", "new\n\nold", "old\nnew"])
async def test_while_a_key_takes_anothers_place_both_are_taken(key: str) -> None:
    """Of several keys, one a line, a worker takes each; who signs signs with the first; a blank line is no key."""
    facts: list[Fact] = []
    bus, worker = await worker_with(" new \n\n old\n", facts)
    out, run = APP.record(Ask(n=1), id="x", now=1_000.0)
    id_ = join_id("a", "approve", run, ROOT)
    await bus.publish([out])
    for guessed in ("guessed", "new old", "guessed\nold"):
        await decide(bus, id_, key=guessed)
    anybody = decision(id_, approved=True, by="ann", sent=1_000.0)
    forged = {**anybody.meta, "sig": signature("", anybody.meta, anybody.value)}
    await bus.publish([Out("a.approve.control", id_, {}, anybody._replace(meta=forged).encode())])
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 0
    assert [fact.why for fact in facts if isinstance(fact, Skipped)] == ["unsigned"] * 4
    await decide(bus, id_, key=key)
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 1
    await worker.stop()
    await bus.close()


async def test_a_worker_with_a_key_takes_only_what_is_signed_with_it() -> None:
    """An unsigned decision, or one signed with another key, is counted and changes nothing."""
    facts: list[Fact] = []
    bus, worker = await worker_with("secret", facts)
    out, run = APP.record(Ask(n=1), id="x", now=1_000.0)
    id_ = join_id("a", "approve", run, ROOT)
    await bus.publish([out])
    await decide(bus, id_)
    await decide(bus, id_, key="guessed")
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 0
    await decide(bus, id_, key="secret")
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 1
    assert [fact.why for fact in facts if isinstance(fact, Skipped)] == ["unsigned", "unsigned"]
    await worker.stop()
    await bus.close()


async def test_what_became_of_an_unknown_outcome_is_signed_too() -> None:
    """With a key, nobody without it says that a call happened, or has it made again; a decision's signature is none."""

    @handler(effect="once")
    async def send(ask: Ask) -> Yes:
        raise ConnectionError("lost the answer")

    facts: list[Fact] = []
    app, bus = App("a", [send]), LocalBus(clock=VirtualClock(1_000.0))
    await bus.open()
    worker = Worker(app, bus, settings=Settings(), clock=bus.clock, telemetry=facts.append, decision_key="secret")
    await worker.start()
    out, run = app.record(Ask(n=1), id="x", now=1_000.0)
    await bus.publish([out])
    await worker.settle()
    meta = {"kind": "resolve", "id": run, "verdict": "done", "by": "ann", "type": "Yes", "of": "0.0"}
    good, value = signed(meta, b'{"n": 4}', "secret"), b'{"n": 4}'
    decided = decision(run, approved=True, by="ann", why="Yes", edited=value, key="secret", sent=1.0)
    lent = Entry({**decided.meta, **meta}, {}, value)
    other = [Entry({**good.meta, **change}, {}, value) for change in ({"by": "bob"}, {"verdict": "redo"})]
    bad = [Entry(meta, {}, value), signed(meta, value, "guessed"), Entry(good.meta, {}, b'{"n": 5}'), lent, *other]
    for entry in bad:
        await bus.publish([Out("a.send.control", run, {}, entry.encode())])
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 0
    assert [fact.why for fact in facts if isinstance(fact, Skipped)] == ["unsigned"] * len(bad)
    await bus.publish([Out("a.send.control", run, {}, good.encode())])
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 1
    await worker.stop()
    await bus.close()


async def test_a_signed_word_is_about_one_time_that_an_outcome_is_unknown() -> None:
    """Copied on the bus, a signed `redo` has nothing made again when the outcome is unknown once more."""
    calls: list[int] = []

    @handler(effect="once")
    async def send(ask: Ask) -> Yes:
        calls.append(ask.n)
        raise ConnectionError("lost the answer")

    app, bus = App("a", [send]), LocalBus(clock=VirtualClock(1_000.0))
    await bus.open()
    worker = Worker(app, bus, settings=Settings(), clock=bus.clock, decision_key="secret")
    await worker.start()
    out, run = app.record(Ask(n=1), id="x", now=1_000.0)
    await bus.publish([out])
    await worker.settle()
    meta = {"kind": "resolve", "id": run, "verdict": "redo", "by": "ann", "type": ""}
    for of, called in (("", 1), ("0.1", 1), ("0.0", 2), ("0.0", 2), ("0.1", 3), ("0.1", 3)):
        told = signed({**meta, "of": of} if of else meta, b"null", "secret")
        await bus.publish([Out("a.send.control", run, {}, told.encode())])
        await worker.settle()
        assert len(calls) == called, of
    await worker.stop()
    await bus.close()


async def test_a_decision_made_while_no_worker_ran_counts_though_the_deadline_is_over() -> None:
    """It was made in time, and lies unread: the worker that comes back hears it before anything expires."""
    bus, worker = await worker_with("", [])
    out, run = APP.record(Ask(n=1), id="x", now=1_000.0)
    await bus.publish([out])
    await worker.settle()
    await worker.stop()
    await decide(bus, join_id("a", "approve", run, ROOT))
    bus.clock.turn(1_000.0 + 8 * 86_400)  # type: ignore[attr-defined]  # a day after the gate's last
    again = Worker(APP, bus, settings=Settings(), clock=bus.clock)
    await again.start()
    await again.settle()
    await again.stop()
    assert sum(bus.log.end(Partition("yes", number)) for number in range(bus.log.topics["yes"][1])) == 1
    assert bus.log.end(Partition("a.approve.dlt", 0)) == 0
    await bus.close()


async def test_a_gate_that_nobody_decided_expires_all_the_same() -> None:
    """Once everything that was said before is heard, also if that was about other gates."""
    bus, worker = await worker_with("", [])
    runs = []
    for n in range(3):
        out, run = APP.record(Ask(n=n), id=f"x{n}", now=1_000.0)
        await bus.publish([out])
        runs.append(run)
    await worker.settle()
    await worker.stop()
    await decide(bus, join_id("a", "approve", runs[0], ROOT))
    bus.clock.turn(1_000.0 + 8 * 86_400)  # type: ignore[attr-defined]
    again = Worker(APP, bus, settings=Settings(), clock=bus.clock)
    await again.start()
    await again.settle()
    await again.stop()
    assert bus.log.end(Partition("a.approve.dlt", 0)) == 2
    await bus.close()


async def test_a_decision_made_in_time_counts_however_much_lies_unread_before_it() -> None:
    """A worker that is behind reads what was said before a deadline, and only then lets the deadline count."""
    bus, worker = await worker_with("", [])
    (decided, run), (silent, other) = (APP.record(Ask(n=n), id=f"x{n}", now=1_000.0) for n in range(2))
    await bus.publish([decided, silent])
    await worker.settle()
    early = decision("of-nobody", approved=True, by="ann", why="", sent=1_000.0).encode()
    many = [Out("a.approve.control", "of-nobody", {}, early, 0)] * 3_000
    mine = decision(join_id("a", "approve", run, ROOT), approved=True, by="ann", why="", sent=1_000.0).encode()
    await bus.publish([*many, Out("a.approve.control", None, {}, mine, 0)])
    bus.clock.turn(1_000.0 + 7 * 86_400)  # type: ignore[attr-defined]  # the last moment of both
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 1
    dead = await bus.read(Partition("a.approve.dlt", 0), 0, 10)
    assert [record.headers["ce_swrun"] for record in dead] == [other]
    await worker.stop()
    await bus.close()


class Away(LocalBus):
    """A bus that cannot say where topics end."""

    away = False

    async def ends(self, topics: Sequence[str], patience: float = 0.0) -> Mapping[Partition, int]:
        if self.away:
            raise BusUnavailable("no broker answers")
        return await super().ends(topics, patience)


async def test_a_deadline_waits_for_a_bus_that_is_away_and_no_call_is_cut_off_meanwhile() -> None:
    """Nobody can say whether a decision was made in time; a call that runs goes on, and the gate expires afterwards."""
    go_on, calls = asyncio.Event(), list[int]()

    @handler(timeout=30 * 86_400.0)
    async def approve(asked: Decision[Ask]) -> Yes:
        calls.append(asked.final.n)
        await go_on.wait()
        return Yes(n=asked.final.n)

    app, bus = App("a", [approve]), Away(clock=VirtualClock(1_000.0))
    await bus.open()
    worker = Worker(app, bus, settings=Settings(), clock=bus.clock)
    await worker.start()
    (decided, run), (silent, _) = (app.record(Ask(n=n), id=f"x{n}", now=1_000.0) for n in range(2))
    await bus.publish([decided, silent])
    await decide(bus, join_id("a", "approve", run, ROOT))
    while not calls:
        await asyncio.sleep(0)
    bus.away = True
    bus.clock.turn(1_000.0 + 8 * 86_400)  # type: ignore[attr-defined]
    for _ in range(50):
        await asyncio.sleep(0)
    bus.away = False
    go_on.set()
    await worker.settle()
    assert (calls, sum((await bus.ends(["yes"])).values())) == ([0], 1)
    assert sum((await bus.ends(["a.approve.dlt"])).values()) == 1
    await worker.stop()
    await bus.close()


async def expired(bus: LocalBus, worker: Worker, clock: VirtualClock) -> str:
    """A gate that nobody decided in time, replayed: its id."""
    out, run = worker.app.record(Ask(n=1), id="x", now=clock.now())
    await bus.publish([out])
    await worker.settle()
    clock.turn(clock.now() + 8 * 86_400.0)
    await worker.settle()
    (letter,) = await bus.read(Partition("a.approve.dlt", 0), 0, 9)
    entry = replay(letter, drop=False)
    await bus.publish([Out("a.approve.control", replay_key(entry), {}, entry.encode())])
    return join_id("a", "approve", run, ROOT)


async def test_of_a_gate_that_asks_anew_only_an_answer_to_this_question_is_taken() -> None:
    """What was signed for the first one proves nothing: whoever can write to the topic could send it again."""
    facts: list[Fact] = []
    clock = VirtualClock(1_000.0)
    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(APP, bus, clock=clock, telemetry=facts.append, decision_key="secret")
    await worker.start()
    id_ = await expired(bus, worker, clock)
    await decide(bus, id_, key="secret", approved=False)
    await worker.settle()
    assert [fact.why for fact in facts if isinstance(fact, Skipped)] == ["already_decided"]
    assert [gates.open for gates in open_gates(worker)] == [1]
    forged = decision(id_, approved=True, by="ann", key="secret", sent=1.0)
    forged = forged._replace(meta={**forged.meta, "of": "1"})
    await bus.publish([Out("a.approve.control", id_, {}, forged.encode())])
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 0
    entry = decision(id_, approved=True, by="ann", key="secret", sent=1.0, of="1")
    await bus.publish([Out("a.approve.control", id_, {}, entry.encode())])
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 1
    await worker.stop()
    await bus.close()


async def test_a_gate_that_asks_anew_takes_what_was_said_in_time_while_no_worker_was_there() -> None:
    """As it did the first time: deadlines count as far as messages are read."""
    clock = VirtualClock(1_000.0)
    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(APP, bus, clock=clock)
    await worker.start()
    id_ = await expired(bus, worker, clock)
    await worker.settle()
    await worker.stop()
    await decide(bus, id_)
    clock.turn(clock.now() + 8 * 86_400.0)
    worker = Worker(APP, bus, clock=clock)
    await worker.start()
    await worker.settle()
    assert sum((await bus.ends(["yes"])).values()) == 1
    await worker.stop()
    await bus.close()


@pytest.mark.parametrize("effect", ["at-least-once", "once"])
async def test_the_call_of_a_gate_that_asked_anew_is_a_call_as_any(effect: Any) -> None:
    """A retry waits for its time; an effect that nobody knows of is not made again."""
    calls: list[float] = []
    clock = VirtualClock(1_000.0)

    @handler(name="approve", effect=effect)
    async def fails(asked: Decision[Ask]) -> Yes:
        calls.append(clock.now())
        if effect == "once":
            raise ConnectionError("no answer")
        raise RetryLater(600.0)

    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(App("a", [fails]), bus, clock=clock)
    await worker.start()
    await decide(bus, await expired(bus, worker, clock))
    await worker.settle()
    for _ in range(3):
        clock.turn(clock.now() + 100.0)
        await worker.settle()
    assert len(calls) == 1
    await worker.stop()
    await bus.close()
