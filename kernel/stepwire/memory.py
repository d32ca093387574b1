"""A whole run in process and in memory: for scripts, notebooks and tests. Time stands still until it is turned.

In: an app and events. Out: a `Run` with state, result, events, dead letters and gates, on which a person's decisions
and hours of waiting are one call each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Record
from stepwire.clock import VirtualClock
from stepwire.codec import Codec
from stepwire.dispatch.delivery import Delivery
from stepwire.dispatch.step import control_topic, dead_letter_topic
from stepwire.errors import DecodeError, PublishError
from stepwire.event import Event
from stepwire.gate import decision
from stepwire.settings import Settings
from stepwire.state import Entry, Mailbox, decode_entry, decode_meta, kept
from stepwire.worker import Worker, topics_of

if TYPE_CHECKING:
    from stepwire.app import App

REAL = 1.0  #: seconds; a call that waits for longer really waits, and time goes on with it: so its timeout comes
STEPS = 10_000  #: short waits that are jumped over before a run counts as endless


@dataclass(frozen=True, slots=True)
class Gate:
    """A decision that a person owes."""

    id: str  #: the join id
    handler: str
    event: Event


@dataclass(frozen=True, slots=True)
class Dead:
    """An unfinished delivery."""

    handler: str
    error: str  #: the exception's class name
    message: str
    record: Record = field(repr=False)


class Run:
    """One run of an app in memory."""

    def __init__(self, app: App, worker: Worker, bus: LocalBus, clock: VirtualClock, id_: str) -> None:
        self.id = id_
        self._app, self._worker, self._bus, self._clock = app, worker, bus, clock
        self.events: list[Event] = []  #: every event of the run, oldest first
        self.dead_letters: list[Dead] = []
        self.gates: list[Gate] = []
        self.unknown: list[str] = []  #: delivery ids whose effect may or may not have happened
        self.waiting: int = 0  #: parked deliveries and open joins

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def result(self) -> Event | None:
        """The run's event that is marked as its result."""
        return next((event for event in self.events if type(event).spec.result), None)

    @property
    def state(self) -> str:
        """Completed | waiting | failed."""
        if self.gates or self.unknown:
            return "waiting"
        return "failed" if self.dead_letters else "waiting" if self.waiting else "completed"

    async def advance(self, seconds: float) -> None:
        """Turn the clock, stopping at every timer on the way so that each finds the world as it would be."""
        end = self._clock.now() + seconds
        while (due := self._clock.next_timer()) is not None and due <= end:
            await self._turn(due)
            await self._settle()
        await self._turn(end)
        await self._settle()

    async def decide(
        self, gate: Gate | str | None = None, *, approved: bool = True, by: str = "test", why: str = "",
        edited: Event | None = None,
    ) -> None:  # fmt: skip
        """Decide a gate (the only open one, if none is named) and let the run go on."""
        named = gate.id if isinstance(gate, Gate) else gate
        fits = [gate for gate in self.gates if named in (None, gate.id)]
        if len(fits) != 1:
            raise PublishError(f"{len(fits)} of {len(self.gates)} open gates fit; name one: run.decide(run.gates[n])")
        asked = fits[0]
        if edited is not None and type(edited) is not type(asked.event):
            raise PublishError(f"the gate asks about {type(asked.event).__name__}, edited= is {type(edited).__name__}")
        value = edited.model_dump_json().encode() if edited is not None else b""
        entry = decision(asked.id, approved=approved, by=by, why=why, edited=value, sent=self._clock.now())
        await self._send(asked.handler, asked.id, entry)

    async def replay(self, dead: Dead, edited: Event | None = None) -> None:
        """Resume an unfinished delivery, with another payload if one is given."""
        await self._answer(dead, drop=False, value=edited.model_dump_json().encode() if edited else None)

    async def drop(self, dead: Dead) -> None:
        """Give an unfinished delivery up: what it owes is absent."""
        await self._answer(dead, drop=True, value=None)

    async def resolve(self, id_: str, verdict: str, event: Event | None = None, by: str = "test") -> None:
        """Say what became of an unknown outcome: "done" (with the event it returned), "redo" or "drop"."""
        if id_ not in self.unknown or verdict not in ("done", "redo", "drop"):
            raise PublishError(f'{verdict} of {id_}: run.unknown has the ids; say "done", "redo" or "drop"')
        holders = ((name, each) for name, each in self._mailboxes() if id_ in each.items or id_ in each.joins)
        handler, mailbox = next(holders)
        value = event.model_dump_json().encode() if event is not None else b"null"
        kind = type(event).__name__ if event is not None else ""
        meta = {"kind": "resolve", "id": id_, "verdict": verdict, "by": by, "type": kind}
        await self._send(handler, id_, Entry(meta, {}, value), mailbox.partition)

    async def _answer(self, dead: Dead, *, drop: bool, value: bytes | None) -> None:
        entry = replay(dead.record, drop=drop, edited=value)
        await self._send(dead.handler, replay_key(entry), entry)

    async def _send(self, handler: str, key: str, entry: Entry, partition: int | None = None) -> None:
        await self._bus.publish([Out(control_topic(self._app.name, handler), key, {}, entry.encode(), partition)])
        await self._settle()

    async def publish(self, *events: Event) -> None:
        """Publish more events to the same bus."""
        await self._bus.publish([self._app.record(event, now=self._clock.now())[0] for event in events])
        await self._settle()

    async def close(self) -> None:
        """Stop the worker and forget everything."""
        await self._worker.stop()
        await self._bus.close()

    # -- looking

    def _mailboxes(self) -> list[tuple[str, Mailbox]]:
        each = self._worker.dispatchers
        return [(d.step.name, mailbox) for d in each for mailbox in d.committer.mailboxes.values()]

    async def _settle(self) -> None:
        waited: set[Delivery] = set()
        for _ in range(STEPS):
            try:
                async with asyncio.timeout(REAL):
                    await self._worker.settle()
            except TimeoutError:  # much to do, or a call that waits for something that no clock of ours turns
                running = {delivery for each in self._worker.dispatchers for delivery in each.caller.running}
                if waited & running:
                    await self._turn(self._clock.now() + REAL)
                waited = running
                continue
            due = self._clock.next_timer()
            if not self._worker.sleeping or due is None:
                break
            await self._turn(due)
        await self._look()

    async def _turn(self, to: float) -> None:
        """Turn the clock and let those it wakes take their first steps, so that they count as awake."""
        self._clock.turn(to)
        for _ in range(3):
            await asyncio.sleep(0)

    async def _look(self) -> None:
        records: list[Record] = []
        for topic in topics_of(self._app, self._worker.settings):
            records += await self._bus.read(Partition(topic, 0), 0, 1_000_000)
        records.sort(key=lambda record: record.time)
        self.events = [event for record in records if (event := self._event(record)) is not None]
        self.gates, self.unknown, self.waiting = [], [], 0
        for name, mailbox in self._mailboxes():
            self._look_into(name, mailbox)
        dead = [each for each in map(self._dead, records) if each is not None]
        self.dead_letters = [each for each in dead if not self._answered(each)]

    def _event(self, record: Record) -> Event | None:
        types = [event for event in self._app.wiring.events if event.spec.topic == record.topic]
        try:
            event = Codec(record.topic, types).event(record)
        except DecodeError:  # it is among the dead letters
            return None
        return None if isinstance(event, str) else event

    def _look_into(self, handler: str, mailbox: Mailbox) -> None:
        for join in mailbox.joins.values():
            if join.stub is not None or (join.call is not None and join.call.get("dead")):
                continue
            if join.call is not None and join.call.get("unknown"):
                self.unknown.append(join.id)
                continue
            parts = self._app.wiring.handlers[handler].signature.parts if handler in self._app.wiring.handlers else ()
            part = next((part for part in parts if part.decision), None)
            raw = join.slots.get(part.name) if part is not None and join.decision is None else None
            if raw is not None and (event := self._event(kept(decode_entry(raw)))) is not None:
                self.gates.append(Gate(join.id, handler, event))
                continue
            self.waiting += not join.blocked and bool(join.slots or join.absent or join.open)
        for id_, raw in mailbox.items.items():
            if decode_meta(raw).get("unknown"):
                self.unknown.append(id_)
            else:
                self.waiting += 1

    def _dead(self, record: Record) -> Dead | None:
        handlers = {dead_letter_topic(self._app.name, h.name): h.name for h in self._app.runnable}
        if record.topic not in handlers:
            return None
        error = record.headers["kafka_dlt-exception-fqcn"].rpartition(".")[2]
        return Dead(handlers[record.topic], error, record.headers["kafka_dlt-exception-message"], record)

    def _answered(self, dead: Dead) -> bool:
        """Was it replayed or dropped since?"""
        id_ = dead.record.headers["sw_delivery"].rpartition("/")[2]
        n = int(dead.record.headers["sw_replay"])
        boxes = [mailbox for name, mailbox in self._mailboxes() if name == dead.handler]
        replayed = [box.verdicts[id_]["n"] for box in boxes if id_ in box.verdicts]
        replayed += [(box.joins[id_].call or {}).get("replay", 0) for box in boxes if id_ in box.joins]
        return any(number > n for number in replayed) or any(id_ in box.items for box in boxes)


def replay(record: Record, *, drop: bool, edited: bytes | None = None) -> Entry:
    """The control message that resumes, or gives up, the delivery of a dead letter (R14)."""
    dead = record.headers
    headers = {name: value for name, value in dead.items() if not name.startswith(("kafka_dlt-", "sw_"))}
    meta = {
        "kind": "replay", "id": dead["sw_delivery"].rpartition("/")[2], "replay": int(dead["sw_replay"]) + 1,
        "origin": dead["sw_kind"], "drop": drop, "edited": edited is not None, "run": dead["ce_swrun"],
        "t": dead["kafka_dlt-original-topic"], "p": int(dead["kafka_dlt-original-partition"]),
        "o": int(dead["kafka_dlt-original-offset"]), "at": int(dead["kafka_dlt-original-timestamp"]) / 1000,
        "k": dead["sw_key"] or None, "grant": dead.get("sw_grant") == "1",
    }  # fmt: skip
    meta |= {"order": dead["sw_order"]} if "sw_order" in dead else {}
    return Entry(meta, headers, record.value if edited is None else edited)


def replay_key(entry: Entry) -> str:
    """Whose mailbox a replay goes to: that of its order's value, behind the events that wait there; else of its id."""
    return str(entry.meta.get("order", entry.meta["id"]))


async def start(app: App, events: Sequence[Event], id_: str | None, settings: Settings | None = None) -> Run:
    """Begin a run: a bus in memory, a clock that stands still, a worker, the events."""
    clock = VirtualClock()
    bus = LocalBus(":memory:", clock=clock)
    await bus.open()
    worker = Worker(app, bus, settings=settings or app.settings, clock=clock)
    await worker.start()
    outs = [app.record(event, id=None if index else id_, now=clock.now()) for index, event in enumerate(events)]
    await bus.publish([out for out, _ in outs])
    run = Run(app, worker, bus, clock, outs[0][1] if outs else "")
    await run._settle()  # noqa: SLF001 - its own module
    return run
