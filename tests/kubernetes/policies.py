"""What makes network policies count on a cluster of ours: kube-router's controller of them, a process beside the node.

In: a running cluster, its kubeconfig. Out: packets that no policy allows are refused. Promise: it ends with this one;
what it writes into the packet filter is gone with the network of `alone`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.brokers.asking import wait_until
from tests.brokers.leash import leashed
from tests.helm.tools import NotHere, kept, run
from tests.kubernetes.layout import NODE, SERVICES

VERSION = "2.1.0"
MODULE = "github.com/cloudnativelabs/kube-router/v2"
DEBIAN = ("ipset", "libipset13")
BUILD_SECONDS = 3_600
START_SECONDS = 60
PATIENCE = 20  #: seconds to end, then it is killed
STARTED = "Starting network policy controller full sync"
HERE = Path(__file__).parent


class PoliciesFailed(Exception):
    """It did not start; carries the end of its log."""


def programs() -> Path:
    """A folder with the controller and, in `debian`, the program that it keeps sets of addresses with."""
    return kept(f"kube-router-{VERSION}", _build)


def _build(folder: Path) -> None:
    """Of its parts the one that judges packets: not the router, not the proxy."""
    if not shutil.which("go"):
        raise NotHere("no go on the PATH; install Go 1.26 or later")
    source, debian = folder / "source", folder / "debian"
    source.mkdir()
    debian.mkdir()
    for name in DEBIAN:
        run(["apt-get", "download", "-q", name], debian)
    for package in debian.glob("*.deb"):
        run(["dpkg-deb", "-x", str(package), "."], debian)
        package.unlink()
    shutil.copy(HERE / "policies.go", source)
    run(["go", "mod", "init", "stepwire.test/policies"], source)
    run(["go", "mod", "edit", "-require", f"{MODULE}@v{VERSION}"], source)
    run(["go", "mod", "tidy"], source, seconds=BUILD_SECONDS)
    more = {"CGO_ENABLED": "0", "GOMAXPROCS": str(min(2, os.cpu_count() or 1))}
    flags = ["-trimpath", "-ldflags=-s -w", "-o", str(folder / "policies")]
    run(["nice", "-n", "19", "go", "build", "-p", "2", *flags, "."], source, more, BUILD_SECONDS)
    shutil.rmtree(source)


@contextmanager
def policies(folder: Path, kubeconfig: Path, home: Path) -> Iterator[None]:
    """They count from here to the end."""
    (library,) = (folder / "debian").rglob("libipset.so.13")
    (ipset,) = (path for path in (folder / "debian").rglob("ipset") if path.parent.name == "sbin")
    told = {"PATH": f"{ipset.parent}{os.pathsep}{os.environ['PATH']}", "LD_LIBRARY_PATH": str(library.parent)}
    command = [str(folder / "policies"), f"--kubeconfig={kubeconfig}", f"--hostname-override={NODE}",
               f"--service-cluster-ip-range={SERVICES}"]  # fmt: skip
    file = home / "policies.log"
    with file.open("wb") as log:
        process = subprocess.Popen(leashed(command), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                   env=os.environ | told, start_new_session=True)  # fmt: skip
    try:
        begun = wait_until(lambda: process.poll() is not None or STARTED in file.read_text(), START_SECONDS)
        if not begun or process.poll() is not None:
            raise PoliciesFailed(f"no policies after {START_SECONDS} s: {file.read_text(errors='replace')[-1500:]}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
