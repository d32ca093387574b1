"""When do workers rest? When nothing can happen without time passing or an event arriving.

The kernel's own `settle` cannot say so of calls that never return, nor of two workers that share partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Assignment
from stepwire.clock import VirtualClock
from stepwire.dispatch.loop import Dispatcher
from stepwire.worker import Worker

PATIENCE = 40_000  #: turns of the event loop in which workers must come to rest


class Restless(AssertionError):
    """It never comes to rest."""


class Rest:
    """Watches the workers of one bus.

    Args:
        held: how many calls hang until somebody turns the clock.
        disturb: called at every look, to make trouble while things are under way.
    """

    def __init__(
        self, bus: LocalBus, clock: VirtualClock, held: Callable[[], int], disturb: Callable[[], None]
    ) -> None:
        self._bus, self._clock, self._held, self._disturb = bus, clock, held, disturb
        self._attaching = 0

    def watch(self, worker: Worker) -> None:
        """A dispatcher that rebuilds its memory is not at rest, though nothing runs."""
        for dispatcher in worker.dispatchers:
            dispatcher._attach = self._watched(dispatcher._attach)  # type: ignore[method-assign]

    def _watched(self, attach: Callable[[Assignment], Awaitable[None]]) -> Callable[[Assignment], Awaitable[None]]:
        async def watched(assignment: Assignment) -> None:
            self._attaching += 1
            try:
                await attach(assignment)
            finally:
                self._attaching -= 1

        return watched

    async def come(self, workers: Sequence[Worker]) -> None:
        """Return once they rest; calls that hang, or wait in place for another attempt, are sat out."""
        dispatchers = [dispatcher for worker in workers for dispatcher in worker.dispatchers]
        quiet = 0
        for turn in range(PATIENCE):
            await asyncio.sleep(0 if turn < 2_000 else 0.001)
            self._disturb()
            for worker in workers:
                if not worker.alive:
                    await worker.wait()
            running = sum(len(dispatcher.caller.running) for dispatcher in dispatchers)
            held = self._held() + sum(dispatcher.caller.sleeping for dispatcher in dispatchers)
            if running > held or not await self.rests(workers):
                quiet = 0
                continue
            quiet += 1
            if quiet > 3 and held and (due := self._clock.next_timer()) is not None:
                self._clock.turn(due)
                quiet = 0
            elif quiet > 5:
                return
        raise Restless(f"after {PATIENCE} turns of the loop it is still busy")

    async def rests(self, workers: Sequence[Worker]) -> bool:
        """Is nobody at work now, but for calls?"""
        found = [await self._rests(dispatcher) for worker in workers for dispatcher in worker.dispatchers]
        return all(found) and not self._attaching

    async def _rests(self, dispatcher: Dispatcher) -> bool:
        member, committer = dispatcher._member, dispatcher.committer
        if member is None or member.assignment.generation != dispatcher._generation:
            return False
        if committer.queue or committer.busy or len(dispatcher.caller.running) < dispatcher.active:
            return False
        if dispatcher.room == 0:  # what runs must end before anything else is read
            return True
        ends = await self._bus.ends([*dispatcher.step.codecs, dispatcher.step.control])
        return all(ledger.next >= ends.get(partition, 0) for partition, ledger in committer.ledgers.items())
