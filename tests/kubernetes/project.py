"""A project as `stepwire new` writes it, built by its own Dockerfile, and run as a cluster would run it.

In: a Docker client, a folder. Out: what was seen, in figures; NotHere if it cannot be built, AssertionError if what was
built is not as promised. Promise: its container is gone afterwards; layers are kept for the next build.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.brokers.asking import wait_until
from tests.helm.tools import run
from tests.kubernetes.image import ROOT, Docker

from stepwire_handlers.scaffold import write

NAME = "acme"
IMAGE = f"stepwire.test/{NAME}:1"
EXTRAS = ("aiokafka", "obstore", "jwt")  #: a module of each extra that the chart starts something of
SECONDS = 30  #: until its worker has started, and until it has ended
#: as the chart runs it: nothing to write to but what is mounted, and here no network either
HELD = ("--network=none", "--read-only", "--tmpfs=/tmp", "--tmpfs=/app/.stepwire", "--cap-drop=ALL")


def scaffolded(folder: Path) -> Path:
    """The project, with a wheel of this code as docs/kubernetes.md says."""
    folder.mkdir()
    list(write(folder, NAME, NAME))
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", str(ROOT)], folder)
    return folder


def project(client: Docker, folder: Path) -> str:
    """Build it, ask it, run its worker and tell that to end."""
    begun = time.monotonic()
    client("build", "--network=host", "--tag", IMAGE, str(scaffolded(folder)))
    built = time.monotonic() - begun
    assert "Usage: stepwire" in client("run", "--rm", *HELD, IMAGE, "--help")
    assert "step_answer" in client("run", "--rm", *HELD, IMAGE, "graph", f"{NAME}.flow:app")
    client("run", "--rm", *HELD, "--entrypoint=python", IMAGE, "-c", f"import {', '.join(EXTRAS)}")
    ended = _worked(client)
    weight = sum(size for size, _ in client.layers(IMAGE))
    return (
        f"built in {built:.0f} s, {weight:.0f} MB; help, graph, a worker that started and ended with 0 in {ended:.0f} s"
    )


def _worked(client: Docker) -> float:
    """Seconds that its own command took to end once it was told to."""
    container = client("run", "--detach", *HELD, "--env=ANTHROPIC_API_KEY=test", IMAGE).strip()
    try:
        assert wait_until(lambda: '"started"' in _log(client, container), SECONDS), _log(client, container)
        begun = time.monotonic()
        client("stop", f"--time={SECONDS}", container)
        took = time.monotonic() - begun
        code = json.loads(client("inspect", container))[0]["State"]["ExitCode"]
        assert code == 0, f"told to end it ended with {code}: {_log(client, container)}"
        return took
    finally:
        client("rm", "--force", "--volumes", container)


def _log(client: Docker, container: str) -> str:
    """Both of its streams."""
    done = subprocess.run([*client.command, "logs", container], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
