"""What a new release of an app may not change while work of the old one is under way (DESIGN §8, "Changed wiring").

In: an app, and what the bus knows of its last release. Out: nothing, or SettingsError with the cure.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from stepwire.bus.protocol import Bus
from stepwire.dispatch.step import group_name
from stepwire.errors import SettingsError
from stepwire.event import digest
from stepwire.jsontext import dump

if TYPE_CHECKING:
    from stepwire.app import App

RELEASES, LAST = "/releases", "/last"  #: behind an app's name: the releases that were let in, and which started last
RETIRED = "!"  #: behind a handler's name
MOST = 20  #: releases that are remembered


class Known(NamedTuple):
    """What the bus knows of an app's releases."""

    releases: Mapping[str, Sequence[str]]  #: number -> handlers
    last: str  #: the number of the one that started last; empty: none did
    mine: str  #: that of the one that starts now; empty: it never did before

    @property
    def returns(self) -> bool:
        """Does a release start anew, or does somebody go back to it? What is not in it came later, for others to do."""
        return bool(self.mine) and self.mine <= self.last

    @property
    def before(self) -> Sequence[str]:
        """The handlers that worked before."""
        return self.releases.get(self.last, ())


async def left_behind(app: App, bus: Bus) -> Mapping[str, int]:
    """Handlers that the release before had and this one has not -> what nobody would do any more.

    Of those that retired only what they keep counts, and of all where this release was let in before: new events come
    as long as there are publishers, and must not stop a release for ever that once dropped a handler in order.
    """
    known = await _known(app, bus)
    return {} if known.returns else {name: count for name, count in (await _left(app, bus, known)).items() if count}


async def _left(app: App, bus: Bus, known: Known) -> Mapping[str, int]:
    mine = {group_name(app.name, handler.name) for handler in app.runnable}
    # most starts are of the release that started last: nothing can be gone then, and the bus is not asked
    found = {} if known.mine and known.mine == known.last else await bus.unfinished(app.name + ".", mine)
    left = {group.removeprefix(app.name + "."): sizes for group, sizes in found.items()}
    before = known.before if known.last else left.keys()
    counts = {
        name: kept + (behind if name in before and not known.mine else 0) for name, (behind, kept) in left.items()
    }
    return {name: count for name, count in counts.items() if name in before or name + RETIRED in before}


async def check_release(app: App, bus: Bus, *, accept_owes_change: bool) -> Known:
    """Refuse what would leave work behind. Raises SettingsError."""
    known = await _known(app, bus)
    await _check_groups(app, bus, known)
    await _check_owed(app, bus, accept=accept_owes_change or bool(known.mine))
    return known


async def let_in(app: App, bus: Bus, known: Known) -> None:
    """Remember the release, once nothing else refuses it: what the next one leaves behind is judged by it."""
    await bus.remember(app.name, app.wiring.table())
    mine = known.mine or f"{int(max(known.releases, default='0')) + 1:06}"
    if not known.mine:
        kept = dict(sorted(known.releases.items())[1 - MOST :])
        await bus.remember(app.name + RELEASES, {**kept, mine: _handlers(app)})
    if mine != known.last:
        await bus.remember(app.name + LAST, {"release": [mine]})


async def _check_groups(app: App, bus: Bus, known: Known) -> None:
    """Refuse if a handler that is gone still has something to do: nobody would ever do it. Who goes back is told."""
    left = await _left(app, bus, known)
    kept = {name: count for name, count in sorted(left.items()) if count}
    said = ", ".join(f"{name} ({count})" for name, count in kept.items())
    if kept and known.returns:
        logging.getLogger("stepwire").warning("%s: steps of a newer release keep entries for it: %s", app.name, said)
    elif kept:
        raise SettingsError(
            f"gone from {app.name}, but with events or entries left: {said}. Give the successor of each its name "
            f"(name={min(kept)!r}); or, where no gate and no join waits, let it go on with: stepwire groups move "
            f"{min(kept)} NEW; or put it back with @handler(retired=True), which gives up what it keeps, gates too"
        )
    if gone := sorted(name for name in left if name in known.before and not known.mine):
        logging.getLogger("stepwire").warning(
            "%s: %s of the release before is gone, and was not retired: if it has another name now, workers of both "
            "releases take the same events, each once; name=%r keeps the old name; its dead letters only "
            "a release that has it shows and replays",
            app.name, ", ".join(gone), gone[0],
        )  # fmt: skip


async def _known(app: App, bus: Bus) -> Known:
    releases, last = await bus.remember(app.name + RELEASES, None), await bus.remember(app.name + LAST, None)
    mine = _handlers(app)
    number = next((number for number, handlers in releases.items() if list(handlers) == mine), "")
    return Known(releases, last["release"][0] if last else "", number)


def _handlers(app: App) -> list[str]:
    """What a release is known by: its handlers, and what its events owe."""
    names = sorted(handler.name + RETIRED * handler.options.retired for handler in app.runnable)
    return [*names, f"#{digest(dump(app.wiring.table()).decode())}"]


async def _check_owed(app: App, bus: Bus, *, accept: bool) -> None:
    """Refuse if an event owes other slots than before while joins of those slots are open."""
    table = app.wiring.table()
    before = await bus.remember(app.name, None)
    kinds = before.keys() & table.keys()
    changed = {slot.partition(".")[0] for kind in kinds for slot in set(before[kind]) ^ set(table[kind])}
    groups = {} if accept else {handler: group_name(app.name, handler) for handler in sorted(changed)}
    if waiting := [handler for handler, group in groups.items() if await bus.open_joins(group)]:
        raise SettingsError(
            f"this release changes who brings the parts of {', '.join(waiting)}, where joins are open. Rename the "
            f"handler (the old one retires), wait until they are closed, or start with --accept-owes-change: "
            f"then joins that nobody completes expire at their deadline"
        )
