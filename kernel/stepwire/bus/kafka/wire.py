"""The requests that aiokafka lacks for exactly-once across rebalances (KIP-447), as the protocol guide writes them.

In: values. Out: request objects that aiokafka's client sends. TxnOffsetCommit v3 carries the consumer's generation, so
that a member that was cut off cannot commit; OffsetFetch v7 asks for stable offsets, so that whoever takes over waits
for the transaction that its predecessor left open. Both are needed: with either one alone a zombie doubles outputs.

Nothing here changes aiokafka's own classes: other clients of the process are not touched. Versions are exact on
purpose; an older one would commit without fencing, and a broker that does not know them is refused at start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

TEXT = CompactString("utf-8")
TAGS = ("tags", TaggedFields)


class InitProducerIdResponse(Response):
    """v3."""

    API_KEY, API_VERSION = 22, 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("producer_id", Int64), ("producer_epoch", Int16), TAGS
    )


class InitProducerIdV3(RequestStruct):
    """v3: asking again for the same transactional id aborts what was open and fences what had it."""

    API_KEY, API_VERSION, FLEXIBLE_VERSION, RESPONSE_TYPE = 22, 3, True, InitProducerIdResponse
    SCHEMA = Schema(
        ("transactional_id", TEXT), ("transaction_timeout_ms", Int32), ("producer_id", Int64),
        ("producer_epoch", Int16), TAGS,
    )  # fmt: skip


class TxnOffsetCommitResponse(Response):
    """v3."""

    API_KEY, API_VERSION = 28, 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "errors",
            CompactArray(
                ("topic", TEXT), ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), TAGS)), TAGS
            ),
        ),
        TAGS,
    )


class TxnOffsetCommitV3(RequestStruct):
    """v3: with generation and member id, which the coordinator checks."""

    API_KEY, API_VERSION, FLEXIBLE_VERSION, RESPONSE_TYPE = 28, 3, True, TxnOffsetCommitResponse
    SCHEMA = Schema(
        ("transactional_id", TEXT), ("group_id", TEXT), ("producer_id", Int64), ("producer_epoch", Int16),
        ("generation_id", Int32), ("member_id", TEXT), ("group_instance_id", TEXT),
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", TEXT), TAGS
                    ),
                ),
                TAGS,
            ),
        ),
        TAGS,
    )  # fmt: skip


class OffsetFetchResponse(Response):
    """v7."""

    API_KEY, API_VERSION = 9, 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", TEXT),
                        ("error_code", Int16), TAGS,
                    ),
                ),
                TAGS,
            ),
        ),
        ("error_code", Int16),
        TAGS,
    )  # fmt: skip


class OffsetFetchV7(RequestStruct):
    """v7: with `require_stable`."""

    API_KEY, API_VERSION, FLEXIBLE_VERSION, RESPONSE_TYPE = 9, 7, True, OffsetFetchResponse
    SCHEMA = Schema(
        ("group_id", TEXT),
        ("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), TAGS)),
        ("require_stable", Boolean),
        TAGS,
    )


class Producer(NamedTuple):
    """Who writes: a transactional id and what the coordinator gave it."""

    transactional_id: str
    id: int = -1
    epoch: int = -1


class Member(NamedTuple):
    """A seat in a group, as its coordinator knows it."""

    group: str
    generation: int
    id: str


class InitProducerId(Request[InitProducerIdV3]):
    """A new epoch for a transactional id."""

    API_KEY = 22

    def __init__(self, transactional_id: str, timeout: float) -> None:
        self._id, self._timeout = transactional_id, timeout

    def build(self, request_struct_class: type[InitProducerIdV3]) -> InitProducerIdV3:
        """With no former id: the coordinator itself finds and ends what was open."""
        return request_struct_class(self._id, int(self._timeout * 1000), -1, -1, {})


class TxnOffsetCommit(Request[TxnOffsetCommitV3]):
    """Offsets and maps of one group, within a transaction, under one generation."""

    API_KEY = 28

    def __init__(
        self, producer: Producer, member: Member, offsets: Mapping[str, Sequence[tuple[int, int, str]]]
    ) -> None:
        self._producer, self._member, self._offsets = producer, member, offsets

    def build(self, request_struct_class: type[TxnOffsetCommitV3]) -> TxnOffsetCommitV3:
        """Topic -> (partition, offset, metadata)."""
        topics: list[Any] = [
            (topic, [(number, offset, -1, metadata, {}) for number, offset, metadata in rows], {})
            for topic, rows in self._offsets.items()
        ]
        producer, member = self._producer, self._member
        return request_struct_class(
            producer.transactional_id, member.group, producer.id, producer.epoch, member.generation, member.id, None,
            topics, {},
        )  # fmt: skip


class OffsetFetch(Request[OffsetFetchV7]):
    """What a group has committed, once no transaction that changes it is open."""

    API_KEY = 9

    def __init__(self, group: str, partitions: Mapping[str, Sequence[int]] | None) -> None:
        self._group, self._partitions = group, partitions

    def build(self, request_struct_class: type[OffsetFetchV7]) -> OffsetFetchV7:
        """Partitions None: all that the group ever committed."""
        topics: list[Any] | None = None
        if self._partitions is not None:
            topics = [(topic, list(numbers), {}) for topic, numbers in self._partitions.items()]
        return request_struct_class(self._group, topics, True, {})


NEEDED: Mapping[str, type[Request[Any]]] = {
    "InitProducerId v3": InitProducerId, "TxnOffsetCommit v3": TxnOffsetCommit, "OffsetFetch v7": OffsetFetch,
}  # fmt: skip
