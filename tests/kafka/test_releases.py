"""A new release on Kafka while runs are in flight: two releases side by side, steps that go, topics that grow."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions
from tests.kafka.order_v1 import Order as OrderV1
from tests.kafka.stage import SETTINGS, Stage, stage

from stepwire import App, Decision, Event, Join, SettingsError, handler
from stepwire.bus.protocol import Out
from stepwire.dispatch.step import control_topic
from stepwire.gate import decision

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Order(Event, topic="order", version=2, entry=True):
    n: int
    currency: str


@Order.upcast(1)
def add_currency(data: dict[str, object]) -> dict[str, object]:
    """Before version 2 everything was in euro."""
    return {**data, "currency": "EUR"}


class Paid(Event, topic="paid", run="k", entry=True):
    k: str


class Sent(Event, topic="sent", run="k", entry=True):
    k: str


class Both(Event, topic="both"):
    k: str


class Closed(Event, topic="closed", terminal=True):
    k: str


class Booked(Event, topic="booked", terminal=True):
    text: str


@handler(join=Join(timeout=3_600))
async def meet(paid: Paid, sent: Sent) -> Both:
    return Both(k=paid.k)


@handler()
async def approve(both: Decision[Both]) -> Closed:
    return Closed(k=both.final.k)


def old_release() -> App:
    @handler()
    async def book(order: OrderV1) -> Booked:
        return Booked(text=f"{order.n}")

    return App("a", handlers=[book, meet, approve])


def new_release() -> App:
    @handler()
    async def book(order: Order) -> Booked:
        return Booked(text=f"{order.n} {order.currency}")

    return App("a", handlers=[book, meet, approve])


async def decided(here: Stage, gates: list[str]) -> None:
    """A person approves."""
    for id_ in gates:
        entry = decision(id_, approved=True, by="test", why="", edited=b"", sent=0.0)
        await here.bus.publish([Out(control_topic("a", "approve"), id_, {}, entry.encode())])


async def open_gates(here: Stage, count: int) -> list[str]:
    """The gates in the memory of all workers, once there are so many."""
    async with asyncio.timeout(40):
        while True:
            dispatchers = [d for worker, _ in here._workers for d in worker.dispatchers if d.step.name == "approve"]
            found = {id_ for d in dispatchers for box in d.committer.mailboxes.values() for id_ in box.joins}
            if len(found) == count:
                return sorted(found)
            await asyncio.sleep(0.05)


async def test_two_releases_work_side_by_side_with_open_merges_and_gates(kafka: str, topic_prefix: str) -> None:
    """Old events are upcast by the new release, new ones wait for it; merges and gates of the old one are completed."""
    async with stage(kafka, topic_prefix, old_release()) as here:
        old = await here.worker()
        await here.publish(*(Paid(k=f"{n}") for n in range(20)), *(Sent(k=f"{n}") for n in range(10)))
        await here.publish(*(OrderV1(n=n) for n in range(10)))
        await here.until("both", 10)
        await here.until("booked", 10)
        await here.worker(new_release())
        outs = [new_release().record(Order(n=n, currency="SEK"), now=0.0)[0] for n in range(10, 20)]
        await here.bus.publish(outs)
        await here.publish(*(Sent(k=f"{n}") for n in range(10, 20)))
        await here.until("both", 20)
        await here.stop(old)
        await decided(here, await open_gates(here, 20))
        assert len(await here.until("closed", 20)) == 20
        texts = Counter(Booked.model_validate_json(one.value).text for one in await here.until("booked", 20))
        assert set(texts.values()) == {1}
        assert {text for text in texts if text.endswith("SEK")} == {f"{n} SEK" for n in range(10, 20)}
        assert await here.records("a.book.dlt") == []


async def test_a_step_that_is_gone_with_work_left_is_refused_until_it_is_retired(kafka: str, topic_prefix: str) -> None:
    """A release without it does not start; with it retired, what it has left is settled, and the next one starts."""
    async with stage(kafka, topic_prefix, old_release()) as here:
        await here.publish(*(OrderV1(n=n) for n in range(5)))
        without = App("a", handlers=[meet, approve])
        with pytest.raises(SettingsError, match="retired=True"):
            await here.worker(without)

        @handler(retired=True)
        async def book(order: OrderV1) -> Booked:
            raise AssertionError("a retired step is not called")

        retiring = await here.worker(App("a", handlers=[book, meet, approve]))
        await retiring.settle()
        await here.stop(retiring)
        await here.worker(without)
        assert await here.records("booked") == []


async def test_joins_that_would_wait_for_other_parts_are_refused_while_they_are_open(
    kafka: str, topic_prefix: str
) -> None:
    """What the last release said of each part is stored on the cluster, and a changed row stops the new one."""

    class Mid(Event, topic="mid"):
        k: str

    @handler()
    async def before(sent: Sent) -> Mid:
        return Mid(k=sent.k)

    @handler(name="meet", join=Join(timeout=3_600))
    async def meet_mid(paid: Paid, mid: Mid) -> Both:
        return Both(k=paid.k)

    async with stage(kafka, topic_prefix, App("a", handlers=[meet, approve])) as here:
        first = await here.worker()
        await here.publish(Paid(k="1"))
        await first.settle()
        await here.stop(first)
        changed = App("a", handlers=[before, meet_mid, approve])
        with pytest.raises(SettingsError, match="accept-owes-change"):
            await here.worker(changed)
        again = await here.worker()
        await here.publish(Sent(k="1"))
        await here.until("both", 1)
        await again.settle()
        await here.stop(again)
        await here.worker(changed)


async def test_a_control_topic_that_grew_is_refused(kafka: str, topic_prefix: str) -> None:
    """Keys would lie elsewhere than what is kept under them: the worker does not start, and says what was changed."""
    async with stage(kafka, topic_prefix, old_release()) as here:
        admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
        for done in admin.create_partitions([NewPartitions(f"{topic_prefix}a.meet.control", 9)]).values():
            done.result(20)
        async with asyncio.timeout(30):
            while (await here.bus.describe(["a.meet.control"]))["a.meet.control"].partitions < 9:
                await asyncio.sleep(0.05)
        with pytest.raises(SettingsError, match=r"a\.meet\.control has 9 partitions and its state 4"):
            await here.worker()


async def test_a_business_topic_grows_under_running_workers(kafka: str, topic_prefix: str) -> None:
    """More partitions, other keys: each event is handled once, and merges whose parts lie before and after meet."""
    async with stage(kafka, topic_prefix, old_release(), replace(SETTINGS, partitions=2)) as here:
        await here.worker()
        await here.worker()
        await here.publish(*(Paid(k=f"{n}") for n in range(30)), *(OrderV1(n=n) for n in range(30)))
        admin = AdminClient({"bootstrap.servers": kafka, "log_level": 2})
        grown = [NewPartitions(f"{topic_prefix}{topic}", 7) for topic in ("sent", "order", "both")]
        for done in admin.create_partitions(grown).values():
            done.result(20)
        async with asyncio.timeout(30):
            while (await here.bus.describe(["sent"]))["sent"].partitions < 7:
                await asyncio.sleep(0.05)
        for n in range(30):  # one at a time: a publisher learns of the new partitions meanwhile
            await here.publish(Sent(k=f"{n}"), OrderV1(n=n + 30))
        assert len(await here.until("both", 30)) == 30
        texts = Counter(Booked.model_validate_json(one.value).text for one in await here.until("booked", 60))
        assert texts == Counter({f"{n}": 1 for n in range(60)})
