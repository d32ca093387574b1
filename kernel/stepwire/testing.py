"""For authors' tests: run a whole app in a plain test, turn time by hand, put fakes in the place of resources.

As a pytest plugin it offers the fixture `run_app`:

    def test_billing_goes_to_billing(run_app):
        run = run_app(app, TicketOpened(body="my invoice is wrong"), resources=[Fake(Claude, choose=BillingTicket)])
        assert run.result == Answered(by="billing")
        run.advance(days=7)
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_origin

import pytest

from stepwire.app import App
from stepwire.clock import VirtualClock
from stepwire.event import Event
from stepwire.memory import Dead, Gate, Run

__all__ = ["Fake", "SyncRun", "VirtualClock", "run_app"]


class Fake:
    """Stands in for a resource.

    Args:
        kind: the type it is injected for.
        name: the name in `Annotated`, where a type has several; None: any.
        call: what calling it does: a value, an exception to raise, a list of those in turn, or a function.
        methods: the same for each of its methods.

    Every method is async. `calls` lists what was called with which arguments.
    """

    def __init__(self, kind: type, name: str | None = None, *, call: Any = None, **methods: Any) -> None:
        self._kind, self._name = kind, name
        self._answers = {"__call__": call, **methods}
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def provide(self, annotation: Any, name: str | None) -> Any:
        """The kernel asks: is this yours?"""
        mine = (get_origin(annotation) or annotation) is self._kind and self._name in (None, name)
        return self if mine else None

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Answer as `call=` says."""
        return await self._answer("__call__", args, kwargs)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_") or method not in self._answers:
            raise AttributeError(f"this Fake of {self._kind.__name__} has no {method!r}; pass {method}=…")

        async def answer(*args: Any, **kwargs: Any) -> Any:
            return await self._answer(method, args, kwargs)

        return answer

    async def _answer(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.calls.append((method, args, kwargs))
        answer = self._answers[method]
        if isinstance(answer, list):
            if not answer:
                raise IndexError(f"this Fake of {self._kind.__name__} has no answer left for call {len(self.calls)}")
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if inspect.isfunction(answer):
            answer = answer(*args, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer


class SyncRun:
    """A run in memory, for tests that are plain functions."""

    def __init__(self, runner: asyncio.Runner, run: Run) -> None:
        self._runner, self._run = runner, run

    def __getattr__(self, name: str) -> Any:
        """`id`, `state`, `result`, `events`, `dead_letters`, `gates`, `unknown`, `waiting` of the run."""
        return getattr(self._run, name)

    def advance(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0) -> None:
        """Turn the clock; whatever becomes due happens."""
        self._runner.run(self._run.advance(seconds + 60 * minutes + 3_600 * hours + 86_400 * days))

    def decide(self, gate: Gate | None = None, **decision: Any) -> None:
        """Decide a gate: `approved=`, `by=`, `why=`, `edited=`."""
        self._runner.run(self._run.decide(gate, **decision))

    def replay(self, dead: Dead, edited: Event | None = None) -> None:
        """Resume an unfinished delivery."""
        self._runner.run(self._run.replay(dead, edited))

    def drop(self, dead: Dead) -> None:
        """Give an unfinished delivery up."""
        self._runner.run(self._run.drop(dead))

    def resolve(self, id_: str, verdict: str, event: Event | None = None) -> None:
        """Say what became of an unknown outcome: "done" (with the event it returned), "redo" or "drop"."""
        self._runner.run(self._run.resolve(id_, verdict, event))

    def publish(self, *events: Event) -> None:
        """Publish more events."""
        self._runner.run(self._run.publish(*events))


@pytest.fixture
def run_app() -> Iterator[Callable[..., SyncRun]]:
    """`run_app(app, *events, resources=None)`: a whole run in memory; closed when the test ends."""
    with asyncio.Runner() as runner:
        runs: list[Run] = []

        def start(app: App, *events: Event, resources: Sequence[Any] | None = None) -> SyncRun:
            run = runner.run(app.run(*events, resources=resources))
            runs.append(run)
            return SyncRun(runner, run)

        yield start
        for run in runs:
            runner.run(run.close())
