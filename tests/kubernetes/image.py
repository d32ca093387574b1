"""The image of our Dockerfile: built, weighed, and packed for nodes.

In: Docker, a daemon of this machine or one that is started for this. Out: files that a node can load, and a report.
Promise: layers are kept in the user's cache for the next build; the daemon that was started ends with this process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.brokers.asking import wait_until
from tests.brokers.leash import leashed
from tests.helm.tools import NotHere, run
from tests.kubernetes.alone import CGROUPS
from tests.kubernetes.base import NAME, base_image
from tests.kubernetes.layout import PAUSE

ROOT = Path(__file__).parents[2]
IMAGE = "stepwire.test/stepwire"
LIMIT = 250  #: megabytes, of all but the extras
#: what only an extra brings: the beginnings of its packages' names
EXTRAS = {
    "claude": ("anthropic", "jiter", "distro", "docstring_parser"),
    "console": ("jinja2", "markupsafe"),
    "door": ("cryptography", "jwt", "python_multipart", "cffi"),
    "mcp": ("mcp", "jsonschema", "rpds", "sse_starlette", "referencing"),
    "otel": ("opentelemetry", "grpc", "google", "requests", "urllib3", "charset_normalizer"),
    "pdf": ("pypdf",),
    "s3": ("obstore",),
    "servers": ("psycopg",),
}
SIZES = """
import json, pathlib
packages = pathlib.Path("/venv/lib/python3.12/site-packages")
size = lambda folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
print(json.dumps({each.name: size(each) for each in packages.iterdir()}))
"""
BUILD_SECONDS = 1_800
START_SECONDS = 60
#: within a network that is not touched, and mounts and processes of its own
DAEMON = "mount -t tmpfs tmpfs /run && exec dockerd --iptables=false --ip6tables=false --bridge=none"


class Docker:
    """A client of one daemon."""

    def __init__(self, socket: Path | None) -> None:
        self.command = ["docker", *([f"--host=unix://{socket}"] if socket else [])]

    def __call__(self, *words: str, seconds: float = BUILD_SECONDS) -> str:
        """What it prints; NotHere if it fails."""
        return run([*self.command, *words], ROOT, {"DOCKER_BUILDKIT": "0"}, seconds)

    def answers(self) -> bool:
        """Is there a daemon?"""
        return not subprocess.run([*self.command, "info"], capture_output=True, check=False).returncode

    def layers(self, image: str) -> list[tuple[float, str]]:
        """(megabytes, what made it) of each layer that weighs something, the base's first."""
        rows = self("history", "--no-trunc", "--human=false", "--format={{.Size}} {{.CreatedBy}}", image).splitlines()
        split = [row.partition(" ") for row in reversed(rows)]
        return [(int(size) / 1e6, made) for size, _, made in split if int(size)]


@contextmanager
def docker(home: Path) -> Iterator[Docker]:
    """The machine's own daemon if it answers, else one that is started in `home`."""
    if not shutil.which("docker"):
        raise NotHere("no docker on the PATH; install docker.io")
    if (own := Docker(None)).answers():
        yield own
        return
    if not shutil.which("dockerd"):
        raise NotHere("no Docker daemon answers, and there is no dockerd to start one; install docker.io")
    data = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepwire" / "docker"
    socket = home / "docker.sock"
    options = f" --data-root {data} --exec-root /run/docker --pidfile /run/docker.pid --host unix://{socket}"
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", DAEMON + options]
    with (home / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(leashed(apart), stdout=log, stderr=log, start_new_session=True)
    try:
        found = Docker(socket)
        if not wait_until(lambda: daemon.poll() is not None or found.answers(), START_SECONDS) or daemon.poll():
            raise NotHere(f"dockerd did not start: {(home / 'dockerd.log').read_text()[-1000:]}")
        yield found
    finally:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended by itself, and the cause is under way
            for child in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGTERM)  # unshare itself does not listen
        daemon.wait(START_SECONDS)
        for group in CGROUPS.glob("*/docker"):
            with suppress(OSError):  # another daemon's
                group.rmdir()


def build(client: Docker, tag: str) -> str:
    """Ours; says what the base is."""
    base = base_image(client.command)
    client("build", "--network=host", "--tag", f"{IMAGE}:{tag}", ".")
    return base


def build_pause(client: Docker) -> None:
    """What holds a pod's network on a node of ours."""
    pause = f'FROM {NAME}\nENTRYPOINT ["sleep", "infinity"]\n'
    subprocess.run([*client.command, "build", "--quiet", "--tag", PAUSE, "-"], input=pause, text=True, check=True,
                   capture_output=True, env=os.environ | {"DOCKER_BUILDKIT": "0"})  # fmt: skip


def save(client: Docker, tags: Sequence[str], file: Path) -> Path:
    """What a node loads."""
    client("save", "--output", str(file), *(f"{IMAGE}:{tag}" for tag in tags), PAUSE)
    return file


def weight(client: Docker, tag: str) -> tuple[float, str]:
    """Megabytes without the weight of extras, and what all of it is made of."""
    layers, base = client.layers(f"{IMAGE}:{tag}"), sum(size for size, _ in client.layers(NAME))
    whole = sum(size for size, _ in layers)
    told = client("run", "--rm", "--network=none", "--entrypoint=python", f"{IMAGE}:{tag}", "-c", SIZES)
    packages: dict[str, float] = json.loads(told)
    extras = {
        extra: sum(size for name, size in packages.items() if name.startswith(beginnings)) / 1e6
        for extra, beginnings in EXTRAS.items()
    }
    without = whole - sum(extras.values())
    of_extras = ", ".join(f"{name} {size:.0f}" for name, size in sorted(extras.items(), key=lambda each: -each[1]))
    return without, f"{whole:.0f} MB: base {base:.0f}, kernel and Kafka {without - base:.0f}, extras {of_extras}"
