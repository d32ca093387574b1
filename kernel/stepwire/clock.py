"""Time, injected: the only place where the kernel asks what time it is.

`SystemClock` is the world's. `VirtualClock` stands still until a test turns it by hand, so that timers of days take
no time at all. Both speak seconds since the epoch as float; nothing in the kernel calls `time` or `sleep` itself.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due at some time and can be taken back."""

    def cancel(self) -> None:
        """Take the call back; harmless once it was made."""


class Clock(Protocol):
    """What the kernel needs of time, in seconds."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        """Call `call` in the event loop once `now()` has reached `when`."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class SystemClock:
    """The world's time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        """Call `call` at `when`; waits of over a day are cut, the caller then finds nothing due and asks again."""
        return asyncio.get_running_loop().call_later(min(max(when - time.time(), 0.0), 86_400.0), call)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class _VirtualTimer:
    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], object] | None) -> None:
        self.when, self.call = when, call

    def cancel(self) -> None:
        self.call = None


class VirtualClock:
    """A clock that moves only when told to.

    Args:
        start: what it shows at first, seconds since the epoch; default: the real time, so that dates look real.
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start
        self._timers: list[tuple[float, int, _VirtualTimer]] = []
        self._count = itertools.count()

    def now(self) -> float:
        """Seconds since the epoch, as far as it was turned."""
        return self._now

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        """Call `call` when the clock is turned to or past `when`."""
        timer = _VirtualTimer(when, call)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was turned `seconds` further."""
        done = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        timer = self.at(self._now + seconds, wake)
        try:
            await done
        finally:
            timer.cancel()

    def next_timer(self) -> float | None:
        """When the earliest timer is due, or None."""
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def turn(self, to: float) -> None:
        """Move to the time `to` and make the calls that are due at it, in order of their times."""
        self._now = max(self._now, to)
        while (due := self.next_timer()) is not None and due <= self._now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()
