"""A command on a piece of this machine of its own: network, mounts and processes that nobody else has.

In: a command, a folder. Out: its exit code. Promise: when it ends, or its starter dies, none of its processes, mounts,
interfaces, packet filters or kernel settings is left; nothing it listens on can be reached from outside.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.brokers.asking import wait_until
from tests.brokers.leash import leashed

#: settings of the kernel that a node changes and that namespaces do not keep apart
SETTINGS = (
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)  # fmt: skip
#: what programs of the node write to, whatever they are told; empty here, and gone afterwards
EMPTY = ("/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet")
BRIDGE = "cni0"
HOST = "10.244.0.1"  #: this machine, for pods
PODS = "10.244.0.0/24"
CGROUPS = Path("/sys/fs/cgroup")

SWEEP_SECONDS = 30  #: for pods to die

ROOT = Path(__file__).parents[2]


def alone(command: list[str], seconds: float) -> int:
    """Run it there. The first process of the namespace is this file, which lays things out and becomes the command."""
    apart = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    ]
    folders = [path for path in EMPTY if not Path(path).exists()]
    with _settings_kept():
        try:
            inside = [*apart, sys.executable, "-m", "tests.kubernetes.alone", *command]
            done = subprocess.run(leashed(inside), cwd=ROOT, check=False, timeout=seconds)
            return done.returncode
        finally:
            wait_until(swept, SWEEP_SECONDS)
            for path in folders:
                if Path(path).exists():
                    Path(path).rmdir()


def leftovers() -> list[Path]:
    """Control groups of pods: the one thing that has no namespace here; innermost first."""
    return sorted((each for top in CGROUPS.glob("*/kubepods") for each in (top, *top.rglob("*")) if each.is_dir()),
                  reverse=True)  # fmt: skip


def swept() -> bool:
    """Take away what is left; False while pods of a command that was told to end still die in there."""
    for group in leftovers():
        with suppress(OSError):  # not empty yet, or gone meanwhile
            group.rmdir()
    return not leftovers()


@contextmanager
def _settings_kept() -> Iterator[None]:
    before = {path: path.read_text() for name in SETTINGS if (path := Path("/proc/sys") / name).exists()}
    try:
        yield
    finally:
        for path, text in before.items():
            if path.read_text() != text:
                path.write_text(text)


def _lay_out() -> None:
    """A loopback, a bridge for pods that stands for the world outside, and empty folders."""
    for path in EMPTY:
        Path(path).mkdir(exist_ok=True)
        _do("mount", "-t", "tmpfs", "tmpfs", path)
    _do("mount", "--make-rshared", "/")
    _do("ip", "link", "set", "lo", "up")
    _do("ip", "link", "add", BRIDGE, "type", "bridge")
    _do("ip", "address", "add", f"{HOST}/24", "dev", BRIDGE)
    _do("ip", "link", "set", BRIDGE, "up")
    _do("ip", "route", "add", "default", "dev", BRIDGE)


def _do(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    _lay_out()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell is wanted
