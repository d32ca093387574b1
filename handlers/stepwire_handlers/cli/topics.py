"""`stepwire topics`: what an app needs on its bus."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stepwire_handlers.cli.target import AppPlace, AsJson, BusUrl, complain, echo_json, execute, opened, table, target

if TYPE_CHECKING:
    from stepwire import App
    from stepwire_handlers.configuration import Configuration
    from stepwire_handlers.drawing.plan import Planned

app = typer.Typer(no_args_is_help=True, help="Topics: plan, check, apply.")


class Format(StrEnum):
    """How a plan is written."""

    table = "table"
    json = "json"
    strimzi = "strimzi"
    acls = "acls"


async def _rows(loaded: App, values: Configuration) -> list[Planned]:
    """The plan. A file that does not exist is not made by looking at it."""
    from pathlib import Path

    from stepwire.bus.local import LocalBus
    from stepwire_handlers.configuration import KAFKA, local_bus
    from stepwire_handlers.drawing.plan import plan as planned

    if not values.bus.startswith(KAFKA) and not Path(local_bus(values).path).exists():
        return await planned(loaded, loaded.settings, None)
    async with opened(values) as where:
        if isinstance(where, LocalBus):
            return await planned(loaded, loaded.settings, where)
        from stepwire_handlers.cluster.planning import plan_on_kafka

        return await plan_on_kafka(loaded, loaded.settings, where)


def _show(rows: list[Planned], *, json: bool) -> None:
    if json:
        echo_json([row._asdict() | {"exists": row.exists > 0, "partitions_now": row.exists} for row in rows])
        return
    columns: tuple[str, ...] = ("topic", "kind", "partitions", "exists")
    cells: list[tuple[object, ...]] = [(row.topic, row.kind, row.partitions, row.exists or "no") for row in rows]
    if any(row.config for row in rows):
        columns = (*columns, "configuration")
        cells = [(*cell, ", ".join(f"{k}={v}" for k, v in row.config.items()))
                 for cell, row in zip(cells, rows, strict=True)]  # fmt: skip
    table("topics", columns, cells)


def _written(loaded: App, values: Configuration, form: Format, cluster: str, principal: str) -> str:
    """What goes to an operator or a shell; no cluster is asked."""
    from stepwire.errors import SettingsError
    from stepwire_handlers.cluster.planning import planned_on_kafka
    from stepwire_handlers.cluster.rights import rights
    from stepwire_handlers.cluster.written import acl_lines, strimzi
    from stepwire_handlers.configuration import kafka_bus

    if kafka_bus(values) is None:
        raise SettingsError(f"--format {form} is about Kafka; name the cluster with --bus kafka://host:port")
    needed = rights(loaded, values.prefix)
    if form is Format.acls:
        return "\n".join(acl_lines(needed, principal)) + "\n"
    rows = planned_on_kafka(loaded, loaded.settings, values.prefix)
    return strimzi(rows, needed, app=loaded.name, cluster=cluster, prefix=values.prefix)


@app.command()
def plan(
    app: AppPlace,
    bus: BusUrl = None,
    form: Annotated[
        Format, typer.Option("--format", help="strimzi: KafkaTopic and KafkaUser resources; acls: for kafka-acls.sh.")
    ] = Format.table,
    cluster: Annotated[str, typer.Option(help="strimzi: the name of the Kafka resource.")] = "kafka",
    principal: Annotated[str, typer.Option(help="acls: who gets the rights.")] = "User:stepwire",
    json: AsJson = False,
) -> None:
    """What there is, and what is missing."""

    async def main() -> int:
        loaded, values = target(app, bus)
        if form in (Format.strimzi, Format.acls):
            typer.echo(_written(loaded, values, form, cluster, principal), nl=False)
            return 0
        _show(await _rows(loaded, values), json=json or form is Format.json)
        return 0

    execute(main)


@app.command()
def check(app: AppPlace, bus: BusUrl = None, json: AsJson = False) -> None:
    """The same, with exit code 1 if something is missing or wrong: for a pipeline before a release."""

    async def main() -> int:
        from stepwire.bus.local import LocalBus
        from stepwire_handlers.configuration import KAFKA
        from stepwire_handlers.drawing.plan import lacking

        loaded, values = target(app, bus)
        rows = await _rows(loaded, values)
        _show(rows, json=json)
        if not values.bus.startswith(KAFKA):
            for problem in (problems := lacking(rows)):
                complain(f"{problem}; run: stepwire topics apply {app}")
            return 1 if problems else 0
        from stepwire_handlers.cluster.shape import findings

        async with opened(values) as where:
            assert not isinstance(where, LocalBus)
            found = await findings(loaded, loaded.settings, rows, where, app)
        for one in found:
            complain(f"{one}" if one.refuses else f"warning: {one}")
        return 1 if any(one.refuses for one in found) else 0

    execute(main)


@app.command()
def apply(
    app: AppPlace,
    bus: BusUrl = None,
    start: Annotated[
        str, typer.Option(help="Where handlers begin that never read a topic: now, beginning, or 2026-03-01T12:00:00Z.")
    ] = "now",
) -> None:
    """Make what is missing, and let new handlers start; a handler that has started is never moved."""

    async def main() -> int:
        from stepwire.bus.local import LocalBus
        from stepwire.worker import prepare, topics_of
        from stepwire_handlers.services.starting import start_locally, start_of

        when = start_of(start)
        loaded, values = target(app, bus)
        async with opened(values) as where:
            if not isinstance(where, LocalBus):
                where.creates_topics = True  # everywhere else what is missing is refused
            await where.create(topics_of(loaded, loaded.settings))
            if isinstance(where, LocalBus):
                begun = await start_locally(loaded, where, when)
            else:
                from stepwire_handlers.cluster.starting import start_on_kafka

                begun = await start_on_kafka(loaded, where, when)
            await prepare(loaded, where, loaded.settings)
        for one in begun:
            typer.echo(f"{one.handler} starts in {one.topic} at {start}")
        typer.echo("applied")
        return 0

    execute(main)
