"""The consumer groups of an app: one for each handler, and those that former releases left.

In: an app and an open bus. Out: a row for each group: who is in it, and how much it has left.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Partition
from stepwire.dispatch.step import group_name
from stepwire_handlers.services.runs import ORDER, RUNNING, TIMER, RunView

WORK = frozenset({RUNNING, TIMER, ORDER})  #: what an open item waits for that only a worker brings on


class Row(NamedTuple):
    """One group."""

    group: str  #: its name on the cluster
    handler: str
    in_app: bool  #: is there still a handler of that name?
    members: list[str]  #: who is in it; on a file nobody knows more than that there is somebody
    started: bool  #: is there any progress?
    behind: int  #: records after the watermarks; those finished out of order, and markers, count too


def groups_locally(app: App, bus: LocalBus) -> list[Row]:
    """The groups of the app in a file."""
    bus.catch_up()
    known = bus.store.groups()
    names = {id_: name for name, (id_, _) in bus.log.topics.items()}
    found: list[Row] = []
    for handler, in_app in handlers_of(app, known):
        group = group_name(app.name, handler)
        progress = bus.store.progress(known[group][0]) if group in known else {}
        behind = sum(
            max(0, bus.log.end(Partition(names[topic], part)) - value.watermark)
            for (topic, part), value in progress.items()
        )
        found.append(Row(group, handler, in_app, _locked(group, bus.path), bool(progress), behind))
    return found


def handlers_of(app: App, groups: Iterable[str]) -> list[tuple[str, bool]]:
    """The app's handlers, then the groups that no handler of it has any more."""
    mine = [handler.name for handler in app.runnable]
    begin = app.name + "."
    former = sorted(name.removeprefix(begin) for name in groups if name.startswith(begin))
    return [(name, True) for name in mine] + [(name, False) for name in former if name not in mine]


def held_elsewhere(app: App, path: str) -> list[str]:
    """The handlers of the app that another process works for on this file; nothing is made."""
    if not Path(path + ".locks").is_dir():
        return []
    return [handler.name for handler in app.runnable if _locked(group_name(app.name, handler.name), path)]


def unattended(app: App, bus: LocalBus, views: Iterable[RunView]) -> list[str]:
    """The handlers that these runs wait for and that no process works for. Of a copy of Kafka's topics nobody knows."""
    if type(bus) is not LocalBus or bus.path == ":memory:":
        return []
    waiting = dict.fromkeys(item.handler for view in views for item in view.open if item.kind in WORK)
    return [name for name in waiting if name and _is_free(group_name(app.name, name), bus.path)]


def _is_free(group: str, path: str) -> bool:
    """Has nobody the lock, which is not made here? Who may not touch it cannot tell."""
    if not Path(path + ".locks", group).exists():
        return True
    try:
        return not _locked(group, path)
    except OSError:
        return False


def _locked(group: str, path: str) -> list[str]:
    seat = Group(group, 0, (), "")
    seat.acquire(path)
    held = seat.lock is None
    seat.release()
    return ["a worker"] if held else []
