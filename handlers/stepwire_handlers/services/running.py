"""A worker as a process: start it, tell the world, and on a signal stop it in order.

In: an app, an open bus, a configuration. Out: nothing, once it was told to stop; or what ended it. The first SIGTERM or
SIGINT begins the drain, a second one ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Sequence

import uvloop

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.health import health
from stepwire_handlers.telemetry import Metrics, build

GARBAGE = (100_000, 50, 100)  #: allocations before a collection; Python's 700 walk every record in flight over and over


def prepare_process() -> None:
    """How a process that runs a worker is set up: a fast event loop, and a collector that leaves what stays alone."""
    uvloop.install()
    gc.collect()
    gc.freeze()  # modules, classes, wiring: alive until the end, so never looked through again
    gc.set_threshold(*GARBAGE)


async def serve(
    app: App,
    bus: LocalBus,
    values: Configuration,
    *,
    only: Sequence[str] | None = None,
    accept_owes_change: bool = False,
) -> None:
    """Run until a signal. Raises BusCorrupt, SettingsError."""
    metrics = Metrics(app)
    key = values.decision_key.get_secret_value() if values.decision_key else ""
    worker = Worker(
        app, bus, settings=values.worker, telemetry=build(values, app, metrics), only=only, decision_key=key,
        accept_owes_change=accept_owes_change,
    )  # fmt: skip
    metrics.watch(worker)
    async with contextlib.AsyncExitStack() as stack:
        if values.http_port is not None:
            await stack.enter_async_context(health(worker, metrics, values.http_host, values.http_port))
        await worker.start()
        try:
            await _until_told(worker)
        finally:
            await _stop(worker)


async def _until_told(worker: Worker) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    ended, asked = asyncio.create_task(worker.wait()), asyncio.create_task(told.wait())
    await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if ended.done():
        ended.result()
    ended.cancel()


async def _stop(worker: Worker) -> None:
    stopping = asyncio.create_task(worker.stop())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.cancel)  # told twice: hand everything back at once
    with contextlib.suppress(asyncio.CancelledError):
        await stopping
