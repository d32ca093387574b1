"""What a new release of an app may not change while work of the old one is under way (DESIGN §8, "Changed wiring").

In: an app, and what the bus knows of its last release. Out: nothing, or SettingsError with the cure.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stepwire.bus.protocol import Bus
from stepwire.dispatch.step import group_name
from stepwire.errors import SettingsError

if TYPE_CHECKING:
    from stepwire.app import App

RELEASES = "/releases"  #: behind an app's name: the releases that were let in, by number
RETIRED = "!"  #: behind a handler's name
MOST = 20  #: releases that are remembered


async def left_behind(app: App, bus: Bus) -> Mapping[str, int]:
    """Handlers that the release before had and this one has not -> what nobody would do any more.

    A release that was let in before is asked nothing again: what others publish for a step that is gone, or that only a
    newer release has, must stop nobody who starts anew, or goes back. Of a retired one only what it keeps counts: new
    events come as long as there are publishers.
    """
    mine, releases = _handlers(app), await bus.remember(app.name + RELEASES, None)
    if mine in releases.values():
        return {}
    known = {group_name(app.name, handler.name) for handler in app.runnable}
    found = await bus.unfinished(app.name + ".", known)
    left = {group.removeprefix(app.name + "."): sizes for group, sizes in found.items()}
    before = releases[max(releases)] if releases else left.keys()
    counts = {name: kept + (behind if name in before else 0) for name, (behind, kept) in left.items()}
    return {name: count for name, count in counts.items() if count and (name in before or name + RETIRED in before)}


async def check_groups(app: App, bus: Bus) -> None:
    """Refuse if a handler that is gone still has something to do: nobody would ever do it. Then let the release in."""
    for handler, unfinished in (await left_behind(app, bus)).items():
        raise SettingsError(
            f"handler {handler} is not in {app.name} any more, but has {unfinished} events or entries left. Put it "
            f"back with @handler(retired=True) until it keeps nothing, give its successor name={handler!r}, or let "
            f"that go on with: stepwire groups move {handler} NEW"
        )
    mine, releases = _handlers(app), await bus.remember(app.name + RELEASES, None)
    if mine in releases.values():
        return
    latest = releases[max(releases)] if releases else ()
    gone = {name for name in latest if not name.endswith(RETIRED)} - {name.rstrip(RETIRED) for name in mine}
    if gone:
        logging.getLogger("stepwire").warning(
            "%s: %s of the release before is gone, and was not retired: if it has another name now, workers of both "
            "releases take the same events, each once; name=%r keeps the old name",
            app.name, ", ".join(sorted(gone)), min(gone),
        )  # fmt: skip
    kept = dict(sorted(releases.items())[1 - MOST :])
    await bus.remember(app.name + RELEASES, {**kept, f"{int(max(releases, default='0')) + 1:06}": mine})


def _handlers(app: App) -> list[str]:
    """What a release is known by."""
    return sorted(handler.name + RETIRED * handler.options.retired for handler in app.runnable)


async def check_owed(app: App, bus: Bus, *, accept: bool) -> None:
    """Refuse if an event owes other slots than before while joins of those slots are open; store the new table."""
    table = app.wiring.table()
    before = await bus.remember(app.name, None)
    changed = {
        slot.partition(".")[0] for kind in before.keys() & table.keys() for slot in set(before[kind]) ^ set(table[kind])
    }
    if not accept:
        for handler in sorted(changed):
            if await bus.open_joins(group_name(app.name, handler)):
                raise SettingsError(
                    f"this release changes who brings the parts of {handler}, and joins of it are open. Rename the "
                    f"handler (the old one retires), wait until they are closed, or start with --accept-owes-change: "
                    f"then joins that nobody completes expire at their deadline"
                )
    await bus.remember(app.name, table)
