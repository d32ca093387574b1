"""A command that needs a broker gets one, and its own exit code comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.brokers.place import VARIABLE

ROOT = Path(__file__).parents[2]
LEND = (sys.executable, "-m", "tests.brokers.lend")


def test_the_command_is_told_where_the_broker_is(kafka: str) -> None:
    """Each `{}` becomes the bootstrap servers; the exit code is the command's."""
    code = "import sys; print(sys.argv[1]); sys.exit(7)"
    done = subprocess.run(
        [*LEND, sys.executable, "-c", code, "kafka://{}"],
        cwd=ROOT, env={**os.environ, VARIABLE: kafka}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 7
    assert (done.stdout, done.stderr) == (f"kafka://{kafka}\n", f"Kafka broker at {kafka}\n")


def test_sigterm_ends_the_command_too(kafka: str) -> None:
    """The signal is handed on, and lend waits for the command: nobody is left behind without a broker."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('ended', flush=True), sys.exit(3)))\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    lent = subprocess.Popen(
        [*LEND, sys.executable, "-c", code],
        cwd=ROOT, env={**os.environ, VARIABLE: kafka}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert lent.stdout is not None and lent.stdout.readline() == "ready\n"
    lent.terminate()
    said, _ = lent.communicate(timeout=20)
    assert (said, lent.returncode) == ("ended\n", 3)


def test_without_a_broker_it_is_said_why(tmp_path: Path) -> None:
    """No Docker, no Java: one line with the reason of each way, exit 1, and the command is not run."""
    nothing = {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/no.sock", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [*LEND, sys.executable, "-c", "print('ran')"],
        cwd=ROOT,
        env=nothing,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"no Kafka broker: {VARIABLE} is not set; ")


def test_make_demo_tells_whether_the_broker_ends_with_it() -> None:
    """A lent broker: no commands are printed that need it. A broker that was named stays: they are."""
    bare = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "MAKEFLAGS")}
    for environment, ends in ((bare, True), ({**bare, VARIABLE: "127.0.0.1:9"}, False)):
        planned = subprocess.run(
            ["make", "--dry-run", "demo", "BUS=kafka"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "--bus kafka://{}" in planned
        assert ("--bus-ends" in planned) is ends
