"""`stepwire run`: a worker until SIGTERM."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from stepwire_handlers.cli.target import BusUrl, complain, execute, load_app, opened

Only = Annotated[str | None, typer.Option("--only", help="Some of the handlers, by name, comma between them.")]
Accept = Annotated[bool, typer.Option("--accept-owes-change", help="Start although open joins get other parts now.")]
Log = Annotated[str | None, typer.Option("--log", help="json, console or off.")]
Port = Annotated[int | None, typer.Option("--http-port", help="Serve /metrics, /livez, /readyz, /startupz here.")]


def command(
    app: Annotated[str, typer.Argument(help="The app, MODULE:name.")],
    bus: BusUrl = None,
    only: Only = None,
    log: Log = None,
    http_port: Port = None,
    accept_owes_change: Accept = False,
) -> None:
    """Run an app's handlers until SIGTERM or SIGINT: then finish, commit and leave."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.running import serve

        values = load(bus=bus, log=log, http_port=http_port)
        os.environ.setdefault("STEPWIRE_BLOBS", values.blobs)  # what the flow's own store is named by
        loaded = load_app(app)
        names = [name.strip() for name in only.split(",")] if only else None
        async with opened(values) as where:
            if values.decision_key is None and any(h.signature.is_gate for h in loaded.handlers):
                complain(
                    "decisions are not signed: anybody who can write to the bus may decide (STEPWIRE_DECISION_KEY)"
                )
            await serve(loaded, where, values, only=names, accept_owes_change=accept_owes_change)
        return 0

    import uvloop

    uvloop.install()
    execute(main)
