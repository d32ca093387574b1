"""Where the demo's events live: a file in its folder, or a Kafka cluster.

In: the flow's app, the demo's folder, what was configured. Out: the bus that the worker runs on, what is looked at to
see what became of the runs, and how both are named on a command line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Bus
from stepwire.worker import prepare
from stepwire_handlers.configuration import Configuration, kafka_bus

SESSION = 6.0  #: seconds; a demo that was killed and starts again must not wait for its dead member


class Place(NamedTuple):
    """A bus, seen from both sides."""

    bus: Bus
    look: LocalBus


@asynccontextmanager
async def place(app: App, folder: Path, values: Configuration) -> AsyncIterator[Place]:
    """Open; with topics made, since a demo is its own operator. Raises BusUnavailable, SettingsError."""
    async with AsyncExitStack() as stack:
        quick = values.model_copy(update={"worker": replace(values.worker, session=SESSION)})
        kafka = kafka_bus(quick)
        if kafka is None:
            local = LocalBus(str(folder / f"{app.name}.db"))
            await local.open()
            stack.push_async_callback(local.close)
            yield Place(local, local)
            return
        from stepwire_handlers.services.mirror import Mirror  # noqa: PLC0415 - its client is an extra

        kafka.creates_topics = True
        await kafka.open()
        stack.push_async_callback(kafka.close)
        await prepare(app, kafka, values.worker)
        looking = kafka_bus(quick)
        assert looking is not None
        (folder / "mirrors").mkdir(exist_ok=True)
        mirror = Mirror(looking, app, folder / "mirrors")
        await mirror.open()
        stack.push_async_callback(mirror.close)
        yield Place(kafka, mirror)
