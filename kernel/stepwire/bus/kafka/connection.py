"""One client's connections to the brokers: requests, coordinators, leaders; what a broker's error codes mean for us.

In: requests. Out: answers, or None where the network or a broker failed, so that the caller decides whether to insist.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, UnknownError, for_code
from aiokafka.protocol.api import Request

from stepwire.bus.protocol import Partition
from stepwire.errors import BusUnavailable

# Error codes as Kafka's protocol guide numbers them.
NETWORK = 13  #: also ours, for an answer that did not come
MESSAGE_TOO_LARGE, LIST_TOO_LARGE, INVALID_RECORD = 10, 18, 87
REFUSED = frozenset({MESSAGE_TOO_LARGE, LIST_TOO_LARGE, INVALID_RECORD})  #: this record can never be written
STALE = frozenset({22, 25, 27, 82})  #: generation, member, rebalance, instance: somebody else's by now
NO_TOPIC_RIGHT = 29
DENIED = {NO_TOPIC_RIGHT: "topic", 30: "group", 31: "cluster", 53: "transactional id"}  #: no ACL lets this user do it
DUPLICATE_SEQUENCE = 46  #: a repeated produce that had arrived the first time
UNSTABLE = 88  #: an open transaction may still change these offsets
COORDINATOR_MOVED = frozenset({15, 16, NETWORK})
LEADER_MOVED = frozenset({3, 5, 6, 9, 56, 72, 74, 75, 76, 78, NETWORK})
PASSING = COORDINATOR_MOVED | LEADER_MOVED | {7, 14, 19, 20, 41, 51, UNSTABLE, 89}  #: ask again
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.2  #: seconds between two tries; a marker being written takes a few ms
PATIENCE = 30.0  #: seconds to wait for any broker at all
#: what aiokafka raises while it connects and asks; the last two from SASL, and where it knows no broker
FAILED = (KafkaError, OSError, TimeoutError, ValueError, AssertionError)
Why = Callable[[], Awaitable[str]]
CLOSING = 5.0  #: seconds that closing may take; aiokafka's own waits have no end

#: aiokafka tells each lost connection as an error of its own; ours says once what it means
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def worst(codes: Iterable[int]) -> int:
    """Of several codes one that is final, else one that passes, else 0."""
    return min({*codes} - {0}, key=lambda code: code in PASSING, default=0)


def meaning(code: int) -> str:
    """An error code as Kafka names it; where a right is missing, with the cure."""
    name = f"Kafka's error {code}" if (known := for_code(code)) is UnknownError else str(known.__name__)
    if code not in DENIED:
        return name
    return f"{name}: this user has no right to the {DENIED[code]}; give it: stepwire topics plan --format acls"


def denied(error: BaseException) -> bool:
    """Does a broker refuse a right? An operating system's errno of the same number does not count."""
    # what the client itself raises, as of a node that is not ready, has no code at all
    return isinstance(error, KafkaError) and getattr(error, "errno", None) in DENIED


def told(error: BaseException) -> str:
    """An error of aiokafka's in words."""
    return meaning(error.errno) if denied(error) else str(error)  # type: ignore[attr-defined]


class Connection:
    """What one producer, or the bus itself, asks the brokers.

    Args:
        options: how aiokafka's client reaches the cluster.
        name: the client id that brokers show.
        why: tells why no broker can be reached; asked when none was.
        patience: seconds that one request may take.
    """

    def __init__(self, options: Mapping[str, Any], name: str, why: Why, patience: float = 5.0) -> None:
        self.options, self.name, self.why = options, name, why
        self._client = AIOKafkaClient(
            **options, client_id=name, request_timeout_ms=int(patience * 1000), metadata_max_age_ms=60_000
        )
        self._coordinators: dict[tuple[CoordinationType, str], int] = {}

    async def open(self) -> None:
        """Connect. Raises BusUnavailable."""
        with contextlib.suppress(*FAILED):
            await undivided(self._client.bootstrap())
        if not self._client.cluster.brokers():
            raise BusUnavailable(f"no Kafka broker to work with: {await self.why()}")

    async def close(self) -> None:
        """Close all connections, bounded in time, and for good: a write that goes on opens none again."""
        await closed(self._client.close())
        self._client.cluster = type(self._client.cluster)()  # which knows no broker

    async def ask(
        self, node: int | None, request: Request[Any], group: ConnectionGroup = ConnectionGroup.DEFAULT
    ) -> Any:
        """The answer of one broker; None if there was none."""
        with contextlib.suppress(*FAILED):
            if node is not None and node >= 0:
                return await self._client.send(node, request, group=group)
        return None

    async def ask_any(self, request: Request[Any]) -> Any:
        """The answer of some broker. Raises BusUnavailable if for long there was none: of several, one may be down."""
        until = asyncio.get_running_loop().time() + PATIENCE
        found: list[Any] = []

        async def attempt() -> int:
            found.append(await self.ask(self._client.get_random_node(), request))
            return NETWORK if found[-1] is None else 0

        await self.insist("no broker answers", attempt, until)
        return found[-1]

    async def insist(self, what: str, attempt: Callable[[], Awaitable[int]], until: float) -> int:
        """Repeat until a code comes that will not pass by itself, which is returned; 0 is success.

        Raises BusUnavailable when the loop's time passes `until`.
        """
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        while (code := await attempt()) in PASSING:
            if loop.time() + pause > until:
                said = await self.why() if code == NETWORK else meaning(code)
                raise BusUnavailable(f"{what}: {said}; it goes on by itself once that is mended")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return code

    async def agree(
        self, what: str, kind: CoordinationType, key: str, request: Request[Any], until: float,
        codes: Callable[[Any], Iterable[int]] = lambda answer: (answer.error_code,),
    ) -> int:  # fmt: skip
        """Ask the broker in charge, whoever that is by then, as often as `insist` does; of several codes the worst."""

        async def attempt() -> int:
            answer = await self.ask_coordinator(kind, key, request)
            found = {NETWORK} if answer is None else set(codes(answer))
            if found & COORDINATOR_MOVED:
                self.forget(kind, key)
            if found & LEADER_MOVED:
                await self.refresh()  # a topic may be gone
            return worst(found)

        return await self.insist(what, attempt, until)

    # -- who is in charge

    async def coordinator(self, kind: CoordinationType, key: str) -> int | None:
        """The broker that coordinates a group or a transactional id; None if nobody knows just now.

        Raises BusUnavailable if this user may not know.
        """
        node = self._coordinators.get((kind, key))
        if node is None:
            try:
                node = await self._client.coordinator_lookup(kind, key)
            except FAILED as error:
                if denied(error):
                    raise BusUnavailable(f"{key}: {told(error)}") from error
                return None
            self._coordinators[kind, key] = node
        return node

    async def ask_coordinator(self, kind: CoordinationType, key: str, request: Request[Any]) -> Any:
        """The answer of the broker in charge; None if there was none, and then it is looked up again."""
        answer = await self.ask(await self.coordinator(kind, key), request, ConnectionGroup.COORDINATION)
        if answer is None:
            self.forget(kind, key)
        return answer

    def forget(self, kind: CoordinationType, key: str) -> None:
        """It moved: ask again who it is."""
        self._coordinators.pop((kind, key), None)

    def leader(self, partition: Partition) -> int | None:
        """The broker that leads a partition, as far as is known."""
        node: int | None = self._client.cluster.leader_for_partition(TopicPartition(*partition))
        return None if node is None or node < 0 else node

    async def know(self, topics: Iterable[str]) -> None:
        """Learn of topics that were not asked for before."""
        unknown = [topic for topic in topics if self._client.cluster.partitions_for_topic(topic) is None]
        for topic in unknown:
            self._client.add_topic(topic)
        if unknown:
            await self.refresh()

    async def refresh(self) -> None:
        """Ask the cluster again who leads what."""
        with contextlib.suppress(*FAILED):
            await self._client.force_metadata_update()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has, as far as is known; 0: no such topic."""
        return len(self._client.cluster.partitions_for_topic(topic) or ())


async def undivided(starting: Coroutine[Any, Any, None]) -> None:
    """Await a start of aiokafka's. Cancelled in a bootstrap it would leave a connection open, so it may end first."""
    task = asyncio.create_task(starting)
    try:
        await asyncio.shield(task)
    finally:
        await closed(task)


async def closed(closing: Awaitable[None]) -> None:
    """Wait for something of aiokafka's to close, for a while: it may swallow being cancelled, and never end."""
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait([task], timeout=CLOSING)
    finally:  # cancelled a second time, too: nothing runs on that nobody waits for
        if not task.done():
            task.cancel()
    await asyncio.wait([task], timeout=CLOSING)
    if task.done() and not task.cancelled():
        task.exception()  # it is gone either way


async def stopped(consumer: Any) -> None:
    """Stop a consumer of aiokafka's. Where that does not end, its connections close all the same.

    One that stayed open would keep the process from ending: uvloop's loop closes after all that is open in it.
    """
    await closed(consumer.stop())
    if consumer._fetcher is not None:  # noqa: SLF001 - what stop() does after its coordinator, which may not end
        await closed(consumer._fetcher.close())  # noqa: SLF001
    await closed(consumer._client.close())  # noqa: SLF001
