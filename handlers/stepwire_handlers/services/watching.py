"""What a person at the terminal of a worker is told: who works, and what keeps it from working.

In: a worker, what it has not finished, and where to say it. Out: a line whenever that changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from stepwire.worker import Worker
from stepwire_handlers.telemetry.backlog import Backlog

SAMPLE = 5.0  #: seconds between two looks at how much there is to do; a probe reads the last one and asks nobody
LOOK = 0.1  #: seconds between two looks
STANDS_BY = "standby for"  #: how the line begins that says another worker has the lock
CALM = 3.0  #: seconds without trouble before it is said to be over


class Watch:
    """Says changes, each once."""

    def __init__(self, worker: Worker, backlog: Backlog | None, name: str, say: Callable[[str], None]) -> None:
        self._worker, self._backlog = worker, backlog
        self._name, self._say = name, say
        self._idle: set[str] = set()
        self._troubles: set[str] = set()
        self._quiet = 0  #: looks without trouble, after some

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            self.look()

    def look(self) -> None:
        """What is different now?"""
        joined = [dispatcher for dispatcher in self._worker.dispatchers if dispatcher.joined]
        idle = {d.step.name for d in joined if not d.committer.ledgers}
        if idle - self._idle:
            self._tell(
                f"{STANDS_BY} {', '.join(sorted(idle))}: another worker has the lock; this one takes over when it ends"
            )
        if took := sorted(self._idle - idle):
            self._tell(f"took over {', '.join(took)}")
        self._idle = idle
        self._trouble([*troubles(self._worker, self._backlog), *self._slow()])

    def _slow(self) -> list[str]:
        """No trouble that a probe must tell of: it passes by itself, and a person wonders why nothing happens."""
        names = self._backlog.slow if self._backlog is not None else []
        if not names:
            return []
        text = f"{', '.join(names)}: nothing is taken just now, although something is there"
        group = "; if another worker was killed, the group waits for it until its session is over (worker.session)"
        return [text if self._worker.bus.colocated else text + group]

    def _trouble(self, now: Iterable[str]) -> None:
        now = set(now)
        for trouble in sorted(now - self._troubles):
            self._tell(trouble)
        self._troubles |= now
        self._quiet = 0 if now else self._quiet + 1
        if self._troubles and self._quiet * LOOK >= CALM:  # between two tries there is none for a moment
            self._tell("works again")
            self._troubles.clear()

    def _tell(self, text: str) -> None:
        self._say(f"{self._name}: {text}")


@asynccontextmanager
async def measuring(backlog: Backlog) -> AsyncIterator[None]:
    """Look at the bus now and then while the context is open: a worker with nothing to do notices by this alone."""

    async def measure() -> None:
        while True:
            await backlog.measure()
            await asyncio.sleep(SAMPLE)

    task = asyncio.create_task(measure())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def troubles(worker: Worker, backlog: Backlog | None) -> list[str]:
    """Why it cannot work, as far as it noticed: an idle worker notices by looking at how much there is to do."""
    found = [dispatcher.committer.trouble for dispatcher in worker.dispatchers]
    if backlog is not None:
        found.append(backlog.trouble)
    return [*dict.fromkeys(trouble for trouble in found if trouble)]
