"""`stepwire dev`: a worker that starts again when you save, and shows every step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepwire_handlers.cli.target import BusUrl, execute, load_app


def command(
    app: Annotated[str, typer.Argument(help="The app, MODULE:name.")],
    bus: BusUrl = None,
    watch: Annotated[Path, typer.Option(help="The folder whose changes restart the worker.", exists=True)] = Path(),
) -> None:
    """Run an app while you write it; without a key, on the offline model."""

    async def main() -> int:
        import contextlib

        from stepwire_handlers.dev.model import offline_if_needed
        from stepwire_handlers.dev.reload import reloading
        from stepwire_handlers.dev.timeline import Timeline

        async with contextlib.AsyncExitStack() as stack:
            loaded = load_app(app)  # a mistake is said before anything starts
            timeline = Timeline()
            model = await stack.enter_async_context(offline_if_needed(loaded))
            if model:
                timeline.say(f"no ANTHROPIC_API_KEY: models are asked at the offline model, {model}")
            arguments = ["run", app, "--log", "json", *(["--bus", bus] if bus else [])]
            await reloading(arguments, watch, timeline)
        return 0

    execute(main)
