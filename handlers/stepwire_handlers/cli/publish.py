"""`stepwire publish`: an event into an app, and if asked what came of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.target import (
    COMPLETED,
    DEAD_LETTER,
    TIMED_OUT,
    WAITING,
    AppName,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    load_app,
    opened,
)  # fmt: skip

if TYPE_CHECKING:
    from stepwire import App, Event
    from stepwire_handlers.configuration import Configuration
    from stepwire_handlers.services.runs import RunView

EXIT = {"completed": COMPLETED, "waiting": WAITING, "failed": DEAD_LETTER, "running": TIMED_OUT}


def command(
    type: Annotated[str, typer.Argument(help="The event: its class, or its ce_type.")],
    app: AppName,
    json_data: Annotated[str | None, typer.Option(help="The event's fields: JSON, @file, or - for stdin.")] = None,
    attach: Annotated[list[str] | None, typer.Option(help="field=FILE, put into the blob store first.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Default: random, or the hash of the attached file.")] = None,
    source: Annotated[str | None, typer.Option(help="Who publishes; with --id it identifies the event.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run ends or waits for a person.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that --wait waits at most.")] = 300.0,
    bus: BusUrl = None,
    json: AsJson = False,
) -> None:
    """Publish an event. Exit: 0 completed, 3 waiting for a person, 4 dead letter, 5 timed out, 2 usage."""

    async def main() -> int:
        from stepwire.worker import prepare
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.publishing import publish, until_it_rests

        values = load(bus=bus)
        os.environ.setdefault("STEPWIRE_BLOBS", values.blobs)  # what the flow's own store is named by
        loaded = load_app(app)
        fields, key = await _with_attachments(_fields(json_data), attach or [], values)
        event = _event(loaded, type, fields)
        async with opened(values) as where:
            await prepare(loaded, where, loaded.settings)
            run = await publish(loaded, where, event, id=id or key, source=source)
            if not wait:
                echo_json({"run": run}) if json else typer.echo(run)
                return COMPLETED
            view = await until_it_rests(loaded, where, run, timeout)
        _report(view, json)
        return EXIT[view.state]

    execute(main)


def _report(view: RunView, as_json: bool) -> None:
    from stepwire_handlers.services.runs import summary

    for waiting in view.gates:
        complain(
            f"waits for a person: {waiting.handler} ({waiting.kind}), stepwire gates decide {waiting.id[:12]} --app …"
        )
    for letter in view.dead:
        complain(
            f"dead letter: {letter.handler}: {letter.error}: {letter.message} (stepwire dlq show {letter.id[:12]})"
        )
    data = summary(view)
    if as_json:
        echo_json(data)
    else:
        typer.echo(f"{data['run']} {data['state']} {data['result'] or ''}")


def _fields(text: str | None) -> dict[str, Any]:
    import json

    from stepwire.errors import SettingsError

    raw = sys.stdin.read() if text == "-" else Path(text[1:]).read_text() if text and text[0] == "@" else text or "{}"
    try:
        fields = json.loads(raw)
    except ValueError as error:
        raise SettingsError(f"--json-data is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise SettingsError("--json-data must be an object: the event's fields")
    return fields


async def _with_attachments(
    fields: dict[str, Any], attach: list[str], values: Configuration
) -> tuple[dict[str, Any], str | None]:
    """The fields with attachments put into the blob store, and the hash of the file if there is one only."""
    from stepwire.errors import SettingsError

    if not attach:
        return fields, None
    from stepwire_handlers.blobs import blob_store
    from stepwire_handlers.services.publishing import put

    key = None
    async with blob_store(values.blobs) as blobs:
        for each in attach:
            field, _, file = each.partition("=")
            if not file or not Path(file).is_file():
                raise SettingsError(f"--attach {each}: write field=FILE with a file that exists")
            attachment = await put(blobs, Path(file))
            fields = {**fields, field: attachment.model_dump()}
            key = attachment.sha256
    return fields, key if len(attach) == 1 else None


def _event(app: App, name: str, fields: dict[str, Any]) -> Event:
    from pydantic import ValidationError

    from stepwire.errors import SettingsError

    entries = {entry.__name__: entry for entry in app.wiring.graph.entries}
    kind = entries.get(name) or next((e for e in entries.values() if name in (e.spec.type, e.spec.base)), None)
    if kind is None:
        raise SettingsError(f"runs of {app.name} begin with {', '.join(sorted(entries))}, not with {name}")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        reasons = "; ".join(f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}" for issue in wrong)
        raise SettingsError(f"these fields are no {kind.__name__}: {reasons}") from None
