"""What a command is about: an app named `MODULE:app`, and the bus that it runs on; and with which code it ends.

Everything heavy is imported here, when a command runs, so that `stepwire --help` stays fast.

    0  done; of `publish --wait`: the run completed, or has its result
    1  it could not be done: the bus is locked, damaged or of another version; there is nothing of that id
    2  what was asked for makes no sense; nothing was done
    3  `publish --wait`: waits for a person (a gate, an unknown outcome)
    4  `publish --wait`: a dead letter that nobody replayed or dropped
    5  `publish --wait`: time was up
    130  cut off by Ctrl-C, or by a second signal
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwire_handlers.cli.app_module import load_app
from stepwire_handlers.cli.ending import ending
from stepwire_handlers.cli.output import complain, console, echo_json, moment, say, table

if TYPE_CHECKING:
    from stepwire import App
    from stepwire.bus.kafka.bus import KafkaBus
    from stepwire.bus.local import LocalBus
    from stepwire_handlers.configuration import Configuration

COMPLETED, FAILED, USAGE, WAITING, DEAD_LETTER, TIMED_OUT, CUT_OFF = 0, 1, 2, 3, 4, 5, 130
PATIENCE = 5.0  #: seconds that a command waits for a file that another process has locked
PAUSE = 0.05  #: seconds between two tries
MIRRORS = Path(".stepwire/mirrors")  #: where copies of topics on Kafka are kept; they can be lost
SQLITE = b"SQLite format 3\0"  #: how every such file begins

AppName = Annotated[str, typer.Option("--app", help="The app, MODULE:name.", envvar="STEPWIRE_APP")]
AppPlace = Annotated[str, typer.Argument(metavar="MODULE:app", help="The app, MODULE:name.", envvar="STEPWIRE_APP")]
BusUrl = Annotated[
    str | None, typer.Option("--bus", help="sqlite:///path, or kafka://host:port; default: as `stepwire config` says.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Data instead of a table.")]


# -- the app


def target(name: str, bus: str | None, **flags: Any) -> tuple[App, Configuration]:
    """The app with the settings that hold for it, and the configuration. Raises SettingsError, WiringError.

    Configured settings of the worker go before what the app says of them itself; the author's own app is not changed.
    """
    from copy import copy
    from dataclasses import replace

    from stepwire import Settings
    from stepwire_handlers.configuration import KAFKA_DEFAULT, export, load_with_sources

    found = load_with_sources(bus=bus, **flags)
    export(found.values)  # before the app is imported, whose store and clients are named by the environment
    app = copy(load_app(name))
    named = {name.removeprefix("worker."): source for name, source in found.sources.items() if "worker." in name[:7]}
    plain = Settings()
    inner = {
        field
        for field, source in named.items()
        if source != KAFKA_DEFAULT or getattr(app.settings, field) == getattr(plain, field)
    }
    app.settings = replace(app.settings, **{field: getattr(found.values.worker, field) for field in inner})
    return app, found.values


# -- the bus


def has_handler(app: App, name: str, option: str) -> None:
    """Raises SettingsError if the app has no handler of that name."""
    import difflib

    from stepwire.errors import SettingsError

    known = [handler.name for handler in app.runnable]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise SettingsError(f"{option} {name}: {app.name} has no such handler; {hint}")


@asynccontextmanager
async def opened(values: Configuration) -> AsyncIterator[LocalBus | KafkaBus]:
    """The configured bus, open; the file is made if there is none. Raises BusUnavailable, BusCorrupt."""
    from stepwire_handlers.configuration import kafka_bus, local_bus

    bus: LocalBus | KafkaBus | None = kafka_bus(values)
    if bus is None:
        bus = local_bus(values)
        _refuse_foreign(Path(bus.path))
    await _open(bus)
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def looking(values: Configuration, app: App) -> AsyncIterator[LocalBus]:
    """The configured bus as what one may look into: the file itself, or a copy of the app's topics on Kafka."""
    from stepwire_handlers.configuration import kafka_bus, local_bus

    kafka = kafka_bus(values)
    if kafka is None:
        bus = local_bus(values)
        _refuse_foreign(Path(bus.path))
    else:
        from stepwire_handlers.services.mirror import Mirror

        MIRRORS.mkdir(parents=True, exist_ok=True)
        bus = Mirror(kafka, app, MIRRORS)
    await _open(bus)
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def existing(values: Configuration, app: App) -> AsyncIterator[LocalBus]:
    """The same; whoever only looks must not make a file. Raises SettingsError if there is none."""
    from stepwire.errors import SettingsError
    from stepwire_handlers.configuration import KAFKA, local_bus

    path = ":memory:" if values.bus.startswith(KAFKA) else local_bus(values).path
    if path != ":memory:" and not Path(path).exists():
        raise SettingsError(
            f"there is no bus at {Path(path).absolute()}: nothing was published there yet. Go to the folder of the "
            f"worker, or name its file with --bus sqlite:///path"
        )
    async with looking(values, app) as bus:
        yield bus


def _refuse_foreign(path: Path) -> None:
    """What is no bus, or no place for one, is not written into. Raises SettingsError, BusCorrupt, BusUnavailable.

    What cannot be read, the bus says.
    """
    import sqlite3
    from contextlib import closing, suppress

    from stepwire.errors import BusCorrupt, BusUnavailable, SettingsError
    from stepwire_handlers.file_system import network

    if kind := network(path):
        raise BusUnavailable(
            f"{path} lies on a network file system ({kind}), where locks do not hold; use a local disk, or Kafka"
        )
    if path.is_dir():
        raise SettingsError(f"{path} is a folder; name a file in it with --bus sqlite:///{path}/bus.db")
    if not path.is_file():
        return
    with suppress(OSError), path.open("rb") as file:
        if (begin := file.read(len(SQLITE))) and begin != SQLITE:
            raise BusCorrupt(
                f"{path} is no SQLite file, so it was left alone. Name another one with --bus sqlite:///path; if this "
                f"was the bus, it is damaged: keep a copy, and recover what is readable with: sqlite3 {path} .recover"
            )
    tables: set[str] = set()
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.05)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not {"topics", "events", "groups"} <= tables:
        raise SettingsError(f"{path} is a database of something else; name another file with --bus sqlite:///path")


async def _open(bus: LocalBus | KafkaBus) -> None:
    """Open, waiting for whoever has locked the file just now."""
    import asyncio

    from stepwire.errors import BusUnavailable

    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while True:
        try:
            await bus.open()
        except BusUnavailable as error:
            if not _is_locked(error) or loop.time() > end:
                raise
            await asyncio.sleep(PAUSE)
        else:
            return


# -- the command


def execute(command: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run a command; a mistake of its user is a message and a code, never a traceback."""
    import asyncio
    import sqlite3

    from stepwire.errors import StepwireError

    try:
        with ending(command) as watched:
            code = asyncio.run(watched())
    except BrokenPipeError:
        raise  # `| head`: who reads has enough; typer ends the command quietly
    except (StepwireError, sqlite3.Error, OSError) as error:
        message, code = _told(error)
        complain(message)
    except KeyboardInterrupt:
        code = CUT_OFF
    raise typer.Exit(code)


def _told(error: Exception) -> tuple[str, int]:
    """What is said of a failure, and the code it ends with."""
    import sqlite3

    from stepwire.bus.sqlite_errors import meaning
    from stepwire.errors import BusUnavailable, OutcomeUnknown, PublishError, SettingsError, WiringError

    if isinstance(error, SettingsError | PublishError | WiringError):
        return str(error), USAGE
    if isinstance(error, sqlite3.Error):
        error = meaning(error, "read", "the bus")
    if isinstance(error, OutcomeUnknown):
        cure = "Free some space, look, and repeat it (publish: under its --id, then it happens once)"
        return f"{error}; whether it was written is not known. {cure}", FAILED
    if isinstance(error, BusUnavailable) and "; " in str(error) and "the worker" in str(error):
        # full or locked: a worker waits that out, a command does not
        return f"{str(error).partition('; ')[0]}, and nothing was written; mend that, then repeat the command", FAILED
    if isinstance(error, OSError):
        return f"{error.filename or 'stdout'}: {error.strerror or error}; what was to be written there is not", FAILED
    return str(error), FAILED


def _is_locked(error: BaseException) -> bool:
    import sqlite3

    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def text_of(given: str, option: str) -> str:
    """The text of an option: itself, `@file`, or `-` for stdin. Raises SettingsError for a file that is not there."""
    from stepwire.errors import SettingsError

    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{option} {given}: {error.strerror}; write {option} @FILE with a file that exists"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{option} {given}: it is no text in UTF-8; files go with --attach field=FILE") from None


def fields_of(given: str, option: str) -> dict[str, Any]:
    """A JSON object of an option. Raises SettingsError for anything else."""
    import json

    from stepwire.errors import SettingsError

    try:
        found = json.loads(text_of(given, option))
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is JSON, but no text
    except UnicodeEncodeError:
        raise SettingsError(
            f"{option} holds half a surrogate pair (\\ud800 to \\udfff), which is no character"
        ) from None
    except RecursionError:
        raise SettingsError(f"{option} is nested too deep; put such data into a file and --attach it") from None
    except ValueError as error:
        raise SettingsError(f"{option} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{option} must be a JSON object: the event's fields by name")
    return found


def where_else(app: str, bus: str | None) -> str:
    """The options with which another command finds the same; an address without its user and password."""
    from shlex import quote

    from stepwire_handlers.configuration import shown

    return f"--app {quote(app)}" + (f" --bus {quote(str(shown(bus)))}" if bus else "")


def me() -> str:
    """Who runs this; a container may have a user without a name."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


__all__ = [
    "COMPLETED",
    "CUT_OFF",
    "DEAD_LETTER",
    "FAILED",
    "TIMED_OUT",
    "USAGE",
    "WAITING",
    "AppName",
    "AsJson",
    "BusUrl",
    "complain",
    "console",
    "echo_json",
    "execute",
    "existing",
    "fields_of",
    "looking",
    "me",
    "moment",
    "opened",
    "say",
    "table",
    "target",
    "text_of",
    "where_else",
]
