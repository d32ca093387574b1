"""Step 5, call: run the handler under its timeout, in a task of its own, and say what it came to.

In: a delivery. Out: an outcome and the context with notes and stamps. A cancelled call is neither success nor failure:
nothing is reported, the delivery is handed back. Waits up to `in_place` keep their slot; longer ones are the
dispatcher's to park.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from stepwire.clock import Timer
from stepwire.context import Context
from stepwire.dispatch.delivery import Delivery
from stepwire.dispatch.step import Step
from stepwire.outcome import (
    AwaitedCancelled,
    DeadLetter,
    Done,
    HandlerTimeout,
    Outcome,
    RetryAt,
    Unknown,
    alone,
    brief,
    decide,
    decide_once,
    explain,
    said,
)
from stepwire.telemetry import Called

CLEAN_UP = 1.0  #: seconds that a call may take to clean up after its timeout
NAMES = {Done: "ok", RetryAt: "retry", DeadLetter: "dead_letter", Unknown: "unknown"}
Concluded = Callable[[Delivery, Outcome, Context], None]
Came = tuple[Outcome, Context]


class Caller:
    """Calls one handler.

    Args:
        concluded: called with the outcome; never for a cancelled call.
        retried: called before a wait in place.
    """

    def __init__(self, step: Step, concluded: Concluded, retried: Concluded) -> None:
        self._step, self._concluded, self._retried = step, concluded, retried
        self.running: dict[Delivery, None] = {}
        self.sleeping = 0
        self._deadlines: OrderedDict[Delivery, Context] = OrderedDict()
        self._timer: Timer | None = None

    def start(self, delivery: Delivery) -> None:
        """Begin the call, unless its assignment was lost meanwhile: in a task of its own if it may ever wait."""
        if delivery.dropped:
            return
        came = copy_context().run(self._at_once, delivery) if self._step.instant else None
        if came is not None and self._in_place(came[0]) is None:
            self._concluded(delivery, *came)
            return
        self.running[delivery] = None
        delivery.task = asyncio.get_running_loop().create_task(self._run(delivery, came))

    def cancel(self, delivery: Delivery) -> None:
        """Hand a delivery back: the call is cut off and nothing of it is kept."""
        delivery.dropped = True
        if delivery.task is not None:
            delivery.task.cancel()

    def oldest(self) -> float:
        """When the oldest running call began, by the clock; 0 if none runs."""
        return min((delivery.started for delivery in self.running), default=0.0)

    async def _run(self, delivery: Delivery, came: Came | None) -> None:
        try:
            outcome, context = came or await self._attempt(delivery)
            while (again := self._in_place(outcome)) is not None:
                if delivery.dropped:
                    return
                self._retried(delivery, outcome, context)
                await self._sleep(again.wait)
                delivery.attempt += 1
                delivery.meta = {**delivery.meta, "error": brief(again.error)}
                outcome, context = await self._attempt(delivery)
        except asyncio.CancelledError:
            # Its own code did that, if we did not. Or the loop ends, and this comes too late for anybody to hear it.
            if (task := delivery.task) is not None and not delivery.dropped:
                context, error = self._context(delivery), self._cancelled()
                task.get_loop().call_later(CLEAN_UP, self._give_up, delivery, task, context, error)
            raise
        # A handler may swallow its cancellation: what it returns once it was dropped or given up is not ours any more.
        if delivery.task is asyncio.current_task() and not delivery.dropped:
            self.running.pop(delivery, None)
            self._concluded(delivery, outcome, context)

    def _in_place(self, outcome: Outcome) -> RetryAt | None:
        """The retry that is waited for in place; None: it is over, or its next attempt is parked."""
        if isinstance(outcome, RetryAt) and outcome.wait <= self._step.settings.in_place:
            return outcome
        return None

    async def _sleep(self, seconds: float) -> None:
        self.sleeping += 1
        try:
            await self._step.clock.sleep(seconds)
        finally:
            self.sleeping -= 1

    def _enter(self, delivery: Delivery) -> tuple[Context, dict[str, Any]]:
        step = self._step
        delivery.started, delivery.timed_out = step.clock.now(), False
        context = self._context(delivery)
        context.enter()
        if step.begin is not None:
            step.begin(step, delivery)
        return context, {**delivery.args, **step.resources, **dict.fromkeys(step.context_parameters, context)}

    def _at_once(self, delivery: Delivery) -> Came:
        """A call that never waits can neither be cut off nor overtaken, so a task would only cost: a third of a hop."""
        context, arguments = self._enter(delivery)
        try:
            self._step.handler.function(**arguments).send(None)
        except StopIteration as returned:
            return Done(returned.value), context
        except asyncio.CancelledError:
            return self._failed(delivery, self._cancelled()), context
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is decided upon here
            return self._failed(delivery, error), context
        raise RuntimeError(f"{self._step.name} waits, although its code has no await")

    async def _attempt(self, delivery: Delivery) -> Came:
        step = self._step
        context, arguments = self._enter(delivery)
        self._watch(delivery, context)
        try:
            return Done(await step.handler.function(**arguments)), context
        except asyncio.CancelledError:
            if _is_cut_off(delivery):
                raise
            if not delivery.timed_out:
                return self._failed(delivery, self._cancelled()), context
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            delivery.timed_out = False
            return self._failed(delivery, self._too_slow()), context
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not isinstance(error, Exception) and _is_cut_off(delivery):
                raise  # such as SystemExit in a task of its own, which ends the loop, or GeneratorExit as it is closed
            return self._failed(delivery, error), context
        finally:
            self._deadlines.pop(delivery, None)

    def _context(self, delivery: Delivery) -> Context:
        step = self._step
        most = step.handler.options.max_visits
        return Context(
            app=step.app, handler=step.name, run=delivery.run, scope=str(delivery.scope),
            key=delivery.key(step.app, step.name), attempt=delivery.attempt, visit=delivery.visit or 1,
            last_visit=most is not None and delivery.visit >= most, missing=delivery.missing,
            deadline=delivery.started + step.timeout, now=step.clock.now, inputs=delivery.args,
        )  # fmt: skip

    def _failed(self, delivery: Delivery, raised: BaseException) -> Outcome:
        step, error = self._step, alone(raised)
        signal = explain(error, step.classifiers)
        if step.once and not decide_once(error, signal):
            return Unknown(error)
        outcome = decide(error, signal, delivery.attempt, step.handler.options.retry, step.settings, step.jitter)
        if step.once and isinstance(outcome, RetryAt):
            return RetryAt(max(outcome.wait, step.settings.in_place + 0.001), error)  # R13: each attempt is claimed
        return outcome

    def _cancelled(self) -> AwaitedCancelled:
        return AwaitedCancelled(f"{self._step.name} awaited what was cancelled, or its own code did that to it")

    def _too_slow(self) -> HandlerTimeout:
        step = self._step
        return HandlerTimeout(f"{step.name} did not return within {step.timeout:g} s; raise timeout= or make it faster")

    # -- deadlines: all calls of a handler have the same timeout, so they expire in the order they began

    def _watch(self, delivery: Delivery, context: Context) -> None:
        self._deadlines[delivery] = context
        if self._timer is None:
            self._timer = self._step.clock.at(context.deadline, self._cut_off)

    def _cut_off(self) -> None:
        self._timer = None
        now = self._step.clock.now()
        while self._deadlines:
            delivery, context = next(iter(self._deadlines.items()))
            if context.deadline > now:
                self._timer = self._step.clock.at(context.deadline, self._cut_off)
                return
            del self._deadlines[delivery]
            if delivery.task is not None:
                delivery.timed_out = True
                delivery.task.cancel()
                given_up = partial(self._give_up, delivery, delivery.task, context, self._too_slow())
                self._step.clock.at(now + CLEAN_UP, given_up)

    def _give_up(self, delivery: Delivery, task: asyncio.Task[None], context: Context, error: Exception) -> None:
        """A call whose clean-up hangs, or that cancelled itself, is over for us; what it still does counts no more."""
        over = delivery.task is task and (delivery.timed_out or task.done()) and not delivery.dropped
        if over and self.running.pop(delivery, self) is None:
            delivery.task = None
            self._concluded(delivery, self._failed(delivery, error), context)

    def close(self) -> None:
        """Cut off no call any more."""
        if self._timer is not None:
            self._timer.cancel()


def _is_cut_off(delivery: Delivery) -> bool:
    """Is its task cancelled by somebody else than its own timeout, or thrown away as a whole, with its loop?"""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    if task is None or task is not delivery.task or delivery.dropped:
        return True
    return bool(task.cancelling()) and not delivery.timed_out


def fact(step: Step, delivery: Delivery, outcome: Outcome, context: Context | None) -> Called:
    """What is told of a call; without a context it was never made."""
    if step.begin is not None and delivery.trace is None:  # given up without a call
        step.begin(step, delivery)
    error, value = (None, outcome.value) if isinstance(outcome, Done) else (outcome.error, None)
    now = step.clock.now()
    started = delivery.started or now
    key = context.key if context else delivery.key(step.app, step.name)
    return Called(
        step.app, step.name, delivery.topic, NAMES[type(outcome)], delivery.run, key,
        delivery.attempt, now - started, max(started - delivery.time, 0.0) if delivery.time else 0.0,
        type(error).__name__ if error else "", said(error) if error else "",
        outcome.wait if isinstance(outcome, RetryAt) else 0.0, tuple(context.notes) if context else (),
        tuple(delivery.args.values()), tuple(value) if isinstance(value, (tuple, list)) else (value,),
        delivery.trace,
    )  # fmt: skip
