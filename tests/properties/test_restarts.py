"""What must survive a worker that is stopped or killed: timers, keys of joins, replays, and the bytes they cost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.properties.life import DEFAULT, Life

from stepwire import App, Context, Decision, Event, Join, Reject, RetryLater, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction
from stepwire.clock import VirtualClock
from stepwire.dispatch import commit
from stepwire.errors import BusUnavailable, RecordRefused
from stepwire.memory import replay


class Ask(Event, topic="ask"):
    n: int


class Answer(Event, topic="answer", terminal=True):
    n: int
    decided: bool


class Begin(Event, topic="begin"):
    size: int = 4


class Item(Event, topic="item"):
    n: int


class Checked(Event, topic="checked"):
    n: int


class Total(Event, topic="total", terminal=True):
    items: list[int]


@handler(name="gate", join=Join(timeout=3_600.0, on_timeout="partial"))
async def gate(decision: Decision[Ask] | None) -> Answer:
    return Answer(n=0, decided=decision is not None)


@handler()
async def scatter(begin: Begin) -> list[Item]:
    return [Item(n=n) for n in range(begin.size)]


@handler()
async def check(item: Item) -> Checked:
    return Checked(n=item.n)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_hundred_gates_that_fell_due_while_nobody_was_there(end: str) -> None:
    """A worker that comes back without any input fires every gate that is due, once."""
    async with Life(App("gates", [gate])) as life:
        await life.publish(*(Ask(n=n) for n in range(100)))
        await life.settle()
        await (life.stop() if end == "stop" else life.kill())
        life.clock.turn(life.clock.now() + 7_200.0)
        await life.start()
        await life.settle()
        answers = await life.events(Answer)
        assert [answer.decided for answer in answers] == [False] * 100
        assert len({record.headers["ce_swcause"] for record in await life.records("answer")}) == 100
        assert life.memory_is_what_is_stored()


async def test_a_hundred_parked_calls_that_fell_due_while_nobody_was_there() -> None:
    """A worker that comes back without any input calls every parked delivery that is due, once, as attempt 2."""
    attempts: list[int] = []

    @handler()
    async def later(ask: Ask, ctx: Context) -> Answer:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise RetryLater(500.0)
        return Answer(n=ask.n, decided=True)

    async with Life(App("later", [later])) as life:
        await life.publish(*(Ask(n=n) for n in range(100)))
        await life.settle()
        await life.kill()
        life.clock.turn(life.clock.now() + 501.0)
        await life.start()
        await life.advance(0.0)  # a timer that is past due rings at the next turn of a clock that stands still
        assert attempts == [1] * 100 + [2] * 100
        assert sorted(answer.n for answer in await life.events(Answer)) == list(range(100))
        assert life.stored() == {}


def two_are_there(life: Life) -> bool:
    """Has a join two of its parts?"""
    return any(len(join.slots) == 2 for _, mailbox in life.mailboxes() for join in mailbox.joins.values())


@pytest.mark.parametrize("join", [Join(take=2), Join(timeout=60.0, on_timeout="partial")], ids=["take", "timeout"])
async def test_a_join_has_one_key_whatever_it_is_called_with(join: Join) -> None:
    """A join that fires again after a crash, with more parts than before, is the same delivery with the same key."""
    calls: list[tuple[str, list[int]]] = []
    late = asyncio.Event()

    @handler(name="check")
    async def slow_check(item: Item) -> Checked:
        if item.n == 2:
            await late.wait()
        elif item.n > 2:
            await life.hang()
        return Checked(n=item.n)

    @handler(join=join, timeout=1e6)
    async def total(checked: list[Checked], ctx: Context) -> Total:
        calls.append((ctx.key, [c.n for c in checked]))
        if len(calls) == 1:
            await life.hang()
        return Total(items=[c.n for c in checked])

    async with Life(settings=replace(DEFAULT, timeout=1e6, drain=0.1)) as life:
        app = App("keys", [scatter, slow_check, total])
        await life.start(app)
        await life.publish(Begin())
        await life.until(lambda: two_are_there(life) or bool(calls))
        if join.timeout is not None:
            life.clock.turn(life.clock.now() + 61.0)
        await life.until(lambda: bool(calls))
        late.set()  # R6: a part is stored while the call runs, since nothing is closed yet
        await life.until_only_hanging()
        await life.kill()
        await life.start(app)
        await life.until(lambda: len(calls) == 2)
        await life.until_only_hanging()
        (first, few), (second, more) = calls
        assert first == second
        assert (few, more) == ([0, 1], [0, 1, 2])
        (record,) = await life.records("total")
        assert record.headers["ce_swcause"] == first.rpartition("/")[2]
        await life.kill()


async def test_the_same_replay_from_two_shells_with_a_kill_between() -> None:
    """Two shells replay one dead letter, the worker dies in between: one set of children."""
    broken = True

    @handler()
    async def fragile(ask: Ask) -> Answer:
        if broken:
            raise Reject("no")
        for _ in range(3):
            await asyncio.sleep(0)
        return Answer(n=ask.n, decided=True)

    for turns in range(0, 40, 3):
        broken = True
        async with Life(App("shells", [fragile])) as life:
            await life.publish(Ask(n=1))
            await life.settle()
            (dead,) = await life.dead("fragile")
            broken = False
            await life.post("fragile", replay(dead, drop=False))
            for _ in range(turns):
                await asyncio.sleep(0)
            await life.kill()
            await life.post("fragile", replay(dead, drop=False))
            await life.start()
            await life.settle()
            assert len(await life.events(Answer)) == 1
            assert life.stored() == {}


async def test_a_replay_after_a_drop_is_refused() -> None:
    """Once dropped, a delivery does not come back, whatever number a replay carries."""

    @handler()
    async def fragile(ask: Ask) -> Answer:
        raise Reject("no")

    async with Life(App("drop", [fragile])) as life:
        await life.publish(Ask(n=1))
        await life.settle()
        (dead,) = await life.dead("fragile")
        await life.answer(dead, drop=True)
        entry = replay(dead, drop=False)
        await life.send("fragile", entry._replace(meta={**entry.meta, "replay": 7}))
        assert len(await life.dead("fragile")) == 1
        assert life.stored() == {}


class CountingBus(LocalBus):
    """Counts the bytes of state that are written."""

    written = 0

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        self.written += sum(len(change.key) + len(change.value or b"") for change in transaction.changes)
        await super().commit(group, transaction, generation)


async def stored_bytes(size: int) -> int:
    @handler()
    async def total(checked: list[Checked]) -> Total:
        assert [c.n for c in checked] == list(range(size))
        return Total(items=[len(checked)])

    clock = VirtualClock(1_000_000.0)
    bus = CountingBus(clock=clock)
    async with Life(App("size", [scatter, check, total]), Settings(), bus=bus, clock=clock) as life:
        await life.publish(Begin(size=size))
        await life.settle()
        assert await life.events(Total) == [Total(items=[size])]
        return bus.written


@pytest.mark.slow
async def test_a_gather_costs_in_proportion_to_its_items() -> None:
    """The changelog of a gather over 10,000 items is at most 11 times that of one over 1,000."""
    assert await stored_bytes(10_000) <= 11 * await stored_bytes(1_000)


async def test_an_abort_without_a_rebalance_calls_no_neighbour_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the bus takes nothing, finished calls wait with their results; memory ends up as stored."""
    monkeypatch.setattr(commit, "PAUSE", 0.0)
    calls: list[int] = []

    class Stubborn(LocalBus):
        refusing = 0

        async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
            if self.refusing:
                self.refusing -= 1
                raise BusUnavailable("not now")
            await super().commit(group, transaction, generation)

    @handler(name="check")
    async def counted(item: Item) -> Checked:
        calls.append(item.n)
        for _ in range(item.n * 5):
            await asyncio.sleep(0)
        return Checked(n=item.n)

    @handler()
    async def total(checked: list[Checked]) -> Total:
        return Total(items=[c.n for c in checked])

    clock = VirtualClock(1_000_000.0)
    bus = Stubborn(clock=clock)
    async with Life(App("abort", [scatter, counted, total]), bus=bus, clock=clock) as life:
        await life.publish(Begin(size=6))
        for _ in range(12):
            bus.refusing = 3
            await life.until(lambda: not bus.refusing or len(calls) == 6)
        bus.refusing = 0
        await life.settle()
        assert sorted(calls) == list(range(6))
        assert await life.events(Total) == [Total(items=list(range(6)))]
        assert life.memory_is_what_is_stored()
        assert life.stored() == {}


async def test_an_output_that_cannot_be_written_harms_no_neighbour() -> None:
    """R11: of one transaction only the culprit is a dead letter; its neighbours are written, none is called twice."""
    calls: list[int] = []
    all_there = asyncio.Event()

    class Picky(LocalBus):
        most = 0  #: results in one transaction that was refused

        async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
            results = [out.value for out in transaction.outputs if out.topic == "checked"]
            if any(b'"n":3' in value for value in results):
                self.most = max(self.most, len(results))
                raise RecordRefused("too large")
            await super().commit(group, transaction, generation)

    @handler(name="check")
    async def together(item: Item) -> Checked:
        calls.append(item.n)
        if len(calls) == 6:
            all_there.set()
        await all_there.wait()
        return Checked(n=item.n)

    @handler()
    async def total(checked: list[Checked]) -> Total:
        return Total(items=[c.n for c in checked])

    clock = VirtualClock(1_000_000.0)
    bus = Picky(clock=clock)
    async with Life(App("picky", [scatter, together, total]), bus=bus, clock=clock) as life:
        await life.publish(Begin(size=6))
        await life.settle()
        assert bus.most > 1, "the culprit had no neighbours"
        assert sorted(calls) == list(range(6))
        (dead,) = await life.dead("check")
        assert dead.headers["kafka_dlt-exception-fqcn"].endswith("RecordRefused")
        await life.answer(dead, drop=True)
        assert await life.events(Total) == [Total(items=[0, 1, 2, 4, 5])]
        assert life.memory_is_what_is_stored()
        assert life.stored() == {}


async def test_whatever_is_stored_carries_progress() -> None:
    """R10: no transaction changes state without the progress of that partition, so one without input is fenced too."""
    touched: list[bool] = []

    class Watched(LocalBus):
        async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
            places = {partition.number for partition in transaction.progress if partition.topic == group.control}
            touched.extend(change.partition in places for change in transaction.changes)
            await super().commit(group, transaction, generation)

    clock = VirtualClock(1_000_000.0)
    bus = Watched(clock=clock)
    async with Life(App("gates", [gate]), bus=bus, clock=clock) as life:
        await life.publish(*(Ask(n=n) for n in range(10)))
        await life.settle()
        parts = len(touched)
        await life.advance(7_200.0)
        assert len(await life.events(Answer)) == 10
        assert parts >= 10
        assert len(touched) >= 2 * parts
        assert all(touched)


async def test_order_holds_while_the_head_of_a_queue_is_parked() -> None:
    """Events of one value wait behind a parked one, over a restart too; others pass; order is that of arrival."""
    seen: list[tuple[str, int]] = []

    class Line(Event, topic="line"):
        customer: str
        n: int

    @handler(order="customer")
    async def book(line: Line, ctx: Context) -> None:
        if line == Line(customer="a", n=0) and ctx.attempt == 1:
            raise RetryLater(300.0)
        await asyncio.sleep(0)
        seen.append((line.customer, line.n))

    async with Life(App("order", [book])) as life:
        await life.publish(*(Line(customer=c, n=n) for n in range(5) for c in "ab"))
        await life.settle()
        assert seen == [("b", n) for n in range(5)]
        await life.kill()
        await life.start()
        await life.publish(Line(customer="a", n=5))
        await life.advance(301.0)
        assert seen[5:] == [("a", n) for n in range(6)]
        assert life.stored() == {}
