"""`stepwire topics`: plans as others take them, and where a handler that never started begins."""

from __future__ import annotations

import asyncio
import re

import pytest
import yaml
from tests.cli.shell import APP, Shell

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.bus.sqlite import OFFSET_BITS
from stepwire_handlers.cluster.planning import planned_on_kafka
from stepwire_handlers.cluster.rights import rights
from stepwire_handlers.cluster.shape import judged, kept_for
from stepwire_handlers.cluster.written import kubernetes_name

NOWHERE = "kafka://127.0.0.1:9"  # nothing listens there: these plans ask no cluster
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def published(shell: Shell, *times: float) -> None:
    """Records of market.orders with these times, in a bus whose handlers have not started."""

    async def write() -> None:
        bus = LocalBus(str(shell.path))
        await bus.open()
        await bus.create({"market.orders": 1})
        await bus.publish([Out("market.orders", None, {}, b"{}", 0) for _ in times])
        for offset, time in enumerate(times):
            bus.store.db.execute("UPDATE events SET time = ? WHERE pos & ? = ?", (time, (1 << OFFSET_BITS) - 1, offset))
        await bus.close()

    asyncio.run(write())


def started(shell: Shell, group: str = "market.check") -> int | None:
    """Where a group starts in market.orders; None: it never did."""

    async def read() -> int | None:
        bus = LocalBus(str(shell.path))
        await bus.open()
        number = bus.store.groups().get(group, (0, 0))[0]
        progress = bus.store.progress(number).get((bus.log.topics["market.orders"][0], 0))
        await bus.close()
        return progress.watermark if progress else None

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("start", "offset"),
    [
        ("now", 3),
        ("beginning", 0),
        ("1970-01-01T00:00:20Z", 1),
        ("1970-01-01T01:00:20.5+01:00", 2),
        ("2999-01-01T00:00:00Z", 3),
    ],
)
def test_a_new_handler_starts_where_it_is_told_to(shell: Shell, start: str, offset: int) -> None:
    """Now, at the first record, at the first one that is not older than a time, or at the end if none is."""
    published(shell, 10.0, 20.0, 30.0)
    shell("topics", "apply", APP, "--start", start)
    assert started(shell) == offset


def test_a_handler_that_has_started_is_never_moved(shell: Shell) -> None:
    """`--start` says nothing to groups that have progress, however little."""
    published(shell, 10.0, 20.0)
    shell("topics", "apply", APP)
    assert "starts" not in shell("topics", "apply", APP, "--start", "beginning").out
    assert started(shell) == 2


@pytest.mark.parametrize("start", ["yesterday", "2026-03-01T12:00:00", ""])
def test_a_start_that_makes_no_sense_is_refused_before_anything_is_done(shell: Shell, start: str) -> None:
    """No time zone is no time; nothing is made."""
    assert "nothing was done" in shell("topics", "apply", APP, "--start", start, code=2).err
    assert not shell.path.exists()


def test_the_plan_for_kafka_has_every_topic(shell: Shell) -> None:
    """Each handler brings control, state and dead letters, the app runs and wiring, all with the prefix."""
    from market import app  # type: ignore[import-not-found]

    rows = planned_on_kafka(app, app.settings, "prod.")
    names = {row.topic for row in rows}
    for handler in app.runnable:
        assert {f"prod.market.{handler.name}.{kind}" for kind in ("control", "state", "dlt")} <= names
    assert {"prod.market.runs", "prod.market.wiring", "prod.market.orders"} <= names
    by = {row.topic: row for row in rows}
    assert by["prod.market.check.state"].config["cleanup.policy"] == "compact"
    assert by["prod.market.check.control"].config["retention.ms"] == "-1"
    assert shell("topics", "plan", APP, "--format", "acls", code=2).err.count("kafka://") == 1


def test_strimzi_resources_are_legal_and_name_the_real_topics(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are DNS subdomains, no two alike; `topicName` and the rights are what is on the cluster."""
    monkeypatch.setenv("STEPWIRE_PREFIX", "Prod_1.")
    out = shell("topics", "plan", APP, "--bus", NOWHERE, "--format", "strimzi", "--cluster", "main").out
    documents = list(yaml.safe_load_all(out))
    topics, users = [[d for d in documents if d["kind"] == kind] for kind in ("KafkaTopic", "KafkaUser")]
    names = [document["metadata"]["name"] for document in documents]
    assert all(len(n) <= 253 and all(map(LABEL.fullmatch, n.split("."))) for n in names), names
    assert len(set(names)) == len(names)
    assert {d["apiVersion"] for d in documents} == {"kafka.strimzi.io/v1"}
    assert {d["metadata"]["labels"]["strimzi.io/cluster"] for d in documents} == {"main"}
    from market import app

    assert {t["spec"]["topicName"] for t in topics} == {r.topic for r in planned_on_kafka(app, app.settings, "Prod_1.")}
    (user,) = users
    written = {(a["resource"]["type"], a["resource"]["name"]) for a in user["spec"]["authorization"]["acls"]}
    assert written == {(right.resource, right.name) for right in rights(app, "Prod_1.")}


@pytest.mark.parametrize("name", ["a", "A", "a_b", "a-b", "a..b", "x" * 249, "X" * 249, "-a", "___", "a.-b.c"])
def test_every_topic_has_a_name_in_kubernetes(name: str) -> None:
    """Legal, short enough, the same each time, and never that of another topic."""
    made = kubernetes_name(name)
    assert len(made) <= 253 and all(map(LABEL.fullmatch, made.split("."))), made
    assert made == kubernetes_name(name)
    assert len({kubernetes_name(other) for other in ("a", "A", "a_b", "a-b", "a.b", "a..b", name)} | {made}) == len(
        {"a", "A", "a_b", "a-b", "a.b", "a..b", name}
    )


def test_rights_say_what_each_topic_needs_and_no_more(shell: Shell) -> None:
    """What is only read may not be written, what is only written not be read; nothing is a right to the cluster."""
    from market import app

    have = {(right.resource, right.name, right.pattern): set(right.operations) for right in rights(app, "p.")}
    assert have["topic", "p.market.orders", "literal"] == {"Describe", "Read"}
    assert have["topic", "p.market.done", "literal"] == {"Describe", "Write"}
    assert have["topic", "p.market.checked", "literal"] == {"Describe", "Read", "Write"}
    assert have["topic", "p.market.check.dlt", "literal"] == {"Describe", "Write"}
    assert have["group", "p.market.check", "literal"] == {"Describe", "Read"}
    assert have["transactionalId", "p.market.check-", "prefix"] == {"Describe", "Write"}
    assert all(name.startswith("p.") for _, name, _ in have)


def test_acls_are_commands_that_a_shell_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each resource, for the principal that was named."""
    monkeypatch.setenv("STEPWIRE_PREFIX", "p.")
    said = shell("topics", "plan", APP, "--bus", NOWHERE, "--format", "acls", "--principal", "User:my worker").out
    from market import app

    assert len(said.splitlines()) == len(rights(app, "p."))
    assert all("--allow-principal 'User:my worker' --operation " in line for line in said.splitlines())


def test_what_is_there_is_judged(shell: Shell) -> None:
    """Refused: missing, another count, compaction, limited control. Warned: retention below what gates need."""
    from market import app

    rows = [row._replace(exists=row.partitions) for row in planned_on_kafka(app, app.settings, "")]
    kept = kept_for(app, app.settings)
    plain = {"cleanup.policy": "delete", "retention.ms": "604800000", "max.message.bytes": "1048588"}
    there = {row.topic: {**plain, **row.config} for row in rows}
    assert judged(rows, there, kept, APP) == []

    def wrong(topic: str, **config: str) -> list[tuple[str, bool]]:
        changed = {**there, topic: {**there[topic], **{k.replace("_", "."): v for k, v in config.items()}}}
        found = judged(rows, changed, kept, APP)
        assert all(one.cure for one in found)
        return [(one.topic, one.refuses) for one in found]

    assert wrong("market.check.state", cleanup_policy="delete")[0] == ("market.check.state", True)
    assert wrong("market.orders", cleanup_policy="compact") == [("market.orders", True)]
    assert wrong("market.check.control", retention_ms="86400000") == [("market.check.control", True)]
    assert wrong("market.check.dlt", max_message_bytes="1000") == [("market.check.dlt", False)]
    assert wrong("market.big", retention_ms="86400000") == [("market.big", False)]  # a gate reads it
    assert wrong("market.orders", retention_ms="86400000") == []  # a day is enough for an hour of retries
    assert wrong("market.orders", retention_ms="60000") == [("market.orders", False)]
    fewer = [row._replace(exists=2) if row.topic == "market.pair.state" else row for row in rows]
    grown = [row._replace(exists=12) if row.topic == "market.orders" else row for row in rows]
    assert [(one.topic, one.refuses) for one in judged(fewer, there, kept, APP)] == [("market.pair.state", True)]
    assert judged(grown, there, kept, APP) == []
    hidden = {topic: config for topic, config in there.items() if topic != "market.orders"}
    assert [one.refuses for one in judged(rows, hidden, kept, APP)] == [False]


def test_the_plan_as_data_is_the_same_by_both_options(shell: Shell) -> None:
    """`--format json` and `--json` say the same."""
    one = shell("topics", "plan", APP, "--format", "json", schema="topics").data
    assert one == shell("topics", "plan", APP, "--json").data
