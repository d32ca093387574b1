"""Is what workers run the release that this process knows, and do they take what is decided here?

In: places. Out: `Place.outdated`, `Place.refused`, and a line of the log at each change. An older door sees no gates of
steps that are new; one without the workers' decision key refuses to decide (a process where nobody decides, such as an
MCP server, does not ask). A worker leaves the table of what the
events of its release owe when it starts; one that differs from our own is of another release. Steps that neither join
nor ask are not in the table: of these an older process only lacks the lines in a run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from stepwire_handlers.services.door.places import Place, Places

LOOK = 10.0  #: seconds between two looks
log = logging.getLogger("stepwire")


async def watch_releases(places: Places) -> None:
    """Look until cancelled; who cannot be asked just now stays as it was."""
    while True:
        for place in places.all:
            with suppress(Exception):  # away, or damaged: /readyz tells of it, the next look may be better
                found = await place.bus.remember(place.app.name, None)
                _tell(place, outdated=_differs(found, place.app.wiring.table()))
        await asyncio.sleep(LOOK)


async def watch_keys(places: Places) -> None:
    """The same, of the key that the workers check decisions with."""
    while True:
        for place in places.all:
            with suppress(Exception):
                _tell_of_key(place, (await place.signing.ask()).refusal)
        await asyncio.sleep(LOOK)


def _differs(found: Mapping[str, Sequence[str]], own: Mapping[str, Sequence[str]]) -> bool:
    """No worker ever started: nothing is known of them."""
    return bool(found) and {kind: list(owed) for kind, owed in found.items()} != own


def _tell(place: Place, *, outdated: bool) -> None:
    if outdated and not place.outdated:
        log.warning("workers of %s run another release than this process: %s", place.app.name, place.CURE)
    elif place.outdated and not outdated:
        log.info("workers of %s run the release of this process again", place.app.name)
    place.outdated = outdated


def _tell_of_key(place: Place, refused: str) -> None:
    if refused and not place.refused:
        log.warning("gates of %s cannot be decided by this process: %s", place.app.name, refused)
    elif place.refused and not refused:
        log.info("gates of %s can be decided by this process again", place.app.name)
    place.refused = refused
