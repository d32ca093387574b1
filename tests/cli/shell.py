"""What the tests of the command line share: commands in this process or in their own, and a worker that works once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.clock import SystemClock, VirtualClock
from stepwire.worker import Worker

HERE = Path(__file__).parent
SCHEMAS = HERE.parents[1] / "docs" / "schemas"
STEPWIRE = [sys.executable, "-m", "stepwire_handlers.cli.main"]
APP = "market:app"


@dataclass
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @cached_property
    def data(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Commands on one file; `market:app` is the app where a command takes one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bus.db"
        self._started: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPWIRE_")}
        mine = {"STEPWIRE_BUS": f"sqlite:///{self.path}", "STEPWIRE_BLOBS": str(self.folder / "blobs")}
        return {**kept, **mine, "STEPWIRE_APP": APP, "STEPWIRE_LOG": "off"}

    # -- in this process

    def __call__(self, *arguments: str, code: int = 0, stdin: str | None = None, schema: str = "") -> Said:
        """Run a command here. What it says with --json must fit its schema."""
        from stepwire_handlers.cli.main import cli

        done = CliRunner().invoke(cli, arguments, input=stdin)
        said = Said(done.exit_code, done.stdout, done.stderr)
        crashed = done.exception is not None and not isinstance(done.exception, SystemExit)
        assert not crashed, repr(done.exception)
        assert said.code == code, (said.code, said.out, said.err)
        if schema:
            validator = Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text()))
            validator.validate(said.data)
        return said

    def order(self, n: int, *more: str) -> str:
        """Publish an order; its run."""
        return self("publish", "Order", "--json-data", json.dumps({"n": n}), *more).out.strip()

    def seen(self, run: str) -> dict[str, Any]:
        """A run, as it is now."""
        found: dict[str, Any] = self("runs", "show", run, "--json", schema="runs-show").data
        return found

    def work(self, key: str = "", later: float = 0.0) -> None:
        """A worker that does what there is, and leaves; with a decision key it takes what is signed with it.

        `later`: it stays for so many seconds, which pass at once.
        """
        asyncio.run(self._work(key, later))

    async def _work(self, key: str, later: float) -> None:
        from market import app  # type: ignore[import-not-found]  # as the commands import it

        clock = VirtualClock(time.time()) if later else SystemClock()
        bus = LocalBus(str(self.path), clock=clock)
        await bus.open()
        worker = Worker(app, bus, decision_key=key, clock=clock)
        await worker.start()
        await worker.settle()
        if isinstance(clock, VirtualClock):
            clock.turn(clock.now() + later)
            await worker.settle()
        await worker.stop()
        await bus.close()

    @contextmanager
    def busy(self, handler: str) -> Iterator[None]:
        """As if a worker were at it: the lock of its group is taken."""
        group = Group(f"market.{handler}", 0, (), "")
        group.acquire(str(self.path))
        assert group.lock is not None
        yield
        group.release()

    # -- in processes of their own

    def begin(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command, with more variables than all have; it is ended with the test."""
        process = subprocess.Popen(
            [*STEPWIRE, *arguments], cwd=HERE, env={**self.environment, **variables}, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str], code: int = 0) -> Said:
    """Wait for a command that ends by itself."""
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err, err
    assert process.returncode == code, (process.returncode, out, err)
    return Said(process.returncode, out, err)


def until(holds: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)
