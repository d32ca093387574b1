"""What goes wrong, by dice: each fault is told with its time.

In: brokers, workers, a seed. Out: faults, one after another or beside each other, and how many there were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random

from confluent_kafka.admin import AdminClient
from tests.brokers.asking import wait_until
from tests.brokers.cluster import Cluster
from tests.brokers.disk import small_disk
from tests.brokers.node import Node
from tests.chaos_kafka.crew import FAR, GUEST, Crew
from tests.chaos_kafka.relay import Relay

OTHERS = ("rolling_restart", "zombie", "storm", "rolling_kill")  #: faults besides the kills, by name
MORE = ("cut", "full_disk")  #: only if they are asked for; the second one mounts, which needs root
BUSY = 0.9  #: how often a worker that makes calls is chosen
FROZEN = 30.0  #: seconds
STORM, GUST = 60.0, 5.0  #: a worker comes or goes every few seconds, for so long
CUT = 60.0  #: seconds without a network
ROOM = 64 << 20  #: bytes that the small disk has to spare, before it is filled
FULL = 20.0  #: seconds that a broker is down because its disk is full
CAUGHT_UP = 90.0  #: seconds for a broker's copies to catch up, before the next one goes down


class Faults:
    """Harms workers and brokers. Every method returns when the harm is over."""

    def __init__(self, cluster: Cluster, crew: Crew, relay: Relay, seed: int, say: Callable[[str], None]) -> None:
        self._cluster, self._crew, self._relay, self._dice, self._say = cluster, crew, relay, Random(seed), say
        self.counts = {"kills": 0, "kills_in_flight": 0}

    # -- workers

    async def kills(self, count: int, every: float) -> None:
        """Kill -9, again and again; each comes back after a moment."""
        for _ in range(count):
            await asyncio.sleep(self._dice.uniform(0.4, 1.6) * every)
            present = self._crew.present
            busy = [name for name in present if self._crew.calls(name)]
            name = self._dice.choice(busy if busy and self._dice.random() < BUSY else present)
            calls = self._crew.kill(name)
            self.counts["kills"] += 1
            self.counts["kills_in_flight"] += calls > 0
            self._say(f"kill {self.counts['kills']}: worker {name}, {calls} calls in flight")
            await asyncio.sleep(self._dice.uniform(0.0, 1.0))
            self._crew.start(name)

    async def zombie(self) -> None:
        """A worker stops for longer than its session and goes on as if nothing had been."""
        name = self._dice.choice(self._crew.present)
        self._crew.freeze(name)
        self._say(f"SIGSTOP: worker {name}, {self._crew.calls(name)} calls in flight")
        await asyncio.sleep(FROZEN)
        self._crew.thaw(name)
        self._say(f"SIGCONT: worker {name}")
        await asyncio.sleep(2 * GUST)  # it learns what happened while nothing else goes wrong with it

    async def cut(self) -> None:
        """The network between one worker and all brokers is gone for ten of its sessions, and comes back."""
        async with asyncio.timeout(CAUGHT_UP):
            while not self._crew.calls(FAR):  # a worker that has not begun would have nothing to lose
                await asyncio.sleep(0.05)
        self._crew.away.add(FAR)
        self._relay.cut()
        try:
            self._say(f"network cut: worker {FAR}, {self._crew.calls(FAR)} calls in flight")
            await asyncio.sleep(CUT)
        finally:
            self._relay.mend()
        self.counts["held"] = self._relay.held
        self._say(f"network mended: worker {FAR}")
        await asyncio.sleep(2 * GUST)  # it learns what happened while nothing else goes wrong with it
        self._crew.away.discard(FAR)

    async def storm(self) -> None:
        """One worker too many, or not, in turns: a rebalance of every group each time."""
        for gust in range(int(STORM / GUST)):
            if gust % 2:
                self._crew.send_home(GUEST)
                await asyncio.to_thread(self._crew.dismissed, GUEST)
            else:
                self._crew.start(GUEST)
                await self._begun(GUEST)  # one that is sent home before it has joined would disturb nobody
            self._say(f"storm: worker {GUEST} {'left' if gust % 2 else 'came'}")
            await asyncio.sleep(GUST)

    async def _begun(self, name: str) -> None:
        async with asyncio.timeout(CAUGHT_UP):
            while not self._crew.begun(name):
                await asyncio.sleep(0.05)

    # -- brokers

    async def rolling_restart(self) -> None:
        """SIGTERM to each broker in turn."""
        for node in self._shuffled():
            self._say(f"SIGTERM: broker {node.number}")
            await asyncio.to_thread(node.stop)
            await self._back(node)

    async def rolling_kill(self) -> None:
        """Kill -9 of each broker in turn."""
        for node in self._shuffled():
            self._say(f"kill: broker {node.number}")
            node.kill()
            await self._back(node)

    async def full_disk(self) -> None:
        """A broker's disk is full: it goes down by itself. Later there is room, and somebody starts it again."""
        node = self._dice.choice(self._cluster.nodes)
        async with small_disk(node, ROOM) as disk:
            await asyncio.to_thread(self._caught_up)
            disk.fill()
            self._say(f"full: the disk of broker {node.number}")
            down = await asyncio.to_thread(wait_until, lambda: not node.pid, CAUGHT_UP)
            if not down:
                raise TimeoutError(f"broker {node.number} runs on, although its disk is full")
            self._say(f"broker {node.number} ended by itself")
            await asyncio.sleep(FULL)
            disk.clear()
            await self._back(node)
        await asyncio.to_thread(self._caught_up)

    def _shuffled(self) -> list[Node]:
        return self._dice.sample(self._cluster.nodes, len(self._cluster.nodes))

    async def _back(self, node: Node) -> None:
        await asyncio.sleep(self._dice.uniform(1.0, 8.0))
        node.launch()
        await asyncio.to_thread(node.wait)
        self._say(f"broker {node.number} is up")
        await asyncio.to_thread(self._caught_up)
        await asyncio.sleep(self._dice.uniform(0.0, 3.0))

    def _caught_up(self) -> None:
        """A second broker that goes down before this one has its copies would take partitions with it."""
        admin = AdminClient({"bootstrap.servers": self._cluster.bootstrap, "log_level": 0})
        for _ in range(int(CAUGHT_UP * 2)):
            topics = admin.list_topics(timeout=10).topics.values()
            if all(len(p.isrs) == len(p.replicas) for topic in topics for p in topic.partitions.values()):
                return
            time.sleep(0.5)
        raise TimeoutError(f"copies did not catch up within {CAUGHT_UP} s")
