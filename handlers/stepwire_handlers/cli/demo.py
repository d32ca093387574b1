"""`stepwire demo`: a shipped flow on real input, no key, no broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepwire_handlers.cli.target import execute


def command(
    flow: Annotated[str, typer.Argument(help="invoices, support, articles, review or polish.")] = "invoices",
    folder: Annotated[Path, typer.Option(help="Where everything is kept; run again, it goes on there.")] = Path(
        ".demo"
    ),
    stay: Annotated[
        bool, typer.Option(help="Keep what the flow needs up afterwards, for a worker of your own.")
    ] = False,
    bus_ends: Annotated[bool, typer.Option("--bus-ends", hidden=True, help="That broker ends with the demo.")] = False,
    bus: Annotated[str | None, typer.Option(help="kafka://host:port; default: a file in the folder.")] = None,
) -> None:
    """Run a flow on its input, show what happens, and end with a table."""

    async def main() -> int:
        from stepwire_handlers.demo.run import demo

        return await demo(flow, folder, bus=bus, stays=stay, bus_ends=bus_ends)

    execute(main)
