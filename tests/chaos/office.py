"""Everything that runs and may be killed: a worker for each flow, their MCP servers, the offline model, the web APIs.

In: a folder, whether commits are broken. Out: processes of ours; `kill` ends one as `kill -9` does and starts it anew.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.forked import Forked

ROOT = Path(__file__).parents[2]
LIMITS = {"STEPWIRE_WORKER__CONCURRENCY": "16", "STEPWIRE_WORKER__DRAIN": "5", "STEPWIRE_LOG": "json"}
PATIENCE = 30.0  #: seconds for the model to start
MOMENT = 10.0  #: seconds that a kill waits for a broken commit to be between its halves


class Office:
    """The processes of one chaos run."""

    def __init__(self, folder: Path, modules: dict[str, str], *, broken: bool) -> None:
        self._folder, self._modules = folder, modules
        self._logs = folder / "logs"
        self._logs.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.model_url = f"http://127.0.0.1:{self._port}"
        self._environment = {"CHAOS_FOLDER": str(folder), "PYTHONPATH": str(ROOT), **LIMITS}
        self._broken = broken
        if broken:
            self._environment["CHAOS_BROKEN"] = "1"
        self.workers: dict[str, Forked] = {}
        self._model: Forked | None = None

    # -- starting

    def _spawn(self, name: str, module: str, *arguments: str) -> Forked:
        environment = {**os.environ, **self._environment}
        return Forked(module, arguments, environment, ROOT, self._logs / f"{name}.log")

    def start_model(self) -> None:
        """The offline model, always at the same address."""
        self._model = self._spawn(
            "model", "stepwire_handlers.offline_model", "--host", "127.0.0.1", "--port", str(self._port)
        )

    def wait_for_model(self) -> None:
        """Return when it listens."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=1):
                    return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def start_worker(self, app: str) -> None:
        """`stepwire run`, on the one file that all of them share."""
        url = f"sqlite:///{self._folder / 'bus.db'}"
        self.workers[app] = self._spawn(app, "tests.chaos.worker", "run", self._modules[app], "--bus", url)

    # -- killing

    def kill_worker(self, app: str) -> None:
        """SIGKILL, and a new one."""
        worker = self.workers[app]
        assert worker.poll() is None, f"the worker of {app} ended by itself; see {self._logs}/{app}.log"
        end = time.monotonic() + MOMENT if self._broken else 0.0
        while time.monotonic() < end and not list(self._folder.glob(f"between-{worker.pid}-*")):
            time.sleep(0.01)
        worker.kill()
        worker.wait()
        self.start_worker(app)

    def kill_model(self) -> None:
        """SIGKILL, and a new one."""
        assert self._model is not None
        self._model.kill()
        self._model.wait()
        self.start_model()

    def kill_tool_server(self, choice: int) -> str:
        """SIGKILL to an MCP server of the invoice worker, which starts it anew; its module, or "" if none ran."""
        servers = sorted(_children(self.workers["invoices"].pid, b"stepwire_handlers.mcp_servers"))
        if not servers:
            return ""
        module, pid = servers[choice % len(servers)]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return module

    def stop(self) -> None:
        """End all that we started."""
        for process in [*self.workers.values(), *([self._model] if self._model else [])]:
            process.terminate()
        for process in [*self.workers.values(), *([self._model] if self._model else [])]:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _children(parent: int, wanted: bytes) -> list[tuple[str, int]]:
    """(module, process id) of the children whose command line says so."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != parent:
                continue
            words = (folder / "cmdline").read_bytes().split(b"\0")
            found += [(word.decode(), int(folder.name)) for word in words if word.startswith(wanted)]
    return found
