"""The command `stepwire`. Imported are typer and modules that import only typer; the rest when a command runs.

Each command is a module of this package with a function `command` or a group `app`; one that is not there, because an
installation left it out, is not offered, and harms none of the others.
"""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

COMMANDS = {
    "run": "run", "dev": "dev", "door": "door", "console": "console", "mcp": "mcp", "publish": "publish",
    "runs": "runs", "gates": "gates", "dlq": "dlq", "graph": "graph", "contracts": "contracts", "topics": "topics",
    "groups": "groups", "doctor": "doctor", "config": "config", "new": "new", "demo": "demo",
    "offline-model": "offline",
}  # fmt: skip


def build() -> typer.Typer:
    """The command with everything that is there."""
    cli = typer.Typer(
        name="stepwire", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich would cost a third of the time that `--help` takes
        help="AI workflows as events: every step a small stateless handler.",
    )  # fmt: skip
    cli.callback()(_options)
    for name, module in COMMANDS.items():
        found = _module(f"stepwire_handlers.cli.{module}")
        if found is None:
            continue
        if hasattr(found, "command"):
            cli.command(name, cls=getattr(found, "COMMAND", None))(found.command)
        else:
            cli.add_typer(found.app, name=name)
    return cli


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"stepwire {version('stepwire')}")
        raise typer.Exit


def _begin_in(folder: Path | None) -> None:
    """Everything that is named from a folder is named from this one: modules, stepwire.toml, files."""
    if folder is not None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise typer.BadParameter(f"{folder}: {error.strerror}; name the project's folder") from None


def _options(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory", "-C", metavar="DIR", callback=_begin_in, help="Do it as if started in this folder."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which release this is.")
    ] = False,
) -> None:
    """AI workflows as events: every step a small stateless handler."""


cli = build()


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):  # an error's message may hold what no text file does
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    cli()


if __name__ == "__main__":
    main()
