"""Our worker, started as `stepwire run` starts it: in this process, or in one of its own.

In: an app and a file. Out: an open bus of this process, once the worker is started. This is the only place of the
benchmark that knows how that is done.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Bus
from stepwire.telemetry import Telemetry
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.running import prepare_process
from stepwire_handlers.telemetry import build

KEEPS = "every event before the next step, SQLite WAL, synchronous=NORMAL"
VERSION = version("stepwire")
COMMAND = str(Path(sys.executable).with_name("stepwire"))
DRAIN = 90.0  #: seconds; the grace period that the helm chart gives


def url(file: Path) -> str:
    """The local bus in `file`, as settings name it."""
    return f"sqlite:///{file.resolve()}"


prepare_process()  # as `stepwire run` does


def telemetry(app: App, file: Path) -> Telemetry:
    """Metrics and log line with the settings that hold if nobody sets any; the lines go to a file."""
    sys.stderr = file.with_suffix(".log").open("w")
    return build(Configuration(), app)


@asynccontextmanager
async def inside(app: App, file: Path) -> AsyncIterator[Bus]:
    """A worker in this process, with metrics and the log line on; its bus. A failure of the worker ends the load."""
    bus = LocalBus(str(file))
    await bus.open()
    worker = Worker(app, bus, settings=app.settings, telemetry=telemetry(app, file))
    await worker.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(worker.wait())
            yield bus
            watching.cancel()
    finally:
        await worker.stop()
        await bus.close()


@asynccontextmanager
async def outside(app: str, file: Path) -> AsyncIterator[Bus]:
    """A worker in a process of its own, named as the command line names it; a bus of this process.

    The topics are applied first: from then on nothing published is missed, whenever the worker is ready.
    """
    await _finished(await _start("topics", "apply", app, "--bus", url(file)))
    worker = await _start("run", app, "--bus", url(file))
    bus = LocalBus(str(file))
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()
        worker.terminate()
        await asyncio.wait_for(worker.wait(), DRAIN)


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(COMMAND, *arguments, stdout=sys.stderr)


async def _finished(process: asyncio.subprocess.Process) -> None:
    if (code := await process.wait()) != 0:
        raise SystemExit(f"applying the topics ended with code {code}; its log is above")
