"""`stepwire gates`: what waits for a person, and their decision."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from stepwire_handlers.cli.target import (
    AppName,
    AsJson,
    BusUrl,
    echo_json,
    execute,
    load_app,
    moment,
    opened,
    table,
)  # fmt: skip

app = typer.Typer(no_args_is_help=True, help="Gates and unknown outcomes: list, show, decide.")


@app.command("list")
def listing(app: AppName, bus: BusUrl = None, json: AsJson = False) -> None:
    """Everything that waits for a person."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.gates import Gates
        from stepwire_handlers.telemetry.mask import masked

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            found = Gates(loaded, where).open()
        if json:
            echo_json([
                {"id": w.id, "handler": w.handler, "kind": w.kind, "run": w.run, "since": w.since, "until": w.until,
                 "event": masked(w.event) if w.event else None, "why": w.why}
                for w in found
            ])  # fmt: skip
        else:
            rows = [(w.id[:12], w.handler, w.kind, w.run[:12], moment(w.since), moment(w.until)) for w in found]
            table("waiting for a person", ("id", "handler", "kind", "run", "since", "until"), rows)
        return 0

    execute(main)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The id, or how it begins.")], app: AppName, bus: BusUrl = None
) -> None:
    """One of them, with the event that is asked about."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.gates import Gates
        from stepwire_handlers.telemetry.mask import masked

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            w = Gates(loaded, where).find(id)
        echo_json({"id": w.id, "handler": w.handler, "kind": w.kind, "run": w.run, "since": w.since, "until": w.until,
                   "event": masked(w.event, shorten=False) if w.event else None, "why": w.why})  # fmt: skip
        return 0

    execute(main)


@app.command()
def decide(
    id: Annotated[str, typer.Argument(help="The id, or how it begins.")],
    app: AppName,
    approve: Annotated[bool, typer.Option("--approve", help="A gate: yes.")] = False,
    decline: Annotated[bool, typer.Option("--decline", help="A gate: no; say --why.")] = False,
    edit: Annotated[str | None, typer.Option(help="Fields of the event as you want them, JSON.")] = None,
    why: Annotated[str, typer.Option(help="A remark for whoever reads it.")] = "",
    by: Annotated[str | None, typer.Option(help="Who decides; default: you.")] = None,
    done: Annotated[
        str | None, typer.Option(help="An unknown outcome: it happened, and returned this event, JSON.")
    ] = None,
    type: Annotated[str, typer.Option(help="With --done: the class of that event.")] = "",
    redo: Annotated[bool, typer.Option("--redo", help="An unknown outcome: it did not happen, do it.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="An unknown outcome: give it up.")] = False,
    bus: BusUrl = None,
) -> None:
    """Decide. A running worker carries it out at once, else the next one does."""

    async def main() -> int:
        import json

        from stepwire.errors import SettingsError
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.gates import Gates

        if sum((approve, decline, done is not None, redo, drop)) != 1:
            raise SettingsError("say exactly one of --approve, --decline, --done, --redo, --drop")
        values, loaded, who = load(bus=bus), load_app(app), by or getpass.getuser()
        async with opened(values) as where:
            gates = Gates(loaded, where)
            waiting = gates.find(id)
            if approve or decline:
                key = values.decision_key.get_secret_value() if values.decision_key else ""
                edited = json.loads(edit) if edit else None
                await gates.decide(waiting, approved=approve, by=who, why=why, edited=edited, key=key)
            else:
                verdict = "redo" if redo else "drop" if drop else "done"
                await gates.resolve(waiting, verdict, by=who, kind=type, data=done or "null")
        typer.echo(f"decided {waiting.id[:12]} of {waiting.handler}")
        return 0

    execute(main)
