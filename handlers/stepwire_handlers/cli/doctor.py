"""`stepwire doctor`: can this process do its job here?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepwire_handlers.cli.target import AppPlace, AsJson, BusUrl, console, echo_json, execute, target

if TYPE_CHECKING:
    from stepwire_handlers.doctor.line import Line

COLOURS = {"ok": "green", "note": "yellow", "failed": "red"}


def command(app: AppPlace, bus: BusUrl = None, json: AsJson = False) -> None:
    """Look at everything a worker of this app needs, as this user, and say the cure of what fails.

    Exit: 0 it can do its job, 1 something failed.
    """

    async def main() -> int:
        from stepwire_handlers.configuration import kafka_bus

        loaded, values = target(app, bus)
        cluster = kafka_bus(values)
        if cluster is None:
            from stepwire_handlers.doctor import local

            lines = await local.examine(loaded, values)
        else:
            from stepwire_handlers.doctor import kafka

            lines = await kafka.examine(loaded, values, cluster, app)
        if json:
            echo_json([line._asdict() for line in lines])
        else:
            _show(lines)
        return 1 if any(line.state == "failed" for line in lines) else 0

    execute(main)


def _show(lines: list[Line]) -> None:
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    found.add_column(no_wrap=True)
    found.add_column(no_wrap=True)
    found.add_column(overflow="fold")
    for line in lines:
        text = Text(line.found)
        if line.cure:
            text.append(f"\n→ {line.cure}", style="bold" if line.state == "failed" else "")
        found.add_row(Text(line.state, style=COLOURS[line.state]), Text(line.what), text)
    console().print(found)
