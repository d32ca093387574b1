"""What the pages show, from the readers that the command line uses; everything masked.

In: places, a caller. Out: plain rows and dicts for the templates. Raises BusError.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from stepwire import App, Event
from stepwire.bus.local import LocalBus
from stepwire_handlers.services import gist as gists
from stepwire_handlers.services.dead_letter import DeadLetter
from stepwire_handlers.services.dead_letters import DeadLetters, Filter
from stepwire_handlers.services.door.aside import Aside
from stepwire_handlers.services.door.places import Place
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.gates import Gates, Waiting
from stepwire_handlers.services.groups import unattended
from stepwire_handlers.services.listing import newest
from stepwire_handlers.services.mark import Mark
from stepwire_handlers.services.runs import RunView
from stepwire_handlers.services.said import Said
from stepwire_handlers.services.telling import dollars
from stepwire_handlers.services.timeline import Step, timeline
from stepwire_handlers.telemetry.mask import masked

PAGE = 25  #: runs on a page
DEEPEST = 20  #: pages that can be turned; older runs are found by their id, a state or a time
SEARCHED = 500  #: newest runs that a search looks into
LISTED = 200  #: gates, and dead letters, on their page
COUNTED = 200  #: newest runs that the graph counts
SPANS = {"1h": 3_600.0, "24h": 86_400.0, "7d": 604_800.0}


BLIND = (
    "{name} has no role here that may look: viewer, operator and approver may, publisher alone may not. "
    "Whoever runs the console gives roles in the access file"
)


class Row(NamedTuple):
    """One run in the list."""

    app: str
    view: RunView
    waits: str


class Found(NamedTuple):
    """One page of runs."""

    rows: list[Row]
    idle: list[str]  #: handlers that these runs wait for and that nobody works for
    more: bool  #: is there another page?
    whole: bool  #: was everything looked at that could match?


def runs(places: Sequence[Place], state: str, span: str, search: str, page: int) -> Found:
    """Runs of these apps, newest first."""
    since = time.time() - SPANS[span] if span in SPANS else 0.0
    wanted = SEARCHED if search else page * PAGE + 1
    rows: list[Row] = []
    whole = True
    for place in places:
        found = newest(place.app, place.bus, wanted, state or None, since)
        whole = whole and (found.whole or (len(found.views) == wanted and not search))
        rows += [Row(place.app.name, v, _waits(v)) for v in found.views if not search or _matches(v, search)]
    rows.sort(key=lambda row: row.view.started, reverse=True)
    begin = (page - 1) * PAGE
    shown = rows[begin : begin + PAGE]
    idle = [
        name
        for place in places
        for name in unattended(place.app, place.bus, [row.view for row in shown if row.app == place.app.name])
    ]
    return Found(shown, idle, len(rows) > begin + PAGE and page < DEEPEST, whole)


def _waits(view: RunView) -> str:
    return ", ".join(sorted({f"{item.kind}: {item.handler or 'a join'}" for item in view.open}))


def _matches(view: RunView, search: str) -> bool:
    """In what is shown only, so that a search is no way to guess what is masked."""
    wanted = search.casefold()
    texts = (f"{type(line.event).__name__} {pretty(masked(line.event, shorten=False))}" for line in view.lines)
    return view.id.startswith(search) or any(wanted in text.casefold() for text in texts)


def steps(view: RunView) -> list[dict[str, Any]]:
    """A run's timeline, with what each step took and gave."""
    found = timeline(view)
    whole = max((s.ended or s.begun for s in found), default=view.started) - view.started or 1.0
    return [_step(step, view, whole) for step in found]


def _step(step: Step, view: RunView, whole: float) -> dict[str, Any]:
    after = max(step.begun - view.started, 0.0)
    share = round((step.seconds or 0.0) / whole * 100, 2)
    rest = {name: text for name, text in step.stamps.items() if name != "usage"}
    return {
        "handler": step.handler, "outcome": step.outcome, "seconds": step.seconds, "attempts": step.attempts,
        "after": after, "left": min(round(after / whole * 100, 2), 100.0), "share": max(share, 0.6), "id": step.id,
        "about": step.about, "last_error": step.last_error, "due": step.due,
        "usage": step.stamps.get("usage", ""), "stamps": rest,
        "said": [_said(said) for said in step.said],
        "inputs": [_event(line.event) for line in step.inputs],
        "outputs": [_event(line.event) for line in step.outputs],
    }  # fmt: skip


def _said(said: Said) -> tuple[str, str, str, bool]:
    """Who did what, their remark, the fields that they changed, and whether it counts."""
    return said.words, said.why, "" if said.edited is None else pretty(said.edited), not said.doubt


def _event(event: object) -> tuple[str, str]:
    return type(event).__name__, pretty(masked(event, shorten=False))


def cost(view: RunView) -> float | None:
    """Dollars of a run, if a step stamped some."""
    return dollars(step.stamps for step in timeline(view))


async def gates(aside: Aside, places: Sequence[Place]) -> tuple[list[tuple[Place, Waiting]], bool]:
    """What waits for a person, the oldest of it; and whether that is all."""
    found = await aside.look(places, lambda app, bus: Gates(app, bus).after(Mark(), LISTED + 1))
    items = [(at, place, waiting) for place, each in zip(places, found, strict=True) for at, waiting in each]
    items.sort(key=lambda item: item[0])
    return [(place, waiting) for _, place, waiting in items[:LISTED]], len(items) <= LISTED


async def gate(aside: Aside, place: Place, id_: str, handler: str) -> Waiting:
    """What waits under this id; a handler says whose, if it waits in two. Raises Problem 404."""
    (found,) = await aside.look([place], lambda app, bus: Gates(app, bus).named(id_))
    for waiting in found:
        if handler in ("", waiting.handler):
            return waiting
    raise Problem(404, "not-found", "nothing of this id waits for a person; it may be decided or expired")


async def letters(aside: Aside, places: Sequence[Place]) -> tuple[list[tuple[Place, Any]], bool]:
    """Open dead letters, the newest of them; and whether that is all."""

    def look(app: App, bus: LocalBus) -> list[tuple[Mark, DeadLetter]]:
        reader = DeadLetters(app, bus)
        return [(at, reader.shown(letter)) for at, letter, _ in reader.after(Mark(), LISTED + 1, newest=True)]

    found = await aside.look(places, look)
    items = [(at, place, letter) for place, each in zip(places, found, strict=True) for at, letter in each]
    items.sort(key=lambda item: item[0], reverse=True)
    return [(place, letter) for _, place, letter in items[:LISTED]], len(items) <= LISTED


async def letter(aside: Aside, place: Place, id_: str, handler: str) -> DeadLetter:
    """The dead letter of this id, answered or not. Raises Problem 404."""

    def look(app: App, bus: LocalBus) -> list[DeadLetter]:
        found = DeadLetters(app, bus).after(Mark(), LISTED, Filter(handler), id_, every=True)
        return [letter for _, letter, _ in found if letter.id == id_]

    (found,) = await aside.look([place], look)
    if not found:
        raise Problem(404, "not-found", "there is no dead letter of this id")
    return found[0]


def counts(place: Place) -> tuple[Mapping[str, Counter[str]], int]:
    """Step -> what its deliveries came to, in the newest runs; and of how many runs."""
    found: dict[str, Counter[str]] = {}
    listed = newest(place.app, place.bus, COUNTED).views
    for view in listed:
        for step in timeline(view):
            if step.handler:
                found.setdefault(step.handler, Counter())[KINDS.get(step.outcome, "waits")] += 1
    return found, len(listed)


KINDS = {"emitted": "done", "ended": "done", "absent": "done", "retired": "done", "dropped": "done",
         "dead letter": "dead", "running": "runs"}  # fmt: skip


def pretty(data: object) -> str:
    """Data as people read it."""
    return data if isinstance(data, str) else to_json(data, indent=2, serialize_unknown=True).decode()


def gist(event: Event | None) -> str:
    """What an event is about, in a line."""
    return gists.gist(None if event is None else masked(event, shorten=False))


def moment(seconds: float | None) -> str:
    """A time in the zone of the console, which stands beside it."""
    return "" if not seconds else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def ago(seconds: float | None) -> str:
    """How long that is from now, in one unit."""
    if not seconds:
        return ""
    away = seconds - time.time()
    size = abs(away)
    unit = next(((u, n) for u, n in (("d", 86_400), ("h", 3_600), ("min", 60)) if size >= n), ("s", 1))
    text = f"{int(size // unit[1])} {unit[0]}"
    return f"in {text}" if away > 0 else f"{text} ago"
