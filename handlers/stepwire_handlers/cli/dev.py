"""`stepwire dev`: a worker that starts again when you save, and shows every step."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from stepwire_handlers.cli.target import BusUrl, complain, execute, load_app


def command(
    app: Annotated[str, typer.Argument(help="The app, MODULE:name.")],
    bus: BusUrl = None,
    watch: Annotated[Path, typer.Option(help="The folder whose changes restart the worker.")] = Path(),
) -> None:
    """Run an app while you write it; without a key, on the offline model."""

    async def main() -> int:
        load_app(app)  # a mistake is said before anything starts
        if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_BASE_URL"):
            return await _watched(app, bus, watch)
        from stepwire_handlers.offline_model import serve

        async with serve() as url:
            complain(f"no ANTHROPIC_API_KEY: models are asked at the offline model, {url}")
            os.environ |= {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "offline"}
            return await _watched(app, bus, watch)

    execute(main)


async def _watched(app: str, bus: str | None, folder: Path) -> int:
    from watchfiles import PythonFilter, awatch

    arguments = [sys.executable, "-m", "stepwire_handlers.cli.main", "run", app, "--log", "console"]
    arguments += ["--bus", bus] if bus else []
    worker = await asyncio.create_subprocess_exec(*arguments)
    try:
        async for changes in awatch(folder, watch_filter=PythonFilter(extra_extensions=(".md", ".toml"))):
            names = ", ".join(sorted({Path(path).name for _, path in changes}))
            complain(f"changed: {names}; starting again")
            await _end(worker)
            worker = await asyncio.create_subprocess_exec(*arguments)
    finally:
        await _end(worker)
    return 0


async def _end(worker: asyncio.subprocess.Process) -> None:
    if worker.returncode is None:
        worker.terminate()
        await worker.wait()
