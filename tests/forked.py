"""Processes of ours that tests start and kill by the dozen, without the imports of each: `python -m`, but forked.

In: a module, its arguments, its environment, a file for what it says. Out: a process like `subprocess.Popen`'s.
Promise: it is a process of its own, and signals, exit codes and the module's own code are as `python -m` has them. What
it would import first was imported once, in the process that it was forked from, which has no thread, runs no test and
ends with the tests; it ends with that one. Tests of starting itself do not start so.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.brokers.leash import hold

# each costs up to some seconds to import; nothing of ours that reads the environment or makes an App
BEFORE = [
    "anthropic", "httpcore2", "mcp", "prometheus_client", "rich.traceback", "structlog", "truststore", "uvicorn",
    "uvloop", "stepwire.bus.kafka.bus", "stepwire.bus.local", "stepwire.worker", "stepwire_handlers.cli.main",
    "stepwire_handlers.steps.mcp_client",
]  # fmt: skip


class Forked:
    """One process; what is not here is as `subprocess.Popen` has it."""

    def __init__(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(BEFORE)
        self._process = context.Process(
            target=_become, args=(module, list(arguments), dict(environment), folder, log), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired, after so many seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """To a process that may have ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.terminate()


def _become(module: str, arguments: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
    hold()
    os.environ.clear()
    os.environ |= environment
    os.chdir(folder)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.close(said)
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # it runs anew, as the main one
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves by os._exit: what a program cleans up at its end would stay
