"""What a command is about: an app named `MODULE:app`, and the bus that it runs on.

Everything heavy is imported here, when a command runs, so that `stepwire --help` stays fast.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stepwire import App
    from stepwire.bus.local import LocalBus
    from stepwire_handlers.configuration import Configuration

COMPLETED, FAILED, USAGE, WAITING, DEAD_LETTER, TIMED_OUT = 0, 1, 2, 3, 4, 5

AppName = Annotated[str, typer.Option("--app", help="The app, MODULE:name.", envvar="STEPWIRE_APP")]
BusUrl = Annotated[str | None, typer.Option("--bus", help="sqlite:///path; default: as `stepwire config` says.")]
AsJson = Annotated[bool, typer.Option("--json", help="Data instead of a table.")]


def load_app(name: str) -> App:
    """Import an app. Raises SettingsError that says what is wrong with the name or the module."""
    from stepwire import App, SettingsError

    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute or "app")
    except ModuleNotFoundError as error:
        if error.name is not None and not module.startswith(error.name):
            raise SettingsError(f"{module} needs the package {error.name}, which is not installed") from None
        raise SettingsError(f"there is no module {module!r} here ({Path.cwd()}); write MODULE:app") from None
    except AttributeError:
        raise SettingsError(f"{module} has no {attribute or 'app'!r}; write MODULE:NAME of an App in it") from None
    if not isinstance(found, App):
        raise SettingsError(f"{name} is a {type(found).__name__}, not an App")
    return found


@asynccontextmanager
async def opened(values: Configuration) -> AsyncIterator[LocalBus]:
    """The configured bus, open."""
    from stepwire_handlers.configuration import open_bus

    bus = open_bus(values)
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


def complain(message: str) -> None:
    """Say what is wrong, on stderr."""
    typer.echo(message, err=True)


def execute(command: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run a command; a mistake of its user is a message and a code, never a traceback."""
    from stepwire.errors import BusError, PublishError, SettingsError, StepwireError, WiringError

    try:
        code = asyncio.run(command())
    except (SettingsError, PublishError, WiringError) as error:
        complain(str(error))
        code = USAGE
    except (BusError, StepwireError) as error:
        complain(str(error))
        code = FAILED
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


def echo_json(data: Any) -> None:
    """Data on stdout."""
    from pydantic_core import to_json

    typer.echo(to_json(data, indent=2).decode())


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table on stdout."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, title=title, title_justify="left", show_edge=False, pad_edge=False)
    for row in rows:
        drawn.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    console.print(drawn)


def moment(seconds: float | None) -> str:
    """A time as people read it."""
    from datetime import datetime

    return "" if not seconds else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
