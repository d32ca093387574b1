"""`GET /runs`: the newest runs that a caller may see, by the filter of `stepwire runs list`.

In: a query, a caller. Out: runs as data, sensitive fields masked, and whether that is all. A state may ask for two
thousand runs to be looked into, so it is done aside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.datastructures import QueryParams

from stepwire_handlers.services.door.aside import Aside
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.runs import address
from stepwire_handlers.services.listing import begun_since, newest
from stepwire_handlers.services.runs import RunView, summary
from stepwire_handlers.telemetry.mask import masked

STATES = ("running", "waiting", "completed", "failed")
DEFAULT, MOST = 20, 100  #: runs in one answer
LIMIT = re.compile(r"[1-9][0-9]?|100")
SINCE = r"^([0-9]{1,9}[smhd]|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?)$"


class Wanted(NamedTuple):
    """What was asked for."""

    app: str | None = None
    state: str | None = None
    since: float = 0.0  #: epoch seconds
    limit: int = DEFAULT


def wanted(query: QueryParams) -> Wanted:
    """Read the query. Raises Problem 422 for a value that makes no sense, or a name given twice."""
    found = given(query, ("app", "state", "since", "limit"))
    state, since, limit = found.get("state"), found.get("since"), found.get("limit", str(DEFAULT))
    if state is not None and state not in STATES:
        raise Problem(422, "invalid", f"state is one of {', '.join(STATES)}")
    if not LIMIT.fullmatch(limit):
        raise Problem(422, "invalid", f"limit is a number from 1 to {MOST}")
    return Wanted(found.get("app"), state, 0.0 if since is None else _begin(since), int(limit))


def given(query: QueryParams, names: Sequence[str]) -> dict[str, str]:
    """Those that the query has. Raises Problem 422 for a name given twice."""
    found: dict[str, str] = {}
    for name in names:
        values = query.getlist(name)
        if len(values) > 1:
            raise Problem(422, "invalid", f"{name} is given {len(values)} times; give it once")
        found |= {name: values[0]} if values else {}
    return found


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
        seen = [p for p in places.all if caller.may("viewer", p.app.name) and asked.app in (None, p.app.name)]
        if asked.app is not None and not seen:
            raise Problem(404, "not-found", "there is no such app that you may see")
        found = await self._aside.look(seen, lambda app, bus: newest(app, bus, asked.limit, asked.state, asked.since))
        runs = [(place, view) for place, listing in zip(seen, found, strict=True) for view in listing.views]
        runs.sort(key=lambda run: run[1].started, reverse=True)
        whole = len(runs) <= asked.limit and all(listing.whole for listing in found)
        return {"runs": [_shown(place, view) for place, view in runs[: asked.limit]], "whole": whole}


def _shown(place: Place, view: RunView) -> dict[str, Any]:
    result = view.result
    told = summary(view) | {"app": place.app.name, "started": view.started, "url": address(view.id)}
    if result is not None:
        told["result"] = {"type": type(result).__name__, **masked(result, shorten=False)}
    return told
