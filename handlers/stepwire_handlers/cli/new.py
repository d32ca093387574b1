"""`stepwire new`: a project to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepwire_handlers.cli.target import execute


def command(name: Annotated[str, typer.Argument(help="The project's name; also its folder and package.")]) -> None:
    """Make a project: a flow of two steps, a prompt, a test, a Makefile."""

    async def main() -> int:
        from stepwire.errors import SettingsError
        from stepwire_handlers.scaffold import package_of, write

        package = package_of(name)
        folder = Path(name)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SettingsError(f"{folder} exists and is not empty; choose another name")
        try:
            for path in write(folder, name, package):
                typer.echo(path, err=True)
        except OSError as error:
            raise SettingsError(f"{folder} cannot be written: {error.strerror}") from None
        typer.echo(f"cd {name} && make test")
        return 0

    execute(main)
