"""A stage on which nothing goes smoothly: workers that die, people who act at once and in vain, records refused.

In: a `World`, a bus, dice. Out: what `Stage` promises, on a worker that was replaced many times.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from typing import Any

from tests.properties.build import SETTINGS
from tests.properties.faulty_bus import FaultyBus
from tests.properties.life import killed
from tests.properties.rest import Restless
from tests.properties.stage import Stage

from stepwire import Settings
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Record, Transaction
from stepwire.clock import Clock
from stepwire.errors import RecordRefused
from stepwire.memory import replay
from stepwire.state import Entry


class PickyBus(FaultyBus):
    """Some events can never be written, until somebody replays what emitted them."""

    def __init__(self, clock: Clock, dice: Random, *, refused: int = 0, **options: Any) -> None:
        super().__init__(clock, dice, **options)
        self._seed, self._refused, self.forgiven = dice.random(), refused, False
        self.refusals = 0

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Write it, unless an event of it is refused."""
        if not self.forgiven and self._refused:
            for out in transaction.outputs:
                if out.topic.startswith("t") and "ce_id" in out.headers and self._refuses(out.headers["ce_id"]):
                    self.refusals += 1
                    raise RecordRefused("too large")
        await super().commit(group, transaction, generation)

    def _refuses(self, id_: str) -> bool:
        return Random(f"{self._seed}{id_}").randrange(100) < self._refused


def settings(dice: Random) -> Settings:
    """Limits that are met."""
    return replace(
        SETTINGS, batch=dice.choice((1, 2, 500)), prefetch=dice.choice((1, 3, 1_000)),
        concurrency=dice.choice((1, 2, 1_000)), control_partitions=dice.choice((1, 1, 3)),
    )  # fmt: skip


class Rough(Stage):
    """Its worker is stopped or killed now and then; a person answers several things at once, some of them in vain."""

    deaths = 0
    often = 0.15  #: of the moves, how many come with the end of a worker

    def _answer(self, record: Record) -> Entry:
        error, n = record.headers["kafka_dlt-exception-fqcn"].rpartition(".")[2], int(record.headers["sw_replay"])
        world, key = self.world, record.headers["sw_delivery"]
        if "sw_order" not in record.headers:
            world.replayed.add(key)
        if error == "RecordRefused":
            self._handled.add((record.topic, record.offset))
            self.bus.forgiven = True  # type: ignore[attr-defined]
            world.doubt.discard(key)
            return replay(record, drop=False)
        if n < 3 and error != "VisitLimit" and self.dice.random() < 0.3:  # in vain
            self._handled.add((record.topic, record.offset))
            world.doubt.discard(key)
            if error == "JoinExpired":
                spot = world.spot(record.headers["ce_swrun"], record.headers["ce_swscope"])
                world.observed.hurried.add((key.split("/")[1], spot))
            return replay(record, drop=False)
        entry = super()._answer(record)
        edits = not entry.meta["drop"] and entry.meta["origin"] == "event" and self.dice.random() < 0.3
        if edits and error != "DecodeError":
            value = {**json.loads(entry.value), "lane": str(self.dice.randrange(3))}
            return entry._replace(meta={**entry.meta, "edited": True}, value=json.dumps(value).encode())
        return entry

    async def play(self) -> None:
        """As on any stage, but roughly."""
        await self.bus.publish([self.outside.first()])
        for _ in range(5_000):
            await self._sometimes_die()
            await self.rest()
            moves = [*self._gates(), *await self._dead(), *self._unknown(), *self._arrivals()]
            moves += [self._service(step, record) async for step, record in self.outside.asked()]
            due = self.clock.next_timer()
            if due is not None and due > self.end:
                due = None
            if due is not None and (not moves or self.dice.random() < 0.3):
                self.clock.turn(due)
            elif moves:
                for move in self.dice.sample(moves, min(len(moves), self.dice.choice((1, 1, 2, 9)))):
                    await self._make(move)
            else:
                return
        raise Restless(f"a person is asked for ever\n{self.world.plan}")

    async def _sometimes_die(self) -> None:
        if self.dice.random() > self.often:
            return
        self.deaths += 1
        for _ in range(self.dice.choice((0, 3, 10, 30, 100))):
            await asyncio.sleep(0)
        for worker in self.workers:
            if self.dice.random() < 0.3:
                await self._stop(worker)
            else:
                await killed(worker, self.bus)
        self.workers = [self._worker() for _ in self.workers]
        for worker in self.workers:
            self._rest.watch(worker)
            await worker.start()

    async def _stop(self, worker: Any) -> None:
        """SIGTERM; what hangs is cut off."""
        stopping = asyncio.ensure_future(worker.stop())
        for _ in range(3):
            await asyncio.sleep(0)
        if any(d.caller.running for d in worker.dispatchers):
            for dispatcher in worker.dispatchers:  # nobody waits out a drain of 75 s
                for delivery in list(dispatcher.caller.running):
                    dispatcher.caller.cancel(delivery)
                    dispatcher.caller.running.pop(delivery, None)
                    dispatcher.active -= 1
        await stopping
