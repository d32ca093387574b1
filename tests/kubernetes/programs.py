"""Kubernetes' programs, built from its modules once, and kept in the user's cache.

In: Go, Debian's packages, containerd. Out: folders of programs; `NotHere` with what to install.
Promise: they are there whole or not at all. The build takes some ten minutes of two free cores, and 8 GB of disk
for Go's cache.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from tests.helm.tools import NotHere, kept, run

MINOR = "37.2"  #: Kubernetes 1.37.2, its own modules 0.37.2
PARTS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
DEBIAN = ("etcd-server", "containernetworking-plugins")
SYSTEM = {  # what a machine must have -> how it gets it
    "containerd": "containerd", "ctr": "containerd", "runc": "runc", "iptables": "iptables", "ip": "iproute2",
    "openssl": "openssl", "docker": "docker.io", "apt-get": "Debian", "go": "Go 1.26 or later", "java": "Java 17",
}  # fmt: skip
BUILD_SECONDS = 7_200
HERE = Path(__file__).parent


class Programs(NamedTuple):
    """Where everything lies that a node runs."""

    kubernetes: Path  #: a folder with all of `PARTS`
    etcd: Path
    plugins: Path  #: the folder of network plugins


def programs() -> Programs:
    """All of them, built or fetched if need be."""
    check()
    debian = kept("kubernetes-debian", _unpack)
    kubernetes = kept(f"kubernetes-1.{MINOR}", _build)
    return Programs(kubernetes, debian / "usr" / "bin" / "etcd", debian / "usr" / "lib" / "cni")


def check() -> str:
    """Is everything there? Raises NotHere with all that is not, before anything that takes long."""
    if missing := [name for name in SYSTEM if not shutil.which(name)]:
        wanted = ", ".join(dict.fromkeys(SYSTEM[name] for name in missing))
        else_ = "debootstrap too, where python:3.12-slim cannot be pulled"
        raise NotHere(f"not on the PATH: {', '.join(missing)}; get {wanted} (apt-get install), and {else_}")
    return ", ".join(SYSTEM)


def _unpack(folder: Path) -> None:
    for name in DEBIAN:
        run(["apt-get", "download", "-q", name], folder)
    for package in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", str(package), "."], folder)
        package.unlink()


def _build(folder: Path) -> None:
    """A module of our own: Kubernetes' says where its parts lie by paths that only its repository has."""
    source = folder / "source"
    source.mkdir()
    shutil.copy(HERE / "parts.go", source)
    run(["go", "mod", "init", "stepwire.test/parts"], source)
    run(["go", "mod", "edit", "-require", f"k8s.io/kubernetes@v1.{MINOR}", *_replacements(source)], source)
    run(["go", "mod", "tidy"], source)
    version = "k8s.io/component-base/version"
    major_minor = f"-X {version}.gitMajor=1 -X {version}.gitMinor={MINOR.partition('.')[0]}"
    flags = f"-s -w -X {version}.gitVersion=v1.{MINOR} {major_minor}"
    environment = {"CGO_ENABLED": "0", "GOMAXPROCS": str(min(2, os.cpu_count() or 1))}
    command = [
        "nice",
        "-n",
        "19",
        "go",
        "build",
        "-p",
        "2",
        "-trimpath",
        f"-ldflags={flags}",
        "-o",
        str(folder / "parts"),
        ".",
    ]
    run(command, source, environment, BUILD_SECONDS)
    shutil.rmtree(source)
    for name in PARTS:
        (folder / name).symlink_to("parts")


def _replacements(source: Path) -> list[str]:
    told = json.loads(run(["go", "mod", "download", "-json", f"k8s.io/kubernetes@v1.{MINOR}"], source))
    module = json.loads(run(["go", "mod", "edit", "-json", told["GoMod"]], source))
    return [f"-replace={each['Old']['Path']}={each['Old']['Path']}@v0.{MINOR}" for each in module["Replace"]]
