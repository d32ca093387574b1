"""`stepwire topics`: what an app needs on its bus."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwire_handlers.cli.target import AsJson, BusUrl, echo_json, execute, load_app, opened, table

app = typer.Typer(no_args_is_help=True, help="Topics: plan, apply.")
Name = Annotated[str, typer.Argument(help="The app, MODULE:name.")]


@app.command()
def plan(app: Name, bus: BusUrl = None, json: AsJson = False) -> None:
    """What there is, and what is missing."""

    async def main() -> int:
        from stepwire.worker import topics_of
        from stepwire_handlers.configuration import load

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            wanted = topics_of(loaded, loaded.settings)
            known = await where.describe(list(wanted))
        rows = [(name, count, "yes" if name in known else "no") for name, count in sorted(wanted.items())]
        if json:
            echo_json([{"topic": name, "partitions": count, "exists": there == "yes"} for name, count, there in rows])
        else:
            table("topics", ("topic", "partitions", "exists"), rows)
        return 0

    execute(main)


@app.command()
def apply(app: Name, bus: BusUrl = None) -> None:
    """Make what is missing, and let new handlers start at the present end."""

    async def main() -> int:
        from stepwire.worker import prepare
        from stepwire_handlers.configuration import load

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            await prepare(loaded, where, loaded.settings)
        typer.echo("applied")
        return 0

    execute(main)
