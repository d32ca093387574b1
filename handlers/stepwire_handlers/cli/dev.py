"""`stepwire dev`: a worker that starts again when you save, and shows every step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepwire_handlers.cli.app_module import load_app
from stepwire_handlers.cli.target import CUT_OFF, AppPlace, BusUrl, execute

if TYPE_CHECKING:
    from stepwire import App
    from stepwire_handlers.dev.timeline import Timeline


def command(
    app: AppPlace,
    bus: BusUrl = None,
    watch: Annotated[Path, typer.Option(help="The folder whose changes restart the worker.", exists=True)] = Path(),
) -> None:
    """Run an app while you write it; without a key, on the offline model."""

    async def main() -> int:
        import asyncio

        told = _cancelled_when_told()
        try:
            await _develop(app, bus, watch)
        except asyncio.CancelledError:
            if not told:
                raise  # Ctrl-C; asyncio makes KeyboardInterrupt of it
        return CUT_OFF

    execute(main)


async def _develop(app: str, bus: str | None, watch: Path) -> None:
    """Until cancelled. Raises SettingsError, WiringError."""
    from stepwire_handlers.dev.model import offline_if_needed
    from stepwire_handlers.dev.reload import reloading
    from stepwire_handlers.dev.timeline import Timeline

    loaded = load_app(app)  # a mistake is said before anything starts
    timeline = Timeline()
    async with offline_if_needed(loaded) as model:
        if model:
            timeline.say(f"no ANTHROPIC_API_KEY: models are asked at the offline model, {model}")
        _say_who_has_the_lock(loaded, bus, timeline)
        arguments = ["run", app, "--log", "json", *(["--bus", bus] if bus else [])]
        await reloading(arguments, watch, timeline)


def _say_who_has_the_lock(app: App, bus: str | None, timeline: Timeline) -> None:
    """Before the worker starts, which would stand by: what is saved would not run, and nothing would show."""
    from stepwire_handlers.configuration import KAFKA, load, local_bus
    from stepwire_handlers.services.groups import held_elsewhere

    values = load(bus=bus)
    if values.bus.startswith(KAFKA):
        return
    path = local_bus(values).path
    if held := held_elsewhere(app, path):
        timeline.alarm(
            f"another worker has the lock of {path} for {', '.join(held)}: what you write here does NOT run until it "
            f"ends. End that one (a `stepwire run` or another `stepwire dev`), or take a file of your own: "
            f"--bus sqlite:///dev.db"
        )


def _cancelled_when_told() -> list[int]:
    """Let SIGTERM and SIGHUP end this command in order, as Ctrl-C does; the signals that came."""
    import asyncio
    import signal

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    told: list[int] = []

    def tell(number: int) -> None:
        if not told:  # once: a second one must not keep it from ending the worker
            task.cancel()
        told.append(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, tell, number)
    return told
