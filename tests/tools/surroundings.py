"""What the tool tests start and talk to: MCP servers, programs that listen on a port, the stand-ins."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from stepwire.context import Context

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 20.0  # seconds; what takes longer on a busy machine hangs
SEED = """
INSERT INTO customers (id, name, aliases, account_manager, email, slack_channel, terms) VALUES
    (1, 'Globex Supplies Ltd.', '{Globex,GSL}', 'Ida Berg', 'ap@globex.example', '#globex', 'net 30'),
    (2, 'O''Hara & Sons', '{O''Hara}', 'Tom Lund', 'books@ohara.example', '#ohara', 'net 14'),
    (3, 'Initech', '{}', 'Ida Berg', 'pay@initech.example', '#initech', 'prepaid')
"""


def raw(**environ: str) -> dict[str, Any]:
    """The mcpServers entry of the server written by hand, over stdio."""
    return {"command": sys.executable, "args": ["-S", str(HERE / "raw_server.py")], "env": environ}


def own(name: str, **environ: str) -> dict[str, Any]:
    """The mcpServers entry of a server of ours over stdio."""
    module = f"stepwire_handlers.mcp_servers.{name}"
    return {"command": "${STEPWIRE_PYTHON}", "args": ["-m", module], "env": environ}


def until(true: Callable[[], object]) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(port: int, command: list[str], **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python program that listens on a port."""
    environ = {"PATH": "/usr/bin:/bin", **environ}
    with subprocess.Popen([sys.executable, *command], env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: listens(port))
            yield process
        finally:
            process.kill()


def scripted_http(port: int, **environ: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The scripted server over HTTP."""
    return serving(port, [str(HERE / "scripted_server.py"), str(port)], **environ)


def delivery(key: str = "app/step/1") -> Context:
    """A delivery that this task is from now on."""
    context = Context(
        app="app", handler="step", run="run", scope="", key=key, attempt=1, visit=1, last_visit=False,
        missing=(), deadline=time.time() + 60, now=time.time, inputs={},
    )  # fmt: skip
    context.enter()
    return context


@dataclass(frozen=True)
class StandIns:
    """The stand-ins, as their process was told."""

    folder: Path
    url: str
    slack: dict[str, str]
    gmail: dict[str, str]
    before: dict[str, int] = field(default_factory=dict)

    def received(self, what: str) -> list[dict[str, Any]]:
        """What came of `slack/messages` or `gmail/drafts` during this test."""
        listed: list[dict[str, Any]] = httpx2.get(f"{self.url}/{what}").json()
        return listed[self.before.get(what, 0) :]

    def fault(self, **fault: Any) -> None:
        httpx2.post(f"{self.url}/faults", params=fault).raise_for_status()


@contextmanager
def standins_process(folder: Path) -> Iterator[StandIns]:
    command = [sys.executable, "-m", "stepwire_handlers.standins", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            slack = {"SLACK_BASE_URL": told["SLACK_BASE_URL"], "SLACK_TOKEN": "xoxb-stand-in"}
            gmail = {"GMAIL_BASE_URL": told["GMAIL_BASE_URL"], "GMAIL_TOKEN": "ya29.stand-in"}
            yield StandIns(folder, told["url"], slack, gmail)
        finally:
            process.kill()
