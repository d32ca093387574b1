"""A step gets another name: its progress goes from the old group to the new one, or nothing does.

In: an app that has the new name and not the old one, an open bus. Out: what was moved; SettingsError with the reason
and the cure where it cannot be. What a handler keeps under ids of its name (open joins, waiting deliveries, dead
letters) cannot be moved: those ids are hashes with the name in them. So a handler must have none of it; the events that
it has seen (`dedupe=`) go along.

This page judges, and moves on the local bus; `cluster.renaming` moves on Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Partition, Progress, Record
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name
from stepwire.errors import SettingsError
from stepwire.ledger import Ledger
from stepwire.state import ITEM, JOIN, SEEN, VERDICT, decode_meta
from stepwire_handlers.services.starting import read_by

PAGE = 2_000
Done = Mapping[Partition, Progress]


class Left(NamedTuple):
    """What a handler has not finished, and what it keeps under its name."""

    joins: int = 0  #: entries of joins, and stubs of those that fired early
    items: int = 0  #: deliveries that wait: parked, ordered, unknown
    unread: int = 0  #: control records that nobody applied
    letters: int = 0  #: dead letters that nobody answered


class Moved(NamedTuple):
    """What a move came to."""

    partitions: int
    seen: int  #: remembered events of `dedupe=` that went along
    repeated: bool = False  #: an earlier move had done it; nothing was left to do


def check_names(app: App, old: str, new: str) -> None:
    """Refuse names that make no sense. Raises SettingsError."""
    names = sorted(handler.name for handler in app.runnable)
    if new not in names:
        raise SettingsError(
            f"{app.name} has no handler {new}, it has {', '.join(names)}; rename the step first, then move its group"
        )
    if old in names:
        raise SettingsError(f"{old} is still a handler of {app.name}; move a group once its step has the new name")


def check_left(old: str, left: Left) -> None:
    """Refuse to move a handler that has something open. Raises SettingsError."""
    words = {
        "entries of joins": left.joins, "waiting deliveries": left.items, "control records": left.unread,
        "open dead letters": left.letters,
    }  # fmt: skip
    if said := ", ".join(f"{count} {what}" for what, count in words.items() if count):
        raise SettingsError(
            f"{old} has {said}, which are kept under its name and cannot be moved; nothing was moved. Let it finish "
            f"under its old name (@handler(name={old!r}) keeps it; answer dead letters with stepwire dlq), then move"
        )


def check_topics(old: str, new: str, behind: Mapping[str, int]) -> None:
    """Refuse if the old one has events left of topics that the new step does not read. Raises SettingsError."""
    for topic, count in behind.items():
        if count:
            raise SettingsError(
                f"{old} has {count} events of {topic} left, which {new} does not read; let {old} finish them first"
            )


def has_worked(progress: Done) -> bool:
    """Did a worker ever commit here? A start alone (`topics apply`) has no map."""
    return any(one.map for one in progress.values())


def refuse_progress(new: str) -> SettingsError:
    """Both have worked: nobody can say which events are done."""
    return SettingsError(
        f"{new} has already worked, so its progress is its own; nothing was moved. Let the old step finish under its "
        f"old name: put it back with @handler(retired=True)"
    )


def kept(rows: Iterable[tuple[str, bytes]], letters: Iterable[Record], unread: int) -> tuple[Left, dict[str, bytes]]:
    """From stored state and dead letters to what is left, and the seen events that may go along."""
    state = dict(rows)
    last = {record.headers["sw_delivery"].rpartition("/")[2]: int(record.headers["sw_replay"]) for record in letters}
    answered = {key[len(VERDICT) :]: decode_meta(raw)["n"] for key, raw in state.items() if key.startswith(VERDICT)}
    left = Left(
        joins=sum(key.startswith(JOIN) for key in state),
        items=sum(key.startswith(ITEM) for key in state),
        unread=unread,
        letters=sum(answered.get(id_, 0) <= number for id_, number in last.items()),
    )
    return left, {key: raw for key, raw in state.items() if key.startswith(SEEN)}


def unfinished(records: Iterable[Record], progress: Progress) -> int:
    """How many of these the map does not know as done."""
    ledger = Ledger(progress)
    return sum(ledger.begin(record.offset) for record in records)


# -- the local bus


def move_locally(app: App, bus: LocalBus, old: str, new: str) -> Moved:
    """Move in one transaction. Raises SettingsError, BusUnavailable; a kill leaves nothing half done."""
    check_names(app, old, new)
    groups = [group_name(app.name, name) for name in (old, new)]
    locks = [Group(name, 0, (), "") for name in groups]
    try:
        for lock in locks:
            lock.acquire(bus.path)
            if lock.lock is None:
                raise SettingsError(f"a worker is in group {lock.name}; stop it, then move; nothing was moved")
        return _in_one_transaction(app, bus, old, new)
    finally:
        for lock in locks:
            lock.release()


def _in_one_transaction(app: App, bus: LocalBus, old: str, new: str) -> Moved:
    bus.catch_up()
    store = bus.store
    try:
        store.begin()
        moved = _move(app, bus, old, new)
        store.commit()
    except BaseException:
        store.rollback()
        raise
    return moved


def _move(app: App, bus: LocalBus, old: str, new: str) -> Moved:
    store, names = bus.store, {id_: name for name, (id_, _) in bus.log.topics.items()}
    before = store.groups().get(group_name(app.name, old))
    if before is None:
        if control_topic(app.name, old) in bus.log.topics:
            return Moved(0, 0, repeated=True)
        raise SettingsError(
            f"there is no group {group_name(app.name, old)}; stepwire groups list shows those there are"
        )
    source, (target, _) = before[0], store.group(group_name(app.name, new))
    done = {Partition(names[topic], n): value for (topic, n), value in store.progress(source).items()}
    control, reads = control_topic(app.name, old), read_by(app)[new]
    if has_worked({Partition(names[topic], n): value for (topic, n), value in store.progress(target).items()}):
        raise refuse_progress(new)
    unread = sum(unfinished(_records(bus, place, value.watermark), value)
                 for place, value in done.items() if place.topic == control)  # fmt: skip
    left, seen = kept(_state(bus, source, control), _letters(bus, app, old), unread)
    check_left(old, left)
    behind = {place.topic: 0 for place in done if place.topic not in (control, *reads)}
    for place, value in done.items():
        if place.topic in behind:
            behind[place.topic] += unfinished(_records(bus, place, value.watermark), value)
    check_topics(old, new, behind)
    rows = [(target, bus.log.topics[place.topic][0], place.number, *value)
            for place, value in done.items() if place.topic in reads]  # fmt: skip
    store.save_progress(rows)
    store.db.execute("UPDATE OR REPLACE state SET grp = ? WHERE grp = ? AND key LIKE ?", (target, source, SEEN + "%"))
    for table in ("state", "progress"):
        store.db.execute(f"DELETE FROM {table} WHERE grp = ?", (source,))  # noqa: S608 - two names of our own
    store.db.execute("DELETE FROM groups WHERE id = ?", (source,))
    return Moved(len(rows), len(seen))


def _records(bus: LocalBus, place: Partition, offset: int) -> Iterator[Record]:
    while records := bus.log.take(place, offset, PAGE):
        offset = records[-1].offset + 1
        yield from records


def _state(bus: LocalBus, group: int, control: str) -> Iterator[tuple[str, bytes]]:
    for number in range(bus.log.topics.get(control, (0, 0))[1]):
        after = ""
        while rows := bus.store.state(group, number, after, PAGE):
            after = rows[-1][0]
            yield from rows


def _letters(bus: LocalBus, app: App, old: str) -> Iterator[Record]:
    topic = dead_letter_topic(app.name, old)
    if topic in bus.log.topics:
        yield from _records(bus, Partition(topic, 0), 0)
