"""`--door URL`: commands that go through a door instead of to the bus.

In: an address, and a key from the configuration (`door_key`), which never stands on a command line. Out: what the
commands show, as they get it from the bus itself. The app is then named as the door knows it, and need not be here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stepwire_handlers.services.remote import Remote

LOOK = 1.0  #: seconds between two looks at a run
AppOrName = Annotated[
    str | None,
    typer.Option(
        "--app",
        help="The app, MODULE:name; with --door its name there (none: all, where several may be meant).",
        envvar="STEPWIRE_APP",
    ),
]
DoorUrl = Annotated[
    str | None, typer.Option("--door", help="The address of a door to ask, with the key in STEPWIRE_DOOR_KEY.")
]


def app_named(app: str | None) -> str:
    """The app of a command that goes to the bus. Raises SettingsError."""
    from stepwire.errors import SettingsError

    if app is None:
        raise SettingsError("name the app with --app MODULE:name (or STEPWIRE_APP), or a door with --door URL")
    return app


def name_there(app: str | None) -> str:
    """What an app is called at a door; empty for all of them. MODULE:name is looked up here. Raises SettingsError."""
    from stepwire_handlers.cli.app_module import load_app

    return load_app(app).name if app is not None and ":" in app else app or ""


def door_at(url: str, bus: str | None) -> Remote:
    """The door. Raises SettingsError for an address that is none, and without a key."""
    from stepwire.errors import SettingsError
    from stepwire_handlers.configuration import load
    from stepwire_handlers.services.remote import Remote

    if bus is not None:
        raise SettingsError("--bus and --door are two ways to the same runs; give one")
    key = load().door_key
    return Remote(url, "" if key is None else key.get_secret_value())


# -- gates


def gates_there(door: Remote, app: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """What waits for a person: its app, and itself as data."""
    return ((found["app"], _gate(found, shorten=True)[0]) for found in door.gates(app=name_there(app)))


def _gate(found: dict[str, Any], *, shorten: bool) -> tuple[dict[str, Any], str]:
    from stepwire_handlers.telemetry.mask import masked

    event = dict(found["event"]) if found["event"] is not None else None
    kind = "NoneType" if event is None else str(event.pop("type", ""))
    names = ("id", "handler", "kind", "run", "since", "until", "event", "why")
    return {name: masked(event, shorten=shorten) if name == "event" else found[name] for name in names}, kind


def a_gate(door: Remote, app: str | None, prefix: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The one whose id begins so: as the door tells it, as data, and its event's class."""
    from stepwire.errors import SettingsError, StepwireError

    if not prefix:
        raise SettingsError("the id is empty; see: stepwire gates list --door …")
    found = list(_first(door.gates(app=name_there(app), id=prefix)))
    if len(found) != 1:
        what = "several things that wait for a person begin" if found else "nothing that waits for a person begins"
        raise StepwireError(f"{what} with {prefix!r} (decided or expired?); see: stepwire gates list --door …")
    return found[0], *_gate(found[0], shorten=False)


def _first(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Two are enough to know that it is not one."""
    for _, each in zip(range(2), found, strict=False):
        yield each


# -- dead letters


def a_letter(door: Remote, app: str | None, prefix: str, handler: str, *, every: bool = False) -> dict[str, Any]:
    """A handler's (empty: any) whose id begins so, as the door tells it. Raises StepwireError for none, or several."""
    from stepwire.errors import SettingsError, StepwireError

    if not prefix:
        raise SettingsError("the id is empty; see: stepwire dlq list --door …")
    query = {"app": name_there(app), "id": prefix, "handler": handler, "every": "true" if every else ""}
    found = list(_first(door.letters(**query)))
    if len(found) != 1:
        kind = "dead letter" if every else "open dead letter"
        what = f"several {kind}s begin" if found else f"no {kind} begins"
        raise StepwireError(f"{what} with {prefix!r}; --handler says whose; see: stepwire dlq list --door …")
    return found[0]


# -- events


def publish_there(
    door: Remote, app: str, kind: str, fields: dict[str, Any], files: list[tuple[str, Path]], id_: str | None
) -> str:
    """Publish, unless it was under this id, or with this one file, before; its run. Raises SettingsError."""
    import hashlib

    from stepwire.errors import SettingsError
    from stepwire_handlers.cli.output import complain

    if not app:
        raise SettingsError("--door: name the app, as the door knows it, with --app NAME")
    if id_ is not None and not (id_.isascii() and id_.isprintable() and " " not in id_ and len(id_) < 256):
        raise SettingsError("--id: a door takes 1 to 255 visible ASCII characters")
    if id_ is None and len(files) == 1:
        with files[0][1].open("rb") as file:
            id_ = hashlib.file_digest(file, "sha256").hexdigest()
    said = door.publish(app, kind, fields, files, id_)
    if said["repeated"]:
        complain(f"published before under this id; following run {said['run']}")
    run: str = said["run"]
    return run


def rested_there(door: Remote, app: str, run: str, seconds: float) -> dict[str, Any]:
    """The run once it has its result, is completed, or waits for a person; or as it is when time is up."""
    import time

    from stepwire.errors import StepwireError
    from stepwire_handlers.services.runs import at_rest

    end = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        try:
            told = door.rested(run, app, max(end - begun, 0.0))
        except StepwireError as error:
            raise StepwireError(f"published as run {run}, but what comes of it is not known: {error}") from None
        done = told["result"] is not None or told["state"] == "completed"
        if done or at_rest(item["kind"] for item in told["open"]) or time.monotonic() >= end:
            last = ("handler", "error", "message", "id")
            dead = [{name: letter[name] for name in last} for letter in told["dead_letters"]]
            return told | {"dead_letter": dead[-1] if dead else None}
        # a door with no room for another one who waits answers at once
        time.sleep(max(min(LOOK, end - begun) - (time.monotonic() - begun), 0.0))


# -- runs


def runs_there(
    door: Remote, app: str | None, limit: int, state: str | None, begin: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """The newest runs, as the door tells them, and what there is to say about them."""
    from datetime import UTC, datetime

    since = datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if begin > 0 else ""
    found, whole = door.runs(limit, app=name_there(app), state=state or "", since=since)
    more = not whole and len(found) < limit
    return found, ["the door did not look into older runs; narrow the time with --since"] if more else []


def a_run(door: Remote, app: str | None, prefix: str) -> dict[str, Any]:
    """The run whose id begins so, as the door lists it. Raises StepwireError for none, or more than one."""
    from stepwire.errors import SettingsError, StepwireError

    if not prefix:
        raise SettingsError("the id is empty; see: stepwire runs list --door …")
    found, _ = door.runs(2, app=name_there(app), id=prefix)
    if len(found) != 1 or not found[0]["run"].startswith(prefix):
        apps = " and ".join(sorted({each["app"] for each in found}))
        cure = f"it is one of {apps}: say which with --app" if len({each["run"] for each in found}) == 1 else ""
        raise StepwireError(
            f"no run begins with {prefix!r}, or more than one; {cure or 'see: stepwire runs list --door …'}"
        )
    return found[0]


def steps_there(door: Remote, found: dict[str, Any]) -> dict[str, Any]:
    """It step by step, in the form of `--json`."""
    told = door.steps(found["run"], found["app"])
    del told["app"]
    return told


async def looks_there(door: Remote, found: dict[str, Any], seconds: float) -> AsyncGenerator[dict[str, Any], None]:
    """The same again and again, until `seconds` are over; a run that is slow to read is not asked for all the time."""
    import asyncio

    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        begun = loop.time()
        yield steps_there(door, found)
        if loop.time() >= end:
            return
        await asyncio.sleep(min(max(LOOK, 3 * (loop.time() - begun)), max(end - loop.time(), 0.0)))
