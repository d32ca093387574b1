"""The demo from start to end: surroundings, worker, events, progress, table.

In: the name of a flow and a folder that keeps everything. Out: a table on stdout. Run again in the same folder it goes
on there: what was published before is not published again, what was decided meanwhile is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.errors import SettingsError
from stepwire.telemetry import Called, Fact
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration, load
from stepwire_handlers.demo.places import place
from stepwire_handlers.demo.report import brief, report
from stepwire_handlers.demo.stay import stay
from stepwire_handlers.demo.surroundings import surroundings
from stepwire_handlers.services.known import Offer, Turns
from stepwire_handlers.services.publishing import until_it_rests
from stepwire_handlers.services.runs import RunView
from stepwire_handlers.telemetry import Metrics, StepLog

FLOWS = ("invoices", "support", "articles", "review", "polish")
PATIENCE = 120.0  #: seconds for one run


async def demo(
    flow: str, folder: Path, *, bus: str | None = None, stays: bool = False, bus_ends: bool = False
) -> int:  # fmt: skip
    """Run it, on a bus in the folder or on this one; with `stays`, what it needs stays up afterwards.

    With `bus_ends` the bus ends with the demo: no command is printed that would need it.

    Raises SettingsError for an unknown flow or a folder that cannot be used, BusUnavailable.
    """
    if flow not in FLOWS:
        raise SettingsError(f"there is no flow {flow!r}; there are {', '.join(FLOWS)}")
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be made: {error.strerror}; choose another --folder") from None
    url = bus or f"sqlite:///{folder / f'{flow}.db'}"
    started, before = time.monotonic(), dict(os.environ)
    os.environ["STEPWIRE_BLOBS"] = str(folder / "blobs")  # before the flow is imported, whose store is named by it
    async with surroundings(flow, folder) as model:
        tell = Console(file=sys.stderr, soft_wrap=True, highlight=False).print
        tell(f"{flow}: asking {model}")
        app: App = importlib.import_module(f"stepwire_handlers.flows.{flow}").app
        views = await _work(app, flow, folder, load(bus=url), tell)
        report(flow, folder, None if bus_ends else url, views)
        tell(f"done in {time.monotonic() - started:.0f} s")
        if stays:
            await stay(app, flow, folder, url, before, tell)
    return 0


async def _work(
    app: App, flow: str, folder: Path, values: Configuration, tell: Callable[[str], None]
) -> dict[str, RunView]:  # fmt: skip
    progress = Progress(tell)
    async with place(app, folder, values) as (bus, look):
        with _log_file(folder / "worker.log"):
            log, metrics = StepLog("json", values.log_level, values.payload), Metrics(app)

            def telemetry(fact: Fact) -> None:
                metrics(fact)
                log(fact)
                progress(fact)

            worker = Worker(app, bus, settings=values.worker, telemetry=telemetry)
            await worker.start()
            try:
                runs, new = await _publish(app, look, flow, folder)
                tell(f"new {new}, known {len(runs) - new}")
                views = await asyncio.gather(*(until_it_rests(app, look, run, PATIENCE) for run in runs.values()))
                return dict(zip(runs, views, strict=True))
            finally:
                await worker.stop()


async def _publish(app: App, bus: LocalBus, flow: str, folder: Path) -> tuple[dict[str, str], int]:
    """Name -> run of every input, and how many of them are new."""
    from stepwire_handlers.demo.inputs import inputs  # noqa: PLC0415 - imports the flow

    runs: dict[str, str] = {}
    new, turns = 0, Turns(bus)
    async for name, id_, event in inputs(flow, folder):
        out, runs[name] = app.record(event, id=id_, source="demo", now=time.time())
        (earlier,) = await turns.publish([Offer(out, runs[name], named=True)])
        new += earlier is None
    return runs, new


class Progress:
    """One line for each step, as it happens."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._begun, self._counts = tell, time.monotonic(), Counter[str]()

    def __call__(self, fact: Fact) -> None:
        """A hook."""
        if isinstance(fact, Called):
            self._counts[fact.handler] += 1
            what = "" if fact.outcome == "ok" else f" {fact.outcome}: {brief(fact.message, 100)}"
            self._tell(f"{time.monotonic() - self._begun:6.2f} s  {fact.handler} {fact.run[:8]}{what}")


@contextlib.contextmanager
def _log_file(path: Path):  # type: ignore[no-untyped-def]
    """Log lines go to a file here: the terminal shows progress."""
    kept = sys.stderr
    with path.open("a") as file:
        sys.stderr = file
        try:
            yield
        finally:
            sys.stderr = kept
