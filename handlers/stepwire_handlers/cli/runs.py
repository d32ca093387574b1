"""`stepwire runs`: what runs, what waits and for what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.target import (
    COMPLETED,
    DEAD_LETTER,
    TIMED_OUT,
    AppName,
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
    from stepwire_handlers.services.timeline import Step

app = typer.Typer(no_args_is_help=True, help="Runs: list, show, watch.")
Run = Annotated[str, typer.Argument(help="The run's id, or how it begins.")]
STATES = ("running", "waiting", "completed", "failed")


@app.command("list")
def listing(
    app: AppName,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    state: Annotated[str | None, typer.Option(help="running, waiting, completed or failed.")] = None,
    since: Annotated[str | None, typer.Option(help="30m, 12h, 7d, or a date: 2026-01-31[T12:00].")] = None,
    bus: BusUrl = None,
    json: AsJson = False,
) -> None:
    """The newest runs."""

    async def main() -> int:
        from stepwire.errors import SettingsError
        from stepwire_handlers.cli.output import clock
        from stepwire_handlers.services.listing import newest

        if state is not None and state not in STATES:
            raise SettingsError(f"--state {state}: there are {', '.join(STATES)}")
        loaded, values = target(app, bus)
        begin = _since(since)
        async with existing(values, loaded) as where:
            found = newest(loaded, where, limit, state, begin)
            hint = _nobody_works(loaded, where, found.views, where_else(app, bus))
        if json:
            echo_json([_summary(view) | {"started": view.started} for view in found.views])
        else:
            rows = [(v.id[:12], v.state, clock(v.started), len(v.lines), _waits(v)) for v in found.views]
            table("runs", ("run", "state", "started", "events", "waits for"), rows)
        if not found.whole and len(found.views) < limit:
            complain(f"looked into the newest {found.looked} runs; there are older ones")
        if hint:
            complain(hint)
        return COMPLETED

    execute(main)


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


def _waits(view: RunView) -> str:
    return ", ".join(sorted({f"{item.kind}: {item.handler}" for item in view.open}))


def _summary(view: RunView) -> dict[str, Any]:
    """The form of `--json`, with what is sensitive masked: a run is shown to others than who published it."""
    from stepwire_handlers.services.runs import summary
    from stepwire_handlers.telemetry.mask import masked

    data = summary(view)
    if view.result is not None:
        data["result"] = {"type": type(view.result).__name__, **masked(view.result, shorten=False)}
    return data


def _named(bus: LocalBus, run: str) -> str:
    """The whole id. Raises StepwireError."""
    from stepwire.errors import StepwireError
    from stepwire_handlers.services.history import History

    name = History(bus.store).run_named(run)
    if name is None:
        raise StepwireError(f"no run begins with {run!r}, or more than one; see: stepwire runs list --app …")
    return name


@app.command()
def show(run: Run, app: AppName, bus: BusUrl = None, json: AsJson = False) -> None:
    """One run, step by step, and what it waits for."""

    async def main() -> int:
        from stepwire.errors import StepwireError
        from stepwire_handlers.services.runs import Runs
        from stepwire_handlers.services.signing import signing_of

        loaded, values = target(app, bus)
        async with existing(values, loaded) as where:
            view = Runs(loaded, where, await signing_of(values, loaded, where)).view(_named(where, run))
            hint = _nobody_works(loaded, where, [view], where_else(app, bus))
        if not view.lines and not view.open:
            raise StepwireError(f"run {view.id} has no event of {loaded.name}; is it a run of another app?")
        if json:
            echo_json(_whole(view))
        else:
            _draw(view)
        if hint:
            complain(hint)
        return COMPLETED

    execute(main)


def _whole(view: RunView) -> dict[str, Any]:
    """A run with its events, its steps and what is open."""
    from stepwire_handlers.services.timeline import timeline
    from stepwire_handlers.telemetry.mask import masked

    events = [
        {"time": line.time, "handler": line.handler, "type": type(line.event).__name__, "event": masked(line.event)}
        for line in view.lines
    ]
    return _summary(view) | {
        "started": view.started,
        "events": events,
        "steps": [_step(step) for step in timeline(view)],
        "open": [item._asdict() for item in view.open],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "handler": step.handler or None, "id": step.id, "outcome": step.outcome, "begun": step.begun,
        "seconds": step.seconds, "attempts": step.attempts,
        "inputs": [{"type": type(line.event).__name__, "identity": line.identity} for line in step.inputs],
        "outputs": [{"type": type(line.event).__name__, "identity": line.identity} for line in step.outputs],
        "about": step.about, "last_error": step.last_error, "due": step.due, "stamps": dict(step.stamps),
        "said": [said.data() for said in step.said],
    }  # fmt: skip


def _draw(view: RunView) -> None:
    from stepwire_handlers.cli.output import console
    from stepwire_handlers.cli.timeline import headline, lines, total

    paper = console()
    for line in (headline(view), *lines(view), total(view)):
        paper.print(line, no_wrap=True, overflow="ellipsis", crop=False)
    for item in view.open:
        due = f", due {moment(item.due)}" if item.due else ""
        complain(f"open: {item.kind} of {item.handler or 'a join'} ({item.id[:12]}){due} {item.about}".rstrip())


@app.command()
def watch(
    run: Run,
    app: AppName,
    bus: BusUrl = None,
    timeout: Annotated[float, typer.Option(min=0.0, help="Seconds.")] = 3_600.0,
) -> None:
    """Follow a run until it is closed: completed (exit 0) or failed (4); 5 if time is up."""

    async def main() -> int:
        from stepwire_handlers.services.runs import Runs, follow
        from stepwire_handlers.services.signing import signing_of

        loaded, values = target(app, bus)
        async with existing(values, loaded) as where:
            name, signing = _named(where, run), await signing_of(values, loaded, where)
            with _screen() as screen:
                async for view in follow(Runs(loaded, where, signing), where, name, timeout):
                    screen(view)
                    if view.state == "completed" or (view.state == "failed" and view.rests):
                        return COMPLETED if view.state == "completed" else DEAD_LETTER
        complain(f"time is up; the run is {view.state}: {_waits(view)}")
        return TIMED_OUT

    execute(main)


@contextmanager
def _screen() -> Iterator[Callable[[RunView], None]]:
    """Shows a run: a table that changes, on a terminal; a line for each new step, in a pipe."""
    from rich.console import Console, Group
    from rich.live import Live

    from stepwire_handlers.cli.timeline import headline, lines

    paper = Console()
    if paper.is_terminal:
        with Live(console=paper, auto_refresh=False) as live:

            def show(view: RunView) -> None:
                """The newest lines, as many as there is room for."""
                newest = lines(view)[-max(paper.height - 3, 1) :]
                for line in newest:
                    line.no_wrap, line.overflow = True, "ellipsis"
                live.update(Group(headline(view), *newest), refresh=True)

            yield show
        return
    said: set[str] = set()

    def tell(view: RunView) -> None:
        now = [line.plain.strip() for line in lines(view)]
        for line in now:
            if line not in said:
                said.add(line)
                say(line)
        if view.state not in said:
            said.clear()
            said.update([view.state, *now])
            say(f"run {view.id}: {view.state}")

    yield tell
