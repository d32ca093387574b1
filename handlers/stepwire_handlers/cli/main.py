"""The command `stepwire`. Only typer is imported here; everything else when a command runs."""

from __future__ import annotations

import typer

from stepwire_handlers.cli import config, demo, dev, dlq, gates, graph, new, offline, publish, run, runs, topics

cli = typer.Typer(
    name="stepwire", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="AI workflows as events: every step a small stateless handler.",
)  # fmt: skip
cli.command("run")(run.command)
cli.command("dev")(dev.command)
cli.command("publish")(publish.command)
cli.add_typer(runs.app, name="runs")
cli.add_typer(gates.app, name="gates")
cli.add_typer(dlq.app, name="dlq")
cli.command("graph")(graph.command)
cli.add_typer(topics.app, name="topics")
cli.command("config")(config.command)
cli.command("new")(new.command)
cli.command("demo")(demo.command)
cli.command("offline-model")(offline.command)


def main() -> None:
    """The entry point."""
    cli()


if __name__ == "__main__":
    main()
