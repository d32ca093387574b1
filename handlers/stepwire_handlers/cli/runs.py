"""`stepwire runs`: what runs, what waits and for what; at the bus, or through a door (`--door`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.remote import (
    AppOrName,
    DoorUrl,
    a_run,
    app_named,
    door_at,
    looks_there,
    runs_there,
    steps_there,
)
from stepwire_handlers.cli.target import (
    COMPLETED,
    DEAD_LETTER,
    TIMED_OUT,
    AsJson,
    BusUrl,
    complain,
    echo_json,
    execute,
    existing,
    moment,
    say,
    table,
    target,
    where_else,
)

if TYPE_CHECKING:
    from stepwire import App
    from stepwire.bus.local import LocalBus
    from stepwire_handlers.services.runs import RunView

app = typer.Typer(no_args_is_help=True, help="Runs: list, show, watch.")
Run = Annotated[str, typer.Argument(help="The run's id, or how it begins.")]
LISTED = ("run", "app", "state", "result", "dead_letter", "started", "events", "waits")
STATES = ("running", "waiting", "completed", "failed")


@app.command("list")
def listing(
    app: AppOrName = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    state: Annotated[str | None, typer.Option(help="running, waiting, completed or failed.")] = None,
    since: Annotated[str | None, typer.Option(help="30m, 12h, 7d, or a date: 2026-01-31[T12:00].")] = None,
    bus: BusUrl = None,
    door: DoorUrl = None,
    json: AsJson = False,
) -> None:
    """The newest runs."""

    async def main() -> int:
        from stepwire.errors import SettingsError
        from stepwire_handlers.cli.output import clock

        if state is not None and state not in STATES:
            raise SettingsError(f"--state {state}: there are {', '.join(STATES)}")
        begin = _since(since)
        if door is not None:
            found, hints = runs_there(door_at(door, bus), app, limit, state, begin)
        else:
            found, hints = await _here(app_named(app), bus, limit, state, begin)
        if json:
            echo_json([{name: each[name] for name in LISTED} for each in found])
        else:
            several = len({each["app"] for each in found}) > 1
            rows = [(x["run"][:12], *([x["app"]] if several else []), x["state"], clock(x["started"]), x["events"],
                     ", ".join(x["waits"])) for x in found]  # fmt: skip
            table("runs", ("run", *(["app"] if several else []), "state", "started", "events", "waits for"), rows)
        for hint in hints:
            complain(hint)
        return COMPLETED

    execute(main)


async def _here(
    app: str, bus: str | None, limit: int, state: str | None, begin: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """From the bus itself: runs, and what there is to say about them."""
    from stepwire_handlers.services.listing import newest
    from stepwire_handlers.services.telling import brief, waits

    loaded, values = target(app, bus)
    async with existing(values, loaded) as where:
        found = newest(loaded, where, limit, state, begin)
        hint = _nobody_works(loaded, where, found.views, where_else(app, bus))
    more = not found.whole and len(found.views) < limit
    hints = [f"looked into the newest {found.looked} runs; there are older ones"] if more else []
    told = [
        brief(v) | {"app": loaded.name, "events": len(v.lines), "waits": waits(v)} for v in found.views
    ]  # fmt: skip
    return told, hints + ([hint] if hint else [])


def _since(text: str | None) -> float:
    """Epoch seconds. Raises SettingsError for what is no time."""
    from stepwire.errors import SettingsError
    from stepwire_handlers.services.listing import begun_since

    try:
        return 0.0 if text is None else begun_since(text)
    except ValueError:
        raise SettingsError(f"--since {text}: write 30m, 12h, 7d, or a date such as 2026-01-31T12:00") from None


def _nobody_works(app: App, bus: LocalBus, views: Sequence[RunView], there: str) -> str:
    """That nothing goes on is no fault of a run, and nothing else says it; empty if somebody works."""
    from stepwire_handlers.services.groups import unattended

    if not (found := unattended(app, bus, views)):
        return ""
    what = app.name if len(found) == len(app.runnable) else ", ".join(found)
    return f"no worker runs {what}, so nothing goes on there; start one: stepwire run {there.removeprefix('--app ')}"


def _named(bus: LocalBus, run: str) -> str:
    """The whole id. Raises StepwireError."""
    from stepwire.errors import StepwireError
    from stepwire_handlers.services.history import History

    name = History(bus.store).run_named(run)
    if name is None:
        raise StepwireError(f"no run begins with {run!r}, or more than one; see: stepwire runs list --app …")
    return name


@app.command()
def show(run: Run, app: AppOrName = None, bus: BusUrl = None, door: DoorUrl = None, json: AsJson = False) -> None:
    """One run, step by step, and what it waits for."""

    async def main() -> int:
        from stepwire.errors import StepwireError
        from stepwire_handlers.services.runs import Runs
        from stepwire_handlers.services.signing import signing_of
        from stepwire_handlers.services.telling import whole

        hint = ""
        if door is not None:
            remote = door_at(door, bus)
            told = steps_there(remote, a_run(remote, app, run))
        else:
            name = app_named(app)
            loaded, values = target(name, bus)
            async with existing(values, loaded) as where:
                view = Runs(loaded, where, await signing_of(values, loaded, where)).view(_named(where, run))
                hint = _nobody_works(loaded, where, [view], where_else(name, bus))
            if not view.lines and not view.open:
                raise StepwireError(f"run {view.id} has no event of {loaded.name}; is it a run of another app?")
            told = whole(view)
        if json:
            echo_json(told)
        else:
            _draw(told)
        if hint:
            complain(hint)
        return COMPLETED

    execute(main)


def _draw(run: dict[str, Any]) -> None:
    from stepwire_handlers.cli.output import console
    from stepwire_handlers.cli.timeline import headline, lines, total

    paper = console()
    for line in (headline(run), *lines(run), total(run)):
        paper.print(line, no_wrap=True, overflow="ellipsis", crop=False)
    for item in run["open"]:
        due = f", due {moment(item['due'])}" if item["due"] else ""
        who = item["handler"] or "a join"
        complain(f"open: {item['kind']} of {who} ({item['id'][:12]}){due} {item['about']}".rstrip())


@app.command()
def watch(
    run: Run,
    app: AppOrName = None,
    bus: BusUrl = None,
    door: DoorUrl = None,
    timeout: Annotated[float, typer.Option(min=0.0, help="Seconds.")] = 3_600.0,
) -> None:
    """Follow a run until it is closed: completed (exit 0) or failed (4); 5 if time is up."""

    async def main() -> int:
        from stepwire_handlers.services.runs import at_rest

        if door is not None:
            remote = door_at(door, bus)
            looks = looks_there(remote, a_run(remote, app, run), timeout)
        else:
            looks = _looks(app_named(app), bus, run, timeout)
        async with aclosing(looks):
            with _screen() as screen:
                async for told in looks:
                    screen(told)
                    if told["state"] == "completed" or (
                        told["state"] == "failed" and at_rest(item["kind"] for item in told["open"])
                    ):
                        return COMPLETED if told["state"] == "completed" else DEAD_LETTER
        what = ", ".join(sorted({f"{item['kind']}: {item['handler']}" for item in told["open"]}))
        complain(f"time is up; the run is {told['state']}: {what}")
        return TIMED_OUT

    execute(main)


async def _looks(app: str, bus: str | None, run: str, seconds: float) -> AsyncGenerator[dict[str, Any], None]:
    """A run at the bus, as data, whenever it moved."""
    from stepwire_handlers.services.runs import Runs, follow
    from stepwire_handlers.services.signing import signing_of
    from stepwire_handlers.services.telling import whole

    loaded, values = target(app, bus)
    async with existing(values, loaded) as where:
        name, signing = _named(where, run), await signing_of(values, loaded, where)
        async for view in follow(Runs(loaded, where, signing), where, name, seconds):
            yield whole(view)


@contextmanager
def _screen() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Shows a run: a table that changes, on a terminal; a line for each new step, in a pipe."""
    from rich.console import Console, Group
    from rich.live import Live

    from stepwire_handlers.cli.timeline import headline, lines

    paper = Console()
    if paper.is_terminal:
        with Live(console=paper, auto_refresh=False) as live:

            def show(run: dict[str, Any]) -> None:
                """The newest lines, as many as there is room for."""
                newest = lines(run)[-max(paper.height - 3, 1) :]
                for line in newest:
                    line.no_wrap, line.overflow = True, "ellipsis"
                live.update(Group(headline(run), *newest), refresh=True)

            yield show
        return
    said: set[str] = set()

    def tell(run: dict[str, Any]) -> None:
        now = [line.plain.strip() for line in lines(run)]
        for line in now:
            if line not in said:
                said.add(line)
                say(line)
        if run["state"] not in said:
            said.clear()
            said.update([run["state"], *now])
            say(f"run {run['run']}: {run['state']}")

    yield tell
