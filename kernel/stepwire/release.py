"""What a new release of an app may not change while work of the old one is under way (DESIGN §8, "Changed wiring").

In: an app, and what the bus knows of its last release. Out: nothing, or SettingsError with the cure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepwire.bus.protocol import Bus
from stepwire.dispatch.step import group_name
from stepwire.errors import SettingsError

if TYPE_CHECKING:
    from stepwire.app import App


async def check_groups(app: App, bus: Bus) -> None:
    """Refuse if a handler that is gone still has something to do: nobody would ever do it."""
    known = {group_name(app.name, handler.name) for handler in app.runnable}
    for group, unfinished in (await bus.unfinished(app.name + ".", known)).items():
        if unfinished:
            handler = group.removeprefix(app.name + ".")
            raise SettingsError(
                f"handler {handler} is not in {app.name} any more, but has {unfinished} events or entries left. Put it "
                f"back with @handler(retired=True) until it is empty, give its successor name={handler!r}, or let that "
                f"go on with: stepwire groups move {handler} NEW"
            )


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
