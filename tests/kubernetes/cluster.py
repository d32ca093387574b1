"""A cluster of one node: API server, controllers, scheduler, containerd, kubelet and proxy, all of them real.

In: programs, a folder, images; inside `alone`. Out: the path of a kubeconfig. Promise: it listens on loopback and on
the bridge of its own network only; every process ends with this one.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers.asking import wait_until
from tests.brokers.leash import leashed
from tests.kubernetes import layout
from tests.kubernetes.layout import NODE
from tests.kubernetes.programs import Programs

START_SECONDS = 240
PATIENCE = 20  #: seconds to end, then it is killed


class ClusterFailed(Exception):
    """A part that did not start; carries the end of its log."""


class Cluster:
    """The running parts."""

    def __init__(self, programs: Programs, home: Path, images: list[Path]) -> None:
        self._programs, self._home, self._images = programs, home, images
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self.kubeconfig = home / "kubeconfig"

    def __enter__(self) -> Self:
        token = secrets.token_hex(16)
        layout.write(self._home, self._programs.plugins, token)
        try:
            self._control()
            self._node()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every part, the last first."""
        for process in reversed(self._parts.values()):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kubectl(self, *words: str) -> str:
        """What it prints; CalledProcessError if it fails."""
        command = [str(self._programs.kubernetes / "kubectl"), f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def _control(self) -> None:
        self._start("etcd", [str(self._programs.etcd), *layout.etcd(self._home)])
        self._start("kube-apiserver", [self._part("kube-apiserver"), *layout.apiserver(self._home)])
        self._wait("kube-apiserver", lambda: self._answers("get", "--raw=/readyz"))
        to_api = [f"--kubeconfig={self.kubeconfig}"]
        for name, more in (
            ("kube-controller-manager", layout.controllers(self._home)),
            ("kube-scheduler", layout.ELECTED),
        ):
            self._start(name, [self._part(name), *to_api, *more])

    def _node(self) -> None:
        home = self._home
        self._start("containerd", ["containerd", "--config", str(home / "containerd.toml")])
        ctr = ["ctr", "--address", str(home / "containerd.sock"), "--namespace", "k8s.io"]
        self._wait(
            "containerd", lambda: not subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode
        )
        for image in self._images:
            subprocess.run([*ctr, "images", "import", str(image)], check=True, capture_output=True)
        to_api = [f"--kubeconfig={self.kubeconfig}", f"--hostname-override={NODE}"]
        self._start("kubelet", [self._part("kubelet"), *to_api, *layout.kubelet(home)])
        self._start("kube-proxy", [self._part("kube-proxy"), *to_api, *layout.PROXY])
        self._wait("kubelet", self._ready)

    def _ready(self) -> bool:
        if not self._answers("get", f"node/{NODE}"):
            return False
        node = json.loads(self.kubectl("get", f"node/{NODE}", "--output=json"))
        return any(
            each["type"] == "Ready" and each["status"] == "True" for each in node["status"].get("conditions", ())
        )

    def _answers(self, *words: str) -> bool:
        try:
            self.kubectl(*words)
        except subprocess.CalledProcessError:
            return False
        return True

    def _part(self, name: str) -> str:
        return str(self._programs.kubernetes / name)

    def _start(self, name: str, command: list[str]) -> None:
        with (self._home / f"{name}.log").open("wb") as log:
            self._parts[name] = subprocess.Popen(leashed(command), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                 start_new_session=True)  # fmt: skip

    def _wait(self, name: str, holds: Callable[[], bool]) -> None:
        process = self._parts[name]
        held = wait_until(lambda: process.poll() is not None or holds(), START_SECONDS)
        if not held or process.poll() is not None:
            log = (self._home / f"{name}.log").read_text(errors="replace")[-3000:]
            raise ClusterFailed(f"{name} did not start within {START_SECONDS} s: {log}")
