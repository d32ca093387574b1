"""`stepwire contracts`: what an app takes and gives, as an AsyncAPI document, and whether a release breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.target import (
    COMPLETED,
    FAILED,
    AppPlace,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    target,
)

if TYPE_CHECKING:
    from stepwire import App

app = typer.Typer(no_args_is_help=True, help="Contracts: export, and check against the last release.")
FOLDER = Path("contracts")  #: where a repository keeps the exports of its apps


def _loaded(name: str, bus: str | None, release: str) -> tuple[App, dict[str, Any]]:
    """The app and its document as it stands where the configuration says."""
    from stepwire_handlers.configuration import KAFKA
    from stepwire_handlers.contracts.document import Surroundings, document_of

    found, values = target(name, bus)
    is_kafka = values.bus.startswith(KAFKA)
    protocol = values.kafka.get("security.protocol")
    around = Surroundings(
        release,
        values.prefix if is_kafka else "",
        values.bus.removeprefix(KAFKA).rstrip("/").split(",") if is_kafka else (),
        "SSL" in protocol.get_secret_value() if protocol else False,
        values.topics,
    )
    return found, document_of(found, around)


@app.command()
def export(
    app: AppPlace,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: stdout.")] = None,
    schemas: Annotated[Path | None, typer.Option(help="A folder: a JSON Schema for each event too.")] = None,
    release: Annotated[str, typer.Option(help="The version that the document gets.")] = "unreleased",
    bus: BusUrl = None,
) -> None:
    """Write the AsyncAPI 3.0 document of an app, made from its wiring; on Kafka with prefix and brokers.

    Exit: 0 written, 1 a file could not be, 2 usage.
    """

    async def main() -> int:
        from stepwire_handlers.contracts.document import schemas_of, written

        loaded, document = _loaded(app, bus, release)
        if schemas is not None:
            for name, schema in schemas_of(loaded).items():
                _write(schemas / name, written(schema))
        if out is None:
            typer.echo(written(document), nl=False)
        else:
            _write(out, written(document))
            complain(f"{out}: {len(document['components']['messages'])} events of {loaded.name}")
        return COMPLETED

    execute(main)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


@app.command()
def check(
    app: AppPlace,
    against: Annotated[
        Path | None, typer.Option(help="The last release's export; default: contracts/<app>.json.")
    ] = None,
    git: Annotated[
        str | None, typer.Option(metavar="REF", help="Read that file as this tag, branch or commit has it.")
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="EVENT", help="Say what breaks of this event, and do not refuse it.")
    ] = None,
    json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """Refuse a release that breaks those who publish an app's events, read them, or has them in flight.

    Exit: 0 nothing breaks, 1 something does, 2 usage, such as no export to compare with.
    """

    async def main() -> int:
        from stepwire_handlers.contracts.changes import breaking
        from stepwire_handlers.contracts.release import last_release

        loaded, document = _loaded(app, bus, "unreleased")
        path = against or FOLDER / f"{loaded.name}.json"
        found = breaking(last_release(path, git), document)
        accepted = _accepted(accept or [], {change.event for change in found})
        if json:
            echo_json([change._asdict() | {"accepted": change.event in accepted} for change in found])
        for change in found:
            complain(f"accepted: {change}" if change.event in accepted else str(change))
        refused = [change for change in found if change.event not in accepted]
        if not refused:
            complain(f"{loaded.name}: nothing breaks that was not accepted" if found else f"{loaded.name}: no break")
            return COMPLETED
        complain(
            "raise version= of the event and add an upcast, add a second event beside it, or, if everybody concerned "
            "has agreed, --accept EVENT"
        )
        return FAILED

    execute(main)


def _accepted(named: list[str], known: set[str]) -> set[str]:
    """Raises SettingsError for a name that nothing breaks of: it hides tomorrow's break."""
    from stepwire.errors import SettingsError

    if strange := sorted({*named} - known):
        shown = ", ".join(sorted(known)) or "nothing does"
        raise SettingsError(f"--accept {strange[0]}: nothing of that name breaks; what does: {shown}")
    return {*named}
