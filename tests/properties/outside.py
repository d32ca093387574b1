"""The world around a random app: upstream systems, which publish some events twice, and services that do steps of it.

In: what `behaviour.arrivals` says. Out: moves, and a log of what was published when, for the interpreter.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from random import Random

from tests.properties import behaviour as b
from tests.properties.build import World, topic_of
from tests.properties.wirings import Step

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Record
from stepwire.clock import VirtualClock

FOREIGN = "theirs|0f.2/again@3/ab.1"  #: where an event of another app stands
SERVICE = "service"  #: the source of what other people's services publish


class Outside:
    """What comes from outside.

    Args:
        freely: an event may come again although somebody who takes it would do it twice; only for apps without joins.
    """

    def __init__(self, world: World, bus: LocalBus, clock: VirtualClock, dice: Random, *, freely: bool = False) -> None:
        self._foreign = world.odds.answers > 0
        self._world, self._bus, self._clock, self._dice, self._freely = world, bus, clock, dice, freely
        self.published: list[b.Published] = []
        self.repeated: set[int] = set()  #: types of events that came again
        self._outs: dict[str, Out] = {}  #: path -> the record, the same each time
        self._times = {published: dice.choice((1, 1, 2, 3)) for published in b.arrivals(world.plan, world.seed)}
        self._answered: set[tuple[str, int, int]] = set()

    def first(self) -> Out:
        """What the first run begins with."""
        return self._publish(next(iter(self._times)))

    def arrivals(self) -> Iterator[b.Published]:
        """What may be published now."""
        for published, times in self._times.items():
            if times and (published.emit.path not in self._outs or self._freely or self._drops_it(published)):
                yield published

    def _drops_it(self, published: b.Published) -> bool:
        """Would everybody who takes this event drop it, if it came again now?"""
        since = self._clock.now() - next(p.at for p in self.published if p.emit == published.emit)
        takers = b.steps_that_take(self._world.plan, published.emit.type)
        return all(step.is_join or (step.dedupe is not None and since < step.dedupe) for step in takers)

    def _publish(self, published: b.Published) -> Out:
        emit, now = published.emit, self._clock.now()
        self._times[published] -= 1
        self.published.append(b.Published(published.run, emit, now))
        if emit.path in self._outs:
            self.repeated.add(emit.type)
            return self._outs[emit.path]
        event = self._world.event(emit, published.run)
        out, run = self._world.app.record(event, id=emit.path, source="test", now=now)
        self._world.labels[run] = published.run
        if emit.type not in self._world.plan.asks and self._dice.random() < 0.5:  # a program that knows nothing of us
            out = out._replace(headers={name: value for name, value in out.headers.items() if name != "ce_swrun"})
            out = out._replace(key=None if self._dice.random() < 0.5 else out.key)
        if self._foreign and b.dice(self._world.seed, "foreign", published.run).random() < 0.5:  # of one run, one place
            out = out._replace(headers={**out.headers, "ce_swscope": FOREIGN})
        return self._outs.setdefault(emit.path, out)

    def publish(self, published: b.Published) -> Out:
        """The record of an event, perhaps once more."""
        return self._publish(published)

    # -- services

    async def asked(self) -> AsyncIterator[tuple[Step, Record]]:
        """What nobody has answered yet."""
        for step in self._world.plan.externals:
            (ask,) = step.taken
            topic = topic_of(self._world.plan, ask)
            for partition in self._bus.log.partitions(topic):
                for record in await self._bus.read(partition, 0, 100_000):
                    place = (step.name, partition.number, record.offset)
                    if place not in self._answered and record.headers["ce_type"] == self._world.events[ask].spec.type:
                        yield step, record

    def answer(self, step: Step, record: Record) -> Out:
        """What the service says."""
        self._answered.add((step.name, record.partition, record.offset))
        asked = json.loads(record.value)
        emit = b.answer(self._world.seed, self._world.odds, step, asked["path"])
        event = self._world.event(emit).model_copy(update={"ticket": asked["ticket"]})
        headers = {
            "ce_specversion": "1.0", "ce_id": emit.path, "ce_source": SERVICE, "ce_type": type(event).spec.type
        }  # fmt: skip
        if step.external == "echo":
            headers |= {name: value for name, value in record.headers.items() if name.startswith("ce_sw")}
        return Out(type(event).spec.topic, None, headers, event.model_dump_json().encode())
