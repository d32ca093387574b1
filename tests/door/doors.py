"""What the tests of the door share: a door in this process, and doors and workers in processes of their own."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.services.door.application import Door

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STEPWIRE = [sys.executable, "-m", "stepwire_handlers.cli.main"]
APPS = ("tests.door.shop:APP", "tests.door.shop:FILES")


class Inside:
    """A door in this process, who asks it, and the same file as another process would see it."""

    def __init__(self, door: Door, client: httpx2.AsyncClient, bus: LocalBus) -> None:
        self.door, self.client, self.bus = door, client, bus

    async def order(self, n: int, **headers: str) -> httpx2.Response:
        """Publish an order."""
        return await self.client.post("/apps/shop/Order", json={"n": n}, headers=headers)

    @asynccontextmanager
    async def working(self, app: App, key: str = "") -> AsyncIterator[Worker]:
        """A worker on the other view of the file."""
        worker = Worker(app, self.bus, decision_key=key)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()

    async def work(self, app: App, key: str = "") -> None:
        """A worker that does what there is, and leaves."""
        async with self.working(app, key) as worker:
            await worker.settle()

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        """The JSON of a page."""
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()


class Doors:
    """Processes on one file; they end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def _begin(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPWIRE_")}
        mine = {"STEPWIRE_BUS": f"sqlite:///{self.folder / 'bus.db'}", "STEPWIRE_BLOBS": str(self.folder / "blobs")}
        process = subprocess.Popen(
            [*STEPWIRE, *arguments], cwd=ROOT, env={**kept, **mine}, text=True, stderr=subprocess.PIPE
        )
        self._started.append(process)
        return process

    def door(self, *options: str, apps: tuple[str, ...] = APPS) -> tuple[subprocess.Popen[str], str]:
        """A door, once it listens; its address."""
        process = self._begin("door", *apps, "--port", "0", *(options or ("--insecure",)))
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"door: (http://\S+)", line):
                return process, found[1]
        raise AssertionError(f"the door did not open: {process.wait()}")

    def worker(self, app: str = APPS[0]) -> subprocess.Popen[str]:
        """A worker of one app."""
        return self._begin("run", app, "--log", "off")

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def result(url: str, run: str, seconds: float = 20.0) -> Any:
    """Wait for a run's result."""
    end = time.monotonic() + seconds
    while True:
        found = httpx2.get(url + run, headers={"prefer": "wait=10"}, timeout=30).json()
        if found["result"] is not None:
            return found["result"]
        assert time.monotonic() < end, found


def damage(path: Path) -> None:
    """Garbage in all pages of a bus file but the first."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xa5" * (size - 4_096))
