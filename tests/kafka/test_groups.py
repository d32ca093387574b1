"""A step gets another name on Kafka: its progress goes along, exactly once, also when the move is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.cli import yard
from tests.kafka.stage import Stage, stage

from stepwire import SettingsError
from stepwire.bus.kafka import groups as kafka_groups
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.connection import Connection
from stepwire.bus.kafka.reader import latest
from stepwire.bus.kafka.wiring_topic import WiringTopic
from stepwire.bus.protocol import Out, Partition, Progress
from stepwire.state import Entry
from stepwire.worker import prepare
from stepwire_handlers.cluster import renaming
from stepwire_handlers.cluster.asking import asking, group_seen
from stepwire_handlers.cluster.groups import groups_on_kafka
from stepwire_handlers.cluster.renaming import move_on_kafka

pytestmark = pytest.mark.timeout(120)
OLD = {
    Partition("yard.loads", 0): Progress(7, "1-:0:0::0:bBQ=="),
    Partition("yard.loads", 1): Progress(0),
    Partition("yard.pack.control", 0): Progress(0),
}


class Killed(BaseException):
    """kill -9, as the cluster sees it: nothing more comes."""


def numbers(records: Any) -> list[int]:
    """The loads that were packed."""
    return sorted(int(record.value[5:-1]) for record in records)


async def publish(here: Stage, *loads: int) -> None:
    """Loads under ids of their own: the same load again is a duplicate."""
    outs = [here.app.record(yard.Load(n=n), id=f"load-{n}", source="test", now=time.time())[0] for n in loads]
    await here.bus.publish(outs)


async def test_a_renamed_step_goes_on_where_it_was(kafka: str, topic_prefix: str) -> None:
    """Nothing is packed twice, nothing is left out, and duplicates of what the old name has seen are still dropped."""
    async with stage(kafka, topic_prefix, yard.before) as here:
        worker = await here.worker()
        await publish(here, 1, 2, 3)
        await here.until("yard.packed", 3)
        with pytest.raises(SettingsError, match=r"is in group t.*yard\.pack; stop"):
            await move_on_kafka(yard.after, here.bus, "pack", "wrap")
        await here.stop(worker)
        await publish(here, 4, 5)
        await prepare(yard.after, here.bus, here.settings)  # a release applied its topics before anybody thought of it
        with pytest.raises(SettingsError, match="stepwire groups move pack NEW"):
            await here.worker(yard.after)
        moved = await move_on_kafka(yard.after, here.bus, "pack", "wrap")
        assert moved.seen == 3
        assert (await move_on_kafka(yard.after, here.bus, "pack", "wrap")).repeated
        renamed = await here.worker(yard.after)
        await publish(here, 1, 2, 6)
        assert numbers(await here.until("yard.packed", 6)) == [1, 2, 3, 4, 5, 6]
        rows = {row.handler: row for row in await groups_on_kafka(yard.after, here.bus)}
        assert set(rows) == {"wrap"}
        assert rows["wrap"].members
        with pytest.raises(SettingsError, match="is in group"):
            await move_on_kafka(yard.before, here.bus, "wrap", "pack")
        await here.stop(renamed)
        await publish(here, 7)
        await move_on_kafka(yard.before, here.bus, "wrap", "pack")  # a rollback
        await here.worker(yard.before)
        assert numbers(await here.until("yard.packed", 7)) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_step_that_has_worked_keeps_its_own_progress(kafka: str, topic_prefix: str) -> None:
    """Two groups that have both done something are not mixed."""
    async with moving(kafka, topic_prefix) as bus:
        async with asking(bus) as connection:
            theirs = {bus.cluster_place(Partition("yard.loads", 0)): Progress(9, "1-:0:0::0:")}
            await kafka_groups.commit(connection, bus.cluster_name("yard.wrap"), theirs, 10.0)
        with pytest.raises(SettingsError, match="already worked"):
            await move_on_kafka(yard.after, bus, "pack", "wrap")
        assert await bus.progress("yard.pack") == OLD


async def test_what_is_kept_under_a_name_is_not_moved(kafka: str, topic_prefix: str) -> None:
    """An open join, a control record that nobody has read and a dead letter are refused with their number."""
    async with moving(kafka, topic_prefix) as bus:
        await bus.publish([Out("yard.pack.state", "j/abc/load", {}, Entry({"kind": "part"}).encode(), 0)])
        await bus.publish([Out("yard.pack.control", "x", {}, Entry({"kind": "part"}).encode(), 0)])
        headers = {"sw_delivery": "yard/pack/abc", "sw_replay": "0"}
        await bus.publish([Out("yard.pack.dlt", None, headers, b"{}", 0)])
        with pytest.raises(SettingsError) as refused:
            await move_on_kafka(yard.after, bus, "pack", "wrap")
        assert "1 entries of joins, 1 control records, 1 open dead letters" in str(refused.value)
        assert await bus.progress("yard.wrap") == {}
    with pytest.raises(SettingsError, match="no group"):
        async with moving(kafka, topic_prefix) as bus:
            await move_on_kafka(yard.after, bus, "pakc", "wrap")


async def test_a_worker_that_comes_in_the_middle_stops_the_move(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came into the old group after its progress was copied: the copy is taken back, the old group keeps its own."""
    async with moving(kafka, topic_prefix) as bus:
        real, other = renaming.delete_group, KafkaBus(kafka, prefix=topic_prefix, session=6.0)
        await other.open()

        async def in_between(connection: Connection, group: str) -> bool:
            if group.endswith("yard.pack"):
                member = await other.join("yard.pack", ["yard.loads"], "yard.pack.control")
                async with asyncio.timeout(20):
                    while not member.assignment.partitions:
                        await asyncio.sleep(0.02)
            return await real(connection, group)

        monkeypatch.setattr(renaming, "delete_group", in_between)
        with pytest.raises(SettingsError, match=r"came into group yard\.pack meanwhile"):
            await move_on_kafka(yard.after, bus, "pack", "wrap")
        await other.close()
        assert await bus.progress("yard.pack") == OLD
        assert await bus.progress("yard.wrap") == {}
        monkeypatch.undo()
        await move_on_kafka(yard.after, bus, "pack", "wrap")
        await _is_moved(bus)


class moving:  # noqa: N801 - read as `async with moving(...)`
    """A bus where the old group has progress, some state, and nobody is in it."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._bus = KafkaBus(servers, prefix=prefix, create_topics=True)

    async def __aenter__(self) -> KafkaBus:
        bus = self._bus
        await bus.open()
        await bus.create({"yard.loads": 2, "yard.pack.control": 1, "yard.pack.dlt": 1, "yard.runs": 1})
        async with asking(bus) as connection:
            cluster = {bus.cluster_place(place): value for place, value in OLD.items()}
            await kafka_groups.commit(connection, bus.cluster_name("yard.pack"), cluster, 10.0)
        await WiringTopic(bus, "yard").bear({("yard.pack", place.topic) for place in OLD})
        await bus.publish([Out("yard.pack.state", "d/one", {}, Entry({"kind": "seen", "until": 9e9}).encode(), 0)])
        return bus

    async def __aexit__(self, *_: object) -> None:
        await self._bus.close()


class Knife:
    """Kills before, or right after, the n-th thing that a move changes on the cluster."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.left, self._patch = at, patch
        for place, name in (
            (renaming, "commit"),
            (renaming, "delete_group"),
            (KafkaBus, "publish"),
            (KafkaBus, "create"),
        ):
            patch.setattr(place, name, self._around(getattr(place, name)))

    def _around(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def cut(*args: Any, **named: Any) -> Any:
            self._step()
            result = await real(*args, **named)
            self._step()
            return result

        return cut

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.mark.slow
async def test_a_move_that_was_killed_is_finished_by_the_same_command(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after each of its writes: repeated, all of the progress has the new name, and none the old."""
    kills = 0
    while True:
        async with moving(kafka, f"{topic_prefix}{kills}.") as bus:
            killed = False
            with monkeypatch.context() as patch:
                Knife(patch, kills + 1)
                try:
                    await move_on_kafka(yard.after, bus, "pack", "wrap")
                except Killed:
                    killed = True
            before = await bus.progress("yard.pack")
            assert before in (OLD, {}), "it has all of its progress or is gone"
            await move_on_kafka(yard.after, bus, "pack", "wrap")
            await _is_moved(bus)
        if not killed:
            break
        kills += 1
    assert kills >= 12, "every write was cut off once before and once after"


async def _is_moved(bus: KafkaBus) -> None:
    mine = {place: value for place, value in OLD.items() if place.topic == "yard.loads"}
    assert await bus.progress("yard.wrap") == mine
    assert await bus.progress("yard.pack") == {}
    async with asking(bus) as connection:
        assert (await group_seen(connection, bus.cluster_name("yard.pack"))).state == "Dead"
        state = await latest(connection, [Partition(bus.cluster_name("yard.wrap.state"), 0)])
    assert set(state) == {"d/one"}
    wiring = WiringTopic(bus, "yard")
    assert await wiring.born() == {("yard.wrap", "yard.loads")}
    assert not [key for key, value in (await wiring.read()).items() if key.startswith("moved/") and value]
