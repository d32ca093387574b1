"""`stepwire publish`: an event into an app, at the bus or through a door, and if asked what came of it.

A known identity, the same id and source, is not published again: its run is followed. Two processes that publish the
same identity at once take turns, so one of them finds it known.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stepwire_handlers.cli.remote import (
    AppOrName,
    DoorUrl,
    app_named,
    door_at,
    name_there,
    publish_there,
    rested_there,
)
from stepwire_handlers.cli.target import (
    COMPLETED,
    DEAD_LETTER,
    TIMED_OUT,
    WAITING,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    fields_of,
    looking,
    say,
    target,
    where_else,
)

if TYPE_CHECKING:
    from stepwire import App, Event
    from stepwire.bus.local import LocalBus
    from stepwire_handlers.configuration import Configuration
    from stepwire_handlers.services.known import Turns
    from stepwire_handlers.services.runs import RunView

UNTAKEN = 3.0  #: seconds after which --wait says that nobody has taken the event
PATIENCE = 300.0  #: seconds that --wait waits if it is not told


class COMMAND(TyperCommand):
    """Reads `--wait [SECONDS]`: typer has no options whose value may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare `--wait` its default."""
        found: list[str] = []
        for index, arg in enumerate(args):
            bare = arg == "--wait" and not _is_number(args[index + 1 : index + 2])
            found.append(f"--wait={PATIENCE:g}" if bare else arg)
        return super().parse_args(ctx, found)


def _is_number(arguments: list[str]) -> bool:
    try:
        return bool(arguments) and float(arguments[0]) >= 0
    except ValueError:
        return False


def command(
    type: Annotated[str, typer.Argument(help="The event: its class, or its ce_type.")],
    app: AppOrName = None,
    json_data: Annotated[str | None, typer.Option(help="The event's fields: JSON, @file, or - for stdin.")] = None,
    attach: Annotated[list[str] | None, typer.Option(help="field=FILE, put into the blob store first.")] = None,
    id: Annotated[
        str | None,
        typer.Option(
            "--id", help="Default: random, or the hash of the attached file. With --door: its Idempotency-Key."
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Who publishes; with --id it identifies the event.")] = None,
    wait: Annotated[
        float | None,
        typer.Option("--wait", metavar="[SECONDS]", min=0.0, help=f"Wait for the result; {PATIENCE:g} s if not said."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The result as it is, sensitive fields included.")] = False,
    bus: BusUrl = None,
    door: DoorUrl = None,
    json: AsJson = False,
) -> None:
    """Publish an event; with --wait: what came of it.

    Exit: 0 completed, or the result is there; 3 waiting for a person; 4 dead letter; 5 timed out; 2 usage; 1 bus.
    """

    async def main() -> int:
        from stepwire.errors import SettingsError

        if id == "" or source == "":
            raise SettingsError("--id and --source must not be empty; without --id, one is made")
        given = {} if json_data is None else fields_of(json_data, "--json-data")
        pairs = _pairs(attach or [])
        if door is None:
            name = app_named(app)
            run, told = await _here(name, bus, type, given, pairs, id, source, wait, raw=raw)
            there = where_else(name, bus)
        else:
            if raw:
                raise SettingsError("--raw needs the bus: a door shows no sensitive field to anybody")
            if source is not None:
                raise SettingsError("--source does not go with --door: the event comes from whoever the key is of")
            run, told, there = _there(door, bus, app, type, given, pairs, id, wait)
        if told is not None:
            return _report(told, json, there)
        echo_json({"run": run}) if json else say(run)
        return COMPLETED

    execute(main)


async def _here(
    app: str, bus: str | None, type_: str, given: dict[str, Any], pairs: list[tuple[str, Path]], id_: str | None,
    source: str | None, wait: float | None, *, raw: bool,
) -> tuple[str, dict[str, Any] | None]:  # fmt: skip
    """At the bus itself; the run, and what it came to if that is waited for."""
    from stepwire.worker import prepare
    from stepwire_handlers.services.fields import event_of
    from stepwire_handlers.services.known import Turns
    from stepwire_handlers.telemetry.otlp import publishing

    loaded, values = target(app, bus)
    kind = _entry(loaded, type_)
    fields, key = await _attached(kind, given, _files(kind, pairs), values)
    event = event_of(kind, fields)
    async with publishing("stepwire-publish", values.bus) as tracer, looking(values, loaded) as where:
        await prepare(loaded, where, loaded.settings)  # nothing before the first worker is lost
        run = await _publish(loaded, Turns(where, tracer), event, id_ or key, source)
        return run, None if wait is None else _told(await _result(loaded, app, where, run, wait), raw=raw)


def _there(
    door: str, bus: str | None, app: str | None, type_: str, given: dict[str, Any], pairs: list[tuple[str, Path]],
    id_: str | None, wait: float | None,
) -> tuple[str, dict[str, Any] | None, str]:  # fmt: skip
    """Through a door; the same, and how another command finds it."""
    from shlex import quote

    remote, name = door_at(door, bus), name_there(app)
    run = publish_there(remote, name, type_, given, pairs, id_)
    told = None if wait is None else rested_there(remote, name, run, wait)
    return run, told, f"--app {quote(name)} --door {quote(door)}"


# -- the event


def _entry(app: App, name: str) -> type[Event]:
    from stepwire.errors import SettingsError
    from stepwire_handlers.entries import entries_of

    entries = {entry.__name__: entry for entry in entries_of(app)}
    kind = entries.get(name) or next((e for e in entries.values() if name in (e.spec.type, e.spec.base)), None)
    if kind is None:
        raise SettingsError(f"runs of {app.name} begin with {', '.join(sorted(entries))}, not with {name}")
    return kind


def _pairs(attach: list[str]) -> list[tuple[str, Path]]:
    """(field, file) of each --attach. Raises SettingsError for no file."""
    from stepwire.errors import SettingsError

    found = []
    for each in attach:
        field, _, file = each.partition("=")
        if not file or not Path(file).is_file():
            raise SettingsError(f"--attach {each}: write field=FILE with a file that exists")
        found.append((field, Path(file)))
    return found


def _files(kind: type[Event], pairs: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """The same, of fields that take one. Raises SettingsError for others."""
    from stepwire.errors import SettingsError

    takes = [name for name, info in kind.model_fields.items() if _holds_attachment(info.annotation)]
    for field, path in pairs:
        if field not in takes:
            known = f"it takes one in {', '.join(takes)}" if takes else "it takes none"
            raise SettingsError(f"--attach {field}={path}: {kind.__name__} has no attachment {field!r}; {known}")
    return pairs


def _holds_attachment(annotation: Any) -> bool:
    from typing import get_args

    from stepwire_topics.attachment import Attachment

    return annotation is Attachment or any(_holds_attachment(inner) for inner in get_args(annotation))


def _is_list(kind: type[Event], field: str) -> bool:
    from typing import get_origin

    return get_origin(kind.model_fields[field].annotation) in (list, tuple)


async def _attached(
    kind: type[Event], fields: dict[str, Any], files: list[tuple[str, Path]], values: Configuration
) -> tuple[dict[str, Any], str | None]:
    """The fields with the files put into the blob store, and the hash of the file if there is one only."""
    if not files:
        return fields, None
    import mimetypes

    from stepwire_handlers.blobs import blob_store

    found, key = dict(fields), None
    async with blob_store(values.blobs) as blobs:
        for field, path in files:
            media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            try:
                attachment = await blobs.put(path, media_type=media, name=path.name)
            except Exception as error:
                if (signal := blobs.classify(error)) is not None:
                    raise signal from None  # the client library's own message is pages long
                raise
            key, data = attachment.sha256, attachment.model_dump()
            found[field] = [*found.get(field, []), data] if _is_list(kind, field) else data
    return found, key if len(files) == 1 else None


# -- publishing


async def _publish(app: App, turns: Turns, event: Event, id_: str | None, source: str | None) -> str:
    """Publish, unless this identity is known; its run. Raises PublishError, BusUnavailable."""
    import time

    from stepwire_handlers.services.known import Offer

    out, run = app.record(event, id=id_, source=source, now=time.time())
    (earlier,) = await turns.publish([Offer(out, run, named=id_ is not None)])
    if earlier is not None:
        complain(f"published before under this id; following run {run}")
    return run


# -- waiting


async def _result(app: App, name: str, bus: LocalBus, run: str, seconds: float) -> RunView:
    """The run once it has its result, is completed, or waits for a person; or as it is when time is up."""
    from stepwire_handlers.services.runs import Runs, follow

    begun, told = time.monotonic(), False
    async for view in follow(Runs(app, bus), bus, run, seconds):
        if not told and len(view.lines) == 1 and time.monotonic() - begun > UNTAKEN:
            complain(f"no step is done yet; if no worker runs, start one: stepwire run {name}")
            told = True
        if view.result is not None or view.state == "completed" or view.rests:
            break
    return view


def _told(view: RunView, *, raw: bool) -> dict[str, Any]:
    """A run as a door answers it to who waits for it; `raw`: with a result that is not masked."""
    from stepwire_handlers.services.runs import summary
    from stepwire_handlers.services.telling import brief

    return (summary(view) if raw else brief(view)) | {
        "open": [{"handler": item.handler, "kind": item.kind} for item in view.open],
        "gates": [{"handler": each.handler, "kind": each.kind, "id": each.id} for each in view.gates],
        "dead_letters": [{"handler": x.handler, "error": x.error, "message": x.message, "id": x.id} for x in view.dead],
    }  # fmt: skip


def _report(run: dict[str, Any], as_json: bool, there: str) -> int:
    from stepwire_handlers.services.gates import GATE

    for waiting in run["gates"]:
        answer, else_ = ("--approve", "--decline") if waiting["kind"] == GATE else ("--redo", "--drop, --done JSON")
        complain(f"waits for a person: {waiting['handler']} ({waiting['kind']}): "
                 f"stepwire gates decide {waiting['id'][:12]} {answer} {there} (or {else_})")  # fmt: skip
    for letter in run["dead_letters"]:
        complain(f"dead letter: {letter['handler']}: {letter['error']}: {letter['message']} "
                 f"(stepwire dlq show {letter['id'][:12]} {there})")  # fmt: skip
    code = _code(run)
    if code == TIMED_OUT:
        open_ = ", ".join(sorted({f"{item['handler']} ({item['kind']})" for item in run["open"]}))
        worker = f": stepwire run {there.removeprefix('--app ')}" if "--door" not in there else ""
        complain(f"time is up; open: {open_}. It goes on without you, if a worker runs{worker}; "
                 f"look again with: stepwire runs show {run['run'][:12]} {there}")  # fmt: skip
    data = {name: run[name] for name in ("run", "state", "result", "dead_letter")}
    if as_json:
        echo_json(data)
    else:
        from pydantic_core import to_json

        for name, value in data.items():
            say(f"{name}: {value if isinstance(value, str) else to_json(value).decode()}")
    return code


def _code(run: dict[str, Any]) -> int:
    from stepwire_handlers.services.runs import at_rest

    if run["result"] is not None or run["state"] == "completed":
        return COMPLETED
    if not at_rest(item["kind"] for item in run["open"]):
        return TIMED_OUT
    return WAITING if run["gates"] else DEAD_LETTER
