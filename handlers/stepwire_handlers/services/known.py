"""Publishing under a given identity, once: whoever repeats it follows the run that is there.

In: records with their runs. Out: which of them were known, with the record that is there. Looking whether an identity
is known, and publishing it, is one turn: processes on one file take turns by locks that a killed one lets go of.

On Kafka the turns of processes on one machine are kept apart, those of two machines are not: both may write the same
identity, into the same run. Steps that must not see it twice say `dedupe=`.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Record
from stepwire.errors import BusUnavailable
from stepwire_handlers.services.history import History

if TYPE_CHECKING:
    from stepwire_handlers.telemetry.publishing import Publishing

TURN = 10.0  #: seconds to wait for another process that publishes under an id just now
PAUSE = 0.01  #: seconds between two tries
SHARDS = 64  #: identities that share a lock; with one for all, a door could write one event per commit


class Offer(NamedTuple):
    """A record to publish."""

    out: Out
    run: str
    named: bool  #: whoever sends it chose its identity, so it may be known

    @property
    def identity(self) -> tuple[str, str]:
        """Source and id."""
        return self.out.headers["ce_source"], self.out.headers["ce_id"]


Judge = Callable[[Sequence[tuple[Offer, Record | None]]], None]


def _shard(*names: str) -> int:
    return crc32("\0".join(names).encode()) % SHARDS


def _first(offer: Offer) -> Record:
    """What a later one of the same batch finds there."""
    out = offer.out
    return Record(out.topic, 0, 0, 0.0, out.key, out.headers, out.value)


class Turns:
    """Publishes to one bus; make one for a process.

    Args:
        bus: where to.
        tracer: makes a span of each event that is written; None: nobody traces.
    """

    def __init__(self, bus: LocalBus, tracer: Publishing | None = None) -> None:
        self._bus, self._tracer = bus, tracer
        self._locks = [asyncio.Lock() for _ in range(SHARDS)]

    async def publish(self, offers: Sequence[Offer], judge: Judge | None = None) -> list[Record | None]:
        """All that are new in one transaction; for each the record that was there before, None if it is new.

        Of two with one identity the first is new and the second finds it there, as if they had come one by one.
        `judge` sees both before anything is written; what it raises is raised, and nothing is written.

        Raises BusUnavailable, RecordRefused: nothing was written; OutcomeUnknown.
        """
        named = [offer for offer in offers if offer.named]
        if not named:
            await self._write(offers)
            return [None] * len(offers)
        async with AsyncExitStack() as stack:
            for shard in sorted({_shard(*offer.identity) for offer in named}):
                await stack.enter_async_context(self._turn(shard))
            known = self._known({offer.run for offer in named})
            earlier, new = [], list[Offer]()
            for offer in offers:
                place = (offer.run, *offer.identity)
                earlier.append(known.get(place) if offer.named else None)
                if earlier[-1] is None:
                    new.append(offer)
                    known[place] = _first(offer)
            if judge is not None:
                judge(list(zip(offers, earlier, strict=True)))
            if new:
                await self._write(new)
            return earlier

    async def _write(self, offers: Sequence[Offer]) -> None:
        if self._tracer is None:
            await self._bus.publish([offer.out for offer in offers])
            return
        with self._tracer.sending(offers) as outs:
            await self._bus.publish(outs)

    def _known(self, runs: Iterable[str]) -> dict[tuple[str, str, str], Record]:
        """Run, source, id -> the first record. Each run is read once: a whole batch may be one run."""
        history, found = History(self._bus.store), dict[tuple[str, str, str], Record]()
        for run in runs:
            if self._bus.store.find_run(run) is None:
                continue
            for record in history.of_run(run):
                headers = record.headers
                found.setdefault((run, headers.get("ce_source", ""), headers.get("ce_id", "")), record)
        return found

    def alone(self, *names: str) -> AbstractAsyncContextManager[None]:
        """A turn of whoever looks at what is called so, and then writes. Raises BusUnavailable."""
        return self._turn(_shard(*names))

    @asynccontextmanager
    async def _turn(self, shard: int) -> AsyncIterator[None]:
        """One task of this process, then one process."""
        async with self._locks[shard]:
            if self._bus.path == ":memory:":
                yield
                return
            folder = Path(self._bus.path + ".locks")
            folder.mkdir(exist_ok=True)
            with (folder / f"publish.{shard}").open("w") as file:
                end = asyncio.get_running_loop().time() + TURN
                while True:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if asyncio.get_running_loop().time() > end:
                            raise BusUnavailable(
                                f"another process publishes to {self._bus.path} for {TURN:g} s now; try again"
                            ) from None
                        await asyncio.sleep(PAUSE)
                yield
