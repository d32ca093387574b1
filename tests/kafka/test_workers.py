"""Workers on a real broker: what survives a rebalance, a death, a zombie's return."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.client import CoordinationType
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka.admin import AdminClient
from tests.kafka.stage import SETTINGS, Stage, stage

from stepwire import App, Context, Decision, Event, Join, Retry, Transient, handler
from stepwire.bus.protocol import Out
from stepwire.dispatch.step import control_topic
from stepwire.errors import SettingsError
from stepwire.gate import decision
from stepwire.worker import Worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Asked(Event, topic="asked", entry=True):
    n: int


class Done(Event, topic="done", result=True, terminal=True):
    n: int


class Left(Event, topic="left"):
    n: int


class Right(Event, topic="right"):
    n: int


class Item(Event, topic="item"):
    n: int


class Half(Event, topic="half"):
    n: int


class Sum(Event, topic="sum"):
    n: int


class Met(Event, topic="met"):
    n: int


def open_joins(worker: Worker, name: str) -> set[str]:
    """The joins that a handler has in this worker's memory."""
    (dispatcher,) = (each for each in worker.dispatchers if each.step.name == name)
    return {join.id for mailbox in dispatcher.committer.mailboxes.values() for join in mailbox.joins.values()}


async def test_a_running_call_survives_a_rebalance(kafka: str, topic_prefix: str) -> None:
    """R12: a worker joins while calls run; those whose partition stays go on, each event has one output in the end."""
    calls: Counter[int] = Counter()
    gate = asyncio.Event()

    @handler()
    async def slow(asked: Asked) -> Done:
        calls[asked.n] += 1
        await gate.wait()
        return Done(n=asked.n)

    async with stage(kafka, topic_prefix, App("a", handlers=[slow]), replace(SETTINGS, partitions=4)) as here:
        await here.worker()
        await here.publish(*(Asked(n=n) for n in range(40)))
        async with asyncio.timeout(30):
            while len(calls) < 40:
                await asyncio.sleep(0.02)
        await here.worker()
        async with asyncio.timeout(30):
            while sum(calls.values()) == 40:  # what moved begins anew on the other one
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        again = sum(calls.values()) - 40
        gate.set()
        found = await here.until("done", 40)
        assert len({record.headers["ce_swcause"] for record in found}) == len(found) == 40
    assert 0 < again < 40, f"{again} of 40 calls began again"


async def bereaved(here: Stage, lives: Worker) -> tuple[str, asyncio.Task[Worker]]:
    """A second worker took half of it and was killed, a third one starts: the group waits for the one that is dead.

    The dead one's member id, and the third one's start, which ends when the dead one has expired.
    """
    dies = await here.worker()
    (dispatcher,) = lives.dispatchers
    member: Any = dispatcher._member
    async with asyncio.timeout(30):
        while len([place for place in dispatcher.committer.ledgers if place.topic == "asked"]) != 2:
            await asyncio.sleep(0.02)
    dead = dies.dispatchers[0]._member._seat.id  # type: ignore[union-attr]
    await here.vanish(dies)
    again = asyncio.create_task(here.worker())
    async with asyncio.timeout(40):
        while member._stable.is_set():
            await asyncio.sleep(0.02)
    return dead, again


async def expired(connection: Any, group: str, dead: str) -> None:
    """As if the session of a member were over that was killed: its group waits no longer."""
    await connection.ask_coordinator(CoordinationType.GROUP, group, LeaveGroupRequest(group, dead))


async def test_while_a_group_waits_for_a_killed_worker_the_others_go_on(kafka: str, topic_prefix: str) -> None:
    """One starts anew at once, and Kafka waits for the dead one's session; what the living had they handle."""
    calls: Counter[int] = Counter()

    @handler()
    async def quick(asked: Asked) -> Done:
        calls[asked.n] += 1
        return Done(n=asked.n)

    settings = replace(SETTINGS, partitions=4, session=60.0)
    async with stage(kafka, topic_prefix, App("a", handlers=[quick]), settings) as here:
        lives = await here.worker()
        (dispatcher,) = lives.dispatchers
        member: Any = dispatcher._member
        dead, again = await bereaved(here, lives)
        await here.publish(*(Asked(n=n) for n in range(40)))
        mine = {place for place in dispatcher.committer.ledgers if place.topic == "asked"}
        there = {place.number: end for place, end in (await here.bus.ends(["asked"])).items() if place in mine}
        async with asyncio.timeout(15):
            while sum(calls.values()) < sum(there.values()) - len(there):  # each ends with a marker
                await asyncio.sleep(0.02)
        while len(await here.records("done")) < sum(calls.values()):
            await asyncio.sleep(0.02)
        assert not member._stable.is_set() and 0 < len(calls) < 40
        await expired(here.bus._connection, f"{topic_prefix}a.quick", dead)
        await again
        found = await here.until("done", 40)
        assert len({record.headers["ce_swcause"] for record in found}) == len(found) == 40
    assert set(calls.values()) == {1}


async def test_who_leaves_while_its_group_waits_has_left(kafka: str, topic_prefix: str) -> None:
    """Its seat is given back at once, or the group would wait for it as it waits for the one that was killed."""

    @handler()
    async def quick(asked: Asked) -> Done:
        return Done(n=asked.n)

    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
    group = f"{topic_prefix}a.quick"

    def members() -> set[str]:
        found = admin.describe_consumer_groups([group])[group].result(20)
        return {member.member_id for member in found.members}

    settings = replace(SETTINGS, partitions=4, session=60.0)
    async with stage(kafka, topic_prefix, App("a", handlers=[quick]), settings) as here:
        leaves = await here.worker()
        dead, again = await bereaved(here, leaves)
        mine = leaves.dispatchers[0]._member._seat.id  # type: ignore[union-attr]
        assert mine in await asyncio.to_thread(members)
        await here.stop(leaves)
        assert mine not in await asyncio.to_thread(members)
        await expired(here.bus._connection, group, dead)
        await again


async def test_a_join_opened_on_one_worker_completes_on_another(kafka: str, topic_prefix: str) -> None:
    """State is restored from its changelog: a gather, a merge, a gate and a parked retry outlive their worker."""
    tries: Counter[str] = Counter()

    @handler()
    async def split(asked: Asked) -> tuple[Left, Right, list[Item]]:
        return Left(n=asked.n), Right(n=asked.n), [Item(n=n) for n in range(5)]

    @handler(retry=Retry(attempts=5))
    async def left(event: Left, context: Context) -> Half:
        tries[context.run] += 1
        if tries[context.run] == 1:
            raise Transient("not yet")
        return Half(n=event.n)

    @handler()
    async def gather(items: list[Item]) -> Sum:
        return Sum(n=sum(item.n for item in items))

    @handler(join=Join(timeout=600))
    async def meet(half: Half, right: Right, total: Sum) -> Met:
        return Met(n=half.n + right.n + total.n)

    @handler()
    async def approve(met: Decision[Met]) -> Done:
        return Done(n=met.final.n)

    app = App("a", handlers=[split, left, gather, meet, approve])
    parked = replace(SETTINGS, in_place=0.001, backoff=4.0)  # so that the retry is still parked when its worker dies
    async with stage(kafka, topic_prefix, app, parked) as here:
        first = await here.worker()
        await here.publish(*(Asked(n=n) for n in range(6)))
        async with asyncio.timeout(30):
            while len(tries) < 6:
                await asyncio.sleep(0.02)
        await here.vanish(first)
        await here.worker()
        await here.until("met", 6)
        second = next(worker for worker, _ in here._workers)
        async with asyncio.timeout(30):
            while len(joins := open_joins(second, "approve")) < 6:
                await asyncio.sleep(0.05)
        await here.vanish(second)
        outs = []
        for id_ in joins:
            entry = decision(id_, approved=True, by="test", why="", edited=b"", sent=0.0)
            outs.append(Out(control_topic("a", "approve"), id_, {}, entry.encode()))
        await here.bus.publish(outs)
        await here.worker()
        found = await here.until("done", 6)
        assert len(found) == 6
        assert len(await here.records("met")) == 6
        assert [await here.records(f"a.{name}.dlt") for name in ("left", "gather", "meet", "approve")] == [[]] * 4


async def test_a_worker_that_leaves_in_order_hands_over_at_once(kafka: str, topic_prefix: str) -> None:
    """Stopping takes no session timeout: the next worker goes on within seconds, and nothing is called twice."""
    calls: Counter[int] = Counter()

    @handler()
    async def quick(asked: Asked) -> Done:
        calls[asked.n] += 1
        return Done(n=asked.n)

    settings = replace(SETTINGS, session=30.0)
    async with stage(kafka, topic_prefix, App("a", handlers=[quick]), settings) as here:
        first = await here.worker()
        await here.publish(*(Asked(n=n) for n in range(50)))
        await here.until("done", 50)
        await here.stop(first)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await here.worker()
        await here.publish(Asked(n=50))
        await here.until("done", 51)
        assert loop.time() - begun < 20.0
    assert set(calls.values()) == {1}


async def test_order_is_kept_for_each_value_over_several_workers(kafka: str, topic_prefix: str) -> None:
    """`order=`: events of one customer are handled one after another in the order of their source partition."""
    seen: list[tuple[str, int]] = []

    class Booked(Event, topic="booked", entry=True, key="customer"):
        customer: str
        n: int

    @handler(order="customer")
    async def book(booked: Booked) -> None:
        await asyncio.sleep(0.001 * (booked.n % 3))
        seen.append((booked.customer, booked.n))

    async with stage(kafka, topic_prefix, App("a", handlers=[book])) as here:
        await here.worker()
        await here.worker()
        for n in range(30):
            await here.publish(*(Booked(customer=f"c{c}", n=n) for c in range(6)))
        async with asyncio.timeout(40):
            while len(seen) < 180:
                await asyncio.sleep(0.05)
    for c in range(6):
        assert [n for customer, n in seen if customer == f"c{c}"] == list(range(30))


async def test_progress_that_kafka_forgot_is_no_silent_reset(kafka: str, topic_prefix: str) -> None:
    """R15: a group that began once, and whose offsets are gone, is refused with the cure: never a silent reset."""

    @handler()
    async def quick(asked: Asked) -> Done:
        return Done(n=asked.n)

    async with stage(kafka, topic_prefix, App("a", handlers=[quick])) as here:
        await here.stop(await here.worker())
        admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
        admin.delete_consumer_groups([topic_prefix + "a.quick"])[topic_prefix + "a.quick"].result(20)
        with pytest.raises(SettingsError, match="reset-offsets"):
            await here.worker()


async def test_a_control_topic_is_purged_below_its_watermark(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was met and finished does not pile up; what is open stays in state, and completes."""
    monkeypatch.setattr("stepwire.bus.kafka.membership.PURGE", 20)

    @handler(order="n")
    async def one(asked: Asked) -> Done:
        return Done(n=asked.n)

    async with stage(kafka, topic_prefix, App("a", handlers=[one])) as here:
        await here.worker()
        for n in range(10):
            await here.publish(*(Asked(n=n) for _ in range(30)))
        await here.until("done", 300)
        await here.publish(*(Asked(n=n) for n in range(10)))
        await here.until("done", 310)
        kept = len(await here.records("a.one.control"))
        assert kept < 200, f"{kept} of 310 control records are still there"
