"""One delivery: retries, parking, timeouts, dead letters, order, dedupe, effects, gates and loops."""

from __future__ import annotations

import asyncio

import pytest

from stepwire import (
    App,
    Context,
    Decision,
    Event,
    Join,
    NotDone,
    PublishError,
    Reject,
    Retry,
    RetryLater,
    handler,
)  # fmt: skip


class Ask(Event, topic="ask"):
    n: int = 0
    who: str = "a"


class Answer(Event, topic="answer", result=True):
    n: int


class Draft(Event, topic="draft", entry=True):
    n: int = 0


class Poor(Event, topic="poor"):
    n: int


class Good(Event, topic="good", result=True):
    n: int


class GaveUp(Event, topic="gave-up", result=True):
    n: int


async def test_a_failure_that_passes_is_retried_in_place() -> None:
    """An exception is retried with backoff until the handler returns."""
    seen = []

    @handler()
    async def flaky(ask: Ask, ctx: Context) -> Answer:
        seen.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ConnectionError("down")
        return Answer(n=1)

    async with await App("a", [flaky]).run(Ask()) as run:
        assert run.result == Answer(n=1)
        assert seen == [1, 2, 3]


async def test_a_long_wait_is_parked_and_survives_in_state() -> None:
    """A retry-after of an hour frees the slot; the delivery goes on when the time has come."""
    seen = []

    @handler()
    async def limited(ask: Ask, ctx: Context) -> Answer:
        seen.append(ctx.attempt)
        if ctx.attempt == 1:
            raise RetryLater(500, "come back later")
        return Answer(n=ctx.attempt)

    async with await App("a", [limited]).run(Ask()) as run:
        assert run.state == "waiting"
        assert run.waiting == 1
        await run.advance(501)
        assert run.result == Answer(n=2)
        assert seen == [1, 2]


async def test_an_unknown_exception_is_a_dead_letter_after_few_attempts_and_a_replay_heals_it() -> None:
    """The dead letter keeps cause and payload; replaying it edited resumes the run."""

    @handler(retry=Retry(attempts=2))
    async def picky(ask: Ask) -> Answer:
        if ask.n < 0:
            raise ValueError("negative")
        return Answer(n=ask.n)

    async with await App("a", [picky]).run(Ask(n=-1)) as run:
        (dead,) = run.dead_letters
        assert (run.state, dead.error, dead.message) == ("failed", "ValueError", "negative")
        assert "ValueError: negative" in dead.record.headers["kafka_dlt-exception-stacktrace"]
        assert dead.record.headers["sw_attempts"] == "2"
        await run.replay(dead)
        assert run.state == "failed"
        await run.replay(run.dead_letters[0], edited=Ask(n=5))
        assert run.result == Answer(n=5)
        assert run.state == "completed"


async def test_reject_is_a_dead_letter_at_once() -> None:
    """Reject is never retried."""
    calls = []

    @handler()
    async def no(ask: Ask) -> Answer:
        calls.append(1)
        raise Reject("not for us")

    async with await App("a", [no]).run(Ask()) as run:
        assert len(calls) == 1
        assert run.dead_letters[0].message == "not for us"


async def test_a_call_that_hangs_is_cut_off() -> None:
    """The timeout ends a call; it is retried and finally a dead letter."""

    @handler(timeout=5, retry=Retry(attempts=2))
    async def hangs(ask: Ask) -> Answer:
        await asyncio.Event().wait()
        return Answer(n=0)

    app = App("a", [hangs])
    running = asyncio.create_task(app.run(Ask()))
    for _ in range(200):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_order_holds_for_each_value_and_a_parked_head_holds_its_queue() -> None:
    """Events with one value are handled one after another; other values go on."""
    seen: list[tuple[str, int]] = []

    @handler(order="who")
    async def step(ask: Ask, ctx: Context) -> Answer:
        if ask.n == 1 and ctx.attempt == 1:
            raise RetryLater(60)
        seen.append((ask.who, ask.n))
        return Answer(n=ask.n)

    asks = [Ask(n=1, who="a"), Ask(n=2, who="a"), Ask(n=3, who="b"), Ask(n=4, who="a")]
    async with await App("a", [step]).run(*asks) as run:
        assert seen == [("b", 3)]
        await run.advance(61)
        assert seen == [("b", 3), ("a", 1), ("a", 2), ("a", 4)]


async def test_a_second_event_with_the_same_id_is_dropped_within_the_window() -> None:
    """dedupe= drops what an outbox sends twice."""
    calls = []

    @handler(dedupe=3600)
    async def step(ask: Ask) -> Answer:
        calls.append(ask.n)
        return Answer(n=ask.n)

    app = App("a", [step])
    async with await app.run(Ask(n=1), id="same") as run:
        out, _ = app.record(Ask(n=1), id="same", now=0.0)
        await run._bus.publish([out])
        await run._settle()
        assert calls == [1]
        await run.advance(3601)
        await run._bus.publish([out])
        await run._settle()
        assert calls == [1, 1]


async def test_an_effect_with_an_unknown_outcome_waits_for_a_person() -> None:
    """effect="once": an exception that does not say "not done" is never retried; a person decides."""
    calls = []

    @handler(effect="once")
    async def send(ask: Ask) -> Answer:
        calls.append(ask.n)
        raise ConnectionError("lost the answer")

    async with await App("a", [send]).run(Ask()) as run:
        assert (run.state, calls) == ("waiting", [0])
        await run.advance(100_000)
        assert calls == [0]
        await run.resolve(run.unknown[0], "done", Answer(n=4))
        assert (run.state, run.result) == ("completed", Answer(n=4))
        assert calls == [0]


async def test_an_effect_that_surely_did_not_happen_is_retried() -> None:
    """effect="once": NotDone is retried under a new claim."""
    calls = []

    @handler(effect="once")
    async def send(ask: Ask) -> Answer:
        calls.append(ask.n)
        if len(calls) == 1:
            raise NotDone("refused the connection")
        return Answer(n=1)

    async with await App("a", [send]).run(Ask()) as run:
        await run.advance(100)
        assert (run.state, len(calls)) == ("completed", 2)


async def test_a_gate_waits_for_a_person_and_gives_what_they_said() -> None:
    """A gate is called once somebody decided, with the edited event."""

    @handler()
    async def approve(decision: Decision[Ask]) -> Answer | None:
        return Answer(n=decision.final.n) if decision.approved else None

    async with await App("a", [approve]).run(Ask(n=1)) as run:
        assert run.state == "waiting"
        assert run.gates[0].event == Ask(n=1)
        await run.decide(approved=True, by="ann", edited=Ask(n=2))
        assert run.result == Answer(n=2)


async def test_a_gate_that_nobody_decides_expires() -> None:
    """With `Decision[E] | None` and on_timeout="partial" an expired gate is called with None."""

    @handler(join=Join(timeout=60, on_timeout="partial"))
    async def approve(decision: Decision[Ask] | None) -> Answer:
        return Answer(n=-1 if decision is None else 1)

    async with await App("a", [approve]).run(Ask()) as run:
        await run.advance(61)
        assert run.result == Answer(n=-1)


@handler()
async def evaluate(draft: Draft) -> Poor | Good:
    return Good(n=draft.n) if draft.n >= 3 else Poor(n=draft.n)


async def test_a_loop_goes_round_until_it_is_good() -> None:
    """A bounded loop counts visits and leaves when the route says so."""
    visits = []

    @handler(max_visits=4)
    async def revise(poor: Poor, ctx: Context) -> Draft:
        visits.append((ctx.visit, ctx.last_visit))
        return Draft(n=poor.n + 1)

    async with await App("a", [evaluate, revise]).run(Draft()) as run:
        assert run.result == Good(n=3)
        assert visits == [(1, False), (2, False), (3, False)]


async def test_a_loop_at_its_limit_is_a_dead_letter_and_a_replay_grants_one_more_visit() -> None:
    """VisitLimit; the replay lets it go round once more."""

    @handler(max_visits=2)
    async def revise(poor: Poor) -> Draft:
        return Draft(n=poor.n + 1)

    async with await App("a", [evaluate, revise]).run(Draft()) as run:
        assert [dead.error for dead in run.dead_letters] == ["VisitLimit"]
        await run.replay(run.dead_letters[0])
        assert run.result == Good(n=3)


async def test_a_loop_may_say_what_happens_at_its_limit() -> None:
    """on_limit emits its event instead of going round."""

    def give_up(poor: Poor) -> GaveUp:
        return GaveUp(n=poor.n)

    @handler(max_visits=2, on_limit=give_up)
    async def revise(poor: Poor) -> Draft:
        return Draft(n=poor.n + 1)

    async with await App("a", [evaluate, revise]).run(Draft()) as run:
        assert run.result == GaveUp(n=2)
        assert run.state == "completed"


async def test_a_gate_inside_a_loop_is_a_new_one_each_time_round() -> None:
    """Each time an event is sent back for changes, the gate asks again under another id."""

    class Request(Event, topic="request", entry=True):
        n: int = 0

    class Changes(Event, topic="changes"):
        n: int

    @handler()
    async def approve(decision: Decision[Request]) -> Answer | Changes:
        return Answer(n=decision.event.n) if decision.approved else Changes(n=decision.event.n)

    @handler(max_visits=3)
    async def change(changes: Changes) -> Request:
        return Request(n=changes.n + 1)

    async with await App("a", [approve, change]).run(Request()) as run:
        first = run.gates[0].id
        await run.decide(approved=False)
        second = run.gates[0].id
        assert first != second
        await run.decide(approved=True)
        assert run.result == Answer(n=1)


async def test_publishing_what_no_run_begins_with_is_refused() -> None:
    """An event that handlers emit is not published from outside, with the cure."""
    with pytest.raises(PublishError, match="entry=True"):
        await App("a", [evaluate, _revise]).run(Poor(n=1))


@handler(max_visits=2)
async def _revise(poor: Poor) -> Draft:
    return Draft(n=poor.n + 1)
