"""`GET /runs/<id>`, and what `Prefer: wait=…` asks for.

In: a run's id, a caller. Out: the run as data, sensitive fields masked. Raises Problem 404 for a run that is not
there, or that the caller may not see.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import RUN, Place, Places
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.gates import Waiting
from stepwire_handlers.services.runs import RunView
from stepwire_handlers.services.telling import brief, whole
from stepwire_handlers.services.timeline import timeline
from stepwire_handlers.telemetry.mask import masked

LONGEST = 60.0  #: seconds that a request may wait; proxies cut off what takes longer
WAIT = re.compile(r"\bwait\s*=\s*\"?(\d{1,6})\"?\s*(?:[,;]|$)", re.IGNORECASE)


def find(places: Places, caller: Caller, run: str, app: str = "") -> tuple[Place, RunView]:
    """The run, in the app where it began; else in one that knows it, by an answer that echoes its name.

    Of one that began in two, from an event that both take, `app` says which.
    """
    echoed: tuple[Place, RunView] | None = None
    if is_name(run):
        for place in shown_to(caller, places, app):
            if place.bus.store.find_run(run) is not None:
                view = place.runs.view(run)
                if any(type(line.event) in place.entries.values() for line in view.lines):
                    return place, view
                if view.lines or view.open:
                    echoed = echoed or (place, view)
    if echoed is not None:
        return echoed
    raise Problem(404, "not-found", "there is no such run that you may see")


def seen(places: Places, caller: Caller, app: str = "") -> list[Place]:
    """The apps that a caller may see, or the one of them that is called so."""
    return [p for p in places.all if caller.may("viewer", p.app.name) and app in ("", p.app.name)]


def shown_to(caller: Caller, places: Places, app: str = "") -> list[Place]:
    """As `seen`; whoever only publishes in what they ask for is told so. Raises Problem 403."""
    found = seen(places, caller, app)
    for place in places.all if not found else ():
        if caller.knows(place.app.name) and app in ("", place.app.name):
            caller.must("viewer", place.app.name)
    return found


def step_by_step(place: Place, view: RunView) -> dict[str, Any]:
    """A run as `stepwire runs show --json` has it, and its app."""
    return {"app": place.app.name, **whole(view)}


def shown(place: Place, view: RunView) -> dict[str, Any]:
    """A run as data."""
    told = brief(view)
    return {
        "run": view.id,
        "app": place.app.name,
        "state": view.state,
        "started": view.started,
        "result": told["result"],
        "open": [
            {"handler": item.handler, "kind": item.kind, "id": item.id, "since": item.since, "due": item.due,
             "about": item.about}
            for item in view.open
        ],
        "gates": [gate(waiting) for waiting in view.gates],
        "dead_letters": [
            {"id": letter.id, "handler": letter.handler, "error": letter.error, "message": letter.message,
             "attempts": letter.attempts}
            for letter in view.dead
        ],
        "retried": [
            {"id": step.id, "handler": step.handler, "attempts": step.attempts, "last_error": step.last_error}
            for step in timeline(view) if step.attempts is not None and step.last_error
        ],
        "said": [said.data() for said in view.said],
        "links": {"self": address(view.id), "stream": f"{address(view.id)}/stream"},
    }  # fmt: skip


def gate(waiting: Waiting) -> dict[str, Any]:
    """What a person owes, as data."""
    event = waiting.event
    return {
        "id": waiting.id, "handler": waiting.handler, "kind": waiting.kind, "run": waiting.run,
        "since": waiting.since, "until": waiting.until, "why": waiting.why,
        "event": None if event is None else {"type": type(event).__name__, **masked(event, shorten=False)},
    }  # fmt: skip


def is_name(run: str) -> bool:
    """May a run be called so? The kernel's own names are digests; what an answer echoes may be anybody's.

    A slash or a dot segment would be another address, whoever quotes it.
    """
    return run not in ("", ".", "..") and run.isprintable() and "/" not in run and len(run) <= RUN


def address(run: str) -> str:
    """Where a run is; empty for what belongs to no run that is known."""
    return f"/runs/{quote(run, safe='')}" if run else ""


def located(run: str) -> dict[str, str]:
    """The header that says where a run is, if there is one."""
    return {"location": address(run)} if run else {}


def wish(request: Request) -> float | None:
    """The seconds of `Prefer: wait=…` (RFC 7240), at most `LONGEST`; None if nobody asked."""
    found = WAIT.search(", ".join(request.headers.getlist("prefer")))
    return None if found is None else min(float(found[1]), LONGEST)
