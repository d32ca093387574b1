"""`stepwire console` as a process: it refuses what cannot be meant, keeps sessions over a restart, stops in order."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.console.conftest import KEYS, ROLES
from typer.testing import CliRunner

from stepwire_handlers.cli.main import cli

APP = "tests.console.office:OFFICE"
SECRET = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An access file, and a bus of the test's own."""
    monkeypatch.setenv("STEPWIRE_BUS", f"sqlite:///{tmp_path / 'bus.db'}")
    monkeypatch.setenv("STEPWIRE_BLOBS", str(tmp_path / "blobs"))
    path = tmp_path / "access.toml"
    path.write_text("".join(
        f'[[keys]]\nname = "{name}"\nhash = "{KEYS[name][1]}"\nroles = {{office = {roles}}}\n'
        for name, roles in ROLES.items()
    ))  # fmt: skip
    return path


@contextmanager
def console(access: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """One that listens, and its address."""
    command = [
        sys.executable,
        "-m",
        "stepwire_handlers.cli.main",
        "console",
        APP,
        "--port",
        "0",
        "--access",
        str(access),
        *options,
    ]
    environment = {**os.environ, "STEPWIRE_CONSOLE_SECRET": SECRET}
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env=environment, text=True, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        try:
            found = next(filter(None, (re.search(r"console: (http://\S+)", line) for line in process.stderr)), None)
            assert found is not None, f"the console did not open: {process.wait()}"
            yield process, found[1]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([APP], "nobody may come in yet"),
        ([APP, "--access", "nope.toml"], "nope.toml cannot be read"),
        (["--insecure"], "say which apps"),
        ([APP, "--insecure", "--host", "192.0.2.1"], "--port"),
    ],
)
def test_a_console_does_not_open_by_accident(options: list[str], why: str) -> None:
    """Exit 2 and the cure, before anything listens."""
    done = CliRunner().invoke(cli, ["console", "--port", "0", *options])
    assert (done.exit_code, why in done.stderr) == (2, True), done.stderr


def test_metrics_are_on_a_port_of_their_own(access: Path) -> None:
    """Routes as they are written, never ids; and not where people come in."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        inner = free.getsockname()[1]
    with console(access, "--http-port", str(inner)) as (_, url):
        httpx2.get(url + "/runs/0a1b2c")
        assert httpx2.get(url + "/metrics").status_code == 404
        told = httpx2.get(f"http://127.0.0.1:{inner}/metrics").text
        assert 'stepwire_console_build_info{version="' in told
        assert 'stepwire_console_requests_total{code="303",method="GET",route="/runs/{run}"} 1.0' in told
        assert "0a1b2c" not in told
        assert httpx2.get(f"http://127.0.0.1:{inner}/livez").status_code == 200


@pytest.mark.slow
def test_a_session_outlives_the_process_and_sigterm_ends_it_in_order(access: Path) -> None:
    """Whoever is logged in stays so after a kill, where a secret signs sessions; SIGTERM is exit 0."""
    with console(access) as (process, url), httpx2.Client() as browser:
        assert browser.get(url + "/").headers["location"].startswith("/login")
        entered = browser.post(url + "/login", data={"key": KEYS["eye"][0]}, headers={"origin": url})
        assert entered.status_code == 303
        cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
        process.kill()
    with console(access) as (process, url):
        assert httpx2.get(url + "/", headers=cookie).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
