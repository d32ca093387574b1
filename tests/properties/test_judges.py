"""Every judge has something that must make it fail: a judge that cannot fail proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from tests.properties import behaviour as b
from tests.properties import interpreter, judges
from tests.properties.build import World
from tests.properties.faulty_bus import FaultyBus
from tests.properties.interpreter import Interpreter, Meeting
from tests.properties.stage import Stage
from tests.properties.wirings import Part, Plan, Step, Style, Term, write

from stepwire import WiringError
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Change, Out, Partition
from stepwire.clock import VirtualClock
from stepwire.dispatch import commit, loop
from stepwire.dispatch.step import control_topic
from stepwire.state import Entry

pytestmark = pytest.mark.slow

ODDS = b.Odds(trouble=20, broken=8)
SEEDS = range(60)


def random_plan(seed: int) -> Plan:
    return write(Random(seed).randint, Style(timed=False))


async def play(seed: int, judge: Callable[[Stage], Awaitable[list[str]]], **faults: int) -> list[str]:
    """Play a random wiring to its end and ask a judge; refused wirings have nothing wrong."""
    clock = VirtualClock(1_000_000.0)
    bus = FaultyBus(clock, Random(seed), every=faults.get("every", 0), unknown=faults.get("unknown", 0))
    bus.double(faults.get("twice", 0))
    try:
        stage = Stage(World(random_plan(seed), seed, ODDS), bus, clock, Random(seed))
    except WiringError:
        return []
    async with stage:
        await stage.play()
        return await judge(stage)


def caught(judge: Callable[[Stage], Awaitable[list[str]]], **faults: int) -> int:
    """In how many of some random wirings does the judge find something?"""
    return sum(bool(asyncio.run(play(seed, judge, **faults))) for seed in SEEDS)


async def by_output(stage: Stage) -> list[str]:
    return await judges.emitted(stage, judges.reference(stage))


async def by_firing(stage: Stage) -> list[str]:
    return judges.fired_once(stage, judges.reference(stage))


async def by_calls(stage: Stage) -> list[str]:
    return judges.called_once(stage)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """The judges are content with the kernel as it is, on the wirings of this page."""
    assert caught(judges.everything) == caught(by_firing) == caught(by_calls) == 0


def test_outputs_that_are_written_twice_are_noticed() -> None:
    """A bus that doubles the outputs of some transactions is caught."""
    assert caught(by_output, twice=5) > 10


def test_a_second_call_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits with unknown outcomes make calls happen again; whoever counts calls sees it."""
    monkeypatch.setattr(commit, "PAUSE", 0.0)
    monkeypatch.setattr(loop, "RECONNECT", 0.0)
    assert caught(by_calls, every=3, unknown=100) > 10


def _calls_without_parts(meeting: Meeting) -> bool:
    return False


def _calls_only_with_all(meeting: Meeting) -> bool:
    return any(part.name not in meeting.slots for part in meeting.step.parts) or (
        meeting.step.items is not None and len(meeting.slots) < len(meeting.step.parts) + (meeting.size or 0)
    )


@pytest.mark.parametrize("rule", [_calls_without_parts, _calls_only_with_all])
def test_an_interpreter_with_another_rule_for_joins_disagrees(
    rule: Callable[[Meeting], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If joins were called without required parts, or never without a part, the outputs would not match."""
    monkeypatch.setattr(Interpreter, "_uncalled", staticmethod(rule))
    assert caught(by_output) > 2
    assert caught(by_firing) > 2


def test_an_interpreter_that_replays_what_was_dropped_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """If dropped dead letters went on, the outputs would not match."""

    class Asks:
        def __getattr__(self, name: str) -> object:
            return (lambda *_: True) if name == "healed" else getattr(b, name)

    monkeypatch.setattr(interpreter, "b", Asks())
    assert caught(by_output) > 3


# -- one plan that every judge of memory, state and order can be shown

SPLIT = Plan(
    (
        Step("split", (Part("a", (0,)),), (Term((), (1,)),)),
        Step("work", (Part("a", (1,)),), (Term((2,)),), order=True),
        Step("all", (), (Term((3,)),), items=(2,)),
    ),
    4,
)


async def tamper(with_what: Callable[[Stage], Awaitable[None]], judge: Callable[[Stage], Awaitable[list[str]]]) -> bool:
    """Does the judge notice what was done to a run that had ended well?"""
    clock = VirtualClock(1_000_000.0)
    async with Stage(World(SPLIT, 4, b.Odds(0, 0)), LocalBus(clock=clock), clock, Random(1)) as stage:
        await stage.play()
        assert not await judge(stage)
        await with_what(stage)
        return bool(await judge(stage))


async def _store_behind_its_back(stage: Stage) -> None:
    number = stage.bus.store.groups()["p.work"][0]
    entry = Entry({"kind": "item", "id": "x", "t": "t1", "p": 0, "o": 0, "at": 0.0, "k": None})
    stage.bus.store.save_state(number, [Change(0, "i/x", entry.encode())])


async def _keep_a_part(stage: Stage) -> None:
    mailbox = next(mailbox for name, mailbox in stage.mailboxes if name == "all")
    meta = {"kind": "part", "id": "x", "slot": "0", "run": "r", "scope": "", "fork": "f", "at": clock_of(stage)}
    mailbox.put("j/x/0", Entry(meta).encode())


async def _settle_twice(stage: Stage) -> None:
    meta = {"kind": "absent", "id": "x", "slot": "0", "run": "r", "scope": "", "fork": "f", "at": clock_of(stage)}
    out = Out(control_topic("p", "all"), "x", {}, Entry(meta).encode())
    await stage.bus.publish([out, out])
    await stage.rest()


async def _overlap(stage: Stage) -> None:
    step = next(dispatcher for dispatcher in stage.dispatchers if dispatcher.step.name == "work")
    records = await stage.bus.read(Partition("t1", 0), 0, 1)
    for _ in range(2):
        delivery = step.intake.builder.from_record(records[0], step.step.codecs["t1"].decode(records[0]))  # type: ignore[arg-type]
        step.active += 1
        step.caller.start(delivery)
    for _ in range(20):
        await asyncio.sleep(0)
    step.committer.queue.clear()
    step.active = 0


def clock_of(stage: Stage) -> float:
    return stage.clock.now()


async def _settled(stage: Stage) -> list[str]:
    return judges.settled_once(stage)


async def _ordered(stage: Stage) -> list[str]:
    return judges.in_order(stage)


@pytest.mark.parametrize(
    ("with_what", "judge"),
    [
        (_store_behind_its_back, judges.remembered),
        (_keep_a_part, judges.remembered),
        (_keep_a_part, judges.closed),
        (_settle_twice, _settled),
        (_overlap, _ordered),
    ],
)
def test_what_was_tampered_with_is_noticed(
    with_what: Callable[[Stage], Awaitable[None]], judge: Callable[[Stage], Awaitable[list[str]]]
) -> None:
    """A stored entry that memory lacks, a part left over, a second settlement, two ordered calls at once: all seen."""
    assert asyncio.run(tamper(with_what, judge))


def test_what_is_kept_for_ever_is_noticed() -> None:
    """An entry whose time of keeping never ends is caught after the time of keeping."""

    async def keep(stage: Stage) -> None:
        meta = {"kind": "verdict", "n": 1, "verdict": "replayed", "until": stage.clock.now() + 1e9}
        mailbox = next(mailbox for name, mailbox in stage.mailboxes if name == "all")
        raw = Entry(meta).encode()
        mailbox.put("v/x", raw)
        stage.bus.store.save_state(stage.bus.store.groups()["p.all"][0], [Change(0, "v/x", raw)])

    assert asyncio.run(tamper(keep, judges.forgotten))
