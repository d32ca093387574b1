"""Programs that are no Python package, fetched once and kept in the user's cache.

In: Go, or apt, on this machine. Out: the path of a program, or of a folder of schemas; `NotHere` with what to install.
Promise: it is there whole or not at all; of processes that need it at once one fetches, the others wait.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

KUBE_SCORE = "v1.20.0"
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.93.1", "example/prometheus-operator-crd"
#: kind -> the module that defines it, the folder there, and the file
DEFINITIONS = {
    "ScaledObject": ("github.com/kedacore/keda/v2@v2.20.2", "config/crd/bases", "keda.sh_scaledobjects.yaml"),
    "PodMonitor": (*OPERATOR, "monitoring.coreos.com_podmonitors.yaml"),
    "ServiceMonitor": (*OPERATOR, "monitoring.coreos.com_servicemonitors.yaml"),
    "PrometheusRule": (*OPERATOR, "monitoring.coreos.com_prometheusrules.yaml"),
}
SECONDS = 420  #: for a build on a busy machine; it takes one to two minutes on a free one


class NotHere(Exception):
    """A tool that this machine does not have and cannot fetch; says what to do about it."""


def promtool() -> Path:
    """Prometheus's own checker: of this machine, else from Debian's package, unpacked, not installed."""
    return _prometheus("promtool")


def prometheus() -> Path:
    """Prometheus itself, the same way."""
    return _prometheus("prometheus")


def _prometheus(name: str) -> Path:
    if found := shutil.which(name):
        return Path(found)
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NotHere(f"no {name} on the PATH, and no apt-get to fetch it: install Prometheus")
    return kept("prometheus", _unpack) / "usr" / "bin" / name


def kube_score() -> Path:
    """A scan of objects against good practice, built by Go."""
    if found := shutil.which("kube-score"):
        return Path(found)
    return kept(f"kube-score-{KUBE_SCORE}", _build) / "kube-score"


def definitions() -> Path:
    """A folder with `<Kind>.json`, the schemas of KEDA's and the Prometheus operator's kinds, from their modules."""
    return kept("definitions-keda-2.20.2-prometheus-0.93.1", _definitions)


def _unpack(folder: Path) -> None:
    run(["apt-get", "download", "-q", "prometheus"], folder)
    package = next(folder.glob("*.deb"))
    run(["dpkg-deb", "-x", str(package), "."], folder)
    package.unlink()


def _build(folder: Path) -> None:
    """A small build: neither debug tables nor C."""
    where = {"GOBIN": str(folder), "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
    run([_go(), "install", "-ldflags=-s -w", f"github.com/zegl/kube-score/cmd/kube-score@{KUBE_SCORE}"], folder, where)


def _definitions(folder: Path) -> None:
    for kind, (module, inside, name) in DEFINITIONS.items():
        told = json.loads(run([_go(), "mod", "download", "-json", module], folder))
        text = (Path(told["Dir"]) / inside / name).read_text("utf-8")
        # a lone `=` is a word here, not YAML's old "value" type
        found = yaml.load(re.sub(r"^( *- )=$", r"\1'='", text, flags=re.MULTILINE), yaml.CSafeLoader)
        (version,) = found["spec"]["versions"]
        (folder / f"{kind}.json").write_text(json.dumps(version["schema"]["openAPIV3Schema"]), "utf-8")


def _go() -> str:
    if not shutil.which("go"):
        raise NotHere("no go on the PATH; install Go 1.24 or later")
    return "go"


def run(command: list[str], folder: Path, more: dict[str, str] | None = None, seconds: float = SECONDS) -> str:
    """What a command prints; `NotHere` with its last words if it fails, or takes longer."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=seconds,
                              env=os.environ | (more or {}))  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotHere(f"{' '.join(command)} did not end within {seconds:.0f} s; is the network there?") from None
    if done.returncode:
        raise NotHere(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-500:]}")
    return done.stdout


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name in the cache; made beside its place and then given its name."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepwire"
    folder = cache / name
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / f"{name}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}.part-", ignore_cleanup_errors=True) as part:
                inside = Path(part) / "whole"
                inside.mkdir()
                sys.stderr.write(f"fetching {name} into {folder}, once\n")
                make(inside)
                inside.rename(folder)
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock that the system lets go when this process dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
