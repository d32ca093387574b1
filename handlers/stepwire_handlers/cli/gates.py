"""`stepwire gates`: what waits for a person, and their decision; at the bus, or through a door (`--door`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.output import clock
from stepwire_handlers.cli.remote import AppOrName, DoorUrl, a_gate, app_named, door_at, gates_there
from stepwire_handlers.cli.target import (
    COMPLETED,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    existing,
    fields_of,
    me,
    moment,
    say,
    table,
    target,
    text_of,
)

if TYPE_CHECKING:
    from stepwire import App
    from stepwire.bus.local import LocalBus
    from stepwire_handlers.configuration import Configuration
    from stepwire_handlers.services.gates import Waiting

app = typer.Typer(no_args_is_help=True, help="Gates and unknown outcomes: list, show, decide.")
Id = Annotated[str, typer.Argument(help="The id, or how it begins.")]


def _data(waiting: Waiting, *, shorten: bool) -> tuple[dict[str, Any], str]:
    """As data, and the class of its event."""
    from stepwire_handlers.telemetry.mask import masked

    shown = {
        "id": waiting.id, "handler": waiting.handler, "kind": waiting.kind, "run": waiting.run, "since": waiting.since,
        "until": waiting.until, "event": masked(waiting.event, shorten=shorten), "why": waiting.why,
    }  # fmt: skip
    return shown, type(waiting.event).__name__


@app.command("list")
def listing(app: AppOrName = None, bus: BusUrl = None, door: DoorUrl = None, json: AsJson = False) -> None:
    """Everything that waits for a person, oldest first."""

    async def main() -> int:
        from stepwire_handlers.services.gates import Gates
        from stepwire_handlers.services.gist import gist

        if door is not None:
            found = list(gates_there(door_at(door, bus), app))
        else:
            loaded, values = target(app_named(app), bus)
            async with existing(values, loaded) as where:
                found = [("", _data(waiting, shorten=True)[0]) for waiting in Gates(loaded, where).open()]
        if json:
            echo_json([each for _, each in found])
        else:
            several = len({name for name, _ in found}) > 1
            rows = [(w["id"][:12], *([name] if several else []), w["handler"], w["kind"], w["run"][:8],
                     clock(w["since"]), clock(w["until"]), gist(w["event"]), w["why"])
                    for name, w in found]  # fmt: skip
            names = ("handler", "kind", "run", "since", "until", "event", "why")
            table("waiting for a person", ("id", *(["app"] if several else []), *names), rows)
        return COMPLETED

    execute(main)


@app.command()
def show(id: Id, app: AppOrName = None, bus: BusUrl = None, door: DoorUrl = None, json: AsJson = False) -> None:
    """One of them, with the event that is asked about."""

    async def main() -> int:
        from stepwire_handlers.services.gates import Gates

        if door is not None:
            data, kind = a_gate(door_at(door, bus), app, id)[1:]
        else:
            loaded, values = target(app_named(app), bus)
            async with existing(values, loaded) as where:
                data, kind = _data(Gates(loaded, where).find(id), shorten=False)
        if json:
            echo_json(data)
        else:
            for name in ("id", "handler", "kind", "run", "why"):
                say(f"{name}: {data[name]}")
            say(f"since: {moment(data['since'])}\nuntil: {moment(data['until'])}")
            if data["event"] is not None:
                say(f"event: {kind}")
                echo_json(data["event"])
        return COMPLETED

    execute(main)


@app.command()
def decide(
    id: Id,
    app: AppOrName = None,
    approve: Annotated[bool, typer.Option("--approve", help="A gate: yes.")] = False,
    decline: Annotated[bool, typer.Option("--decline", help="A gate: no; --why tells the reason.")] = False,
    edit: Annotated[
        str | None, typer.Option(help="The fields to change, where *** stays what it hides: JSON, @file or -.")
    ] = None,
    why: Annotated[str, typer.Option(help="A remark for whoever reads it.")] = "",
    by: Annotated[str | None, typer.Option(help="Who decides; default: you. With --door: whose key it is.")] = None,
    done: Annotated[
        str | None,
        typer.Option(help="An unknown outcome: it happened, and returned this event: JSON, @file, - or null."),
    ] = None,
    type: Annotated[str, typer.Option(help="With --done: the class of that event, if several fit.")] = "",
    redo: Annotated[bool, typer.Option("--redo", help="An unknown outcome: it did not happen, do it.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="An unknown outcome: give it up.")] = False,
    bus: BusUrl = None,
    door: DoorUrl = None,
) -> None:
    """Decide. A running worker carries it out at once, else the next one does."""

    async def main() -> int:
        from stepwire.errors import SettingsError

        if sum((approve, decline, done is not None, redo, drop)) != 1:
            raise SettingsError("say exactly one of --approve, --decline, --done, --redo, --drop")
        if edit is not None and not (approve or decline):
            raise SettingsError("--edit goes with --approve or --decline; an unknown outcome takes --done JSON")
        verdict = "approve" if approve else "decline" if decline else "redo" if redo else "drop" if drop else "done"
        edited = fields_of(edit, "--edit") if edit is not None else None
        data = text_of(done, "--done") if done is not None else "null"
        if door is not None:
            waiting, known = _decide_there(door, bus, app, id, by, _body(verdict, why, edited, type, data)), True
        else:
            waiting, known = await _decide_here(app_named(app), bus, id, verdict, by or me(), why, edited, type, data)
        said = {"approve": "approved", "decline": "declined"}.get(verdict, verdict)
        with_edit = ", edited" if edited is not None else ""
        say(f"{'decided' if known else 'sent'} {waiting[0][:12]} of {waiting[1]}: {said}{with_edit}")
        if not known:
            complain("whether somebody else decided it a moment before is not known; look at its run")
        return COMPLETED

    execute(main)


async def _decide_here(
    name: str, bus: str | None, id_: str, verdict: str, who: str, why: str, edited: dict[str, Any] | None,
    kind: str, data: str,
) -> tuple[tuple[str, str], bool]:  # fmt: skip
    """At the bus itself; the id and the handler, and is it known that it counts? Takes turns with doors."""
    from stepwire_handlers.services.gates import Gates
    from stepwire_handlers.services.known import Turns

    loaded, values = target(name, bus)
    async with existing(values, loaded) as where:
        whole = Gates(loaded, where).find(id_).id
        key = await _key(values, loaded, where)
        async with Turns(where).alone(whole):
            gates = Gates(loaded, where)
            waiting = gates.find(whole)
            if verdict in ("approve", "decline"):
                known = await gates.decide(
                    waiting, approved=verdict == "approve", by=who, why=why, edited=edited, key=key
                )
            else:
                known = await gates.resolve(waiting, verdict, by=who, why=why, kind=kind, data=data, key=key)
    return (waiting.id, waiting.handler), known


def _decide_there(
    door: str, bus: str | None, name: str | None, id_: str, by: str | None, body: dict[str, Any]
) -> tuple[str, str]:
    """Through a door; the id and the handler."""
    from stepwire.errors import SettingsError

    if by is not None:
        raise SettingsError("--by does not go with --door: it is decided by whoever the key is of")
    remote = door_at(door, bus)
    found = a_gate(remote, name, id_)[0]
    remote.decide(found, body)
    return found["id"], found["handler"]


def _body(verdict: str, why: str, edited: dict[str, Any] | None, kind: str, data: str) -> dict[str, Any]:
    """A decision as a door takes it. Raises SettingsError."""
    import json

    from stepwire.errors import SettingsError

    try:
        event = json.loads(data)
    except ValueError as error:
        raise SettingsError(f"--done is no JSON: {error}") from None
    given = {"why": why, "type": kind, "edited": edited, "event": event}
    return {"decision": verdict} | {name: value for name, value in given.items() if value not in (None, "")}


async def _key(values: Configuration, app: App, bus: LocalBus) -> str:
    """What decisions are signed with. Raises SettingsError if workers would not take what is decided here."""
    from stepwire.errors import SettingsError
    from stepwire_handlers.configuration import KAFKA
    from stepwire_handlers.services.signing import signing_of, weakness

    signing = await signing_of(values, app, bus)
    if signing.refusal:
        raise SettingsError(
            f"{signing.refusal}: decide through their door: --door URL, with a key of its access file in "
            f"STEPWIRE_DOOR_KEY"
        )
    if weak := weakness(signing.key):
        complain(weak)
    if not signing.key and values.bus.startswith(KAFKA):
        complain("not signed: workers with STEPWIRE_DECISION_KEY will not take it; through their door they do (--door)")
    return signing.key
