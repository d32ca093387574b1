"""A new release while work of the old one is under way: versions of events, steps that are gone, joins that change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepwire import App, Decision, Event, Handler, Join, Reject, SettingsError, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition
from stepwire.clock import VirtualClock
from stepwire.memory import replay, replay_key
from stepwire.telemetry import Fact, Skipped
from stepwire.worker import Worker, prepare


class Order(Event, topic="order", version=2):
    number: str
    currency: str


class Done(Event, topic="done", result=True):
    text: str


@Order.upcast(1)
def add_currency(data: dict[str, object]) -> dict[str, object]:
    """Before version 2 everything was in euro."""
    return {**data, "currency": "EUR"}


@handler()
async def finish(order: Order) -> Done:
    return Done(text=f"{order.number} {order.currency}")


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[LocalBus]:
    opened = LocalBus(str(tmp_path / "bus.db"))
    await opened.open()
    yield opened
    await opened.close()


def record(kind: str, data: dict[str, object]) -> Out:
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "shop", "ce_type": kind}
    return Out("order", None, headers, json.dumps(data).encode())


async def test_an_old_version_is_upcast() -> None:
    """An event in flight while its class changed is brought up to date by the registered function."""
    async with await App("a", [finish]).run(Order(number="1", currency="USD")) as run:
        await run._bus.publish([record("order.Order.v1", {"number": "2"})])
        await run._settle()
        assert Done(text="2 EUR") in run.events


async def test_a_newer_version_waits_for_a_newer_worker_and_then_is_a_dead_letter() -> None:
    """A version that this worker does not know is no error; after an hour without a newer worker it is one."""
    async with await App("a", [finish]).run(Order(number="1", currency="USD")) as run:
        await run._bus.publish([record("order.Order.v3", {"number": "2"})])
        await run._settle()
        assert run.state == "waiting"
        await run.advance(3_700)
        assert [dead.error for dead in run.dead_letters] == ["NewerType"]


async def test_a_version_that_nobody_can_bring_up_to_date_is_a_dead_letter() -> None:
    """An event in flight while its class changed is not lost because somebody forgot the upcast: it waits for it."""
    async with await App("a", [finish]).run(Order(number="1", currency="USD")) as run:
        await run._bus.publish([record("order.Order.v0", {"number": "2"})])
        await run._settle()
        (dead,) = run.dead_letters
        assert (dead.error, "no upcast(0) is registered" in dead.message) == ("DecodeError", True)


async def test_an_event_of_another_type_on_the_topic_is_skipped() -> None:
    """A shared topic carries what nobody here takes; it costs nothing and blocks nothing."""
    async with await App("a", [finish]).run(Order(number="1", currency="USD")) as run:
        await run._bus.publish([record("order.Cancelled.v1", {"number": "2"})])
        await run._settle()
        assert run.state == "completed"


async def test_a_structured_cloudevent_and_a_bare_record_are_accepted() -> None:
    """CloudEvents in structured mode, and records of clients that know nothing of CloudEvents."""
    async with await App("a", [finish]).run(Order(number="1", currency="USD")) as run:
        data = {"number": "3", "currency": "CHF"}
        event = {"specversion": "1.0", "id": "x", "source": "s", "type": "order.Order.v2", "data": data}
        structured = {"content-type": "application/cloudevents+json; charset=UTF-8"}
        await run._bus.publish([Out("order", None, structured, json.dumps(event).encode())])
        await run._bus.publish([Out("order", None, {}, json.dumps({**data, "number": "4"}).encode())])
        await run._settle()
        assert Done(text="3 CHF") in run.events
        assert Done(text="4 CHF") in run.events


async def test_a_damaged_record_is_a_dead_letter_with_its_bytes_and_the_partition_goes_on() -> None:
    """Poison blocks nobody; the message says which field, never which value."""
    async with await App("a", [finish]).run(Order(number="1", currency="USD")) as run:
        await run._bus.publish([record("order.Order.v2", {"number": 7, "currency": ["secret"]})])
        await run.publish(Order(number="5", currency="SEK"))
        (dead,) = run.dead_letters
        assert dead.error == "DecodeError"
        assert "currency" in dead.message
        assert "secret" not in dead.message
        assert b"secret" in dead.record.value
        assert Done(text="5 SEK") in run.events


async def test_a_step_that_is_gone_but_has_work_left_is_refused(bus: LocalBus) -> None:
    """Nobody would ever do what it has left; the message says how to retire it."""
    old = App("a", [finish])
    await prepare(old, bus, old.settings)
    await bus.publish([old.record(Order(number="1", currency="EUR"), now=0.0)[0]])

    @handler()
    async def other(order: Order) -> Done:
        return Done(text="other")

    with pytest.raises(SettingsError, match=r"name='finish'.*groups move.*retired=True.*gives up what it keeps"):
        await Worker(App("a", [other]), bus).start()


async def test_all_steps_that_are_gone_and_have_work_left_are_named_at_once(bus: LocalBus) -> None:
    """With how much each has left; a move is offered only where it can be made."""
    old = App("a", [handler(name=name)(finish.function) for name in ("first", "second", "third")])
    await prepare(old, bus, old.settings)
    await bus.publish([old.record(Order(number="1", currency="EUR"), now=0.0)[0]])
    with pytest.raises(SettingsError) as refused:
        await Worker(App("a", [finish]), bus).start()
    assert "gone from a, but with events or entries left: first (1), second (1), third (1)." in str(refused.value)
    assert "where no gate and no join waits, let it go on with: stepwire groups move first NEW" in str(refused.value)


class Left(Event, topic="left", run="k"):
    k: str


class Right(Event, topic="right", run="k"):
    k: str


class Both(Event, topic="both", terminal=True):
    k: str


def meeting(**options: object) -> App:
    @handler(join=Join(timeout=3600), **options)  # type: ignore[arg-type]
    async def meet(left: Left, right: Right) -> Both:
        return Both(k=left.k)

    return App("m", [meet])


def meeting_otherwise(*names: str) -> App:
    """The same merge, or several under these names, one of whose parts another step brings."""

    class Mid(Event, topic="mid"):
        k: str

    @handler()
    async def before(right: Right) -> Mid:
        return Mid(k=right.k)

    steps = [before]
    for name in names or ("meet",):

        @handler(name=name, join=Join(timeout=3600))
        async def meet(left: Left, mid: Mid) -> Both:
            return Both(k=left.k)

        steps.append(meet)
    return App("m", steps)


async def test_a_release_that_changes_who_brings_a_part_is_refused_while_joins_are_open(bus: LocalBus) -> None:
    """Joins that are open would wait for parts that now come otherwise; accepting it is possible and said."""
    worker = Worker(meeting(), bus)
    await worker.start()
    await bus.publish([worker.app.record(Left(k="1"), now=0.0)[0]])
    await worker.settle()
    await worker.stop()

    changed = meeting_otherwise()
    with pytest.raises(SettingsError, match="accept-owes-change"):
        await Worker(changed, bus).start()
    accepted = Worker(changed, bus, accept_owes_change=True)
    await accepted.start()
    await accepted.stop()


async def test_joins_that_have_fired_stop_no_release(bus: LocalBus) -> None:
    """A fired join of published events leaves a stub for a month; it waits for no part, so its wiring may change."""
    worker = Worker(meeting(), bus)
    await worker.start()
    await bus.publish([worker.app.record(event, now=0.0)[0] for event in (Left(k="1"), Right(k="1"))])
    await worker.settle()
    await worker.stop()
    assert worker.dispatchers[0].committer.mailboxes[0].joins, "no stub: this test shows nothing"
    assert await bus.open_joins("m.meet") == 0
    assert await bus.unfinished("m.", ()) == {"m.meet": (0, 0)}


async def test_a_retired_step_calls_nothing_and_lets_runs_close() -> None:
    """Retired: whatever comes settles what it owes as absent."""
    calls = []

    @handler(retired=True)
    async def gone(order: Order) -> Done:
        calls.append(1)
        return Done(text="")

    async with await App("a", [gone]).run(Order(number="1", currency="EUR")) as run:
        assert (run.state, calls) == ("completed", [])


async def test_a_retired_step_says_of_each_run_what_it_gives_up(bus: LocalBus) -> None:
    """A gate that waited, and an event that comes: each is told with its run, and each run ends without a result."""

    def asking(*, retired: bool) -> App:
        @handler(retired=retired)
        async def ask(asked: Decision[Order]) -> Done | None:
            return Done(text="yes") if asked.approved else None

        return App("a", [ask])

    facts: list[Fact] = []
    old, new = asking(retired=False), asking(retired=True)
    records = [old.record(Order(number=number, currency="EUR"), now=0.0)[0] for number in ("1", "2")]
    for app, record_ in zip((old, new), records, strict=True):
        worker = Worker(app, bus, telemetry=facts.append)
        await worker.start()
        await bus.publish([record_])
        await worker.settle()
        await worker.stop()
    told = [(fact.handler, fact.run) for fact in facts if isinstance(fact, Skipped) and fact.why == "retired"]
    assert told == [("ask", record_.headers["ce_swrun"]) for record_ in records]
    assert await bus.open_joins("a.ask") == 0
    assert sum((await bus.ends([Done.spec.topic])).values()) == 0


async def test_progress_survives_a_restart_of_the_worker(bus: LocalBus) -> None:
    """What was handled is not handled again; what waits in state is there again."""
    app, clock = meeting(), VirtualClock(1_000.0)
    first = Worker(app, bus, clock=clock)
    await first.start()
    await bus.publish([app.record(Left(k="1"), now=0.0)[0]])
    await first.settle()
    await first.stop()
    second = Worker(app, bus, clock=clock)
    await second.start()
    await bus.publish([app.record(Right(k="1"), now=0.0)[0]])
    await second.settle()
    await second.stop()
    assert sum((await bus.ends(["both"])).values()) == 1


@pytest.mark.parametrize("gathered", [False, True])
async def test_an_event_that_a_release_moved_below_a_scatter(bus: LocalBus, gathered: bool) -> None:
    """`-> Item` became `-> list[Item]`: it goes on where nobody asks for its place; else its dead letter says whose."""

    class Item(Event, topic="moved"):
        n: int

    class Weighed(Event, topic="weighed", terminal=not gathered):
        n: int

    @handler()
    async def split(order: Order) -> list[Item]:
        return [Item(n=1)]

    @handler()
    async def weigh(item: Item) -> Weighed:
        return Weighed(n=item.n)

    @handler()
    async def total(all_: list[Weighed]) -> Done:
        return Done(text="heavy")

    worker = Worker(App("a", [split, weigh, *[total][: int(gathered)]]), bus)
    await worker.start()
    headers = {"ce_id": "1", "ce_source": "stepwire:a/split", "ce_type": Item.spec.type, "ce_swrun": "r1"}
    await bus.publish([Out("moved", None, headers, b'{"n":1}')])
    await worker.settle()
    dead = await bus.read(Partition("a.weigh.dlt", 0), 0, 10)
    assert sum((await bus.ends(["weighed"])).values()) == int(not gathered)
    found = [(d.headers["ce_swrun"], "below 1 scatters" in d.headers["kafka_dlt-exception-message"]) for d in dead]
    assert found == [("r1", True)] * int(gathered)
    await worker.stop()


def _halved(*, strict: bool) -> App:
    fields = {"n": int} | ({"m": int} if strict else {})
    whole = type("Whole", (Event,), {"__annotations__": fields, "__module__": __name__}, topic="whole", type="whole")

    @handler(name="left")
    async def left(event: Order) -> Left:
        raise Reject("no")

    @handler(name="right")
    async def right(event: Order) -> Right:
        return Right(k="1")

    for step in (left, right):
        step.function.__annotations__["event"] = whole
    steps = [handler(name=step.name)(step.function) for step in (left, right)]
    return App("m", [*steps, *meeting().handlers])


@pytest.mark.parametrize("headers", [{}, {"ce_id": "1", "ce_source": "s", "ce_type": "whole"}])
async def test_what_a_release_cannot_read_any_more_is_dropped_with_all_that_it_owes(
    bus: LocalBus, headers: dict[str, str]
) -> None:
    """Also plain JSON, whose type only its topic says: the join that waits for it ends."""
    old = Worker(_halved(strict=False), bus)
    await old.start()
    await bus.publish([Out("whole", "k", headers, b'{"n":1}')])
    await old.settle()
    await old.stop()
    (dead,) = await bus.read(Partition("m.left.dlt", 0), 0, 10)
    new = Worker(_halved(strict=True), bus)
    await new.start()
    entry = replay(dead, drop=True)
    await bus.publish([Out("m.left.control", replay_key(entry), {}, entry.encode())])
    await new.settle()
    ends = [json.loads(record.value) for record in await bus.read(Partition("m.runs", 0), 0, 10)]
    assert [(end["handler"], end["why"]) for end in ends] == [("left", "dropped"), ("meet", "absent")]
    await new.stop()


async def test_a_release_that_is_refused_for_its_joins_is_not_let_in(bus: LocalBus) -> None:
    """What the one before does meanwhile is asked for when it comes again."""

    @handler(name="tell")
    async def tell(left: Left) -> None: ...

    old, new = App("m", [*meeting().handlers, tell]), meeting_otherwise()
    worker = Worker(old, bus)
    await worker.start()
    await bus.publish([old.record(Left(k="1"), now=0.0)[0]])
    await worker.settle()
    await worker.stop()
    with pytest.raises(SettingsError, match="accept-owes-change"):
        await Worker(new, bus).start()
    await bus.publish([old.record(Left(k="2"), now=0.0)[0]])
    with pytest.raises(SettingsError, match=r"gone from m, .* left: tell \(1\)"):
        await Worker(new, bus, accept_owes_change=True).start()


async def test_all_joins_whose_parts_come_otherwise_now_are_named_at_once(bus: LocalBus) -> None:
    """Where some are open; whoever accepts the change accepts it for all of them."""
    (meet,) = meeting().handlers
    old = App("m", [handler(name=name, join=Join(timeout=3600))(meet.function) for name in ("first", "second")])
    worker = Worker(old, bus)
    await worker.start()
    await bus.publish([old.record(Left(k="1"), now=0.0)[0]])
    await worker.settle()
    await worker.stop()
    with pytest.raises(SettingsError, match="the parts of first, second, where joins are open"):
        await Worker(meeting_otherwise("first", "second"), bus).start()


@pytest.mark.parametrize("let_in", [False, True])
async def test_a_release_that_is_refused_says_not_where_its_steps_start(bus: LocalBus, let_in: bool) -> None:
    """A step that comes with a later release starts where its topics end then, whatever was tried before."""
    seen: list[str] = []

    def step(name: str) -> Handler:
        @handler(name=name)
        async def note(order: Order) -> None:
            seen.append(f"{name} {order.number}")

        return note

    async def start(*names: str) -> Worker:
        worker = Worker(App("a", [step(name) for name in names]), bus)
        await worker.start()
        return worker

    await (await start("old")).stop()
    app = App("a", [step("old")])
    await bus.publish([app.record(Order(number="1", currency="EUR"), now=0.0)[0]])
    tried = ("old", "new") if let_in else ("new",)
    if let_in:
        await (await start(*tried)).stop()
    else:
        with pytest.raises(SettingsError, match=r"gone from a.*old \(1\)"):
            await start(*tried)
    await bus.publish([app.record(Order(number="2", currency="EUR"), now=0.0)[0]])
    worker = await start("old", "new")
    await worker.settle()
    await worker.stop()
    assert sorted(seen) == [*(["new 2"] if let_in else []), "old 1", "old 2"]


async def test_a_release_that_the_bus_refuses_is_not_let_in(bus: LocalBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the one before left behind is asked for when it comes again, and no less than the first time."""

    @handler()
    async def stays(order: Order) -> None: ...

    @handler()
    async def goes(order: Order) -> None: ...

    before, after = App("a", [stays, goes]), App("a", [stays])
    worker = Worker(before, bus)
    await worker.start()
    await worker.stop()

    async def forgotten(_: object) -> None:
        raise SettingsError("forgotten")

    with monkeypatch.context() as patch:
        patch.setattr(bus, "found", forgotten)
        with pytest.raises(SettingsError, match="forgotten"):
            await Worker(after, bus).start()
    await bus.publish([before.record(Order(number="1", currency="EUR"), now=0.0)[0]])
    with pytest.raises(SettingsError, match="goes"):
        await Worker(after, bus).start()
