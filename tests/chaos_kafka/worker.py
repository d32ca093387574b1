"""The process that is killed: a worker of the flow on Kafka. It leaves in order on SIGTERM.

In: servers, a prefix, the file of its desk, the ports that stand for the brokers', and how its commit is broken on
purpose, if it is: `offsets` commits a group's offsets beside the transaction, `unstable` takes over without waiting for
the transactions of the one before. The judge must see either.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos_kafka.flow import Desk, app

from stepwire.bus.kafka import wire
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.kafka.producer import Producer
from stepwire.settings import Settings
from stepwire.worker import Worker

BROKEN = ("no", "offsets", "unstable")  #: how the commit is broken on purpose
SESSION = 6.0  #: seconds; the shortest that Kafka's own settings take
LIMITS = Settings(drain=5.0, in_place=0.2, control_partitions=8, partitions=3, concurrency=200)
LATE = 0.03  #: seconds between outputs and offsets of a commit that is broken in two


def bus(servers: str, prefix: str) -> KafkaBus:
    """The bus, with what the business topics do not bring made at the start."""
    return KafkaBus(servers, prefix=prefix, session=SESSION, create_topics=True)


async def work(servers: str, prefix: str, desk: Path) -> None:
    """Until SIGTERM. Raises what ends a worker by itself."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    kafka = bus(servers, prefix)
    await kafka.open()
    worker = Worker(app(Desk(desk)), kafka, settings=LIMITS)
    await worker.start()
    waits = [asyncio.ensure_future(worker.wait()), asyncio.ensure_future(ending.wait())]
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if waits[0] in done:
        waits[0].result()
    waits[0].cancel()
    await worker.stop()
    await kafka.close()


def break_it(how: str) -> None:
    """Take away what exactly-once needs."""
    if how == "unstable":
        whole = wire.OffsetFetch.build

        def build(request: wire.OffsetFetch, struct: type[wire.OffsetFetchV7]) -> Any:
            stable = whole(request, struct)
            stable.require_stable = False
            return stable

        wire.OffsetFetch.build = build  # type: ignore[method-assign]
    elif how == "offsets":
        write = Producer.write

        async def in_two(
            producer: Producer, messages: Sequence[Any], progress: Mapping[Any, Any], member: wire.Member | None
        ) -> Any:
            placed = await write(producer, messages, {}, member) if messages else []
            await asyncio.sleep(LATE)
            if progress:  # the brokers refuse to commit nothing
                await write(producer, (), progress, member)
            return placed

        Producer.write = in_two  # type: ignore[method-assign]


def take(detour: Mapping[int, int]) -> None:
    """Reach each broker at the port that stands for its own: brokers advertise the straight way to everybody."""
    straight = asyncio.BaseEventLoop.create_connection

    async def around(loop: Any, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        return await straight(loop, factory, host, detour.get(port, port), **options)

    asyncio.BaseEventLoop.create_connection = around  # type: ignore[assignment]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    break_it(sys.argv[4])
    take({int(broker): port for broker, port in json.loads(sys.argv[5]).items()})
    asyncio.run(work(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
