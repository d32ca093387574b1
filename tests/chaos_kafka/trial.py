"""Chaos on Kafka: publish, harm, wait for rest, and let the judge say what came of it.

In: a cluster, numbers, a seed. Out: the judge's counts and what was done.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic
from tests.brokers.cluster import Cluster
from tests.chaos_kafka.crew import ROOT, Crew
from tests.chaos_kafka.faults import Faults
from tests.chaos_kafka.flow import PARTITIONS, Desk, app
from tests.chaos_kafka.judge import COUNTS, RESULTS, Facts
from tests.chaos_kafka.progress import Progress
from tests.chaos_kafka.publisher import Publisher
from tests.chaos_kafka.relay import Relay
from tests.chaos_kafka.worker import LIMITS, bus

from stepwire.worker import prepare

PREFIX = "k."
TICK = 0.05  #: seconds between two handfuls of orders
TELL = 10.0  #: seconds between two lines of how far it is
STALLED = 90.0  #: seconds without another output, and it is over
SETTLING = 30  #: seconds for what comes after the last output


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of what."""

    events: int
    rate: float  #: published a second
    workers: int
    kills: int
    every: float  #: seconds between two kills, about
    seed: int
    others: tuple[str, ...] = ()  #: methods of `Faults`, one after another
    broken: str = "no"


class Trial:
    """One run of it."""

    def __init__(self, cluster: Cluster, folder: Path, plan: Plan, say: Callable[[str], None]) -> None:
        self._servers, self._plan, self._say = cluster.bootstrap, plan, say
        self._published = folder / "published.txt"
        self._relay = Relay(node.seat.port for node in cluster.nodes)
        self._crew = Crew(cluster.bootstrap, PREFIX, folder, plan.broken, self._relay.detour)
        self._faults = Faults(cluster, self._crew, self._relay, plan.seed, say)
        self._seen = 0
        self._over = asyncio.Event()

    async def run(self, folder: Path) -> dict[str, int]:
        """All of it."""
        await self._prepare(folder)
        async with self._relay:
            return await self._suffer()

    async def _suffer(self) -> dict[str, int]:
        begun = time.monotonic()
        for number in range(self._plan.workers):
            self._crew.start(f"w{number}")
        progress = Progress(self._servers, [PREFIX + topic for topic in ("booked", *RESULTS)])
        try:
            with Publisher(self._servers, PREFIX, self._published) as publisher:
                async with asyncio.TaskGroup() as all_:
                    all_.create_task(self._watch(progress, publisher))
                    working = [all_.create_task(self._publish(publisher)), all_.create_task(self._harm())]
                    await asyncio.wait(working)
                    await self._rest(publisher)
                    self._over.set()
            seconds = int(time.monotonic() - begun)
            await self._settle()
        finally:
            progress.close()
            await asyncio.to_thread(self._crew.stop)  # the relay passes on what the last worker says
        done = {**self._faults.counts, "died": self._crew.died, "stuck": self._crew.stuck, "seconds": seconds}
        return {**verdict(self._servers, self._published), **done}

    async def _prepare(self, folder: Path) -> None:
        """Business topics with their numbers of partitions; the rest is the kernel's to make."""
        admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 2})
        topics = [NewTopic(PREFIX + name, count) for name, count in PARTITIONS.items()]
        for made in admin.create_topics(topics).values():
            made.result(30)
        kafka = bus(self._servers, PREFIX)
        await kafka.open()
        await prepare(app(Desk(folder / "nobody.desk")), kafka, LIMITS)
        await kafka.close()

    async def _publish(self, publisher: Publisher) -> None:
        begun, plan = time.monotonic(), self._plan
        while publisher.published < plan.events:
            due = min(plan.events, int((time.monotonic() - begun) * plan.rate) + 1)
            publisher.publish(due - publisher.published)
            await asyncio.sleep(TICK)
        await asyncio.to_thread(publisher.finish, 120.0)
        self._say(f"published {plan.events}")

    async def _harm(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._faults.kills(self._plan.kills, self._plan.every))
            both.create_task(self._others())

    async def _others(self) -> None:
        for name in self._plan.others:
            await getattr(self._faults, name)()

    async def _watch(self, progress: Progress, publisher: Publisher) -> None:
        """A line now and then, and a new worker for one that ended by itself."""
        told = time.monotonic()
        while not self._over.is_set():
            for name in self._crew.revive():
                self._say(f"worker {name} ended by itself: {self._crew.log(name)}")
            self._seen = await asyncio.to_thread(progress.seen)
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                self._say(f"published {publisher.published}, outputs {self._seen}")

    async def _rest(self, publisher: Publisher) -> None:
        """Until every output is there, or none comes any more."""
        last, since = -1, time.monotonic()
        while self._seen < 2 * publisher.published and time.monotonic() - since < STALLED:
            if self._seen != last:
                last, since = self._seen, time.monotonic()
            await asyncio.sleep(0.2)
        if self._seen < 2 * publisher.published:
            self._say(f"stalled at {self._seen} outputs")

    async def _settle(self) -> None:
        """What comes after the last result too: a late answer, the end of a stub."""
        facts = Facts(self._servers, PREFIX)
        try:
            for _ in range(SETTLING):
                await asyncio.to_thread(facts.catch_up)
                if not facts.unfinished():
                    return
                await asyncio.sleep(1.0)
            self._say(f"unfinished: {sorted(facts.unfinished())[:20]}")
        finally:
            facts.close()


def verdict(servers: str, published: Path) -> dict[str, int]:
    """What the judge says, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("judge.py")), servers, PREFIX, str(published)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"the judge gave no verdict (exit {done.returncode}): {done.stderr[-2000:]}")
    if done.stderr:
        sys.stderr.write(done.stderr)
    return {name: int(count) for name, _, count in (word.partition("=") for word in done.stdout.split())}


def bad(counts: dict[str, int]) -> dict[str, int]:
    """What must be zero and is not."""
    return {name: counts[name] for name in (*COUNTS, "died") if counts[name]}


def last_line(counts: dict[str, int]) -> str:
    """The verdict in one line."""
    return " ".join(f"{name}={counts[name]}" for name in (*COUNTS, "kills", "seconds"))
