"""A worker that starts again when a file changes.

In: the command's arguments, a folder, who hears what happens. Out: nothing, until it is cancelled. The worker is a
process of its own, so that changed modules are read anew; it gets SIGTERM and drains, as it would in production. It
ends with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stepwire.errors import SettingsError
from stepwire_handlers.dev.leash import leash

PATIENCE = 10.0  #: seconds for calls to finish after a change; whoever saves wants to see the new code
LINE = 16 * 1024 * 1024  #: bytes of one log line; payloads may be in it


class Listener(Protocol):
    """Who hears what happens."""

    def say(self, message: str) -> None:
        """Something about the worker."""

    def line(self, line: str) -> None:
        """A line of the worker."""


async def reloading(arguments: Sequence[str], folder: Path, listener: Listener) -> None:
    """Run `stepwire …` until cancelled, again at each change. Raises SettingsError without watchfiles."""
    try:
        from watchfiles import PythonFilter, awatch  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"stepwire dev needs {error.name}: install Stepwire's extra dev") from None
    changes = awatch(folder, watch_filter=PythonFilter(extra_extensions=(".md", ".toml", ".json")), step=20)
    with leash() as end:
        # Begin to watch before the first start, so that nothing saved meanwhile is missed.
        first_change = asyncio.create_task(anext(changes))
        worker = await _Worker.start(arguments, end, listener)
        try:
            changed = await first_change
            while True:
                names = ", ".join(sorted({Path(path).name for _, path in changed}))
                listener.say(f"changed: {names}; starting again")
                await worker.end()
                worker = await _Worker.start(arguments, end, listener)
                changed = await anext(changes)
        finally:
            first_change.cancel()
            await worker.end()


class _Worker:
    """A worker process, and the task that reads what it says."""

    def __init__(self, process: asyncio.subprocess.Process, listener: Listener) -> None:
        self._process, self._listener, self._told = process, listener, False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, arguments: Sequence[str], end: int, listener: Listener) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stepwire_handlers.cli.main", *arguments, "--leash", str(end), pass_fds=(end,),
            stderr=asyncio.subprocess.PIPE, limit=LINE,
            env={"STEPWIRE_LOG_LEVEL": "info", **os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        return cls(process, listener)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._listener.line(line.decode(errors="replace").rstrip("\n"))
        code = await self._process.wait()
        if not self._told:
            self._listener.say(f"the worker ended with code {code}; waiting for a change")

    async def end(self) -> None:
        """Let it drain, for a while."""
        self._told = True
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(self._reading), PATIENCE)
        except TimeoutError:
            self._process.kill()
            await self._reading
