"""`stepwire mcp`: apps as tools of an MCP server."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwire_handlers.cli.door import MEGABYTE, Apps, File, Log, Probes, access_of, opened
from stepwire_handlers.cli.target import COMPLETED, BusUrl, complain, execute, target

LONGEST = 3_600.0  #: seconds that a call may wait


def command(
    apps: Apps = None,
    bus: BusUrl = None,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP for many clients; default: stdio.")] = False,
    host: Annotated[str, typer.Option(help="To listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="To listen on; 0: any free one.")] = 8090,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name that clients reach the server by.")
    ] = None,
    access: File = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="--http without keys. For your own machine.")] = False,
    wait: Annotated[float, typer.Option(min=0, max=LONGEST, help="Seconds that a call waits for its run.")] = 50.0,
    door: Annotated[str, typer.Option(help="The door's URL, put before the addresses of runs.")] = "",
    max_upload: Annotated[int, typer.Option(min=0, max=1_024, help="Megabytes of one file; 0: takes none.")] = 8,
    log: Log = None,
    http_port: Probes = None,
) -> None:
    """Offer what begins the runs of apps as tools of an MCP server, until stdin ends, SIGTERM or SIGINT.

    Exit: 0 stopped in order, 1 the bus failed, 2 usage.
    """

    async def main() -> int:
        from contextlib import AsyncExitStack

        from stepwire.errors import SettingsError

        _installed()
        if not apps:
            raise SettingsError("say which apps: stepwire mcp MODULE:app …")
        _agree(host, allow_host or [], stdio=not http, asked=bool(access or insecure or allow_host))
        found = [target(app, bus, log=log, http_port=http_port, door_access=access) for app in apps]
        values = found[0][1]
        who = access_of(values, insecure) if http else None
        from stepwire_handlers.services.tools.process import Listening, Terms, serve_http, serve_stdio

        terms = Terms(wait, door.rstrip("/"), max_upload * MEGABYTE)
        async with AsyncExitStack() as stack:
            places = await opened(stack, [app for app, _ in found], values)
            if http:
                where = Listening(host, port, tuple(allow_host or ()), who)
                await serve_http(places, values, terms, where, lambda url: complain(f"mcp: {url}"))
            else:
                await serve_stdio(places, values, terms)
        return COMPLETED

    from stepwire_handlers.services.running import prepare_process

    prepare_process()
    execute(main)


def _agree(host: str, names: list[str], *, stdio: bool, asked: bool) -> None:
    """Raises SettingsError for options that make no sense together."""
    from stepwire.errors import SettingsError

    if stdio and asked:
        raise SettingsError("--access, --insecure and --allow-host are about --http; stdio serves whoever starts it")
    if not stdio and host not in ("127.0.0.1", "localhost", "::1") and not names:
        raise SettingsError(
            f"--host {host} is reached from elsewhere: name what clients call it with --allow-host NAME, "
            f"since requests for any other name are refused"
        )
    if strange := [name for name in names if "/" in name or "*" in name or not name]:
        raise SettingsError(f"--allow-host {strange[0]!r}: write the bare name, such as tools.example.org")


def _installed() -> None:
    """Raises SettingsError if an extra is missing."""
    from importlib.util import find_spec

    from stepwire.errors import SettingsError

    for name in ("mcp", "starlette", "uvicorn", "jwt", "python_multipart"):
        if find_spec(name) is None:
            raise SettingsError(f"tools need {name}: install Stepwire's extras mcp and door")
