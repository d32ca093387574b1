"""A door as a process: open, serve, and on a signal stop in order.

In: places, a configuration, limits. Out: nothing, once it was told to stop. On SIGTERM, in this order: /readyz fails,
who waits is answered with the run's address, streams end (their clients come back elsewhere), no connection is taken
any more, requests under way have `GRACE` seconds. What was answered was committed before, so a kill at any moment
loses none of it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.worker import prepare
from stepwire_handlers.blobs import BlobStore, blob_store
from stepwire_handlers.configuration import Configuration, secrets
from stepwire_handlers.services.door.access import Access
from stepwire_handlers.services.door.application import Door
from stepwire_handlers.services.door.counting import counting
from stepwire_handlers.services.door.decisions import Decisions
from stepwire_handlers.services.door.idempotency import window
from stepwire_handlers.services.door.identity import Identity
from stepwire_handlers.services.door.limits import for_callers
from stepwire_handlers.services.door.measures import Measures
from stepwire_handlers.services.door.nowhere import Nowhere
from stepwire_handlers.services.door.places import Place, Places, Watch
from stepwire_handlers.services.door.releases import watch_keys, watch_releases
from stepwire_handlers.services.door.reloading import reloaded
from stepwire_handlers.services.health import listen, serving
from stepwire_handlers.services.known import Turns
from stepwire_handlers.services.signing import key_of
from stepwire_handlers.telemetry.logs import Pipeline, forwarded
from stepwire_handlers.telemetry.otlp import publishing
from stepwire_handlers.telemetry.traced import named

if TYPE_CHECKING:
    from stepwire_handlers.telemetry.publishing import Publishing

CACHE = 4_096  #: KiB of the file's pages in memory; the system keeps more, and a worker's 64 MB would fill for minutes
GRACE = 10  #: seconds for requests under way; an upload that takes longer is repeated by its sender


async def places_of(
    stack: AsyncExitStack, opened: Sequence[tuple[App, LocalBus]], tracer: Publishing | None = None
) -> Places:
    """The apps with their buses, topics made ready; watching ends with the stack. Raises BusError, SettingsError."""
    shared: dict[int, tuple[Watch, Turns]] = {}
    found = []
    for app, bus in opened:
        await prepare(app, bus, app.settings)
        if id(bus) not in shared:
            bus.store.db.execute(f"PRAGMA cache_size=-{CACHE}")
            watch = Watch(bus)
            watching = asyncio.create_task(watch.run())
            stack.callback(watching.cancel)
            shared[id(bus)] = (watch, Turns(bus, tracer))
        found.append(Place(app, bus, *shared[id(bus)]))
    places = Places(found)
    stack.callback(asyncio.create_task(watch_releases(places)).cancel)
    return places


def door_of(
    values: Configuration, places: Places, access: Access | None, max_bytes: int, tracer: Publishing | None = None
) -> Door:
    """A door to these places, with its log; `max_bytes` 0: it takes no files, and there need be no blob store."""
    kind = "auto" if values.log == "off" else values.log  # who decided what is written in any case
    pipeline = Pipeline(kind, values.log_level if values.log != "off" else "warning", secrets(values))
    forwarded(pipeline)

    def audit(event: str, **fields: Any) -> None:
        """Whatever the level of the log."""
        pipeline.write("info", {"event": event, **fields, **named()})

    clock = asyncio.get_running_loop().time
    limits = for_callers(access, clock)
    blobs = blob_store(values.blobs, max_bytes=max_bytes) if max_bytes else BlobStore(Nowhere())
    return Door(
        places, Identity(access), limits, blobs, Decisions(places, key_of(values), audit),
        Measures(place.app.name for place in places.all), window(values), max_bytes, tracer,
    )  # fmt: skip


async def serve(
    opened: Sequence[tuple[App, LocalBus]], values: Configuration, access: Access | None, host: str, port: int,
    max_bytes: int, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve until a signal. Raises SettingsError, BusUnavailable."""
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listen(host, port, "--port (0: any free one) or --host"))
        tracer = await stack.enter_async_context(publishing("stepwire-door", values.bus))
        door = door_of(values, await places_of(stack, opened, tracer), access, max_bytes, tracer)
        await stack.enter_async_context(door.blobs)
        await stack.enter_async_context(reloaded(values.door_access, access, door.renew))
        await stack.enter_async_context(counting(door.places, door.measures))
        stack.callback(asyncio.create_task(watch_keys(door.places)).cancel)
        if values.http_port is not None:
            inner: socket.socket = stack.enter_context(listen(values.http_host, values.http_port))
            await stack.enter_async_context(serving(door.inner(), inner))
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        async with serving(door.application(), listening, GRACE):
            say(f"http://{host}:{listening.getsockname()[1]}")
            await told.wait()
            door.rest.stop(door.places)
