"""`stepwire dlq`: dead letters, listed, read, resumed or given up; at the bus, or through a door (`--door`)."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.output import clock, cut
from stepwire_handlers.cli.remote import AppOrName, DoorUrl, a_letter, app_named, door_at, name_there
from stepwire_handlers.cli.target import (
    COMPLETED,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    existing,
    fields_of,
    has_handler,
    me,
    moment,
    say,
    table,
    target,
    text_of,
)

if TYPE_CHECKING:
    from stepwire_handlers.services.dead_letter import DeadLetter
    from stepwire_handlers.services.dead_letters import DeadLetters, Filter
    from stepwire_handlers.services.remote import Remote

SHOWN = ("id", "handler", "run", "status", "error", "message", "attempts", "replays", "time")
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
    app: AppOrName = None,
    handler: Handler = "",
    error: Error = "",
    run: Run = "",
    every: Annotated[bool, typer.Option("--every", help="Also those that were replayed or dropped.")] = False,
    bus: BusUrl = None,
    door: DoorUrl = None,
    json: AsJson = False,
) -> None:
    """What nobody replayed or dropped yet, oldest first."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import Filter

        wanted = Filter(handler, error, run)
        if door is not None:
            there = _there(door_at(door, bus), app, wanted, every="true" if every else "")
            found = [{name: letter[name] for name in SHOWN} for letter in there]
        else:
            found = await _here(app_named(app), bus, wanted, every)
        if json:
            echo_json(found)
        else:
            rows = [(x["id"][:12], x["handler"], x["run"][:8], x["status"], x["error"], cut(x["message"], 80),
                     clock(x["time"])) for x in found]  # fmt: skip
            table("dead letters", ("id", "handler", "run", "status", "error", "message", "since"), rows)
        return COMPLETED

    execute(main)


async def _here(app: str, bus: str | None, wanted: Filter, every: bool) -> list[dict[str, Any]]:
    """From the bus itself."""
    from stepwire_handlers.services.dead_letters import DeadLetters
    from stepwire_handlers.services.snapshot import snapshot

    loaded, values = target(app, bus)
    async with existing(values, loaded) as where:
        letters = DeadLetters(loaded, where)
        with snapshot(where):
            found = [(letters.shown(x), letters.status(x)) for x in letters.last() if wanted.matches(x)]
    if wanted.handler and not found:  # a handler that is gone may have left some
        has_handler(loaded, wanted.handler, "--handler")
    return [_data(x, status) for x, status in found if every or status == "open"]


def _there(door: Remote, app: str | None, wanted: Filter, every: str = "") -> list[dict[str, Any]]:
    """From a door."""
    return list(door.letters(app=name_there(app), every=every, **wanted._asdict()))


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The id, or how it begins; also one that was answered.")],
    app: AppOrName = None,
    handler: Handler = "",
    raw: Annotated[bool, typer.Option("--raw", help="The payload as it is, sensitive fields included.")] = False,
    bus: BusUrl = None,
    door: DoorUrl = None,
    json: AsJson = False,
) -> None:
    """One of them: the whole cause, the headers, the payload, and what it holds up."""

    async def main() -> int:
        from stepwire.errors import SettingsError

        if door is None:
            data = await _whole(app_named(app), bus, id, handler, raw)
        elif raw:
            raise SettingsError("--raw needs the bus: a door shows no sensitive field to anybody")
        else:
            remote = door_at(door, bus)
            data = remote.letter(a_letter(remote, app, id, handler, every=True))
            data = {name: data[name] for name in (*SHOWN, "headers", "payload", "blocks", "said")}
        echo_json(data) if json else _draw(data)
        return COMPLETED

    execute(main)


async def _whole(app: str, bus: str | None, id_: str, handler: str, raw: bool) -> dict[str, Any]:
    """From the bus itself."""
    from stepwire_handlers.services.dead_letters import DeadLetters
    from stepwire_handlers.services.signing import signing_of

    loaded, values = target(app, bus)
    async with existing(values, loaded) as where:
        letters = DeadLetters(loaded, where)
        letter = letters.read(id_, handler)
        status, blocked = letters.status(letter), letters.blocked_by(letter)
        said = letters.said(letter, await signing_of(values, loaded, where))
        payload = _payload(letters, letter, raw)
        letter = letter if raw else letters.shown(letter)
    return _data(letter, status) | {
        "headers": dict(letter.record.headers), "payload": payload, "blocks": [each._asdict() for each in blocked],
        "said": [each.data() for each in said],
    }  # fmt: skip


def _payload(letters: DeadLetters, letter: DeadLetter, raw: bool) -> object:
    """Fields with what is sensitive masked; the text itself, if it is asked for; None if nobody knows what to mask."""
    from stepwire_handlers.telemetry.mask import masked

    return letter.record.value.decode(errors="replace") if raw else masked(letters.payload(letter), shorten=False)


def _draw(data: dict[str, Any]) -> None:
    from stepwire_handlers.cli.timeline import answer_of, line_of
    from stepwire_handlers.services.runs import slot_shown

    for name in ("id", "handler", "run", "status", "error", "message", "attempts", "replays"):
        say(f"{name}: {data[name]}")
    say(f"since: {moment(data['time'])}")
    for done in map(answer_of, data["said"]):
        say(f"answered: {line_of(done)} ({moment(done.time)})")
    for each in data["blocks"]:
        say(f"holds up: {each['handler']} ({each['id'][:12]}, {slot_shown(each['slot'])})")
    say("\npayload:")
    if data["payload"] is None:
        say("  this release cannot read it, so what is sensitive in it is not known; --raw shows it, at the bus")
    else:
        say(data["payload"]) if isinstance(data["payload"], str) else echo_json(data["payload"])
    say("\nheaders:")
    for name, value in sorted(data["headers"].items()):
        if name != "kafka_dlt-exception-stacktrace":
            say(f"  {name}: {value}")
    say(f"\n{_cause(data)}")


def _cause(data: dict[str, Any]) -> str:
    """The traceback; of a Reject, which its author decided, the place where: the words stand above."""
    stack = str(data["headers"].get("kafka_dlt-exception-stacktrace", ""))
    frames = FRAME.findall(stack)
    if data["error"] != "Reject" or not frames or "\nTraceback " in stack:  # raised over another error: show both
        return stack
    file, line, function = frames[-1]
    return f"rejected at {file}:{line}, in {function} (the whole traceback: --json)"


@app.command()
def stats(app: AppOrName = None, bus: BusUrl = None, door: DoorUrl = None, json: AsJson = False) -> None:
    """How many are open, by handler and error."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import NO_FILTER, DeadLetters

        if door is not None:
            counts = Counter((x["handler"], x["error"]) for x in _there(door_at(door, bus), app, NO_FILTER))
        else:
            loaded, values = target(app_named(app), bus)
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
    app: AppOrName = None,
    ids: Ids = None,
    handler: Handler = "",
    error: Error = "",
    run: Run = "",
    all: All = False,
    max: Most = 100,
    edit: Annotated[
        str | None,
        typer.Option(help="Another whole payload for one id, where *** stays what it hides: JSON, @file or -."),
    ] = None,
    bus: BusUrl = None,
    door: DoorUrl = None,
) -> None:
    """Resume unfinished deliveries. A running worker does it at once, else the next one."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import DeadLetters, Filter

        wanted = Filter(handler, error, run)
        if door is not None:
            fields = None if edit is None else fields_of(edit, "--edit")
            count = _answer_there(door_at(door, bus), app, ids, wanted, all, max, "replayed", fields)
        else:
            loaded, values = target(app_named(app), bus)
            edited = None if edit is None else text_of(edit, "--edit").encode()
            async with existing(values, loaded) as where:
                letters = DeadLetters(loaded, where)
                found = _chosen(letters, ids, wanted, all)
                if handler and not found:
                    has_handler(loaded, handler, "--handler")
                await letters.resume(found[:max], edited, by=me())
            count = len(found)
        _say("replayed", count, max)
        return COMPLETED

    execute(main)


@app.command()
def drop(
    app: AppOrName = None, ids: Ids = None, handler: Handler = "", error: Error = "", run: Run = "", all: All = False,
    max: Most = 100, bus: BusUrl = None, door: DoorUrl = None,
) -> None:  # fmt: skip
    """Give unfinished deliveries up: what they owe is absent. There is no way back."""

    async def main() -> int:
        from stepwire_handlers.services.dead_letters import DeadLetters, Filter

        wanted = Filter(handler, error, run)
        if door is not None:
            count = _answer_there(door_at(door, bus), app, ids, wanted, all, max, "dropped")
        else:
            loaded, values = target(app_named(app), bus)
            async with existing(values, loaded) as where:
                letters = DeadLetters(loaded, where)
                found = _chosen(letters, ids, wanted, all)
                if handler and not found:
                    has_handler(loaded, handler, "--handler")
                await letters.drop(found[:max], by=me())
            count = len(found)
        _say("dropped", count, max)
        return COMPLETED

    execute(main)


def _answer_there(
    door: Remote, app: str | None, ids: list[str] | None, wanted: Filter, all_: bool, most: int, verb: str,
    edited: dict[str, Any] | None = None,
) -> int:  # fmt: skip
    """Through a door, one after another; how many were meant."""
    from stepwire.errors import SettingsError, StepwireError

    _must_say_which(ids, wanted, all_)
    found = [a_letter(door, app, id_, wanted.handler) for id_ in ids] if ids else _there(door, app, wanted)
    found = list({(x["app"], x["handler"], x["id"]): x for x in found}.values())
    if edited is not None and len(found) != 1:
        raise SettingsError(f"an edited payload is for one dead letter, not for {len(found)}; name one id")
    for done, letter in enumerate(found[:most]):
        try:
            door.replay(letter, edited) if verb == "replayed" else door.drop(letter)
        except StepwireError as error:
            if not done:
                raise
            raise StepwireError(f"{verb} {done} of {len(found)}, then {letter['id'][:12]} failed: {error}") from None
    return len(found)


def _chosen(letters: DeadLetters, ids: list[str] | None, wanted: Filter, all_: bool) -> list[DeadLetter]:
    """The open ones that are meant. Raises SettingsError if nothing says which."""
    _must_say_which(ids, wanted, all_)
    if ids:
        return list({(x.handler, x.id): x for x in (letters.find(id_, wanted.handler) for id_ in ids)}.values())
    return [letter for letter in letters.open() if wanted.matches(letter)]


def _must_say_which(ids: list[str] | None, wanted: Filter, all_: bool) -> None:
    """Raises SettingsError if nothing says which ones are meant, or two things do."""
    from stepwire.errors import SettingsError

    if ids and (wanted.error or wanted.run or all_):
        raise SettingsError("give ids (and --handler, if several have one), or options that say which ones, not both")
    if not ids and not any(wanted) and not all_:
        raise SettingsError("say which: ids, --handler, --error, --run, or --all; see: stepwire dlq list --app …")


def _say(verb: str, found: int, most: int) -> None:
    say(f"{verb} {min(found, most)} of {found}")
    if found > most:
        complain(f"{found - most} are left; repeat it, or raise --max")
