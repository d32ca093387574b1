"""A random app on a bus: workers, a clock that is turned, and a person who decides, replays and drops.

In: a `World`, a bus, dice. Out: after `play`, nothing that is left could be moved by a person or by a timer of hours.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Self

from tests.properties import behaviour as b
from tests.properties.build import SETTINGS, World, place
from tests.properties.exchange import create_topics
from tests.properties.interpreter import Emitted
from tests.properties.outside import FOREIGN, SERVICE, Outside
from tests.properties.rest import Rest, Restless
from tests.properties.wirings import Step

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Record
from stepwire.clock import VirtualClock
from stepwire.dispatch.loop import Dispatcher
from stepwire.dispatch.step import control_topic, dead_letter_topic
from stepwire.gate import decision, occurrence
from stepwire.memory import replay
from stepwire.settings import Settings
from stepwire.state import Entry, Mailbox, decode_entry, decode_meta
from stepwire.telemetry import Called, Fact, Skipped
from stepwire.worker import Worker, topics_of

HOUR = 3_600.0


@dataclass(frozen=True)
class Open:
    """Something a person or another system can do: `move` says how, `about` what, `twice` if it may be done twice."""

    about: str
    move: Callable[[], Out]
    twice: bool = True


def _mail(about: str, handler: str, key: str, entry: Callable[[], Entry]) -> Open:
    """A message for the mailbox of a handler."""
    return Open(about, lambda: Out(control_topic("p", handler), key, {}, entry().encode()))


def _frames(record: Record) -> tuple[int, ...]:
    """Where an event stands; what is published stands at the root, whatever a foreign app calls its place."""
    scope = record.headers.get("ce_swscope", "")
    return place("" if scope == FOREIGN else scope)[0]


class Stage:
    """Workers for one world on one bus."""

    def __init__(
        self, world: World, bus: LocalBus, clock: VirtualClock, dice: Random, *, workers: int = 1,
        settings: Settings = SETTINGS, freely: bool = False,
    ) -> None:  # fmt: skip
        self.world, self.bus, self.clock, self.dice = world, bus, clock, dice
        self.outside = Outside(world, bus, clock, dice, freely=freely)
        self.settings = settings
        self.facts: list[Fact] = []
        self.workers = [self._worker() for _ in range(workers)]
        self.disturb: Callable[[], None] = lambda: None  #: called now and then while things are under way
        self.end = clock.now() + 48 * HOUR
        self._handled: set[tuple[str, int]] = set()
        self._rest = Rest(bus, clock, lambda: world.hanging, self.disturb)
        for worker in self.workers:
            self._rest.watch(worker)

    def _worker(self) -> Worker:
        return Worker(self.world.app, self.bus, settings=self.settings, clock=self.clock, telemetry=self.facts.append)

    async def __aenter__(self) -> Self:
        await self.bus.open()
        if self.settings.partitions > 1:
            await create_topics(self.bus, self.world)
        for worker in self.workers:
            await worker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            await worker.stop()
        await self.bus.close()

    async def rest(self) -> None:
        """Return when nothing can happen without time passing; calls that hang or wait in place are sat out."""
        await self._rest.come(self.workers)

    @property
    def dispatchers(self) -> Iterator[Dispatcher]:
        for worker in self.workers:
            yield from worker.dispatchers

    @property
    def mailboxes(self) -> Iterator[tuple[str, Mailbox]]:
        for dispatcher in self.dispatchers:
            for mailbox in dispatcher.committer.mailboxes.values():
                yield dispatcher.step.name, mailbox

    # -- a person

    def _gates(self) -> Iterator[Open]:
        for name, mailbox in self.mailboxes:
            part = next((part for part in self.world.plan.step(name).parts if part.decision), None)
            if part is None:
                continue
            for join in mailbox.joins.values():
                waits = join.stub is None and join.call is None and join.decision is None
                if waits and part.name in join.slots:
                    event = json.loads(decode_entry(join.slots[part.name]).value)
                    yield _mail(f"gate {name}", name, join.id, lambda e=event, i=join.id: self._decide(i, e))  # type: ignore[misc]

    def _decide(self, id_: str, event: dict[str, Any]) -> Entry:
        good, edited = b.approved(self.world.seed, "gate", event["path"])
        value = json.dumps({**event, "path": event["path"] + "-as-edited"}).encode() if edited else b""
        return decision(id_, approved=good, by="somebody", edited=value, sent=self.clock.now())

    async def _dead(self) -> list[Open]:
        found = []
        for step in self.world.plan.steps:
            if step.external == "echo":
                continue
            topic = dead_letter_topic("p", step.name)
            for record in await self.bus.read(Partition(topic, 0), 0, 100_000):
                if (topic, record.offset) not in self._handled:
                    key = record.headers.get("sw_order", record.headers["sw_delivery"].rpartition("/")[2])
                    found.append(_mail(f"dead letter {topic}", step.name, key, lambda r=record: self._answer(r)))  # type: ignore[misc]
        return found

    def _answer(self, record: Record) -> Entry:
        """Replay or drop a dead letter, as `behaviour.healed` says."""
        self._handled.add((record.topic, record.offset))
        key, seed = record.headers["sw_delivery"], self.world.seed
        self.world.doubt.discard(key)
        if "sw_order" not in record.headers:  # nobody could read which order it belongs to
            self.world.replayed.add(key)
        _, name, _ = key.split("/")
        error = record.headers["kafka_dlt-exception-fqcn"].rpartition(".")[2]
        if error == "JoinExpired":
            spot = self.world.spot(record.headers["ce_swrun"], record.headers["ce_swscope"])
            self.world.observed.dropped.add((name, spot))
            return replay(record, drop=True)
        if error in ("DecodeError", "VisitLimit"):
            value = json.loads(record.value)
            drop = not b.healed(seed, name, value["path"])
            mended = json.dumps({**value, "state": "whole"}).encode() if error == "DecodeError" else None
            return replay(record, drop=drop, edited=mended)
        if key not in self.world.paths:
            raise Restless(f"a delivery that was never called is dead: {dict(record.headers)}")
        drop = not b.healed(seed, name, self.world.paths[key])
        if drop and key in self.world.wheres:
            self.world.observed.dropped.add(self.world.wheres[key])
        self.world.healed.add(key)
        return replay(record, drop=drop)

    def _unknown(self) -> Iterator[Open]:
        for name, mailbox in self.mailboxes:
            metas = {id_: decode_meta(raw) for id_, raw in mailbox.items.items()}
            metas |= {join.id: dict(join.call or {}) for join in mailbox.joins.values()}
            for id_, meta in metas.items():
                if meta.get("unknown"):  # it lies where its order value puts it
                    at, of = meta.get("order", id_), occurrence(meta)
                    yield _mail(f"unknown {name}", name, at, lambda n=name, i=id_, o=of: self._resolve(n, i, o))  # type: ignore[misc]

    def _resolve(self, name: str, id_: str, of: str) -> Entry:
        """Say what became of it: that is for `behaviour.healed`, but for whether it was done already."""
        key, step, world = f"p/{name}/{id_}", self.world.plan.step(name), self.world
        world.doubt.discard(key)
        meta = {"kind": "resolve", "id": id_, "verdict": "redo", "by": "somebody", "type": "", "of": of}
        called = world.latest.get(key)
        if called is None:  # its worker died between the claim and the call
            return Entry(meta, {}, b"null")
        world.healed.add(key)
        if b.trouble(world.seed, world.odds, step, called.path) in b.FINAL:
            meta["verdict"] = "redo" if b.healed(world.seed, name, called.path) else "drop"
        if meta["verdict"] == "drop" and step.is_join:
            world.observed.dropped.add((name, called.spot))
        value = b.returned(world.seed, world.odds, step, called.path, world.plan.spared)
        said = [world.event(emit) for emit in value.events]
        if meta["verdict"] == "drop" or value.items is not None or len(said) > 1 or self.dice.random() < 0.5:
            return Entry(meta, {}, b"null")
        if any(emit.broken for emit in value.events):
            return Entry(meta, {}, b"null")
        world.returned(step, called)
        kind = type(said[0]).__name__ if said else ""
        return Entry(
            {**meta, "verdict": "done", "type": kind}, {}, said[0].model_dump_json().encode() if said else b"null"
        )

    # -- the run

    async def play(self) -> None:
        """Let the run go to its end, with a person who acts, and a clock that turns, in random order."""
        await self.bus.publish([self.outside.first()])
        for _ in range(5_000):
            await self.rest()
            moves = [*self._gates(), *await self._dead(), *self._unknown(), *self._arrivals()]
            moves += [self._service(step, record) async for step, record in self.outside.asked()]
            due = self.clock.next_timer()
            if due is not None and due > self.end:
                due = None
            if due is not None and (not moves or self.dice.random() < 0.3):
                self.clock.turn(due)
            elif moves:
                await self._make(self.dice.choice(moves))
            else:
                return
        raise Restless(f"a person is asked for ever\n{self.world.plan}")

    def _arrivals(self) -> Iterator[Open]:
        for published in self.outside.arrivals():
            yield Open("published", lambda p=published: self.outside.publish(p), twice=False)  # type: ignore[misc]

    def _service(self, step: Step, record: Record) -> Open:
        """Another answer to what is matched by a field is a duplicate; one that echoes our headers is an event."""
        return Open("asked", lambda: self.outside.answer(step, record), twice=step.external == "match")

    async def _make(self, move: Open) -> None:
        """Do it; sometimes from two shells at once."""
        out = move.move()
        await self.bus.publish([out] * (2 if move.twice and self.dice.random() < 0.25 else 1))

    async def wait(self, seconds: float) -> None:
        """Turn the clock, stopping at each timer."""
        end = self.clock.now() + seconds
        while (due := self.clock.next_timer()) is not None and due <= end:
            self.clock.turn(due)
            await self.rest()
        self.clock.turn(end)
        await self.rest()

    # -- what came of it

    async def records(self) -> list[Record]:
        """Every record of every business topic."""
        own = {control_topic("p", s.name) for s in self.world.plan.steps}
        own |= {dead_letter_topic("p", s.name) for s in self.world.plan.steps} | {"p.runs"}
        found: list[Record] = []
        for topic in topics_of(self.world.app, self.settings):
            for number in range(0 if topic in own else self.bus.log.topics[topic][1]):
                found += await self.bus.read(Partition(topic, number), 0, 1_000_000)
        return found

    async def emitted(self) -> Emitted:
        """Every event that lies on a business topic, as the interpreter counts them."""
        types = {event.spec.type: number for number, event in enumerate(self.world.events)}
        return Counter(
            (types[r.headers["ce_type"]], json.loads(r.value)["path"], _frames(r))
            for r in await self.records()
            if "ce_swrun" in r.headers or r.headers["ce_source"] != SERVICE  # else its correlator emits it again
        )

    def skipped(self, why: str) -> list[Skipped]:
        return [fact for fact in self.facts if isinstance(fact, Skipped) and fact.why == why]

    def called(self, outcome: str) -> list[Called]:
        return [fact for fact in self.facts if isinstance(fact, Called) and fact.outcome == outcome]
