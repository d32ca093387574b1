"""`stepwire door`: apps behind HTTP, until SIGTERM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepwire_handlers.cli.target import COMPLETED, BusUrl, complain, execute, looking, target

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from stepwire import App
    from stepwire.bus.local import LocalBus
    from stepwire_handlers.configuration import Configuration
    from stepwire_handlers.services.door.access import Access

MEGABYTE = 1024 * 1024

Apps = Annotated[
    list[str] | None, typer.Argument(help="The apps, MODULE:name; with spaces between them.", envvar="STEPWIRE_APP")
]
Log = Annotated[str | None, typer.Option("--log", help="auto, json, console or off.")]
File = Annotated[str | None, typer.Option("--access", help="Who may come in: a TOML file (setting door_access).")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Let everybody do everything. For your own machine.")]
Probes = Annotated[int | None, typer.Option("--http-port", help="Serve /metrics and the probes here too, to anybody.")]
NewKey = Annotated[str | None, typer.Option("--new-key", metavar="NAME", help="Make an API key, print it, and end.")]


def command(
    apps: Apps = None,
    bus: BusUrl = None,
    host: Annotated[str, typer.Option(help="To listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="To listen on; 0: any free one.")] = 8080,
    access: File = None,
    insecure: Insecure = False,
    max_upload: Annotated[int, typer.Option(min=0, max=10_240, help="Megabytes of one file; 0: takes none.")] = 32,
    log: Log = None,
    http_port: Probes = None,
    new_key: NewKey = None,
) -> None:
    """Serve apps over HTTP until SIGTERM or SIGINT: events in, runs out, gates and dead letters.

    Exit: 0 stopped in order, 1 the bus failed, 2 usage.
    """

    async def main() -> int:
        from contextlib import AsyncExitStack

        from stepwire.errors import SettingsError

        installed("door")
        if new_key is not None:
            return _make_key(new_key)
        if not apps:
            raise SettingsError("say which apps: stepwire door MODULE:app …")
        found = [target(app, bus, log=log, http_port=http_port, door_access=access) for app in apps]
        values = found[0][1]
        who = access_of(values, insecure)
        tell_of_signing(values, who)
        from stepwire_handlers.services.door.process import serve

        async with AsyncExitStack() as stack:
            places = await opened(stack, [app for app, _ in found], values)
            await serve(places, values, who, host, port, max_upload * MEGABYTE, lambda url: complain(f"door: {url}"))
        return COMPLETED

    from stepwire_handlers.services.running import prepare_process

    prepare_process()
    execute(main)


def installed(command: str, *more: str) -> None:
    """Raises SettingsError if the extra that is called like the command is missing; `more` are modules beside ours."""
    from importlib.util import find_spec

    from stepwire.errors import SettingsError

    for name in ("starlette", "uvicorn", "jwt", "python_multipart", *more):
        if find_spec(name) is None:
            raise SettingsError(f"the {command} needs {name}: install Stepwire's extra {command}")


def _make_key(name: str) -> int:
    from json import dumps  # quotes a text as TOML does

    from stepwire_handlers.services.door.access import new_key

    key, hash_ = new_key()
    typer.echo(key)
    complain(
        "# the key is on stdout, and shown only now; these lines are for the access file: 2>> access.toml\n"
        '# roles: viewer reads, publisher only publishes, operator also replays, approver decides; "*": every app\n'
        f'[[keys]]\nname = {dumps(name, ensure_ascii=False)}\nhash = "{hash_}"\nroles = {{ "*" = ["viewer"] }}'
    )
    return COMPLETED


def access_of(values: Configuration, insecure: bool) -> Access | None:
    """Who may come in. Raises SettingsError if nothing says so, or two things do."""
    from stepwire.errors import SettingsError
    from stepwire_handlers.services.door.access import load_access

    if values.door_access is not None and insecure:
        raise SettingsError("--insecure and an access file (door_access) contradict each other; give one")
    if values.door_access is not None:
        return load_access(Path(values.door_access))
    if not insecure:
        raise SettingsError(
            "nobody may come in yet: name an access file with --access (make a key for it with --new-key NAME), "
            "or let everybody in with --insecure"
        )
    complain("INSECURE: everybody who reaches this address may publish, read and decide everything")
    return None


def tell_of_signing(values: Configuration, access: Access | None) -> None:
    """Warn where it matters who decides, and what is decided here can be forged."""
    from stepwire_handlers.services.signing import key_of, weakness

    if access is not None and values.decision_key is None:
        complain("decisions are not signed: anybody who can write to the bus may decide (STEPWIRE_DECISION_KEY)")
    elif access is not None and (weak := weakness(key_of(values))):
        complain(weak)


async def opened(stack: AsyncExitStack, apps: list[App], values: Configuration) -> list[tuple[App, LocalBus]]:
    """Each app with its bus: one for all on a file, a copy of its topics for each on Kafka."""
    from stepwire.errors import SettingsError
    from stepwire_handlers.configuration import KAFKA

    names = [app.name for app in apps]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"two apps are called {', '.join(twice)}; a door tells them apart by name")
    if values.bus.startswith(KAFKA):
        return [(app, await stack.enter_async_context(looking(values, app))) for app in apps]
    one = await stack.enter_async_context(looking(values, apps[0]))
    return [(app, one) for app in apps]
