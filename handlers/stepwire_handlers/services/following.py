"""Following Kafka: passes of a copy, one after another, for as long as a mirror is open.

In: a copy. Out: its file, at most `LOOK` behind; who waits for a record of its own shares the passes with everybody
else, and cannot cut one off. Whatever goes wrong is logged once, until it goes well again, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from stepwire.bus.protocol import Partition
from stepwire.errors import BusUnavailable, StepwireError
from stepwire_handlers.services.copies import Copy

LOOK = 0.1  #: seconds between two passes
PAUSE = 1.0  #: seconds after a pass that failed
#: seconds without a complete pass after which Kafka counts as away. A worker that was killed leaves a transaction that
#: brokers end within 20 s, and somebody else's is waited for for 30 s: neither is a reason
FRESH = 60.0
log = logging.getLogger("stepwire")


class Follower:
    """Follows until it is closed.

    Args:
        copy: it must have caught up once.
        name: whose topics these are, for the log.
    """

    def __init__(self, copy: Copy, name: str) -> None:
        self._copy, self._name = copy, name
        self._wanted, self._passed = asyncio.Event(), asyncio.Event()
        self._said: set[type[Exception]] = set()
        self._task = asyncio.create_task(self._follow())

    def follows(self) -> bool:
        """Does the file show what was on Kafka `FRESH` seconds ago?"""
        return not self._task.done() and asyncio.get_running_loop().time() - self._copy.moved < FRESH

    async def shows(self, places: Sequence[tuple[Partition, int]]) -> None:
        """Return once the file holds these records, however long that takes."""
        while not self._holds(places):
            self._wanted.set()
            await self._passed.wait()

    def _holds(self, places: Sequence[tuple[Partition, int]]) -> bool:
        try:
            return self._copy.holds(places)
        except BusUnavailable:
            return False  # a file that cannot be read just now: the next pass says more

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._copy.catch_up()
            except Exception as error:  # noqa: BLE001 - whatever it was, a copy that stands still is worse
                self._say(error)
                await asyncio.sleep(PAUSE)
            else:
                self._say(None)
            passed, self._passed = self._passed, asyncio.Event()
            passed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._wanted.wait()

    def _say(self, error: Exception | None) -> None:
        """Each kind of error once, until a pass goes well; of a foreign one not the text, which may quote an event."""
        if error is None:
            if self._said:
                log.info("the copy of %s's topics follows Kafka again", self._name)
            self._said.clear()
        elif type(error) not in self._said:
            self._said.add(type(error))
            what = f": {error}" if isinstance(error, StepwireError) else ""
            log.error("the copy of %s's topics does not follow Kafka: %s%s", self._name, type(error).__name__, what)
