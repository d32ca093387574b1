"""`stepwire dlq`: dead letters, listed, read, resumed or given up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.output import clock
from stepwire_handlers.cli.target import (
    COMPLETED,
    AppName,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    existing,
    has_handler,
    me,
    moment,
    table,
    target,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire_handlers.services.dead_letters import Blocked, DeadLetter, DeadLetters, Filter
    from stepwire_handlers.services.said import Said

FRAME = re.compile(r'^  File "(.+)", line (\d+), in (.+)$', re.MULTILINE)  #: of a traceback

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, stats, replay, drop.")
Handler = Annotated[str, typer.Option("--handler", help="Only those of this handler.")]
Error = Annotated[str, typer.Option("--error", help="Only those of this exception, by its class.")]
Run = Annotated[str, typer.Option("--run", help="Only those of this run, or how it begins.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, or how they begin; none: what the options say.")]
All = Annotated[bool, typer.Option("--all", help="Every open one; needed if nothing else says which.")]
Most = Annotated[int, typer.Option("--max", min=1, help="At most so many, oldest first.")]


def _data(letter: DeadLetter, status: str) -> dict[str, Any]:
    return {
        "id": letter.id, "handler": letter.handler, "run": letter.run, "status": status, "error": letter.error,
        "message": letter.message, "attempts": letter.attempts, "replays": letter.number, "time": letter.record.time,
    }  # fmt: skip


@app.command("list")
def listing(
    app: AppName,
    handler: Handler = "",
    error: Error = "",
    run: Run = "",
    every: Annotated[bool, typer.Option("--every", help="Also those that were replayed or dropped.")] = False,
    bus: BusUrl = None,
    json: AsJson = False,
) -> None:
    """What nobody replayed or dropped yet, oldest first."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import DeadLetters, Filter
        from stepwire_handlers.services.snapshot import snapshot

        loaded, values = target(app, bus)
        wanted = Filter(handler, error, run)
        async with existing(values, loaded) as where:
            letters = DeadLetters(loaded, where)
            with snapshot(where):
                found = [(x, letters.status(x)) for x in letters.last() if wanted.matches(x)]
        if handler and not found:  # a handler that is gone may have left some
            has_handler(loaded, handler, "--handler")
        found = [(letters.shown(x), status) for x, status in found if every or status == "open"]
        if json:
            echo_json([_data(*each) for each in found])
        else:
            rows = [(x.id[:12], x.handler, x.run[:8], status, x.error, x.message[:80], clock(x.record.time))
                    for x, status in found]  # fmt: skip
            table("dead letters", ("id", "handler", "run", "status", "error", "message", "since"), rows)
        return COMPLETED

    execute(main)


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The id, or how it begins; also one that was answered.")],
    app: AppName,
    raw: Annotated[bool, typer.Option("--raw", help="The payload as it is, sensitive fields included.")] = False,
    bus: BusUrl = None,
    json: AsJson = False,
) -> None:
    """One of them: the whole cause, the headers, the payload, and what it holds up."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import DeadLetters

        loaded, values = target(app, bus)
        async with existing(values, loaded) as where:
            letters = DeadLetters(loaded, where)
            letter = letters.read(id)
            status, blocked = letters.status(letter), letters.blocked_by(letter)
            said = letters.said(letter)
            payload = _payload(letters, letter, raw)
            letter = letter if raw else letters.shown(letter)
        data = _data(letter, status) | {
            "headers": dict(letter.record.headers), "payload": payload, "blocks": [each._asdict() for each in blocked],
            "said": [each.data() for each in said],
        }  # fmt: skip
        echo_json(data) if json else _draw(letter, data, blocked, said)
        return COMPLETED

    execute(main)


def _payload(letters: DeadLetters, letter: DeadLetter, raw: bool) -> object:
    """Fields with what is sensitive masked; the text itself, if it is asked for or cannot be read."""
    from stepwire_handlers.telemetry.mask import masked

    found = None if raw else letters.payload(letter)
    return letter.record.value.decode(errors="replace") if found is None else masked(found, shorten=False)


def _draw(letter: DeadLetter, data: dict[str, Any], blocked: Sequence[Blocked], said: Sequence[Said]) -> None:
    from stepwire_handlers.cli.timeline import line_of

    for name in ("id", "handler", "run", "status", "error", "message", "attempts", "replays"):
        typer.echo(f"{name}: {data[name]}")
    typer.echo(f"since: {moment(letter.record.time)}")
    for done in said:
        typer.echo(f"answered: {line_of(done)} ({moment(done.time)})")
    for each in blocked:
        typer.echo(f"holds up: {each.handler} ({each.id[:12]}, {each.slot})")
    typer.echo("\npayload:")
    typer.echo(data["payload"]) if isinstance(data["payload"], str) else echo_json(data["payload"])
    typer.echo("\nheaders:")
    for name, value in sorted(data["headers"].items()):
        if name != "kafka_dlt-exception-stacktrace":
            typer.echo(f"  {name}: {value}")
    typer.echo(f"\n{_cause(letter)}")


def _cause(letter: DeadLetter) -> str:
    """The traceback; of a Reject, which its author decided, the place where: the words stand above."""
    stack = letter.record.headers.get("kafka_dlt-exception-stacktrace", "")
    frames = FRAME.findall(stack)
    if letter.error != "Reject" or not frames or "\nTraceback " in stack:  # raised over another error: show both
        return stack
    file, line, function = frames[-1]
    return f"rejected at {file}:{line}, in {function} (the whole traceback: --json)"


@app.command()
def stats(app: AppName, bus: BusUrl = None, json: AsJson = False) -> None:
    """How many are open, by handler and error."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import DeadLetters

        loaded, values = target(app, bus)
        async with existing(values, loaded) as where:
            counts = DeadLetters(loaded, where).stats()
        rows = [(handler, error, count) for (handler, error), count in counts.most_common()]
        if json:
            echo_json([{"handler": handler, "error": error, "count": count} for handler, error, count in rows])
        else:
            table("dead letters", ("handler", "error", "count"), rows)
        return COMPLETED

    execute(main)


@app.command()
def replay(
    app: AppName,
    ids: Ids = None,
    handler: Handler = "",
    error: Error = "",
    run: Run = "",
    all: All = False,
    max: Most = 100,
    edit: Annotated[str | None, typer.Option(help="Another payload for one id: JSON, @file or -.")] = None,
    bus: BusUrl = None,
) -> None:
    """Resume unfinished deliveries. A running worker does it at once, else the next one."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import DeadLetters, Filter

        loaded, values = target(app, bus)
        edited = None if edit is None else text_of(edit, "--edit").encode()
        async with existing(values, loaded) as where:
            letters = DeadLetters(loaded, where)
            found = _chosen(letters, ids, Filter(handler, error, run), all)
            if handler and not found:
                has_handler(loaded, handler, "--handler")
            await letters.resume(found[:max], edited, by=me())
        _say("replayed", len(found), max)
        return COMPLETED

    execute(main)


@app.command()
def drop(
    app: AppName, ids: Ids = None, handler: Handler = "", error: Error = "", run: Run = "", all: All = False,
    max: Most = 100, bus: BusUrl = None,
) -> None:  # fmt: skip
    """Give unfinished deliveries up: what they owe is absent. There is no way back."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import DeadLetters, Filter

        loaded, values = target(app, bus)
        async with existing(values, loaded) as where:
            letters = DeadLetters(loaded, where)
            found = _chosen(letters, ids, Filter(handler, error, run), all)
            if handler and not found:
                has_handler(loaded, handler, "--handler")
            await letters.drop(found[:max], by=me())
        _say("dropped", len(found), max)
        return COMPLETED

    execute(main)


def _chosen(letters: DeadLetters, ids: list[str] | None, wanted: Filter, all_: bool) -> list[DeadLetter]:
    """The open ones that are meant. Raises SettingsError if nothing says which."""
    from stepwire.errors import SettingsError

    if ids:
        if any(wanted) or all_:
            raise SettingsError("give ids, or options that say which ones, not both")
        return list({(x.handler, x.id): x for x in map(letters.find, ids)}.values())
    if not any(wanted) and not all_:
        raise SettingsError("say which: ids, --handler, --error, --run, or --all; see: stepwire dlq list --app …")
    return [letter for letter in letters.open() if wanted.matches(letter)]


def _say(verb: str, found: int, most: int) -> None:
    typer.echo(f"{verb} {min(found, most)} of {found}")
    if found > most:
        complain(f"{found - most} are left; repeat it, or raise --max")
