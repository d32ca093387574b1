"""`--door URL`: the commands that decide, through a door instead of at the bus.

In: an address, and a key from the configuration (`door_key`), which never stands on a command line. Out: what the
commands show, as they get it from the bus itself. The app is then named as the door knows it, and need not be here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stepwire_handlers.services.remote import Remote

AppOrName = Annotated[
    str | None,
    typer.Option(
        "--app", help="The app, MODULE:name; with --door its name there, or none: all.", envvar="STEPWIRE_APP"
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
    from stepwire_handlers.cli.target import load_app

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


def gates_there(
    door: Remote, app: str | None, prefix: str = "", *, shorten: bool
) -> Iterator[tuple[dict[str, Any], str]]:
    """What waits for a person, as data, and the class of its event."""
    return (_gate(found, shorten=shorten) for found in door.gates(app=name_there(app), id=prefix))


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
        raise StepwireError(f"{what} with {prefix!r} (decided already?); see: stepwire gates list --door …")
    return found[0], *_gate(found[0], shorten=False)


def _first(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Two are enough to know that it is not one."""
    for _, each in zip(range(2), found, strict=False):
        yield each


# -- dead letters


def a_letter(door: Remote, app: str | None, prefix: str, *, every: bool = False) -> dict[str, Any]:
    """The dead letter whose id begins so, as the door tells it. Raises StepwireError for none, or more than one."""
    from stepwire.errors import SettingsError, StepwireError

    if not prefix:
        raise SettingsError("the id is empty; see: stepwire dlq list --door …")
    query = {"app": name_there(app), "id": prefix, "every": "true" if every else ""}
    found = list(_first(door.letters(**query)))
    if len(found) != 1:
        kind = "dead letter" if every else "open dead letter"
        what = f"several {kind}s begin" if found else f"no {kind} begins"
        raise StepwireError(f"{what} with {prefix!r}; see: stepwire dlq list --door …")
    return found[0]
