"""`stepwire runs`: what runs, what waits and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepwire_handlers.cli.target import (
    AppName,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    load_app,
    moment,
    opened,
    table,
)  # fmt: skip

if TYPE_CHECKING:
    from stepwire_handlers.services.runs import RunView

app = typer.Typer(no_args_is_help=True, help="Runs: list, show, watch.")


@app.command("list")
def listing(
    app: AppName,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    state: Annotated[str | None, typer.Option(help="running, waiting, completed or failed.")] = None,
    bus: BusUrl = None,
    json: AsJson = False,
) -> None:
    """The newest runs."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.runs import Runs, summary

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            views = [view for view in Runs(loaded, where).newest(limit) if state in (None, view.state)]
        if json:
            echo_json([summary(view) | {"started": view.started} for view in views])
        else:
            rows = [(v.id[:12], v.state, moment(v.started), len(v.lines), _waits(v)) for v in views]
            table("runs", ("run", "state", "started", "events", "waits for"), rows)
        return 0

    execute(main)


def _waits(view: RunView) -> str:
    return ", ".join(sorted({f"{item.kind}: {item.handler}" for item in view.open}))


@app.command()
def show(run: Annotated[str, typer.Argument(help="The run's id, or how it begins.")], app: AppName, bus: BusUrl = None,
         json: AsJson = False) -> None:  # fmt: skip
    """One run: every event, and what it waits for."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.runs import Runs, summary
        from stepwire_handlers.telemetry.mask import masked

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            name = where.store.run_named(run)
            if name is None:
                complain(f"no run begins with {run!r}, or more than one; see: stepwire runs list --app …")
                return 2
            view = Runs(loaded, where).view(name)
        if json:
            lines = [
                {
                    "time": line.time,
                    "handler": line.handler,
                    "type": type(line.event).__name__,
                    "event": masked(line.event),
                }
                for line in view.lines
            ]
            open_items = [
                {"handler": i.handler, "kind": i.kind, "id": i.id, "due": i.due, "about": i.about} for i in view.open
            ]
            echo_json(summary(view) | {"events": lines, "open": open_items})
        else:
            draw(view)
        return 0

    execute(main)


def draw(view: RunView) -> None:
    """A run as a timeline."""
    from stepwire_handlers.telemetry.mask import masked

    begun = view.started
    rows = [
        (
            f"+{line.time - begun:.3f} s",
            line.handler or "published",
            type(line.event).__name__,
            _short(masked(line.event)),
        )
        for line in view.lines
    ]
    table(f"run {view.id}: {view.state}", ("when", "by", "event", "content"), rows)
    for item in view.open:
        due = f", due {moment(item.due)}" if item.due else ""
        complain(f"waits: {item.kind} of {item.handler} ({item.id[:12]}){due} {item.about}")
    for letter in view.dead:
        complain(f"dead letter {letter.id[:12]}: {letter.handler}: {letter.error}: {letter.message}")


def _short(data: object) -> str:
    text = str(data)
    return text if len(text) < 100 else text[:97] + "…"


@app.command()
def watch(run: Annotated[str, typer.Argument(help="The run's id.")], app: AppName, bus: BusUrl = None,
          timeout: Annotated[float, typer.Option(help="Seconds.")] = 3_600.0) -> None:  # fmt: skip
    """Follow a run until it ends or waits for a person."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.publishing import until_it_rests

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            draw(await until_it_rests(loaded, where, where.store.run_named(run) or run, timeout))
        return 0

    execute(main)
