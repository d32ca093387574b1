"""`stepwire gates`: what waits for a person, and their decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.output import clock
from stepwire_handlers.cli.target import (
    COMPLETED,
    AppName,
    AsJson,
    BusUrl,
    echo_json,
    execute,
    existing,
    fields_of,
    me,
    moment,
    table,
    target,
    text_of,
)

if TYPE_CHECKING:
    from stepwire_handlers.configuration import Configuration
    from stepwire_handlers.services.gates import Gates, Waiting

app = typer.Typer(no_args_is_help=True, help="Gates and unknown outcomes: list, show, decide.")
Id = Annotated[str, typer.Argument(help="The id, or how it begins.")]


def _data(waiting: Waiting, event: object) -> dict[str, Any]:
    return {
        "id": waiting.id, "handler": waiting.handler, "kind": waiting.kind, "run": waiting.run, "since": waiting.since,
        "until": waiting.until, "event": event, "why": waiting.why,
    }  # fmt: skip


@app.command("list")
def listing(app: AppName, bus: BusUrl = None, json: AsJson = False) -> None:
    """Everything that waits for a person, oldest first."""

    async def main() -> int:
        from stepwire_handlers.services.gates import Gates
        from stepwire_handlers.telemetry.mask import masked

        loaded, values = target(app, bus)
        async with existing(values, loaded) as where:
            found = Gates(loaded, where).open()
        if json:
            echo_json([_data(w, masked(w.event)) for w in found])
        else:
            rows = [(w.id[:12], w.handler, w.kind, w.run[:8], clock(w.since), clock(w.until), w.why) for w in found]
            table("waiting for a person", ("id", "handler", "kind", "run", "since", "until", "why"), rows)
        return COMPLETED

    execute(main)


@app.command()
def show(id: Id, app: AppName, bus: BusUrl = None, json: AsJson = False) -> None:
    """One of them, with the event that is asked about."""

    async def main() -> int:
        from stepwire_handlers.services.gates import Gates
        from stepwire_handlers.telemetry.mask import masked

        loaded, values = target(app, bus)
        async with existing(values, loaded) as where:
            found = Gates(loaded, where).find(id)
        data = _data(found, masked(found.event, shorten=False))
        if json:
            echo_json(data)
        else:
            for name in ("id", "handler", "kind", "run", "why"):
                typer.echo(f"{name}: {data[name]}")
            typer.echo(f"since: {moment(found.since)}\nuntil: {moment(found.until)}")
            typer.echo(f"event: {type(found.event).__name__}")
            echo_json(data["event"])
        return COMPLETED

    execute(main)


@app.command()
def decide(
    id: Id,
    app: AppName,
    approve: Annotated[bool, typer.Option("--approve", help="A gate: yes.")] = False,
    decline: Annotated[bool, typer.Option("--decline", help="A gate: no; say --why.")] = False,
    edit: Annotated[str | None, typer.Option(help="Fields of the event as you want them: JSON, @file or -.")] = None,
    why: Annotated[str, typer.Option(help="A remark for whoever reads it.")] = "",
    by: Annotated[str | None, typer.Option(help="Who decides; default: you.")] = None,
    done: Annotated[
        str | None,
        typer.Option(help="An unknown outcome: it happened, and returned this event: JSON, @file, - or null."),
    ] = None,
    type: Annotated[str, typer.Option(help="With --done: the class of that event, if several fit.")] = "",
    redo: Annotated[bool, typer.Option("--redo", help="An unknown outcome: it did not happen, do it.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="An unknown outcome: give it up.")] = False,
    bus: BusUrl = None,
) -> None:
    """Decide. A running worker carries it out at once, else the next one does."""

    async def main() -> int:
        from stepwire.errors import SettingsError
        from stepwire_handlers.services.gates import Gates

        if sum((approve, decline, done is not None, redo, drop)) != 1:
            raise SettingsError("say exactly one of --approve, --decline, --done, --redo, --drop")
        if edit is not None and not (approve or decline):
            raise SettingsError("--edit goes with --approve or --decline; an unknown outcome takes --done JSON")
        edited = fields_of(edit, "--edit") if edit is not None else None
        loaded, values = target(app, bus)
        who = by or me()
        async with existing(values, loaded) as where:
            gates = Gates(loaded, where)
            waiting = gates.find(id)
            if approve or decline:
                key = _key(values)
                await gates.decide(waiting, approved=approve, by=who, why=why, edited=edited, key=key)
            else:
                data = text_of(done, "--done") if done is not None else "null"
                await _resolve(gates, waiting, redo, drop, who, type, data)
        said = "approved" if approve else "declined" if decline else "redo" if redo else "drop" if drop else "done"
        with_edit = ", edited" if edited is not None else ""
        typer.echo(f"decided {waiting.id[:12]} of {waiting.handler}: {said}{with_edit}")
        return COMPLETED

    execute(main)


async def _resolve(gates: Gates, waiting: Waiting, redo: bool, drop: bool, who: str, kind: str, data: str) -> None:
    verdict = "redo" if redo else "drop" if drop else "done"
    await gates.resolve(waiting, verdict, by=who, kind=kind, data=data)


def _key(values: Configuration) -> str:
    return values.decision_key.get_secret_value() if values.decision_key else ""
