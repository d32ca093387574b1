"""What a command says: data on stdout, everything else on stderr.

In: plain data, rows, times. Out: JSON that has a schema in docs/schemas, or a table for people. What a terminal would
obey is made harmless on the way. Rich is imported when a table is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from stepwire_handlers.harmless import harmless, harmless_json

if TYPE_CHECKING:
    from rich.console import Console

WHOLE = frozenset({"id", "run", "since", "until", "started"})  #: columns that are never cut: people copy them
PROSE = frozenset(
    {"message", "why", "waits for", "value", "source", "configuration", "event"}
)  #: columns that may take several lines
WIDE = 160  #: columns of a table that goes into a file or a pipe
LONG = 100  #: characters of an event in a table


def complain(message: str) -> None:
    """Say what is wrong, or under way, on stderr."""
    typer.echo(harmless(message), err=True)


def say(line: str) -> None:
    """A line on stdout, for people."""
    typer.echo(harmless(line))


def echo_json(data: Any) -> None:
    """Data on stdout."""
    from stepwire_handlers.services.written import written

    typer.echo(harmless_json(written(data, indent=2).decode()))


def cut(text: str, most: int) -> str:
    """The beginning of a text, marked as such where something is missing."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def console() -> Console:
    """Where tables and timelines go: stdout, wide where it is no terminal."""
    from rich.console import Console

    found = Console()
    if not found.is_terminal:
        found.width = max(found.width, WIDE)
    return found


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table on stdout; what stands in a cell is text, never markup. Ids and times are never cut: people copy them."""
    from rich.table import Table
    from rich.text import Text

    found = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        found.add_column(column, no_wrap=column not in PROSE, overflow="fold" if column in PROSE else "ellipsis",
                         min_width=_least(column, columns, rows))  # fmt: skip
    for row in rows:
        found.add_row(*(Text("" if cell is None else harmless(str(cell))) for cell in row))
    console().print(found)


def _least(column: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> int | None:
    """How narrow a column may get where the terminal is narrow: ids and times as long as they are, prose readable."""
    if column in PROSE:
        return 16
    if column not in WHOLE:
        return len(column)
    at = columns.index(column)
    return max(len(column), *(len(str(row[at])) for row in rows)) if rows else len(column)


def clock(seconds: float | None) -> str:
    """A time in a table: of today, with its day, or of another year the day alone."""
    from datetime import datetime

    if not seconds:
        return ""
    then, now = datetime.fromtimestamp(seconds).astimezone(), datetime.now().astimezone()
    near = "%m-%d %H:%M" if then.year == now.year else "%Y-%m-%d"
    return then.strftime("%H:%M:%S" if then.date() == now.date() else near)


def moment(seconds: float | None) -> str:
    """A time as people read it."""
    from datetime import datetime

    return "" if not seconds else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short(data: object) -> str:
    """Data in a cell."""
    return cut(str(data), LONG)
