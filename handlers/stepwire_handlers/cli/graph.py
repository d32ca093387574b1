"""`stepwire graph`: an app, drawn from its signatures."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from stepwire_handlers.cli.app_module import load_app
from stepwire_handlers.cli.target import AppPlace, execute


class Format(StrEnum):
    """What a drawing is written in."""

    mermaid = "mermaid"
    text = "text"
    json = "json"


def command(
    app: AppPlace,
    format: Annotated[Format, typer.Option(help="How to draw it.")] = Format.mermaid,
) -> None:
    """Draw an app."""

    async def main() -> int:
        from stepwire_handlers.drawing import mermaid, text
        from stepwire_handlers.drawing.sketch import sketch

        loaded = load_app(app)
        if format is Format.json:
            typer.echo(sketch(loaded).model_dump_json(indent=2))
        else:
            typer.echo(mermaid(loaded) if format is Format.mermaid else text(loaded))
        return 0

    execute(main)
