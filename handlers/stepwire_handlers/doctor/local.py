"""Can a worker of this app work on this file?

In: an app and its configuration. Out: lines. Nothing is made or written: a file that is not there is only foretold.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.sqlite import VERSION
from stepwire.errors import StepwireError
from stepwire.release import left_behind
from stepwire_handlers.configuration import Configuration, local_bus
from stepwire_handlers.doctor.line import Line, failed, left_over, note, ok
from stepwire_handlers.doctor.surroundings import decisions, surroundings
from stepwire_handlers.drawing.plan import lacking, plan
from stepwire_handlers.file_system import network
from stepwire_handlers.services.groups import groups_locally
from stepwire_handlers.services.signing import Signing, key_of

FILE, DISK, LOCK, TOPICS = "file", "disk", "lock", "topics"
LEAST = 256 * 1024 * 1024  #: bytes; the write-ahead log may grow to 32 MiB, and a worker stops at a full disk
LITTLE = 2 * 1024 * 1024 * 1024


async def examine(app: App, values: Configuration) -> list[Line]:
    """Every line for the local bus."""
    path = Path(local_bus(values).path)
    around = [
        *await surroundings(app, values),
        *decisions(app, values, Signing(app.name, local_bus(values), key_of(values))),
    ]
    if str(path) == ":memory:":
        return [note(FILE, "the bus is in memory: nothing outlives the process"), *around]
    found = [_file(path.absolute()), _disk(path.absolute())]
    if found[0].state == "ok" and path.exists():
        found += await _inside(app, values)
    return [*found, *around]


def _file(path: Path) -> Line:
    folder = _existing(path.parent)
    if kind := network(folder):
        return failed(FILE, f"{path} lies on {kind}, where locks do not hold", "use a local disk, or Kafka")
    if not path.exists():
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            return failed(FILE, f"{path} is not there, and {folder} may not be written", "name another with --bus")
        return note(FILE, f"{path} is not there yet", "the first publish, worker or `topics apply` makes it")
    if path.is_dir():
        return failed(FILE, f"{path} is a folder", f"name a file in it: --bus sqlite:///{path}/bus.db")
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK | os.X_OK):
        return failed(FILE, f"{path} or its folder may not be written by this user", f"chown it, with {folder}")
    return _contents(path)


def _contents(path: Path) -> Line:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            (health,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return failed(FILE, f"{path}: {error}", f"keep a copy; recover what is readable with: sqlite3 {path} .recover")
    if health != "ok":
        return failed(FILE, f"{path} is damaged: {health}", f"keep a copy, then: sqlite3 {path} .recover")
    if version not in (0, VERSION):
        return failed(FILE, f"{path} has format {version}, this release reads {VERSION}", "use the matching release")
    return ok(FILE, f"{path} is sound, format {version}")


def _disk(path: Path) -> Line:
    free = shutil.disk_usage(_existing(path.parent)).free
    said = f"{free / 1e9:.1f} GB free"
    if free < LEAST:
        return failed(DISK, said, "free some space: a worker stops taking events at a full disk")
    return note(DISK, said, "free some space before it is full") if free < LITTLE else ok(DISK, said)


async def _inside(app: App, values: Configuration) -> list[Line]:
    bus = LocalBus(str(Path(local_bus(values).path)))
    try:
        await bus.open()
    except StepwireError as error:
        return [failed(LOCK, str(error), "stop whoever holds it, or wait")]
    try:
        rows = groups_locally(app, bus)
        missing = lacking(await plan(app, app.settings, bus))
        busy = [row.handler for row in rows if row.members]
        left = await left_behind(app, bus)
    finally:
        await bus.close()
    lock = note(LOCK, f"a worker has {', '.join(busy)}", "a second one stands by") if busy else ok(LOCK, "it is free")
    if left:
        return [lock, *left_over(left)]
    said = f"{len(missing)} are not made yet" if missing else "all are there"
    return [lock, note(TOPICS, said, "a worker makes them at its start") if missing else ok(TOPICS, said)]


def _existing(folder: Path) -> Path:
    """The nearest folder that is there."""
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)
