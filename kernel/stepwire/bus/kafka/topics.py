"""The cluster's topics and groups: what an app needs, what is there, what is made.

In: topics of an app. Out: what each must be like on the cluster, with Kafka's own configuration names.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.protocol.admin import ApiVersionRequest, CreateTopicsRequest, ListGroupsRequest
from aiokafka.protocol.metadata import MetadataRequest

from stepwire.bus.kafka.connection import NETWORK, NO_TOPIC_RIGHT, PATIENCE, Connection, meaning, worst
from stepwire.errors import BusUnavailable, SettingsError

LARGE = 8 * 1024 * 1024  #: bytes; an entry wraps a record whole, a dead letter adds its cause
MONTH = 30 * 86_400_000  #: milliseconds
ALREADY_EXISTS, NOT_THERE = 36, (3, 17, NO_TOPIC_RIGHT)  #: unknown, no topic's name, and what this user may not know


class Spec(NamedTuple):
    """What a topic must be like."""

    partitions: int
    config: Mapping[str, str]


def state_topic(control: str) -> str:
    """Where the state that belongs to a control topic is kept."""
    return control.removesuffix(".control") + ".state"


def plan(topics: Mapping[str, int]) -> dict[str, Spec]:
    """Every topic that is needed; a control topic brings its state, an app's runs its wiring."""
    found: dict[str, Spec] = {}
    for name, partitions in topics.items():
        if name.endswith(".control"):
            found[name] = Spec(partitions, {"retention.ms": "-1", "max.message.bytes": str(LARGE)})
            compacted = {"cleanup.policy": "compact", "max.message.bytes": str(LARGE), "segment.ms": "3600000"}
            found[state_topic(name)] = Spec(partitions, compacted)
        elif name.endswith(".dlt"):
            found[name] = Spec(partitions, {"retention.ms": str(MONTH), "max.message.bytes": str(LARGE)})
        elif name.endswith(".runs"):
            found[name] = Spec(partitions, {"retention.ms": str(MONTH)})
            found[name.removesuffix(".runs") + ".wiring"] = Spec(1, {"cleanup.policy": "compact"})
        else:
            found[name] = Spec(partitions, {})
    return found


async def versions(connection: Connection) -> dict[int, tuple[int, int]]:
    """Request -> the lowest and highest version that the brokers know."""
    answer = await connection.ask_any(ApiVersionRequest())
    return {key: (lowest, highest) for key, lowest, highest in answer.api_versions}


async def _metadata(connection: Connection, topics: Sequence[str] | None) -> Any:
    names = None if topics is None else list(topics)
    return await connection.ask_any(MetadataRequest(names, allow_auto_topic_creation=False))  # to look makes none


async def counts(connection: Connection, topics: Sequence[str]) -> dict[str, int]:
    """Topics that exist -> partitions. Raises BusUnavailable where a broker says neither that one exists nor not."""
    rows = (await _metadata(connection, topics)).to_object()["topics"]
    for row in rows:
        if row["error_code"] not in (0, *NOT_THERE):
            raise BusUnavailable(f"cannot look for topic {row['topic']}: {meaning(row['error_code'])}; try again")
    return {row["topic"]: len(row["partitions"]) for row in rows if row["error_code"] == 0}


async def hidden(connection: Connection, topics: Sequence[str]) -> list[str]:
    """Topics that this user has no right to see: whether they exist, nobody tells."""
    answer = (await _metadata(connection, topics)).to_object()
    return sorted(row["topic"] for row in answer["topics"] if row["error_code"] == NO_TOPIC_RIGHT)


async def groups(connection: Connection) -> list[str]:
    """The names of all groups of the cluster that this client may see. Raises BusUnavailable."""
    names: set[str] = set()

    async def attempt() -> int:
        brokers = (await _metadata(connection, [])).to_object()["brokers"]  # one that went down is not among them
        answers = [await connection.ask(broker["node_id"], ListGroupsRequest()) for broker in brokers]
        names.update(name for answer in answers if answer is not None for name, *_ in answer.groups)
        return worst(NETWORK if answer is None else int(answer.error_code) for answer in answers)

    code = await connection.insist("list the groups", attempt, asyncio.get_running_loop().time() + PATIENCE)
    if code:
        raise BusUnavailable(f"cannot list the groups: {meaning(code)}")
    return sorted(names)


async def create(connection: Connection, topics: Mapping[str, Spec], replication: int) -> None:
    """Create topics and wait until they can be used. Raises SettingsError, BusUnavailable."""
    answer = (await _metadata(connection, [])).to_object()
    copies = replication if replication > 0 else min(3, len(answer["brokers"]))
    wanted: list[Any] = [
        (name, spec.partitions, copies, [], list(spec.config.items())) for name, spec in topics.items()
    ]
    rows: list[Any] = []

    async def attempt() -> int:
        controller = (await _metadata(connection, [])).to_object()["controller_id"]
        made = await connection.ask(controller, CreateTopicsRequest(wanted, 30_000, validate_only=False))
        if made is None:
            return NETWORK
        rows[:] = [row for row in made.topic_errors if row[1] != ALREADY_EXISTS]
        return worst(row[1] for row in rows)

    async def known() -> int:
        """Metadata reaches the brokers one after another."""
        await connection.know(topics)
        with contextlib.suppress(BusUnavailable):  # a leader is elected just now
            return 0 if len(await counts(connection, list(topics))) == len(topics) else 3
        return 3

    until = asyncio.get_running_loop().time() + PATIENCE
    if code := await connection.insist("create topics", attempt, until):
        name, _, *said = next(row for row in rows if row[1] == code)
        raise SettingsError(
            f"cannot create topic {name}: {meaning(code)} {said[0] if said and said[0] else ''}".rstrip()
        )
    await connection.insist("create topics", known, until)
