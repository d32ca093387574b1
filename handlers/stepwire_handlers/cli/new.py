"""`stepwire new`: a project to begin with."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import Annotated

import typer

from stepwire_handlers.cli.target import execute


def command(name: Annotated[str, typer.Argument(help="The project's name; also its folder and package.")]) -> None:
    """Make a project: a flow of two steps, a prompt, a test, a Makefile."""

    async def main() -> int:
        from stepwire.errors import SettingsError
        from stepwire_handlers.scaffold import write

        package = name.replace("-", "_").lower()
        if not package.isidentifier() or keyword.iskeyword(package) or package.startswith("stepwire"):
            raise SettingsError(f"{name!r} is no name for a package; use letters, digits and -")
        folder = Path(name)
        if folder.exists() and any(folder.iterdir()):
            raise SettingsError(f"{folder} exists and is not empty; choose another name")
        for path in write(folder, name, package):
            typer.echo(path, err=True)
        typer.echo(f"cd {name} && make test")
        return 0

    execute(main)
