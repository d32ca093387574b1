"""Can a worker of this app do its job on this cluster, as this user?

In: an app, its configuration, a Kafka bus that is not open yet. Out: lines, in the order of dependence: whoever reads
from the top meets the cause before its effects. Rights are read, not tried, but for one transaction that is aborted: it
leaves a marker on `<app>.runs`, which no reader sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka.client import CoordinationType
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest

from stepwire import App
from stepwire.bus.kafka import topics as kafka_topics
from stepwire.bus.kafka import wire
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.connection import Connection, meaning
from stepwire.bus.kafka.wiring_topic import WiringTopic
from stepwire.errors import StepwireError
from stepwire.release import left_behind
from stepwire_handlers.cluster.asking import brokers, group_seen, topic_rights
from stepwire_handlers.cluster.planning import plan_on_kafka
from stepwire_handlers.cluster.rights import Right, rights
from stepwire_handlers.cluster.shape import findings
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.doctor.line import FORMER, Line, failed, left_over, note, ok
from stepwire_handlers.doctor.surroundings import decisions, surroundings
from stepwire_handlers.doctor.transaction import transactions
from stepwire_handlers.drawing.plan import Planned
from stepwire_handlers.services.signing import Signing, key_of

BROKERS, PROTOCOL, TOPICS, RIGHTS, GROUPS = "brokers", "protocol", "topics", "rights to topics", "rights to groups"
FETCH, DESCRIBE_TRANSACTIONS = 1, 65  #: requests, as Kafka numbers them


async def examine(app: App, values: Configuration, bus: KafkaBus, name: str) -> list[Line]:
    """Every line for Kafka. `name` is how the app is named on the command line."""
    around = await surroundings(app, values)
    connection = bus.connection()
    try:
        try:
            await connection.open()
        except StepwireError as error:
            cure = "look at --bus, at [kafka] security.protocol and sasl.*, and whether the brokers run"
            return [failed(BROKERS, str(error), cure), *around, *decisions(app, values, None)]
        found = await _brokers(connection)
        found += await _protocol(connection)
        if any(line.state == "failed" for line in found):
            return [*found, *around, *decisions(app, values, None)]
        await bus.open()
        found += await _cluster(app, bus, connection, name)
        return [*found, *around, *decisions(app, values, await _told(app, values, bus))]
    except StepwireError as error:
        return [failed("cluster", str(error), "mend that, then look again"), *around, *decisions(app, values, None)]
    finally:
        await bus.close()
        await connection.close()


async def _brokers(connection: Connection) -> list[Line]:
    known = await brokers(connection)
    silent = [b for b in known if await connection.ask(b.node, ApiVersionRequest()) is None]
    if silent:
        where = ", ".join(broker.address for broker in silent)
        cure = "a worker needs every broker under its advertised.listeners: look at names, firewalls and certificates"
        return [failed(BROKERS, f"{len(silent)} of {len(known)} do not answer: {where}", cure)]
    return [ok(BROKERS, f"{len(known)} answer: {', '.join(broker.address for broker in known)}")]


async def _protocol(connection: Connection) -> list[Line]:
    known = await kafka_topics.versions(connection)
    missing = [
        name
        for name, request in wire.NEEDED.items()
        if not (span := known.get(request.API_KEY)) or not span[0] <= int(name[-1]) <= span[1]
    ]
    if missing:
        cure = "exactly-once needs Apache Kafka 2.5 or newer"
        return [failed(PROTOCOL, f"the brokers do not know {', '.join(missing)}", cure)]
    return [ok(PROTOCOL, f"{_release(known)}; it has {', '.join(wire.NEEDED)}")]


def _release(known: Mapping[int, tuple[int, int]]) -> str:
    """No broker tells its release; what it can do, and no longer can, tells the least it is."""
    if known.get(FETCH, (0, 0))[0] >= 4:
        return "Kafka 4.0 or newer"
    return "Kafka 3.0 or newer" if DESCRIBE_TRANSACTIONS in known else "Kafka 2.5 or newer"


async def _cluster(app: App, bus: KafkaBus, connection: Connection, name: str) -> list[Line]:
    needed = rights(app, bus.prefix)
    rows = await plan_on_kafka(app, app.settings, bus)
    found = await _topics(app, rows, bus, name)
    found.append(await _topic_rights(connection, needed, rows))
    found.append(await _groups(connection, [r for r in needed if r.resource == "group" and r.pattern == "literal"]))
    found += await _former(app, bus)
    runs = next(row for row in rows if row.kind == "runs")
    found += await transactions(connection, app, bus.prefix, runs.topic if runs.exists else None)
    return found


async def _topics(app: App, rows: list[Planned], bus: KafkaBus, name: str) -> list[Line]:
    missing = [row.topic for row in rows if not row.exists]
    wrong = await findings(app, app.settings, [row for row in rows if row.exists], bus, name)
    found = [failed(TOPICS, f"{one.topic} {one.problem}", one.cure) for one in wrong if one.refuses]
    found += [note(TOPICS, f"{one.topic} {one.problem}", one.cure) for one in wrong if not one.refuses]
    if missing:
        said = f"{len(missing)} of {len(rows)} are missing, first {missing[0]}"
        found.insert(0, failed(TOPICS, said, f"run: stepwire topics apply {name}"))
    return found or [ok(TOPICS, f"{len(rows)} are there, and shaped right")]


async def _topic_rights(connection: Connection, needed: list[Right], rows: list[Planned]) -> Line:
    wanted = {r.name: r.operations for r in needed if r.resource == "topic" and r.pattern == "literal"}
    have = await topic_rights(connection, [row.topic for row in rows])
    lacking = {
        topic: [operation for operation in operations if operation not in have[topic]]
        for topic, operations in wanted.items()
        if topic in have
    }
    lacking = {topic: operations for topic, operations in lacking.items() if operations}
    if not lacking:
        return ok(RIGHTS, f"all that a worker needs on {len(have)} topics")
    only_delete = all(operations == ["Delete"] for operations in lacking.values())
    said = "; ".join(f"{topic}: {', '.join(operations)}" for topic, operations in list(lacking.items())[:3])
    said = f"missing on {len(lacking)} topics: {said}"
    cure = "give them: stepwire topics plan --format acls prints the commands"
    if only_delete:
        return note(RIGHTS, said, f"control topics grow without it; {cure}")
    return failed(RIGHTS, said, cure)


async def _groups(connection: Connection, needed: list[Right]) -> Line:
    lacking: list[str] = []
    for right in needed:
        code = await _coordinated(connection, right.name)
        if code:
            lacking.append(f"{right.name}: {meaning(code)}")
        elif missing := [o for o in right.operations if o not in (await group_seen(connection, right.name)).operations]:
            lacking.append(f"{right.name}: {', '.join(missing)}")
    if lacking:
        return failed(
            GROUPS, f"missing on {len(lacking)} groups: {'; '.join(lacking[:3])}",
            "give them: stepwire topics plan --format acls prints the commands",
        )  # fmt: skip
    return ok(GROUPS, f"Describe and Read on {len(needed)} groups")


async def _former(app: App, bus: KafkaBus) -> list[Line]:
    """Steps that are gone and have something left: `run` would refuse to start."""
    try:
        left = await left_behind(app, bus)
    except StepwireError as error:
        cure = "give Describe to the groups, and Read to the topics, that begin with the app"
        return [failed(FORMER, str(error), cure)]
    return left_over(left) or [ok(FORMER, "none has work left")]


class _Mark(NamedTuple):
    """Where workers of an app tell it, as `Signing` asks for it."""

    bus: KafkaBus
    app: str

    async def left(self) -> Mapping[str, bytes]:
        """Every key of the wiring topic and its latest value."""
        return await WiringTopic(self.bus, self.app).read()


async def _told(app: App, values: Configuration, bus: KafkaBus) -> Signing | None:
    """What workers told of the decisions that they take; None: this user may not read it."""
    try:
        return await Signing(app.name, _Mark(bus, app.name), key_of(values)).ask()
    except StepwireError:
        return None


async def _coordinated(connection: Connection, group: str) -> int:
    """Why this user is not told who coordinates a group; 0 if he is, or if that passes."""
    answer = await connection.ask_any(FindCoordinatorRequest(group, CoordinationType.GROUP))
    return int(answer.error_code) if answer.error_code not in (14, 15, 16) else 0
