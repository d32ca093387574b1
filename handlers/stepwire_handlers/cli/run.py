"""`stepwire run`: a worker until SIGTERM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.target import (
    COMPLETED,
    CUT_OFF,
    AppPlace,
    BusUrl,
    complain,
    execute,
    has_handler,
    opened,
    target,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from stepwire import App
    from stepwire.bus.protocol import Bus
    from stepwire.worker import Worker
    from stepwire_handlers.configuration import Configuration
    from stepwire_handlers.telemetry.backlog import Backlog

Only = Annotated[str | None, typer.Option("--only", help="Some of the handlers, by name, comma between them.")]
Accept = Annotated[bool, typer.Option("--accept-owes-change", help="Start although open joins get other parts now.")]
Loss = Annotated[bool, typer.Option("--accept-loss", help="Go on after records that retention deleted unfinished.")]
Log = Annotated[str | None, typer.Option("--log", help="auto, json, console or off.")]
Leash = Annotated[int | None, typer.Option("--leash", hidden=True, help="End when this descriptor is closed.")]
Port = Annotated[int | None, typer.Option("--http-port", help="Serve /metrics, /livez, /readyz, /startupz here.")]


def command(
    app: AppPlace,
    bus: BusUrl = None,
    only: Only = None,
    log: Log = None,
    http_port: Port = None,
    accept_owes_change: Accept = False,
    accept_loss: Loss = False,
    leash: Leash = None,
) -> None:
    """Run an app's handlers until SIGTERM or SIGINT: then finish, commit and leave.

    A second signal ends it at once; what ran is handed back. Exit: 0 drained, 1 the bus failed, 2 usage, 130 cut off.
    """

    async def main() -> int:
        if leash is not None:
            from stepwire_handlers.dev.leash import end_with

            end_with(leash)
        loaded, values = target(app, bus, log=log, http_port=http_port)
        names = _names(loaded, only)
        async with opened(values) as where:
            accepted = {"accept_owes_change": accept_owes_change, "accept_loss": accept_loss}
            return await _serve(loaded, where, values, names, accepted)

    from stepwire_handlers.services.running import prepare_process

    prepare_process()
    execute(main)


def _names(app: App, only: str | None) -> Sequence[str] | None:
    """The handlers that are wanted; None: all. Raises SettingsError for a name that is none."""
    from stepwire.errors import SettingsError

    if only is None:
        return None
    known = [handler.name for handler in app.runnable]
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        has_handler(app, name, "--only")
    if not names:
        raise SettingsError(f"--only names no handler; there are {', '.join(known)}")
    return names


async def _serve(
    app: App, bus: Bus, values: Configuration, only: Sequence[str] | None, accepted: Mapping[str, bool]
) -> int:
    """Run until a signal. Raises BusCorrupt, SettingsError."""
    from contextlib import AsyncExitStack

    from stepwire.worker import Worker
    from stepwire_handlers.services.retention import retaining
    from stepwire_handlers.services.signing import key_of, weakness
    from stepwire_handlers.telemetry import Metrics, build
    from stepwire_handlers.telemetry.otlp import system_of, tracing

    metrics = Metrics(app)
    key = key_of(values)
    async with AsyncExitStack() as stack:
        spans = await stack.enter_async_context(tracing(app.name, system_of(values.bus)))
        worker = Worker(
            app, bus, settings=app.settings, telemetry=build(values, app, metrics, spans), only=only, decision_key=key,
            accept_owes_change=accepted["accept_owes_change"], accept_loss=accepted["accept_loss"],
        )  # fmt: skip
        say = complain if values.log == "off" else _warn
        if not key and any(handler.signature.is_gate for handler in app.handlers):
            say("decisions are not signed: anybody who can write to the bus may decide (STEPWIRE_DECISION_KEY)")
        if weak := weakness(key):
            say(weak)
        metrics.watch(worker)
        if values.http_port is not None:
            from stepwire_handlers.services.health import health

            await stack.enter_async_context(health(worker, metrics, values.http_host, values.http_port))
        elif metrics.backlog is not None:
            from stepwire_handlers.services.watching import measuring

            await stack.enter_async_context(measuring(metrics.backlog))
        await stack.enter_async_context(retaining(app, bus, values.retention))
        return await _until_told(worker, metrics.backlog, values.bus, key, say)


def _warn(text: str) -> None:
    """A line among those of the steps, in the same form."""
    import logging

    logging.getLogger("stepwire").warning("%s", text)


async def _until_told(worker: Worker, backlog: Backlog | None, bus: str, key: str, say: Callable[[str], None]) -> int:
    """Start, work, and stop in order: the first signal drains, the second ends it at once."""
    import asyncio
    import signal

    from stepwire.errors import BusError
    from stepwire_handlers.services.signing import tell as leave_mark
    from stepwire_handlers.services.watching import Watch

    name = worker.app.name
    told, cut = asyncio.Event(), asyncio.Event()

    def tell() -> None:
        (cut if told.is_set() else told).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    await worker.start()
    try:
        await leave_mark(worker.bus, worker.app, key, [dispatcher.step.name for dispatcher in worker.dispatchers])
    except (BusError, OSError) as error:  # it works all the same
        say(f"{name}: doors are not told which decisions this worker takes: {error}")
    _say_started(worker, bus)
    watching = asyncio.create_task(Watch(worker, backlog, name, say).run())
    try:
        await _first(asyncio.create_task(worker.wait()), asyncio.create_task(told.wait()))
    finally:
        watching.cancel()
        begun, calls = loop.time(), sum(dispatcher.active for dispatcher in worker.dispatchers)
        _say("stopping", app=name, calls=calls, drain=worker.settings.drain)
        stopping = asyncio.create_task(worker.stop())
        await _first(stopping, asyncio.create_task(cut.wait()))
    if stopping.cancelled():
        complain(f"{name}: cut off; what was not committed runs again")
        return CUT_OFF
    _say("stopped", app=name, seconds=round(loop.time() - begun, 3))
    return COMPLETED


def _say_started(worker: Worker, bus: str) -> None:
    """What runs here, and where; an address without its user and password."""
    from stepwire_handlers.configuration import shown

    handlers = [dispatcher.step.name for dispatcher in worker.dispatchers]
    _say("started", app=worker.app.name, handlers=handlers, bus=shown(bus))


def _say(what: str, **fields: Any) -> None:
    """A line in the log about the worker's life."""
    import logging

    logging.getLogger("stepwire").info(what, extra={"fields": fields})


async def _first(one: asyncio.Task[None], other: asyncio.Task[bool]) -> None:
    """Return when one of them is done, and take the other back. Raises what the first one raised."""
    import asyncio

    await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)
    for task in (one, other):
        task.cancel()
    await asyncio.gather(one, other, return_exceptions=True)
    if not one.cancelled() and (error := one.exception()) is not None:
        raise error
