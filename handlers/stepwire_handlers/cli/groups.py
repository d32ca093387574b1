"""`stepwire groups`: who has which progress, and moving it when a step gets another name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepwire_handlers.cli.target import AppName, AppPlace, AsJson, BusUrl, echo_json, execute, opened, table, target

if TYPE_CHECKING:
    from stepwire_handlers.configuration import Configuration

app = typer.Typer(no_args_is_help=True, help="Consumer groups: list, and move one when its step gets another name.")


@app.command("list")
def list_(app: AppPlace, bus: BusUrl = None, json: AsJson = False) -> None:
    """Every group of an app: who is in it, and how much it has left (on Kafka: offsets, with markers)."""

    async def main() -> int:
        from stepwire.bus.local import LocalBus
        from stepwire_handlers.services.groups import groups_locally

        loaded, values = target(app, bus)
        _refuse_nothing(values)
        async with opened(values) as where:
            local = isinstance(where, LocalBus)
            if isinstance(where, LocalBus):
                rows = groups_locally(loaded, where)
            else:
                from stepwire_handlers.cluster.groups import groups_on_kafka

                rows = await groups_on_kafka(loaded, where)
        if json:
            echo_json([row._asdict() for row in rows])
            return 0
        cells = [
            (row.group, "" if row.in_app else "no handler of that name any more", ", ".join(row.members) or "nobody",
             row.behind if row.started else "never started")
            for row in rows
        ]  # fmt: skip
        table("groups", ("group", "why", "worker" if local else "members", "behind"), cells)
        return 0

    execute(main)


@app.command()
def move(
    old: Annotated[str, typer.Argument(help="The step's former name.")],
    new: Annotated[str, typer.Argument(help="Its name in the app now.")],
    app: AppName,
    bus: BusUrl = None,
) -> None:
    """Let a renamed step go on where it was under its old name.

    Nobody may be in either group, nothing may be open under the old name, and the new one may not have worked yet. It
    can be repeated: after a kill the same command finishes.
    """

    async def main() -> int:
        from stepwire.bus.local import LocalBus
        from stepwire_handlers.services.renaming import move_locally

        loaded, values = target(app, bus)
        _refuse_nothing(values)
        async with opened(values) as where:
            if isinstance(where, LocalBus):
                moved = move_locally(loaded, where, old, new)
            else:
                from stepwire_handlers.cluster.renaming import move_on_kafka

                moved = await move_on_kafka(loaded, where, old, new)
        if moved.repeated:
            typer.echo(f"{old} was moved before; nothing was left to do")
        else:
            seen = f" and {moved.seen} remembered events" if moved.seen else ""
            typer.echo(f"moved the progress of {moved.partitions} partitions{seen} from {old} to {new}")
        return 0

    execute(main)


def _refuse_nothing(values: Configuration) -> None:
    """A file that does not exist is not made by looking at it."""
    from pathlib import Path

    from stepwire.errors import SettingsError
    from stepwire_handlers.configuration import KAFKA, local_bus

    if not values.bus.startswith(KAFKA) and not Path(local_bus(values).path).exists():
        raise SettingsError(f"there is no bus at {Path(local_bus(values).path).absolute()}; name its file with --bus")
