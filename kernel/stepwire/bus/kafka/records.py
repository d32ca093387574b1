"""Records as the kernel sees them and as Kafka carries them, and where a key lies.

The partition of a key is what Kafka's own clients choose (murmur2), so that `key=` co-partitions with upstream systems.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from aiokafka.partitioner import murmur2

from stepwire.bus.kafka.producer import Message
from stepwire.bus.protocol import Out, Partition, Record


@lru_cache(maxsize=65_536)  # a run's events mostly share their key; the hash in Python costs as much as all the rest
def partition_of(key: str, partitions: int) -> int:
    """Where a key lies, as Kafka's default partitioner says."""
    return int(murmur2(key.encode("utf-8", "surrogateescape")) & 0x7FFFFFFF) % partitions


def message(out: Out, topic: str, number: int) -> Message:
    """A record of ours as it is written to `topic`, the name on the cluster."""
    key = None if out.key is None else out.key.encode("utf-8", "surrogateescape")
    headers = [(name, value.encode("utf-8", "surrogateescape")) for name, value in out.headers.items()]
    return Message(Partition(topic, number), key, headers, out.value)


def record(found: Any, topic: str) -> Record:
    """A record of aiokafka's as the kernel sees it; a value that is null is an empty one."""
    key = None if found.key is None else found.key.decode("utf-8", "surrogateescape")
    return Record(topic, found.partition, found.offset, found.timestamp / 1000, key, headers(found), found.value or b"")


def headers(found: Any) -> Mapping[str, str]:
    """Header values as text; of a name that occurs twice the last one counts."""
    return {name: (value or b"").decode("utf-8", "surrogateescape") for name, value in found.headers}
