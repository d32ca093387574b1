"""What a cluster says of topics, groups and rights, and the one thing that is done to a group: deleting it.

In: a Kafka bus, names as on the cluster. Out: plain data. Nothing is written but by `delete_group`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.client import CoordinationType
from aiokafka.protocol.admin import DeleteGroupsRequest, DescribeConfigsRequest

from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.connection import NETWORK, PATIENCE, Connection, meaning
from stepwire.errors import BusUnavailable
from stepwire_handlers.cluster.wire import DescribeGroups, Metadata

TOPIC_RESOURCE = 2  #: as DescribeConfigs numbers kinds of resources
NO_RIGHT = frozenset({29, 30, 31})  #: topic, group, cluster: authorization failed
NO_SUCH_GROUP, NON_EMPTY = 69, 68
#: bits of `authorized_operations`, as Kafka's AclOperation numbers them
OPERATIONS = {3: "Read", 4: "Write", 5: "Create", 6: "Delete", 7: "Alter", 8: "Describe", 10: "DescribeConfigs"}


class Broker(NamedTuple):
    """One broker, as the others know it."""

    node: int
    address: str


class Seen(NamedTuple):
    """What is known of a group."""

    state: str  #: Kafka's word: Stable, Empty, Dead
    members: tuple[str, ...]  #: client id and host of each
    operations: frozenset[str]


@contextlib.asynccontextmanager
async def asking(bus: KafkaBus) -> AsyncIterator[Connection]:
    """A connection of one's own to the cluster of a bus."""
    connection = bus.connection()
    try:
        await connection.open()
        yield connection
    finally:
        await connection.close()


async def metadata(connection: Connection, topics: Sequence[str]) -> Mapping[str, Any]:
    """Metadata as the protocol has it. Raises BusUnavailable."""
    answer = await connection.ask_any(Metadata(topics))
    found: Mapping[str, Any] = answer.to_object()
    return found


async def brokers(connection: Connection) -> list[Broker]:
    """Every broker of the cluster."""
    answer = await metadata(connection, [])
    return [Broker(row["node_id"], f"{row['host']}:{row['port']}") for row in answer["brokers"]]


async def topic_rights(connection: Connection, topics: Sequence[str]) -> dict[str, frozenset[str]]:
    """Topic -> what the asking user may do with it; a topic that is not there is missing."""
    found: dict[str, frozenset[str]] = {}
    for row in (await metadata(connection, topics))["topics"]:
        if row["error_code"] == 0:
            found[row["name"]] = _operations(row["operations"])
        elif row["error_code"] in NO_RIGHT:
            found[row["name"]] = frozenset()
    return found


async def configurations(connection: Connection, topics: Collection[str]) -> dict[str, dict[str, str]]:
    """Topic -> its effective configuration; one that may not be looked at, or is not there, is missing."""
    answer = await connection.ask_any(DescribeConfigsRequest([(TOPIC_RESOURCE, name, None) for name in topics]))
    found: dict[str, dict[str, str]] = {}
    for row in answer.to_object()["resources"]:
        if row["error_code"] == 0:
            entries = row["config_entries"]
            found[row["resource_name"]] = {entry["config_names"]: entry["config_value"] or "" for entry in entries}
    return found


async def group_seen(connection: Connection, group: str) -> Seen:
    """A group as its coordinator sees it; one that never was is Dead. Raises BusUnavailable."""
    seen: list[Seen] = []

    async def attempt() -> int:
        answer = await connection.ask_coordinator(CoordinationType.GROUP, group, DescribeGroups([group]))
        if answer is None:
            return NETWORK
        row = answer.to_object()["groups"][0]
        names = tuple(f"{member['client_id']} at {member['client_host']}" for member in row["members"])
        seen.append(Seen(row["state"] or "Dead", names, _operations(row["operations"])))
        if row["error_code"] in (15, 16):
            connection.forget(CoordinationType.GROUP, group)
        return 0 if row["error_code"] in (NO_SUCH_GROUP, *NO_RIGHT) else int(row["error_code"])

    code = await connection.insist(f"look at group {group}", attempt, until_patience())
    if code:
        raise BusUnavailable(f"cannot look at group {group}: {meaning(code)}")
    return seen[-1]


async def delete_group(connection: Connection, group: str) -> bool:
    """Forget a group's progress; False if somebody is in it. Raises BusUnavailable."""

    async def attempt() -> int:
        answer = await connection.ask_coordinator(CoordinationType.GROUP, group, DeleteGroupsRequest([group]))
        return NETWORK if answer is None else int(answer.results[0][1])

    code = await connection.insist(f"delete group {group}", attempt, until_patience())
    if code in (0, NO_SUCH_GROUP):
        return True
    if code == NON_EMPTY:
        return False
    raise BusUnavailable(f"cannot delete group {group}: {meaning(code)}; deleting needs the right Delete to the group")


def _operations(bits: int) -> frozenset[str]:
    return frozenset(name for bit, name in OPERATIONS.items() if bits > 0 and bits >> bit & 1)


def until_patience() -> float:
    """The loop's time after which waiting for brokers makes no sense."""
    return asyncio.get_running_loop().time() + PATIENCE
