"""What a command says: data on stdout, everything else on stderr.

In: plain data, rows, times. Out: JSON that has a schema in docs/schemas, or a table for people. Rich is imported when a
table is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 160  #: columns of a table that goes into a file or a pipe
LONG = 100  #: characters of an event in a table


def complain(message: str) -> None:
    """Say what is wrong, or under way, on stderr."""
    typer.echo(message, err=True)


def echo_json(data: Any) -> None:
    """Data on stdout."""
    from pydantic_core import to_json

    typer.echo(to_json(data, indent=2).decode())


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table on stdout."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    console.print(drawn(title, columns, rows))


def drawn(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    """A table, to be printed or shown live; what stands in a cell is text, never markup."""
    from rich.table import Table
    from rich.text import Text

    found = Table(*columns, title=Text(title), title_justify="left", show_edge=False, pad_edge=False)
    for row in rows:
        found.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    return found


def moment(seconds: float | None) -> str:
    """A time as people read it."""
    from datetime import datetime

    return "" if not seconds else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short(data: object) -> str:
    """Data in a cell."""
    text = str(data)
    return text if len(text) <= LONG else text[: LONG - 1] + "…"
