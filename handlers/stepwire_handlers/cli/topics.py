"""`stepwire topics`: what an app needs on its bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepwire_handlers.cli.target import AsJson, BusUrl, complain, echo_json, execute, opened, table, target

if TYPE_CHECKING:
    from stepwire_handlers.drawing.plan import Planned

app = typer.Typer(no_args_is_help=True, help="Topics: plan, check, apply.")
Name = Annotated[str, typer.Argument(help="The app, MODULE:name.")]


async def _rows(name: str, bus: str | None) -> list[Planned]:
    """The plan. A file that does not exist is not made by looking at it."""
    from pathlib import Path

    from stepwire_handlers.configuration import KAFKA, local_bus
    from stepwire_handlers.drawing.plan import plan as planned

    loaded, values = target(name, bus)
    if not values.bus.startswith(KAFKA) and not Path(local_bus(values).path).exists():
        return await planned(loaded, loaded.settings, None)
    async with opened(values) as where:
        return await planned(loaded, loaded.settings, where)


def _show(rows: list[Planned], *, json: bool) -> None:
    if json:
        echo_json([row._asdict() | {"exists": row.exists > 0, "partitions_now": row.exists} for row in rows])
        return
    cells = [(row.topic, row.kind, row.partitions, row.exists or "no") for row in rows]
    table("topics", ("topic", "kind", "partitions", "exists"), cells)


@app.command()
def plan(app: Name, bus: BusUrl = None, json: AsJson = False) -> None:
    """What there is, and what is missing."""

    async def main() -> int:
        _show(await _rows(app, bus), json=json)
        return 0

    execute(main)


@app.command()
def check(app: Name, bus: BusUrl = None, json: AsJson = False) -> None:
    """The same, with exit code 1 if something is missing: for a pipeline before a release."""

    async def main() -> int:
        from stepwire_handlers.drawing.plan import lacking

        rows = await _rows(app, bus)
        _show(rows, json=json)
        for problem in (problems := lacking(rows)):
            complain(f"{problem}; run: stepwire topics apply {app}")
        return 1 if problems else 0

    execute(main)


@app.command()
def apply(app: Name, bus: BusUrl = None) -> None:
    """Make what is missing, and let new handlers start at the present end."""

    async def main() -> int:
        from stepwire.bus.local import LocalBus
        from stepwire.worker import prepare

        loaded, values = target(app, bus)
        async with opened(values) as where:
            if not isinstance(where, LocalBus):
                where.creates_topics = True  # everywhere else what is missing is refused
            await prepare(loaded, where, loaded.settings)
        typer.echo("applied")
        return 0

    execute(main)
