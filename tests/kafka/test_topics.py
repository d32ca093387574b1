"""`stepwire topics` and `doctor` on a real broker: what is made is found right, what was bent is found wrong."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest_v5
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from tests.cli.shell import HERE, Said, Shell
from tests.kafka.stage import SETTINGS, stage

from stepwire import App, Event, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.topics import counts
from stepwire.errors import BusUnavailable
from stepwire.worker import prepare, topics_of
from stepwire_handlers.cluster.starting import start_on_kafka
from stepwire_handlers.services import signing
from stepwire_handlers.services.starting import Start

pytestmark = pytest.mark.timeout(120)
YARD = "yard:gate_before"  # a gate: its business topic must be kept for a week


@pytest.fixture
def command(kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Commands on the cluster, with names of this test's own."""
    shell = Shell(tmp_path)
    monkeypatch.chdir(HERE)
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    for name, value in shell.environment.items():
        if name.startswith("STEPWIRE_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("STEPWIRE_BUS", f"kafka://{kafka}")
    monkeypatch.setenv("STEPWIRE_PREFIX", topic_prefix)
    yield shell
    shell.close()


def altered(kafka: str, topic: str, **config: str) -> None:
    """Bend the configuration of a topic. The answer is the controller's: a broker tells of it once it has read it."""
    wanted = {name.replace("_", "."): value for name, value in config.items()}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()]
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
    for done in admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]
    ).values():
        done.result(20)
    end = time.monotonic() + 20
    while True:
        asked = ConfigResource(ResourceType.TOPIC, topic)
        told = admin.describe_configs([asked])[asked].result(20)
        if all(told[name].value == value for name, value in wanted.items()):
            return
        assert time.monotonic() < end, f"{topic} has not {wanted} after 20 s"
        time.sleep(0.05)


def problems(said: Said) -> list[str]:
    """What `check` complains of."""
    return [line for line in said.err.splitlines() if not line.startswith("warning")]


def test_before_apply_commands_say_what_is_missing_or_that_there_is_nothing(command: Shell) -> None:
    """On a cluster that has no topic of the app yet: nothing is published, and lists are empty."""
    missing = command("publish", "Order", "--app", "market:app", "--json-data", '{"n": 1}', code=2).err
    assert "topics are missing" in missing and "stepwire topics apply" in missing
    for words in (("runs", "list"), ("gates", "list"), ("dlq", "list")):
        assert command(*words, "--app", "market:app", "--json").data == []


def test_what_apply_makes_check_finds_right(command: Shell, kafka: str, topic_prefix: str) -> None:
    """Missing before, right after; every topic of the plan is on the cluster, with its partitions and configuration."""
    assert len(problems(command("topics", "check", YARD, code=1))) == 7
    assert command("doctor", YARD, "--json", code=1, schema="doctor").data[2]["state"] == "failed"
    command("topics", "apply", YARD)
    said = command("topics", "check", YARD, "--json", schema="topics")
    assert said.err == ""
    there = AdminClient({"bootstrap.servers": kafka, "log_level": 2}).list_topics(timeout=10).topics
    mine = {name: len(topic.partitions) for name, topic in there.items() if name.startswith(topic_prefix)}
    assert {row["topic"]: row["partitions_now"] for row in said.data} == mine
    lines = command("doctor", YARD, "--json", schema="doctor").data
    assert {line["what"]: line["state"] for line in lines} == {
        "brokers": "ok", "protocol": "ok", "topics": "ok", "rights to topics": "ok", "rights to groups": "ok",
        "former steps": "ok", "transactions": "ok", "clock": "ok", "blob store": "ok", "decisions": "note",
    }  # fmt: skip
    assert len(command("doctor", YARD).out.splitlines()) < 24


@pytest.mark.slow
def test_what_was_bent_is_refused_with_its_cure(command: Shell, kafka: str, topic_prefix: str) -> None:
    """Compaction, a limited mailbox, another number of partitions; too short a retention is warned of."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
    name = f"{topic_prefix}yard.pack.state"
    admin.create_topics([NewTopic(name, 3, 1, config={"cleanup.policy": "compact"})])[name].result(20)
    assert "pack.control has 8 partitions and its state 3" in command("topics", "apply", YARD, code=2).err
    altered(kafka, f"{topic_prefix}yard.loads", retention_ms="86400000")
    altered(kafka, f"{topic_prefix}yard.packed", cleanup_policy="compact")
    altered(kafka, f"{topic_prefix}yard.pack.control", retention_ms="86400000")
    said = command("topics", "check", YARD, code=1)
    text = "\n".join(problems(said))
    assert len(problems(said)) == 3
    assert f"{name} has 3 partitions, not 8" in text
    assert f"--entity-name {topic_prefix}yard.packed --add-config cleanup.policy=delete" in text
    assert f"--entity-name {topic_prefix}yard.pack.control --add-config retention.ms=-1" in text
    assert f"warning: {topic_prefix}yard.loads has retention.ms=86400000" in said.err
    command("doctor", YARD, code=1)


@pytest.mark.slow
def test_all_steps_that_are_gone_are_named_at_once(command: Shell) -> None:
    """The doctor has a line for each, with what it has left."""
    command("topics", "apply", "yard:three")
    command("publish", "Load", "--app", "yard:three", "--json-data", '{"n": 1}')
    command("topics", "apply", "yard:after")
    found = command("doctor", "yard:after", "--json", code=1, schema="doctor").data
    former = [line["found"].split()[0] for line in found if line["what"] == "former steps"]
    assert former == ["label", "pack", "ship"]


@pytest.mark.slow
def test_a_step_that_is_gone_and_has_work_left_fails(command: Shell) -> None:
    """`run` would refuse: the doctor says so before, with the command that moves it."""
    command("topics", "apply", "yard:before")
    command("publish", "Load", "--app", "yard:before", "--json-data", '{"n": 1}')
    command("topics", "apply", "yard:after")
    assert "stepwire groups move pack NEW" in command("doctor", "yard:after", code=1).out
    listed = command("groups", "list", "yard:after", "--json", schema="groups-list").data
    assert [(row["handler"], row["in_app"], row["behind"]) for row in listed] == [("wrap", True, 0), ("pack", False, 2)]
    command("groups", "move", "pack", "wrap", "--app", "yard:after")
    command("doctor", "yard:after")
    (row,) = command("groups", "list", "yard:after", "--json").data
    assert (row["handler"], row["behind"]) == ("wrap", 2)  # the record and the marker of its transaction


@pytest.mark.slow
def test_the_doctor_says_what_workers_take(command: Shell, kafka: str, topic_prefix: str) -> None:
    """Signed decisions only, as they told on the cluster; without a cluster it does not guess."""

    async def worker_tells() -> None:
        from yard import gate_before  # type: ignore[import-not-found]  # as the commands import it

        bus = KafkaBus(kafka, prefix=topic_prefix)
        await bus.open()
        await signing.tell(bus, gate_before, "0123456789abcdef" * 2)
        await bus.close()

    def decisions(code: int, *options: str) -> str:
        lines = command("doctor", YARD, "--json", *options, code=code, schema="doctor").data
        return next(line["found"] for line in lines if line["what"] == "decisions")

    command("topics", "apply", YARD)
    assert decisions(0) == "gates take decisions that nobody signed"
    asyncio.run(worker_tells())
    assert "take signed decisions only, and there is no STEPWIRE_DECISION_KEY here" in decisions(0)
    assert "could not be asked" in decisions(1, "--bus", "kafka://127.0.0.1:9")


def test_brokers_that_do_not_answer_are_the_first_line(command: Shell) -> None:
    """Exit code 1, no traceback, and what to look at."""
    lines = command("doctor", YARD, "--bus", "kafka://127.0.0.1:9", "--json", code=1, schema="doctor").data
    assert (lines[0]["what"], lines[0]["state"]) == ("brokers", "failed")


@pytest.mark.slow
def test_a_clock_that_is_off_is_seen(command: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator's clock is what ours is compared with: an hour is said, and fails."""
    from stepwire_handlers.doctor import transaction

    class Late:
        """Our clock, an hour behind."""

        @staticmethod
        def time() -> float:
            return time.time() - 3600.0

    command("topics", "apply", YARD)
    monkeypatch.setattr(transaction, "time", Late)
    lines = {line["what"]: line for line in command("doctor", YARD, "--json", code=1).data}
    assert lines["clock"]["state"] == "failed"
    assert "+3600" in lines["clock"]["found"] or "+3599" in lines["clock"]["found"]


# -- where a new handler starts


class Asked(Event, topic="asked"):
    n: int


class Told(Event, topic="told", terminal=True):
    n: int


@handler()
async def tell(asked: Asked) -> Told:
    return Told(n=asked.n)


@handler()
async def count(asked: Asked) -> None:
    """A handler that comes with a later release."""


ONE, BOTH = App("a", [tell]), App("a", [tell, count])


@pytest.mark.parametrize(("start", "count_"), [("now", 0), ("beginning", 3), ("between", 1)])
async def test_a_new_handler_starts_where_it_is_told_to(
    kafka: str, topic_prefix: str, start: str, count_: int
) -> None:  # fmt: skip
    """Records from before the app was applied are read from the beginning, from a time, or not at all."""
    bus = KafkaBus(kafka, prefix=topic_prefix, create_topics=True)
    await bus.open()
    await bus.create(topics_of(ONE, SETTINGS))
    at: Start = 0.0
    for n in range(3):
        if n == 2:
            await asyncio.sleep(0.02)
            at = time.time()
        out, _ = ONE.record(Asked(n=n), now=time.time())
        await bus.publish([out])
    begun = await start_on_kafka(ONE, bus, {"now": "now", "beginning": "beginning"}.get(start, at))  # type: ignore[arg-type]
    assert [(one.handler, one.topic) for one in begun] == ([] if start == "now" else [("tell", "asked")])
    await bus.close()
    async with stage(kafka, topic_prefix, ONE) as here:
        await here.worker()
        await here.publish(Asked(n=9))
        told = await here.until("told", count_ + 1)
        assert sorted(int(record.value[5:-1]) for record in told) == [*range(3 - count_, 3), 9]


async def test_a_group_that_has_started_is_left_alone(kafka: str, topic_prefix: str) -> None:
    """With a new handler beside it: the old one goes on where it was, also after a repeat of the command."""
    async with stage(kafka, topic_prefix, ONE) as here:
        worker = await here.worker()
        await here.publish(*(Asked(n=n) for n in range(4)))
        await here.until("told", 4)
        await here.stop(worker)
        before = await here.bus.progress("a.tell")
        await here.bus.create(topics_of(BOTH, here.settings))
        begun = await start_on_kafka(BOTH, here.bus, "beginning")
        assert [(one.handler, one.topic) for one in begun] == [("count", "asked")]
        assert await start_on_kafka(BOTH, here.bus, "beginning") == []  # also where `apply` was killed right here
        await prepare(BOTH, here.bus, here.settings)
        assert await here.bus.progress("a.tell") == before
        starts = await here.bus.progress("a.count")
        assert {value.watermark for place, value in starts.items() if place.topic == "asked"} == {0}


async def test_to_look_for_topics_makes_none() -> None:
    """Brokers make what is asked about, with their own defaults, unless the request says no."""
    asked: list[Any] = []

    class Listening:
        async def ask_any(self, request: Any) -> Any:
            asked.append(request.build(MetadataRequest_v5))
            raise BusUnavailable("that will do")

    with pytest.raises(BusUnavailable):
        await counts(Listening(), ["nowhere"])  # type: ignore[arg-type]
    assert [each.to_object()["allow_auto_topic_creation"] for each in asked] == [False]


async def test_a_connection_that_was_closed_opens_none_again(kafka: str) -> None:
    """What still runs after the end, such as a write, would keep the process from ending by a new one."""
    connection = KafkaBus(kafka).connection()
    await connection.open()
    node = connection._client.get_random_node()
    assert await connection.ask(node, ApiVersionRequest()) is not None
    await connection.close()
    assert await connection.ask(node, ApiVersionRequest()) is None
    assert not connection._client._conns
