"""`stepwire console`: runs, gates and dead letters as pages, until SIGTERM."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwire_handlers.cli.door import Apps, File, Log, Probes
from stepwire_handlers.cli.target import COMPLETED, BusUrl, complain, execute, target

SHORTEST = 32  #: characters of a session secret

Insecure = Annotated[bool, typer.Option("--insecure", help="Let everybody do everything. For your own machine.")]


def command(
    apps: Apps = None,
    bus: BusUrl = None,
    host: Annotated[str, typer.Option(help="To listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="To listen on; 0: any free one.")] = 8081,
    access: File = None,
    insecure: Insecure = False,
    log: Log = None,
    http_port: Probes = None,
) -> None:
    """Pages for people until SIGTERM or SIGINT: runs and their steps, the graph, gates to decide, dead letters.

    People log in with a key of the access file (make one: stepwire door --new-key NAME), or at the OIDC issuer that it
    names. Sessions end with the process unless STEPWIRE_CONSOLE_SECRET signs them.

    Exit: 0 stopped in order, 1 the bus failed, 2 usage.
    """

    async def main() -> int:
        from contextlib import AsyncExitStack

        from stepwire.errors import SettingsError
        from stepwire_handlers.cli.door import access_of, installed, opened, tell_of_signing

        installed("console", "jinja2", "httpx2")
        if not apps:
            raise SettingsError("say which apps: stepwire console MODULE:app …")
        found = [target(app, bus, log=log, http_port=http_port, door_access=access) for app in apps]
        values = found[0][1]
        secret = values.console_secret.get_secret_value() if values.console_secret else ""
        if secret and len(secret) < SHORTEST:
            raise SettingsError(f"console_secret needs {SHORTEST} characters or more: openssl rand -hex 32 makes some")
        who = access_of(values, insecure)
        tell_of_signing(values, who)
        from stepwire_handlers.services.console.process import serve

        async with AsyncExitStack() as stack:
            found_buses = await opened(stack, [app for app, _ in found], values)
            await serve(found_buses, values, who, host, port, secret.encode(), lambda url: complain(f"console: {url}"))
        return COMPLETED

    from stepwire_handlers.services.running import prepare_process

    prepare_process()
    execute(main)
