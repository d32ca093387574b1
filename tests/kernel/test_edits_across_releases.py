"""A gate is asked, edited and decided while the version of its event changes from one release to the next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwire import App, Context, Decision, Event, RetryLater, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition
from stepwire.clock import VirtualClock
from stepwire.envelope import ROOT, join_id
from stepwire.gate import decision
from stepwire.telemetry import Called, Fact
from stepwire.worker import Worker, prepare
from stepwire_handlers.services.runs import Runs

FIRST, SECOND = "proposals.Proposal.v1", "proposals.Proposal.v2"
PLAIN, WHOLE = b'{"total":90}', b'{"total":90,"currency":"USD"}'


def release(version: int) -> tuple[App, type[Event]]:
    """The app in its first release or its second, in which a proposal has a currency."""
    if version == 1:

        class Proposal(Event, topic="proposals"):
            total: int
    else:

        class Proposal(Event, topic="proposals", version=2):  # type: ignore[no-redef]
            total: int
            currency: str

        Proposal.upcast(1)(lambda data: {**data, "currency": "EUR"})

    class Paid(Event, topic="paid", result=True):
        text: str

    async def approve(asked):  # type: ignore[no-untyped-def]
        return Paid(text=f"{asked.final.total} {getattr(asked.final, 'currency', '')}")

    approve.__annotations__ = {"asked": Decision[Proposal], "return": Paid}
    return App("desk", [handler()(approve)]), Proposal


class Desk:
    """One file, workers of either release, one after another."""

    def __init__(self, bus: LocalBus, clock: VirtualClock) -> None:
        self._bus, self.clock = bus, clock
        self.run, self.told = "", list[str]()

    async def ask(self, version: int, **fields: Any) -> None:
        app, kind = release(version)
        await prepare(app, self._bus, Settings())
        out, self.run = app.record(kind(**fields), id="x", now=self.clock.now())
        await self._bus.publish([out])

    async def decide(self, edited: bytes, type_: str) -> None:
        id_ = join_id("desk", "approve", self.run, ROOT)
        entry = decision(id_, approved=True, by="ann", edited=edited, type=type_, sent=self.clock.now())
        await self._bus.publish([Out("desk.approve.control", id_, {}, entry.encode())])

    async def work(self, version: int, *, seconds: float = 0.0) -> None:
        await self.work_with(release(version)[0], seconds)

    async def work_with(self, app: App, *waits: float) -> list[Fact]:
        facts: list[Fact] = []
        worker = Worker(app, self._bus, clock=self.clock, telemetry=facts.append)
        await worker.start()
        await worker.settle()
        for seconds in waits:
            self.clock.turn(self.clock.now() + seconds)
            await worker.settle()
        await worker.stop()
        self.told += [fact.outcome for fact in facts if isinstance(fact, Called)]
        return facts

    async def found(self, topic: str) -> list[bytes]:
        return [record.value for record in await self._bus.read(Partition(topic, 0), 0, 9)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = VirtualClock(1_000.0)
    bus = LocalBus(clock=clock)
    await bus.open()
    yield Desk(bus, clock)
    await bus.close()


@pytest.mark.parametrize(("edited", "type_"), [(PLAIN, FIRST), (PLAIN, ""), (WHOLE, SECOND), (WHOLE, "")])
async def test_an_edit_is_brought_up_to_the_version_of_the_worker(desk: Desk, edited: bytes, type_: str) -> None:
    """Made before the release or after it, by a door that says in which version or by an older one."""
    await desk.ask(1, total=80)
    await desk.work(1)
    await desk.decide(edited, type_)
    await desk.work(2)
    assert await desk.found("paid") == [b'{"text":"90 EUR"}' if edited == PLAIN else b'{"text":"90 USD"}']
    assert await desk.found("desk.approve.dlt") == []


async def test_an_edit_that_fits_no_version_is_a_dead_letter_that_quotes_nothing(desk: Desk) -> None:
    """It says which field is wrong, and not what somebody wrote there."""
    await desk.ask(2, total=80, currency="EUR")
    await desk.decide(b'{"total":"secret"}', "")
    await desk.work(2)
    (letter,) = await desk._bus.read(Partition("desk.approve.dlt", 0), 0, 9)
    told = str(letter.headers)
    assert "an edit of Proposal by ann: total: " in told and "secret" not in told


@pytest.mark.parametrize("edited", [b"", WHOLE])
async def test_a_gate_of_a_newer_release_waits_for_it(desk: Desk, edited: bytes) -> None:
    """After a rollback, or while releases are mixed: the older worker keeps it, and the newer one takes it."""
    await desk.ask(1 if edited else 2, total=80, **({} if edited else {"currency": "USD"}))
    await desk.decide(edited, SECOND if edited else "")
    await desk.work(1, seconds=1_800.0)
    assert (await desk.found("paid"), await desk.found("desk.approve.dlt")) == ([], [])
    view = Runs(release(1)[0], desk._bus).view(desk.run)
    assert (view.state, [item.handler for item in view.open]) == ("waiting", ["approve"])
    assert desk.told == ["retry"]
    await desk.work(2, seconds=60.0)
    assert await desk.found("paid") == [b'{"text":"90 USD"}' if edited else b'{"text":"80 USD"}']


async def test_a_gate_of_a_release_that_never_comes_is_a_dead_letter(desk: Desk) -> None:
    """After an hour, as an event alone is; its replay heals it once the release is there."""
    await desk.ask(2, total=80, currency="USD")
    await desk.decide(b"", "")
    await desk.work(1, seconds=3_000.0)
    assert await desk.found("desk.approve.dlt") == []
    await desk.work(1, seconds=700.0)
    assert len(await desk.found("desk.approve.dlt")) == 1


def post(version: int) -> tuple[App, type[Event]]:
    """A step that is called again after two hours, in the release before a parcel had a weight, and after."""
    fields = {"n": int} | ({"weight": int} if version == 2 else {})
    space = {"__annotations__": fields, "__module__": __name__}
    Parcel = type("Parcel", (Event,), space, topic="parcels", version=version)  # noqa: N806 - a class
    if version == 2:
        Parcel.upcast(1)(lambda data: {**data, "weight": 0})  # type: ignore[attr-defined]

    async def send(parcel, ctx):  # type: ignore[no-untyped-def]
        if ctx.attempt == 1:
            raise RetryLater(7_200.0)

    send.__annotations__ = {"parcel": Parcel, "ctx": Context, "return": None}
    return App("post", [handler(dedupe=9e6)(send)]), Parcel


@pytest.mark.parametrize("seconds", [3_000.0, 3_700.0])
async def test_a_parked_call_of_a_newer_version_waits_for_it_too(desk: Desk, seconds: float) -> None:
    """From the time at which an older worker first finds it due; then it goes on as the second attempt that it was."""
    new, kind = post(2)
    await prepare(new, desk._bus, Settings())
    await desk._bus.publish([new.record(kind(n=1, weight=2), id="x", now=desk.clock.now())[0]])
    await desk.work_with(new)
    await desk.work_with(post(1)[0], 7_300.0, seconds)
    letters = len(await desk.found("post.send.dlt"))
    assert letters == (0 if seconds == 3_000.0 else 1)
    facts = await desk.work_with(new, 60.0)
    called = [(fact.outcome, fact.attempt) for fact in facts if isinstance(fact, Called)]
    assert called == ([("ok", 2)] if not letters else [])


async def test_a_gate_that_expires_says_what_it_waited_for(desk: Desk) -> None:
    """Not only that its event is newer: nobody decided it."""
    await desk.ask(2, total=80, currency="USD")
    await desk.work(2)
    await desk.work(1, seconds=8 * 86_400.0)
    (letter,) = await desk._bus.read(Partition("desk.approve.dlt", 0), 0, 9)
    told = letter.headers["kafka_dlt-exception-message"]
    assert told.startswith("approve waited 604800 s; proposals.Proposal.v2 is newer")
