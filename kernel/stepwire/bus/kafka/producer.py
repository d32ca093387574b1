"""One transaction at a time: records, and a group's offsets, all or none (KIP-98, KIP-447).

In: messages, and what a group has finished. Out: where the messages lie, or an error that says what is certain. Before
EndTxn is sent nothing of it will ever be seen, whatever happens: `BusUnavailable`, `RecordRefused` and `Fenced` mean
that. After it was sent and no answer came, nobody knows: `OutcomeUnknown`. aiokafka's own producer blurs this line (it
commits after a send that failed, and its abort can forget to abort), so the protocol is spoken here.

After anything but success the producer takes a new epoch before it writes again; that aborts what was open.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from aiokafka.client import CoordinationType
from aiokafka.protocol.api import Request
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stepwire.bus.kafka import wire
from stepwire.bus.kafka.connection import (
    DUPLICATE_SEQUENCE,
    LEADER_MOVED,
    NETWORK,
    REFUSED,
    STALE,
    Connection,
    meaning,
    worst,
)
from stepwire.bus.protocol import Partition, Progress
from stepwire.errors import BusError, BusUnavailable, Fenced, OutcomeUnknown, RecordRefused

BATCH = 512 * 1024  #: bytes of one batch; below a topic's usual limit of 1 MiB
TIMEOUT = 10.0  #: seconds after which the brokers give up a transaction whose writer died; others wait so long at most
SEQUENCES = 1 << 31
T = TypeVar("T")


class Message(NamedTuple):
    """A record as it goes over the wire."""

    partition: Partition
    key: bytes | None
    headers: list[tuple[str, bytes]]
    value: bytes | None


class Batch(NamedTuple):
    """Some messages of one partition, and which of the transaction's they are."""

    builder: DefaultRecordBatchBuilder
    members: list[int]


class Producer:
    """Writes transactions under one transactional id, which nobody else may use."""

    def __init__(
        self, connection: Connection, transactional_id: str, *, timeout: float = TIMEOUT, codec: int = 0
    ) -> None:
        self._connection, self._timeout, self._codec = connection, timeout, codec
        self._writer = wire.Producer(transactional_id)
        self._sequences: dict[Partition, int] = {}
        self._ready = False

    async def write(
        self, messages: Sequence[Message], progress: Mapping[Partition, Progress], member: wire.Member | None
    ) -> list[tuple[Partition, int]]:
        """One transaction; where each message lies. Not to be cancelled, not to be called twice at once."""
        if not messages and not progress:
            return []  # brokers take no commit of nothing
        until = asyncio.get_running_loop().time() + self._timeout * 0.8
        try:
            if not self._ready:
                await self._begin_epoch(until)
            self._ready = False  # until it surely ended
            batches = self._batches(messages)
            await self._connection.know({partition.topic for partition in batches})
            placed = await _both(self._produce(batches, len(messages), until), self._offsets(progress, member, until))
        except Fenced:  # whoever comes after us would wait for a transaction that stays open until its timeout
            with contextlib.suppress(BusError, TimeoutError):
                await self._begin_epoch(until)
                self._ready = True
            raise
        except TimeoutError as error:
            raise BusUnavailable(f"{self._writer.transactional_id}: the brokers did not answer in time") from error
        await self._end()
        self._ready = True
        return placed

    async def _begin_epoch(self, until: float) -> None:
        request = wire.InitProducerId(self._writer.transactional_id, self._timeout)

        def codes(answer: Any) -> tuple[int]:
            self._writer = self._writer._replace(id=answer.producer_id, epoch=answer.producer_epoch)
            return (answer.error_code,)

        self._check("begin", await self._agree("begin a transaction", request, until, codes))
        self._sequences.clear()

    async def _agree(
        self, what: str, request: Request[Any], until: float, *codes: Callable[[Any], Iterable[int]]
    ) -> int:
        id_ = self._writer.transactional_id
        return await self._connection.agree(what, CoordinationType.TRANSACTION, id_, request, until, *codes)

    def _check(self, what: str, code: int) -> None:
        """Raise what a final code means; nothing was or will be written."""
        if code == 0:
            return
        text = f"{self._writer.transactional_id}: {what}: {meaning(code)}"
        if code in STALE:
            raise Fenced(f"{text}; another member has these partitions")
        if code in REFUSED:
            raise RecordRefused(f"{text}; a record is larger than the topic takes (max.message.bytes)")
        raise BusUnavailable(text)

    # -- records

    def _batches(self, messages: Sequence[Message]) -> dict[Partition, list[Batch]]:
        found: dict[Partition, list[Batch]] = {}
        now = int(time.time() * 1000)
        for index, message in enumerate(messages):
            batches = found.setdefault(message.partition, [])
            if not batches or not self._append(batches[-1], message, now, index):
                batches.append(Batch(self._builder(), []))
                self._append(batches[-1], message, now, index)
        return found

    def _builder(self) -> DefaultRecordBatchBuilder:
        return DefaultRecordBatchBuilder(
            magic=2, compression_type=self._codec, is_transactional=1, producer_id=-1, producer_epoch=-1,
            base_sequence=0, batch_size=BATCH,
        )  # fmt: skip

    @staticmethod
    def _append(batch: Batch, message: Message, now: int, index: int) -> bool:
        if batch.builder.append(len(batch.members), now, message.key, message.value, message.headers) is None:
            return False
        batch.members.append(index)
        return True

    async def _produce(
        self, batches: dict[Partition, list[Batch]], count: int, until: float
    ) -> list[tuple[Partition, int]]:
        """Add the partitions to the transaction, then send one batch of each at a time, to all leaders at once."""
        placed: list[tuple[Partition, int]] = [(Partition("", 0), -1)] * count
        if batches:
            await self._add_partitions(list(batches), until)
        while batches:
            round_ = {partition: waiting[0] for partition, waiting in batches.items()}
            offsets = await self._send(round_, until)
            for partition, batch in round_.items():
                for place, index in enumerate(batch.members):
                    placed[index] = (partition, offsets[partition] + place)
            batches = {partition: waiting[1:] for partition, waiting in batches.items() if len(waiting) > 1}
        return placed

    async def _add_partitions(self, partitions: list[Partition], until: float) -> None:
        topics: dict[str, list[int]] = {}
        for topic, number in partitions:
            topics.setdefault(topic, []).append(number)
        writer = self._writer
        request = AddPartitionsToTxnRequest(writer.transactional_id, writer.id, writer.epoch, list(topics.items()))

        def codes(answer: Any) -> set[int]:
            return {code for _, rows in answer.errors for _, code in rows} - {55}  # 55: another one failed

        what = f"write to {', '.join(sorted(topics))}"
        self._check(what, await self._agree(what, request, until, codes))

    async def _send(self, round_: dict[Partition, Batch], until: float) -> dict[Partition, int]:
        """Write one batch of each partition; a batch whose answer was lost is sent again under its number."""
        buffers = {}
        for partition, batch in round_.items():
            batch.builder.set_producer_state(self._writer.id, self._writer.epoch, self._sequences.get(partition, 0))
            buffers[partition] = bytes(batch.builder.build())
        offsets: dict[Partition, int] = {}

        async def attempt() -> int:
            return await self._send_missing({p: b for p, b in buffers.items() if p not in offsets}, offsets)

        code = await self._connection.insist("write records", attempt, until)
        self._check("write records", code)
        for partition, batch in round_.items():
            self._sequences[partition] = (self._sequences.get(partition, 0) + len(batch.members)) % SEQUENCES
        return offsets

    async def _send_missing(self, buffers: dict[Partition, bytes], offsets: dict[Partition, int]) -> int:
        nodes: dict[int | None, dict[str, list[tuple[int, bytes]]]] = {}
        for partition, buffer in buffers.items():
            node = nodes.setdefault(self._connection.leader(partition), {})
            node.setdefault(partition.topic, []).append((partition.number, buffer))
        codes = set(await asyncio.gather(*(self._send_to(node, topics, offsets) for node, topics in nodes.items())))
        if codes & LEADER_MOVED:
            await self._connection.refresh()
        return worst(codes)

    async def _send_to(
        self, node: int | None, topics: dict[str, list[tuple[int, bytes]]], offsets: dict[Partition, int]
    ) -> int:
        request = ProduceRequest(self._writer.transactional_id, -1, int(self._timeout * 500), list(topics.items()))
        answer = await self._connection.ask(node, request)
        if answer is None:
            return NETWORK
        failed: set[int] = set()
        for topic, rows in answer.topics:
            for number, code, offset, *_ in rows:
                if code in (0, DUPLICATE_SEQUENCE):
                    offsets[Partition(topic, number)] = offset
                else:
                    failed.add(code)
        return worst(failed)

    # -- offsets

    async def _offsets(self, progress: Mapping[Partition, Progress], member: wire.Member | None, until: float) -> None:
        if member is None or not progress:
            return
        group, writer = member.group, self._writer
        add = AddOffsetsToTxnRequest(writer.transactional_id, writer.id, writer.epoch, group)
        self._check("add offsets", await self._agree("add offsets", add, until))
        topics: dict[str, list[tuple[int, int, str]]] = {}
        for (topic, number), (watermark, map_) in progress.items():
            topics.setdefault(topic, []).append((number, watermark, map_))
        request = wire.TxnOffsetCommit(writer, member, topics)

        def codes(answer: Any) -> set[int]:
            return {row[1] for _, rows, *_ in answer.errors for row in rows}

        agreed = self._connection.agree("commit offsets", CoordinationType.GROUP, group, request, until, codes)
        self._check("commit offsets", await agreed)

    # -- the end

    async def _end(self) -> None:
        """Commit. From here on only an answer tells; asking again is safe, the coordinator remembers."""
        writer = self._writer
        request = EndTxnRequest(writer.transactional_id, writer.id, writer.epoch, transaction_result=True)
        until = asyncio.get_running_loop().time() + 2 * self._timeout
        try:
            code = await self._agree("commit", request, until)
        except Exception as error:  # whatever it is, the commit was asked for
            raise OutcomeUnknown(str(error)) from error
        if code:
            raise OutcomeUnknown(f"{writer.transactional_id}: commit: {meaning(code)}; nobody knows if it happened")


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, None]) -> T:
    """Wait for both, also where one failed: what is still being sent must not outlive its transaction."""
    found, other = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(found, BaseException):
        raise found
    if other is not None:
        raise other
    return found
