"""`GET /runs`: the newest runs that a caller may see, by the filter of `stepwire runs list`.

In: a query, a caller. Out: runs as data, sensitive fields masked, and whether that is all. A state may ask for two
thousand runs to be looked into, so it is done aside.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from starlette.datastructures import QueryParams

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire_handlers.services.door.aside import Aside
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.queries import given
from stepwire_handlers.services.door.runs import address, shown_to
from stepwire_handlers.services.listing import Listing, begun_since, named, newest
from stepwire_handlers.services.runs import RunView
from stepwire_handlers.services.telling import brief, waits

STATES = ("running", "waiting", "completed", "failed")
NAMES = ("app", "id", "state", "since", "limit")
DEFAULT, MOST = 20, 100  #: runs in one answer
LIMIT = re.compile(r"[1-9][0-9]?|100")
SINCE = r"^([0-9]{1,9}[smhd]|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?)$"


class Wanted(NamedTuple):
    """What was asked for."""

    app: str = ""
    id: str = ""  #: how it begins
    state: str | None = None
    since: float = 0.0  #: epoch seconds
    limit: int = DEFAULT


def wanted(query: QueryParams) -> Wanted:
    """Read the query. Raises Problem 422 for a value that makes no sense, or a name given twice."""
    found = given(query, NAMES)
    state, since, limit = found.get("state"), found.get("since"), found.get("limit", str(DEFAULT))
    if state is not None and state not in STATES:
        raise Problem(422, "invalid", f"state is one of {', '.join(STATES)}")
    if not LIMIT.fullmatch(limit):
        raise Problem(422, "invalid", f"limit is a number from 1 to {MOST}")
    begin = 0.0 if since is None else _begin(since)
    return Wanted(found.get("app", ""), found.get("id", ""), state, begin, int(limit))


def _begin(text: str) -> float:
    try:
        if re.fullmatch(SINCE, text):
            return begun_since(text)
    except ValueError:
        pass
    raise Problem(422, "invalid", "since is 30m, 12h, 7d, or a date such as 2026-01-31T12:00Z")


class Lister:
    """Lists runs; one for a door."""

    def __init__(self, aside: Aside) -> None:
        self._aside = aside

    async def of(self, places: Places, caller: Caller, asked: Wanted) -> dict[str, Any]:
        """The newest runs of the apps that the caller may see, or of the one that was named. Raises Problem 404."""
        open_ = shown_to(caller, places, asked.app)
        if asked.app and not open_:
            raise Problem(404, "not-found", "there is no such app that you may see")

        def look(app: App, bus: LocalBus) -> Listing:
            if asked.id:
                return named(app, bus, asked.id, asked.limit, asked.state, asked.since)
            return newest(app, bus, asked.limit, asked.state, asked.since)

        found = await self._aside.look(open_, look)
        runs = [(place, view) for place, listing in zip(open_, found, strict=True) for view in listing.views]
        runs.sort(key=lambda run: run[1].started, reverse=True)
        whole = len(runs) <= asked.limit and all(listing.whole for listing in found)
        return {"runs": [_shown(place, view) for place, view in runs[: asked.limit]], "whole": whole}


def _shown(place: Place, view: RunView) -> dict[str, Any]:
    more = {"app": place.app.name, "url": address(view.id), "events": len(view.lines), "waits": waits(view)}
    return brief(view) | more
