"""`stepwire dlq`: dead letters, listed, read, resumed or given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from stepwire_handlers.services.dead_letters import DeadLetter

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, stats, replay, drop.")
Handler = Annotated[str | None, typer.Option("--handler", help="Only those of this handler.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, or how they begin; none: all that match.")]
Most = Annotated[int, typer.Option("--max", help="At most so many.")]


def _data(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id, "handler": letter.handler, "run": letter.run, "error": letter.error, "message": letter.message,
        "attempts": int(letter.record.headers["sw_attempts"]), "replays": letter.number, "time": letter.record.time,
    }  # fmt: skip


@app.command("list")
def listing(app: AppName, handler: Handler = None, bus: BusUrl = None, json: AsJson = False) -> None:
    """What nobody replayed or dropped yet."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.dead_letters import DeadLetters

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            found = [x for x in DeadLetters(loaded, where).open() if handler in (None, x.handler)]
        if json:
            echo_json([_data(letter) for letter in found])
        else:
            rows = [(x.id[:12], x.handler, x.run[:12], x.error, x.message[:80], moment(x.record.time)) for x in found]
            table("dead letters", ("id", "handler", "run", "error", "message", "since"), rows)
        return 0

    execute(main)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The id, or how it begins.")], app: AppName, bus: BusUrl = None
) -> None:
    """One of them: the whole cause, and the payload."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.dead_letters import DeadLetters

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            letter = DeadLetters(loaded, where).find(id)
        record = letter.record
        echo_json(_data(letter) | {"headers": dict(record.headers), "payload": record.value.decode(errors="replace")})
        return 0

    execute(main)


@app.command()
def stats(app: AppName, bus: BusUrl = None, json: AsJson = False) -> None:
    """How many, by handler and error."""

    async def main() -> int:
        from stepwire_handlers.configuration import load
        from stepwire_handlers.services.dead_letters import DeadLetters

        loaded = load_app(app)
        async with opened(load(bus=bus)) as where:
            counts = DeadLetters(loaded, where).stats()
        rows = [(handler, error, count) for (handler, error), count in counts.most_common()]
        if json:
            echo_json([{"handler": handler, "error": error, "count": count} for handler, error, count in rows])
        else:
            table("dead letters", ("handler", "error", "count"), rows)
        return 0

    execute(main)


async def _chosen(app: str, bus: str | None, ids: list[str] | None, handler: str | None, most: int, verb: str,
                  edit: str | None = None) -> int:  # fmt: skip
    from stepwire_handlers.configuration import load
    from stepwire_handlers.services.dead_letters import DeadLetters

    loaded = load_app(app)
    async with opened(load(bus=bus)) as where:
        letters = DeadLetters(loaded, where)
        matching = [x for x in letters.open() if handler in (None, x.handler)]
        found = [letters.find(id_) for id_ in ids] if ids else matching
        if verb == "replay":
            await letters.resume(found[:most], edit.encode() if edit else None)
        else:
            await letters.drop(found[:most])
    typer.echo(f"{len(found[:most])} of {len(found)}")
    return 0


@app.command()
def replay(
    app: AppName,
    ids: Ids = None,
    handler: Handler = None,
    max: Most = 100,
    bus: BusUrl = None,
    edit: Annotated[str | None, typer.Option(help="Another payload, JSON; for one id.")] = None,
) -> None:
    """Resume unfinished deliveries."""
    execute(lambda: _chosen(app, bus, ids, handler, max, "replay", edit))


@app.command()
def drop(app: AppName, ids: Ids = None, handler: Handler = None, max: Most = 100, bus: BusUrl = None) -> None:
    """Give unfinished deliveries up: what they owe is absent."""
    execute(lambda: _chosen(app, bus, ids, handler, max, "drop"))
