"""What reaches a join while its call's result is on its way to the disk: memory must end up as what is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.properties.life import DEFAULT, Life

from stepwire import App, Decision, Event, Join, Reject, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction
from stepwire.clock import VirtualClock
from stepwire.errors import OutcomeUnknown
from stepwire.gate import decision
from stepwire.memory import replay


class Begin(Event, topic="begin"):
    pass


class Item(Event, topic="item"):
    n: int


class Checked(Event, topic="checked"):
    n: int


class Total(Event, topic="total", terminal=True):
    items: list[int]


class SlowDisk(LocalBus):
    """Commits of one group wait until they are let go."""

    def __init__(self, clock: VirtualClock, group: str) -> None:
        super().__init__(clock=clock)
        self._group, self.go = group, asyncio.Event()
        self.go.set()
        self.held = 0  #: changes of state in the commit that waits

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Write it, now or later."""
        if group.name == self._group and not self.go.is_set():
            self.held = len(transaction.changes)
            await self.go.wait()
        await super().commit(group, transaction, generation)


async def test_a_part_that_comes_while_the_join_closes_is_not_undone() -> None:
    """The close removes what blocked a slot; the replayed part that took its place meanwhile is written after it."""
    broken = True

    @handler()
    async def scatter(begin: Begin) -> list[Item]:
        return [Item(n=n) for n in range(2)]

    @handler()
    async def check(item: Item) -> Checked:
        if item.n == 1 and broken:
            raise Reject("no")
        return Checked(n=item.n)

    @handler(join=Join(on_missing="partial"))
    async def total(checked: list[Checked]) -> Total:
        if len(calls) == 0:
            bus.go.clear()
        calls.append([c.n for c in checked])
        return Total(items=calls[-1])

    calls: list[list[int]] = []
    clock = VirtualClock(1_000_000.0)
    bus = SlowDisk(clock, "late.total")
    async with Life(App("late", [scatter, check, total]), bus=bus, clock=clock) as life:
        await life.publish(Begin())
        await life.until(lambda: bus.held > 2)
        assert calls == [[0]]
        broken = False
        (mailbox,) = [mailbox for name, mailbox in life.mailboxes() if name == "total"]
        (join,) = mailbox.joins.values()
        await life.post("check", replay((await life.dead("check"))[0], drop=False))
        await life.until(lambda: "1" in join.slots)
        bus.go.set()
        await life.settle()
        assert life.memory_is_what_is_stored()
        assert [event.items for event in await life.events(Total)] == [[0]]
        assert life.stored() == {}


async def test_a_decision_that_comes_while_its_gate_closes_is_not_kept() -> None:
    """An expired gate is being called with None; who decides in that moment is too late, and leaves nothing behind."""

    @handler()
    async def ask(begin: Begin) -> Item:
        return Item(n=1)

    @handler(join=Join(timeout=60.0, on_timeout="partial"))
    async def gate(asked: Decision[Item] | None) -> Total:
        bus.go.clear()
        return Total(items=[] if asked is None else [1])

    clock = VirtualClock(1_000_000.0)
    bus = SlowDisk(clock, "late.gate")
    async with Life(App("late", [ask, gate]), DEFAULT, bus=bus, clock=clock) as life:
        await life.publish(Begin())
        await life.settle()
        (mailbox,) = [mailbox for name, mailbox in life.mailboxes() if name == "gate"]
        (join,) = mailbox.joins.values()
        clock.turn(clock.now() + 61.0)
        await life.until(lambda: bus.held > 0)
        await life.post("gate", decision(join.id, approved=True, by="somebody", sent=clock.now()))
        await life.until(lambda: join.decision is not None)
        bus.go.set()
        await life.settle()
        assert [event.items for event in await life.events(Total)] == [[]]
        assert life.memory_is_what_is_stored()
        assert life.stored() == {}


class Unsure(LocalBus):
    """Nobody knows what became of one commit, and that is said in the moment in which its worker is told to end."""

    waits = True

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Write it, or say so."""
        if self.waits and transaction.outputs:
            self.waits = False
            (loop,) = [task for task in asyncio.all_tasks() if task.get_name() == group.name]
            while not loop.cancelling():
                await asyncio.sleep(0)
            raise OutcomeUnknown("nobody knows")
        await super().commit(group, transaction, generation)


async def test_a_worker_that_is_told_to_end_while_a_commit_fails_ends() -> None:
    """The two in one turn of the loop: the error does not swallow the end, and the next worker goes on."""

    @handler()
    async def work(begin: Begin) -> Item:
        return Item(n=1)

    @handler()
    async def total(item: Item) -> Total:
        return Total(items=[item.n])

    clock = VirtualClock(1_000_000.0)
    bus = Unsure(clock=clock)
    async with Life(App("ends", [work, total]), replace(DEFAULT, drain=0.05), bus=bus, clock=clock) as life:
        await life.publish(Begin())
        await life.until(lambda: not bus.waits)
        async with asyncio.timeout(10):
            await life.stop()
        await life.start()
        await life.settle()
        assert [event.items for event in await life.events(Total)] == [[1]]
