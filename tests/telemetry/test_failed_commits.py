"""Transactions that do not commit are told with their kind, and what they held is written once all the same."""

from __future__ import annotations

import asyncio

import pytest

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.membership import LocalMembership
from stepwire.bus.protocol import Assignment, Transaction
from stepwire.errors import BusUnavailable, Fenced, OutcomeUnknown
from stepwire.telemetry import Committed, Fact
from stepwire.worker import Worker


class Asked(Event, topic="asked"):
    n: int


class Said(Event, topic="said", result=True):
    n: int


@handler()
async def say(asked: Asked) -> Said:
    return Said(n=asked.n)


APP = App("commits", [say])
real = LocalMembership.commit


@pytest.mark.parametrize("kind", [BusUnavailable, Fenced, OutcomeUnknown])
async def test_a_failed_commit_is_told_once_and_its_work_is_written_once(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    """The bus is away, a newer owner fences it and goes again, or nobody knows what is stored."""
    failed = asyncio.Event()

    async def commit(self: LocalMembership, transaction: Transaction, generation: int) -> None:
        if not transaction.outputs or failed.is_set():
            return await real(self, transaction, generation)
        failed.set()
        if kind is not Fenced:
            raise kind("for once")
        mine = self.assignment
        self.assign(Assignment(mine.generation + 1, frozenset()))  # somebody newer has it for a moment
        asyncio.get_running_loop().call_soon(self.assign, Assignment(mine.generation + 2, mine.partitions))
        return await real(self, transaction, generation)

    monkeypatch.setattr(LocalMembership, "commit", commit)
    facts: list[Fact] = []
    bus = LocalBus(":memory:")
    await bus.open()
    worker = Worker(APP, bus, telemetry=facts.append)
    await worker.start()
    await bus.publish([APP.record(Asked(n=1), now=0.0)[0]])
    await failed.wait()
    await worker.settle()
    told = [(fact.kind, fact.deliveries, fact.outputs) for fact in facts if isinstance(fact, Committed) and fact.error]
    assert told == [(kind.__name__, 1, {})]
    assert sum((await bus.ends(["said"])).values()) == 1
    await worker.stop()
    await bus.close()
