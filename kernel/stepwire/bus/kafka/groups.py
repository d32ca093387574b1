"""What consumer groups have committed, read and written from outside of them.

In: a group's name and partitions. Out: progress, once no open transaction can change it (KIP-447).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka.client import CoordinationType
from aiokafka.protocol.commit import OffsetCommitRequest

from stepwire.bus.kafka import wire
from stepwire.bus.kafka.connection import STALE, Connection, meaning
from stepwire.bus.protocol import Partition, Progress
from stepwire.errors import BusUnavailable, Fenced

STABLE = 60.0  #: seconds to wait for somebody's open transaction; the brokers end it after ten


async def committed(
    connection: Connection, group: str, partitions: Sequence[Partition] | None, patience: float = STABLE
) -> dict[Partition, Progress]:
    """Progress of these partitions, or of all that the group ever committed. Raises BusUnavailable."""
    wanted: dict[str, list[int]] | None = None
    if partitions is not None:
        wanted = {}
        for topic, number in partitions:
            wanted.setdefault(topic, []).append(number)
    request = wire.OffsetFetch(group, wanted)
    found: dict[Partition, Progress] = {}

    def codes(answer: Any) -> Iterator[int]:
        yield answer.error_code
        for topic, rows, _ in answer.topics:
            for number, offset, _, metadata, code, _ in rows:
                yield code
                if not code and offset >= 0:
                    found[Partition(topic, number)] = Progress(offset, metadata or "")

    until = asyncio.get_running_loop().time() + patience
    code = await connection.agree(f"read the progress of {group}", CoordinationType.GROUP, group, request, until, codes)
    if code:
        raise BusUnavailable(f"cannot read the progress of {group}: {meaning(code)}")
    return found


async def commit(connection: Connection, group: str, progress: Mapping[Partition, Progress], patience: float) -> None:
    """Store progress for a group that nobody is in. Raises Fenced if somebody is, BusUnavailable."""
    topics: dict[str, list[tuple[int, int, str]]] = {}
    for (topic, number), (offset, metadata) in progress.items():
        topics.setdefault(topic, []).append((number, offset, metadata))
    request = OffsetCommitRequest(group, -1, "", -1, list(topics.items()))

    def codes(answer: Any) -> set[int]:
        return {code for _, rows in answer.topics for _, code in rows}

    until = asyncio.get_running_loop().time() + patience
    code = await connection.agree(f"store where {group} starts", CoordinationType.GROUP, group, request, until, codes)
    if code in STALE:
        raise Fenced(f"{group} has members; stop them before its offsets are set from outside")
    if code:
        raise BusUnavailable(f"cannot store where {group} starts: {meaning(code)}")
