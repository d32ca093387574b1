"""`stepwire graph`: an app, drawn from its signatures."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwire_handlers.cli.target import execute, load_app


def command(
    app: Annotated[str, typer.Argument(help="The app, MODULE:name.")],
    format: Annotated[str, typer.Option(help="mermaid or text.")] = "mermaid",
) -> None:
    """Draw an app."""

    async def main() -> int:
        from stepwire_handlers.drawing import mermaid, text

        typer.echo((mermaid if format == "mermaid" else text)(load_app(app)))
        return 0

    execute(main)
