"""What authors meet in their first tests: tasks of their own that fail, calls that never end, fakes that run out."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from random import Random
from typing import Any

import pytest

from stepwire import App, Decision, Event, Join, Reject, Retry, RetryLater, Settings, Transient, handler
from stepwire.errors import PublishError
from stepwire.outcome import RetryAt, decide, explain
from stepwire.settings import DAY
from stepwire.testing import Fake, SyncRun


class Asked(Event, topic="asked"):
    n: int = 0


class Said(Event, topic="said", result=True):
    n: int = 0


class Counted(Event, topic="counted"):
    n: int


class Model:
    async def text(self) -> str:
        return ""


async def fail(error: Exception) -> None:
    raise error


def fails(run_app: Any, *errors: Exception, **options: Any) -> SyncRun:
    """A run of a step whose tasks fail so, in one TaskGroup."""

    @handler(**options)
    async def say(asked: Asked) -> Said:
        results = await asyncio.gather(*map(fail, errors), return_exceptions=True)
        raise ExceptionGroup(
            "unhandled errors in a TaskGroup", [each for each in results if isinstance(each, Exception)]
        )

    run: SyncRun = run_app(App("authors", [say]), Asked())
    return run


def test_what_the_one_task_of_a_group_raised_counts_as_if_the_step_had(run_app: Any) -> None:
    """A TaskGroup wraps it; a rejection is final, and its reason is what a person reads."""

    @handler()
    async def say(asked: Asked) -> Said:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail(Reject("no such customer")))
        return Said()

    (dead,) = run_app(App("authors", [say]), Asked()).dead_letters
    assert (dead.error, dead.message) == ("Reject", "no such customer")


def test_of_several_that_say_when_the_latest_counts(run_app: Any) -> None:
    """Two providers ask for patience: the step is called again when both allow it."""
    run = fails(run_app, RetryLater(40, "a"), RetryLater(90, "b"), retry=Retry(attempts=2))
    run.advance(seconds=60)
    assert run.state == "waiting"
    run.advance(seconds=60)
    (dead,) = run.dead_letters
    assert "RetryLater: a; RetryLater: b" in dead.message


@pytest.mark.parametrize(("options", "days"), [({}, 30.0), ({"cap": 2 * DAY}, 2.0)])
def test_a_step_that_asks_for_days_gets_them(run_app: Any, options: dict[str, float], days: float) -> None:
    """`RetryLater` of a step is no guess of the backoff's: only a `cap` that was given, or 30 days, cuts it short."""
    run = fails(run_app, RetryLater(DAY / 2), RetryLater(DAY, "tomorrow"), retry=Retry(attempts=2, **options))
    run.advance(seconds=DAY - 1)
    assert run.state == "waiting" and not run.dead_letters
    run.advance(seconds=2)
    assert len(run.dead_letters) == 1
    asked = RetryLater(99 * DAY)
    wait = decide(asked, asked, 1, Retry(**options), Settings(), Random())
    assert isinstance(wait, RetryAt) and wait.wait == days * DAY


@pytest.mark.parametrize("seconds", [math.nan, -math.inf, -1.0])
def test_a_wait_that_is_none_is_none(seconds: float) -> None:
    """A time that is no number would stop every timer behind it."""
    asked = RetryLater(seconds)
    found = decide(asked, asked, 1, Retry(), Settings(), Random())
    assert isinstance(found, RetryAt) and found.wait == 0.0


def test_what_a_server_asks_for_is_cut_short() -> None:
    """A retry-after of a day is a wish of some proxy's: ten minutes at most, unless a `cap` says otherwise."""
    said = decide(ValueError("429"), RetryLater(DAY), 1, Retry(), Settings(), Random())
    assert isinstance(said, RetryAt) and said.wait == 600.0
    waits = [decide(Transient("x"), Transient("x"), n, Retry(attempts=99), Settings(), Random()) for n in range(1, 60)]
    assert max(each.wait for each in waits if isinstance(each, RetryAt)) <= 600.0


def test_a_step_that_raises_what_ends_generators_has_failed(run_app: Any) -> None:
    """No delivery hangs for want of an outcome, whatever a library raises in it."""

    @handler(retry=Retry(attempts=1))
    async def say(asked: Asked) -> Said:
        if asked.n:
            await asyncio.sleep(0)
        raise GeneratorExit("closed")

    for n in (0, 1):
        (dead,) = run_app(App("authors", [say]), Asked(n=n)).dead_letters
        assert "GeneratorExit: closed in a handler" in dead.message


def test_nobody_knows_what_a_group_means_of_which_one_error_is_unknown() -> None:
    """So `effect="once"` does not take it for one that surely did not happen."""
    assert explain(ExceptionGroup("", [Reject("a"), ValueError("b")]), ()) is None
    assert isinstance(explain(ExceptionGroup("", [Reject("a"), Transient("b")]), ()), Transient)
    nested = ExceptionGroup("", [ExceptionGroup("", [Reject("a")]), RetryLater(3)])
    assert isinstance(explain(nested, ()), Reject)


def test_an_outcome_that_nobody_knows_is_resolved_in_a_plain_test(run_app: Any) -> None:
    """`run.resolve` is there as in an async test."""
    run = fails(run_app, Reject("a"), ValueError("b"), effect="once")
    assert run.state == "waiting"
    run.resolve(run.unknown[0], "done", Said(n=7))
    assert run.result == Said(n=7)


def test_a_call_that_never_ends_is_cut_off_by_its_timeout_in_a_test_too(run_app: Any) -> None:
    """It waits for something that no virtual clock turns: real time passes meanwhile, and the test goes on."""

    @handler(timeout=1.0, retry=Retry(attempts=1))
    async def say(asked: Asked) -> Said:
        await asyncio.Event().wait()
        return Said()

    (dead,) = run_app(App("authors", [say]), Asked()).dead_letters
    assert dead.error == "HandlerTimeout"


def test_a_busy_test_turns_no_clock(run_app: Any) -> None:
    """Much to do is no waiting: a join that gives up after a second does not see that it takes three."""

    class Part(Event, topic="part"):
        n: int

    @handler()
    async def split(asked: Asked) -> list[Part]:
        return [Part(n=n) for n in range(300)]

    @handler(concurrency=10)
    async def count(part: Part) -> Counted:
        await asyncio.sleep(0)
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass
        return Counted(n=part.n)

    @handler(join=Join(timeout=1))
    async def total(all_: list[Counted]) -> Said:
        return Said(n=len(all_))

    assert run_app(App("authors", [split, count, total]), Asked()).result == Said(n=300)


def test_what_is_resolved_is_one_of_the_unknown(run_app: Any) -> None:
    """Another id, or another word, is refused at once."""
    run = fails(run_app, ValueError("b"), effect="once")
    for id_, verdict in (("nobody's", "drop"), (run.unknown[0], "maybe")):
        with pytest.raises(PublishError, match=r"run\.unknown has the ids"):
            run.resolve(id_, verdict)


def test_a_gate_is_not_decided_with_an_event_of_another_class(run_app: Any) -> None:
    """Nor one that is not open; the refusal comes at once, not as a dead letter."""

    @handler()
    async def approve(asked: Decision[Asked]) -> Said:
        return Said(n=asked.final.n)

    run = run_app(App("authors", [approve]), Asked())
    with pytest.raises(PublishError, match="asks about Asked, edited= is Said"):
        run.decide(edited=Said())
    with pytest.raises(PublishError, match="0 of 1 open gates"):
        run.decide("nobody's")
    run.decide(edited=Asked(n=3))
    assert run.result == Said(n=3)


def test_a_fake_that_has_run_out_and_a_forgotten_await_say_so(run_app: Any) -> None:
    """The dead letter names the fake, or the cure."""

    @handler(retry=Retry(attempts=1))
    async def say(asked: Asked, model: Model) -> Said:
        return Said(n=len(await model.text()) + len(await model.text()))

    (dead,) = run_app(App("authors", [say], [Fake(Model, text=["once"])]), Asked()).dead_letters
    assert "this Fake of Model has no answer left for call 2" in dead.message

    @handler(name="say")
    async def forgets(asked: Asked) -> Said:
        return asyncio.get_running_loop().create_future()  # type: ignore[return-value]

    (dead,) = run_app(App("authors", [forgets]), Asked()).dead_letters
    assert dead.message.endswith("declare; await it")


class Panic(BaseException):
    """As extension modules raise it, so that no `except Exception` takes it."""


def test_what_is_no_exception_is_a_failure_all_the_same(run_app: Any) -> None:
    """A panic in somebody's extension module leaves no delivery without an end."""

    @handler(retry=Retry(attempts=1))
    async def say(asked: Asked) -> Said:
        await asyncio.sleep(0)
        raise Panic("at line 7")

    (dead,) = run_app(App("authors", [say]), Asked()).dead_letters
    assert dead.message.startswith("Panic: at line 7 in a handler")


@pytest.mark.parametrize("waits", [False, True])
def test_a_step_that_leaves_the_process_has_failed_and_the_worker_stays(run_app: Any, waits: bool) -> None:
    """`sys.exit` deep in somebody's library ends no worker: it is a failure like any other, and says what it was."""

    @handler(retry=Retry(attempts=1))
    async def say(asked: Asked) -> Said:
        if asked.n:
            return Said(n=asked.n)
        sys.exit(3)

    @handler(name="say", retry=Retry(attempts=1))
    async def say_later(asked: Asked) -> Said:
        await asyncio.sleep(0)
        return await say(asked)

    run = run_app(App("authors", [say_later if waits else say]), Asked())
    run.publish(Asked(n=1))
    assert [dead.message for dead in run.dead_letters] == ["sys.exit(3) in a handler; raise Reject, or what went wrong"]
    assert run.result == Said(n=1)
