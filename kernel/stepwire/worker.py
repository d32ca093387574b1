"""A worker: all handlers of an app on one bus, from start to drain.

In: an app, a bus, settings. Out: dispatchers that run until the worker is stopped. A failure of one, such as a damaged
file, stops them all, and is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepwire.bus.protocol import Bus
from stepwire.clock import Clock, SystemClock
from stepwire.dispatch.loop import Dispatcher
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name, keeps_first, runs_topic
from stepwire.release import check_release, let_in
from stepwire.settings import Settings
from stepwire.telemetry import Telemetry, silent

if TYPE_CHECKING:
    from stepwire.app import App


async def prepare(app: App, bus: Bus, settings: Settings) -> None:
    """Create the topics that are missing and let new groups start at their present end (R15)."""
    await bus.create(topics_of(app, settings))
    groups = {}
    for handler in app.runnable:
        read = [*dict.fromkeys(event.spec.topic for event in handler.signature.taken)]
        groups[group_name(app.name, handler.name)] = [*read, control_topic(app.name, handler.name)]
    await bus.found(groups)


def topics_of(app: App, settings: Settings) -> dict[str, int]:
    """Every topic of an app and how many partitions it has when it is made."""
    topics = {event.spec.topic: settings.partitions for event in app.wiring.events}
    for handler in app.runnable:
        shared = handler.signature.is_join or keeps_first(handler)
        topics[control_topic(app.name, handler.name)] = settings.control_partitions if shared else 1
    topics |= {dead_letter_topic(app.name, handler.name): 1 for handler in app.runnable}
    topics[runs_topic(app.name)] = 1
    return topics


class Worker:
    """Runs an app's handlers, or some of them.

    Args:
        app: the app.
        bus: an open bus.
        only: names of handlers; None: all.
        decision_key: with a key, gates take signed decisions only.
        accept_owes_change: start although joins are open whose parts this release brings otherwise.
        accept_loss: go on after records that retention deleted before they were finished.
    """

    def __init__(
        self, app: App, bus: Bus, *, settings: Settings | None = None, clock: Clock | None = None,
        telemetry: Telemetry = silent, only: Sequence[str] | None = None, decision_key: str = "",
        accept_owes_change: bool = False, accept_loss: bool = False,
    ) -> None:  # fmt: skip
        self.app, self.bus = app, bus
        self.settings = settings or Settings()
        self.clock: Clock = clock or SystemClock()
        chosen = [handler for handler in app.runnable if only is None or handler.name in only]
        steps = [app.step(handler, self.settings, self.clock, telemetry, bus, decision_key) for handler in chosen]
        self.dispatchers = [Dispatcher(step, bus, accept_loss=accept_loss) for step in steps]
        self._accept_owes_change = accept_owes_change
        self._resources = contextlib.AsyncExitStack()
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Prepare topics, enter the resources, begin to dispatch."""
        await self.bus.create(topics_of(self.app, self.settings))  # where a new step starts is said once it may
        known = await check_release(self.app, self.bus, accept_owes_change=self._accept_owes_change)
        await prepare(self.app, self.bus, self.settings)
        await let_in(self.app, self.bus, known)
        for resource in self.app.resources:
            if hasattr(resource, "__aenter__"):
                await self._resources.enter_async_context(resource)
        self._loops = [asyncio.create_task(d.run(), name=d.step.group) for d in self.dispatchers]

    async def wait(self) -> None:
        """Return when a dispatcher ends, by raising what ended it."""
        done, _ = await asyncio.wait(self._loops, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            _raise_first(task)

    async def stop(self) -> None:
        """Stop intake, finish or hand back, commit, leave (DESIGN §6)."""
        both = zip(self.dispatchers, self._loops, strict=False)  # one that has ended finishes nothing any more
        await asyncio.gather(*(dispatcher.stop(self.settings.drain) for dispatcher, loop in both if not loop.done()))
        while left := [task for task in self._loops if not task.done()]:  # one that fails just then swallows it
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1.0)
        for dispatcher in self.dispatchers:
            await dispatcher.leave()
        await self._resources.aclose()

    async def settle(self) -> None:
        """Return when nothing is left to do without time passing or an event arriving.

        Raises what ended a dispatcher.
        """
        while True:
            for task in filter(asyncio.Task.done, self._loops):
                _raise_first(task)
            for dispatcher in self.dispatchers:
                dispatcher.moved.clear()
            idle = all([await dispatcher.idle() for dispatcher in self.dispatchers])
            # one that was asked late may have committed to one that was asked early and had nothing left
            if idle and not any(dispatcher.moved.is_set() for dispatcher in self.dispatchers):
                return
            waits = [asyncio.ensure_future(dispatcher.moved.wait()) for dispatcher in self.dispatchers]
            try:
                await asyncio.wait([*waits, *self._loops], timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    @property
    def alive(self) -> bool:
        """Does every dispatcher still run?"""
        return not any(task.done() for task in self._loops)

    @property
    def sleeping(self) -> bool:
        """Does a delivery wait in place for its next attempt?"""
        return any(dispatcher.caller.sleeping for dispatcher in self.dispatchers)


def _raise_first(task: asyncio.Task[None]) -> None:
    """Raise what ended a dispatcher: the cause itself, not the group that its loops were."""
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error
