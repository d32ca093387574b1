"""Requests that aiokafka lacks, or whose answer it reads wrongly, as the protocol guide writes them.

In: values. Out: request objects that aiokafka's client sends. Metadata v8 and DescribeGroups v3 tell which operations
the asking user may do: so rights are looked at without trying them. DescribeTransactions v0 tells a coordinator's time.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    Bytes,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

NAME = String("utf-8")
TEXT, TAGS = CompactString("utf-8"), ("tags", TaggedFields)


class MetadataResponseV8(Response):
    """v8."""

    API_KEY, API_VERSION = 3, 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", NAME), ("port", Int32), ("rack", NAME))),
        ("cluster_id", NAME),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16), ("name", NAME), ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16), ("partition", Int32), ("leader", Int32), ("leader_epoch", Int32),
                        ("replicas", Array(Int32)), ("isr", Array(Int32)), ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )  # fmt: skip


class MetadataRequestV8(RequestStruct):
    """v8: never creates a topic; tells the operations that the asking user may do."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 3, 8, MetadataResponseV8
    SCHEMA = Schema(
        ("topics", Array(NAME)), ("allow_auto_topic_creation", Boolean), ("cluster_operations", Boolean),
        ("topic_operations", Boolean),
    )  # fmt: skip


class Metadata(Request[MetadataRequestV8]):
    """Brokers and topics, with what one may do with them."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[MetadataRequestV8]) -> MetadataRequestV8:
        """No topics: the brokers only."""
        return request_struct_class(list(self._topics), False, False, True)


class DescribeGroupsResponseV3(Response):
    """v3."""

    API_KEY, API_VERSION = 15, 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16), ("group", NAME), ("state", NAME), ("protocol_type", NAME), ("protocol", NAME),
                (
                    "members",
                    Array(
                        ("member_id", NAME), ("client_id", NAME), ("client_host", NAME), ("metadata", Bytes),
                        ("assignment", Bytes),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
    )  # fmt: skip


class DescribeGroupsRequestV3(RequestStruct):
    """v3."""

    API_KEY, API_VERSION, RESPONSE_TYPE = 15, 3, DescribeGroupsResponseV3
    SCHEMA = Schema(("groups", Array(NAME)), ("operations", Boolean))


class DescribeGroups(Request[DescribeGroupsRequestV3]):
    """A group's members, and what one may do with it."""

    API_KEY = 15

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[DescribeGroupsRequestV3]) -> DescribeGroupsRequestV3:
        """With the operations."""
        return request_struct_class(list(self._groups), True)


class DescribeTransactionsResponse(Response):
    """v0."""

    API_KEY, API_VERSION = 65, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transactions",
            CompactArray(
                ("error_code", Int16), ("transactional_id", TEXT), ("state", TEXT), ("timeout_ms", Int32),
                ("start_ms", Int64), ("producer_id", Int64), ("producer_epoch", Int16),
                ("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), TAGS)), TAGS,
            ),
        ),
        TAGS,
    )  # fmt: skip


class DescribeTransactionsV0(RequestStruct):
    """v0: Kafka 3.0 and newer."""

    API_KEY, API_VERSION, FLEXIBLE_VERSION, RESPONSE_TYPE = 65, 0, True, DescribeTransactionsResponse
    SCHEMA = Schema(("transactional_ids", CompactArray(TEXT)), TAGS)


class DescribeTransactions(Request[DescribeTransactionsV0]):
    """When a transaction began, by its coordinator's clock."""

    API_KEY = 65

    def __init__(self, id_: str) -> None:
        self._id = id_

    def build(self, request_struct_class: type[DescribeTransactionsV0]) -> DescribeTransactionsV0:
        """One transaction."""
        return request_struct_class([self._id], {})
