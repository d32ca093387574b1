"""`GET /gates` and `GET /dead-letters`, page by page, oldest first; and one dead letter whole.

In: a query, a caller. Out: data, sensitive fields masked, and the cursor of the next page. Raises Problem 404, 422.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.datastructures import QueryParams

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire_handlers.services.dead_letter import DeadLetter
from stepwire_handlers.services.dead_letters import DeadLetters, Filter
from stepwire_handlers.services.door.aside import Aside
from stepwire_handlers.services.door.identity import Caller
from stepwire_handlers.services.door.places import Place, Places
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.queries import given
from stepwire_handlers.services.door.runs import gate as gate_shown
from stepwire_handlers.services.door.runs import shown_to
from stepwire_handlers.services.gates import Gates
from stepwire_handlers.services.mark import Mark, mark_of
from stepwire_handlers.services.signing import Signing
from stepwire_handlers.telemetry.mask import masked

DEFAULT, MOST = 100, 500  #: items of one page
LIMIT = re.compile(r"[1-9][0-9]{0,2}")
GATES = ("app", "id", "limit", "cursor")
LETTERS = (*GATES, "handler", "error", "run", "every")
SWITCH = {"true": True, "false": False}
Item = tuple[Mark, dict[str, Any]]


class Asked(NamedTuple):
    """Which ones."""

    app: str = ""
    id: str = ""  #: how it begins
    handler: str = ""
    error: str = ""
    run: str = ""  #: how it begins
    every: bool = False  #: of dead letters: answered ones too
    limit: int = DEFAULT
    mark: Mark = Mark()


def asked(query: QueryParams) -> Asked:
    """Read the query. Raises Problem 422 for a value that makes no sense, or a name given twice."""
    found = given(query, LETTERS)
    limit, every = found.pop("limit", str(DEFAULT)), found.pop("every", "false")
    if not LIMIT.fullmatch(limit) or int(limit) > MOST:
        raise Problem(422, "invalid", f"limit is a number from 1 to {MOST}")
    if every not in SWITCH:
        raise Problem(422, "invalid", "every is true or false")
    cursor = found.pop("cursor", "")
    try:
        mark = mark_of(cursor) if cursor else Mark()
    except ValueError:
        raise Problem(422, "invalid", "cursor is none that this door gave out; leave it away to begin anew") from None
    return Asked(**found, every=SWITCH[every], limit=int(limit), mark=mark)


class Pages:
    """Reads what waits; one for a door."""

    def __init__(self, places: Places, aside: Aside) -> None:
        self._places, self._aside = places, aside

    def _seen(self, caller: Caller, app: str) -> list[Place]:
        found = shown_to(caller, self._places, app)
        if app and not found:
            raise Problem(404, "not-found", "there is no such app that you may see")
        return found

    async def gates(self, caller: Caller, wanted: Asked) -> dict[str, Any]:
        """What waits for a person, in the apps that the caller may see."""

        def look(app: App, bus: LocalBus) -> list[Item]:
            found = Gates(app, bus).after(wanted.mark, wanted.limit + 1, wanted.id)
            return [(mark, {"app": app.name, **gate_shown(waiting)}) for mark, waiting in found]

        return _page("gates", await self._aside.look(self._seen(caller, wanted.app), look), wanted.limit)

    async def gate(self, caller: Caller, id_: str, wanted: Asked) -> dict[str, Any]:
        """One of them; a handler says whose, if it waits in two."""

        def look(app: App, bus: LocalBus) -> list[dict[str, Any]]:
            return [{"app": app.name, **gate_shown(waiting)} for waiting in Gates(app, bus).named(id_)]

        for found in await self._aside.look(self._seen(caller, wanted.app), look):
            for each in found:
                if wanted.handler in ("", each["handler"]):
                    return each
        raise Problem(404, "not-found", "nothing of this id that you may see waits; it may be decided or expired")

    async def letters(self, caller: Caller, wanted: Asked) -> dict[str, Any]:
        """Dead letters, in the apps that the caller may see."""
        only = Filter(wanted.handler, wanted.error, wanted.run)

        def look(app: App, bus: LocalBus) -> list[Item]:
            letters = DeadLetters(app, bus)
            found = letters.after(wanted.mark, wanted.limit + 1, only, wanted.id, every=wanted.every)
            return [(mark, shown(app, letters.shown(letter), status)) for mark, letter, status in found]

        return _page("dead_letters", await self._aside.look(self._seen(caller, wanted.app), look), wanted.limit)

    async def letter(self, caller: Caller, id_: str, wanted: Asked) -> dict[str, Any]:
        """One of them whole, answered or not."""

        def look(app: App, bus: LocalBus) -> list[dict[str, Any]]:
            letters = DeadLetters(app, bus)
            found = letters.after(Mark(), MOST, Filter(wanted.handler), id_, every=True)
            signing = self._places[app.name].signing
            return [_whole(app, letters, letter, status, signing) for _, letter, status in found if letter.id == id_][
                :1
            ]

        for found in await self._aside.look(self._seen(caller, wanted.app), look):
            if found:
                return found[0]
        raise Problem(404, "not-found", "there is no dead letter of this id that you may see")


def _page(name: str, found: Sequence[list[Item]], limit: int) -> dict[str, Any]:
    """One page of all apps' items; `next` leads to what follows."""
    items = sorted((item for each in found for item in each), key=lambda item: item[0])
    more = items[limit - 1][0].text() if len(items) > limit else None
    return {name: [data for _, data in items[:limit]], "next": more}


def shown(app: App, letter: DeadLetter, status: str) -> dict[str, Any]:
    """A dead letter in a list."""
    return {
        "app": app.name, "id": letter.id, "handler": letter.handler, "run": letter.run, "status": status,
        "error": letter.error, "message": letter.message, "attempts": letter.attempts, "replays": letter.number,
        "time": letter.record.time,
    }  # fmt: skip


def _whole(
    app: App, letters: DeadLetters, letter: DeadLetter, status: str, signing: Signing
) -> dict[str, Any]:  # fmt: skip
    """With its cause; the payload is null if this release cannot read it, for then nobody knows what is sensitive."""
    payload, safe = letters.payload(letter), letters.shown(letter)
    return shown(app, safe, status) | {
        "headers": dict(safe.record.headers), "payload": None if payload is None else masked(payload, shorten=False),
        "blocks": [each._asdict() for each in letters.blocked_by(letter)],
        "said": [each.data() for each in letters.said(letter, signing)],
    }  # fmt: skip
