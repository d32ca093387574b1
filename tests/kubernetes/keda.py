"""KEDA beside a cluster: its operator and its metrics server as processes of this machine, built from its module once.

In: a running cluster, its kubectl. Out: ScaledObjects do what they say. Promise: both end with this one.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.brokers.asking import wait_until
from tests.brokers.leash import leashed
from tests.helm.tools import NotHere, kept, run
from tests.kubernetes.release import Kubectl

VERSION = "2.20.2"
MODULE = "github.com/kedacore/keda/v2"
NAMESPACE = "keda"
PARTS = {"keda-operator": f"{MODULE}/cmd/operator", "keda-adapter": f"{MODULE}/cmd/adapter"}
BUILD_SECONDS = 3_600
START_SECONDS = 120
OPERATOR_PORT, ADAPTER_PORT = 39_666, 38_443
API = "v1beta1.external.metrics.k8s.io"
PATIENCE = 20  #: seconds to end, then it is killed


class KedaFailed(Exception):
    """A part that did not start; carries the end of its log."""


def programs() -> Path:
    """A folder with both programs and the definitions of KEDA's objects."""
    return kept(f"keda-{VERSION}", _build)


def _build(folder: Path) -> None:
    """From a module of our own, which takes over the replacements of KEDA's."""
    if not shutil.which("go"):
        raise NotHere("no go on the PATH; install Go 1.26 or later")
    source = folder / "source"
    source.mkdir()
    told = json.loads(run(["go", "mod", "download", "-json", f"{MODULE}@v{VERSION}"], folder))
    module = json.loads(run(["go", "mod", "edit", "-json", told["GoMod"]], folder))
    run(["go", "mod", "init", "stepwire.test/keda"], source)
    run(["go", "mod", "edit", "-require", f"{MODULE}@v{VERSION}", *_replacements(module)], source)
    run(["go", "get", *(f"{path}@v{VERSION}" for path in PARTS.values())], source, seconds=BUILD_SECONDS)
    more = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOMAXPROCS": str(min(2, os.cpu_count() or 1))}
    for name, path in PARTS.items():
        flags = ["-trimpath", "-ldflags=-s -w", "-o", str(folder / name)]
        run(["nice", "-n", "19", "go", "build", "-p", "2", *flags, path], source, more, BUILD_SECONDS)
    shutil.rmtree(source)
    (folder / "definitions").mkdir()
    for file in (Path(told["Dir"]) / "config" / "crd" / "bases").glob("*.yaml"):
        (folder / "definitions" / file.name).write_text(file.read_text())


def _replacements(module: dict[str, Any]) -> list[str]:
    return [
        f"-replace={each['Old']['Path']}={each['New']['Path']}@{each['New']['Version']}"
        for each in module["Replace"] or ()
    ]


class Keda:
    """Both parts, from `with` to its end."""

    def __init__(self, folder: Path, kubectl: Kubectl, home: Path) -> None:
        self._folder, self._kubectl, self._home = folder, kubectl, home
        self._keys = home / "keda-keys"
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._define()
            self._operator()
            self._adapter()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End both, and take back what waits for them: objects with a finalizer, the API."""
        self._kubectl("delete", "scaledobjects", "--all", f"--timeout={PATIENCE}s", check=False)
        for process in reversed(self._parts.values()):
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._kubectl("delete", f"apiservice/{API}", "--ignore-not-found", check=False)

    def _define(self) -> None:
        self._kubectl("apply", "--server-side", f"--filename={self._folder / 'definitions'}")
        self._kubectl("create", "namespace", NAMESPACE)
        service = {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "keda-metrics-apiserver", "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": ADAPTER_PORT}]},
        }  # fmt: skip
        api = {
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API},
            "spec": {"group": "external.metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": True,
                     "groupPriorityMinimum": 100, "versionPriority": 100,
                     "service": {"name": "keda-metrics-apiserver", "namespace": NAMESPACE, "port": ADAPTER_PORT}},
        }  # fmt: skip
        for wanted in (service, api):
            self._kubectl("create", "--filename=-", f"--namespace={NAMESPACE}", text=json.dumps(wanted))

    def _operator(self) -> None:
        """The first start writes its certificates into a Secret and ends; the second one uses them."""
        self._keys.mkdir()
        command = [
            str(self._folder / "keda-operator"), f"--kubeconfig={self._kubectl.kubeconfig}",
            "--enable-cert-rotation=true", f"--cert-dir={self._keys}", "--enable-webhook-patching=false",
            "--enable-apiservice-patching=false",
            "--metrics-bind-address=127.0.0.1:38080", "--health-probe-bind-address=127.0.0.1:38081",
            f"--metrics-service-bind-address=127.0.0.1:{OPERATOR_PORT}",
        ]  # fmt: skip
        first = self._start("keda-operator", command)
        wait_until(lambda: first.poll() is not None, START_SECONDS)
        words = ("get", "secret/kedaorg-certs", f"--namespace={NAMESPACE}", "--output=json")
        for name, text in json.loads(self._kubectl(*words)).get("data", {}).items():
            (self._keys / name).write_bytes(base64.b64decode(text))
        if first.poll() is not None:
            self._start("keda-operator", command)

    def _adapter(self) -> None:
        to_api = [
            f"--{name}kubeconfig={self._kubectl.kubeconfig}"
            for name in ("", "authentication-", "authorization-", "lister-")
        ]
        self._start("keda-adapter", [
            str(self._folder / "keda-adapter"), *to_api, "--bind-address=127.0.0.1", f"--secure-port={ADAPTER_PORT}",
            "--port=38082", f"--cert-dir={self._keys}", f"--tls-cert-file={self._keys / 'tls.crt'}",
            f"--tls-private-key-file={self._keys / 'tls.key'}", f"--metrics-service-address=127.0.0.1:{OPERATOR_PORT}",
            f"--metrics-service-grpc-authority=keda-operator.{NAMESPACE}.svc.cluster.local",
        ])  # fmt: skip
        if not wait_until(self._available, START_SECONDS):
            logs = {name: (self._home / f"{name}.log").read_text(errors="replace")[-1500:] for name in self._parts}
            raise KedaFailed(f"{API} is not available after {START_SECONDS} s: {self._said()} {logs}")

    def _available(self) -> bool:
        return any(each["type"] == "Available" and each["status"] == "True" for each in self._said())

    def _said(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._kubectl.read(f"apiservice/{API}").get("status", {}).get("conditions", [])
        return found

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        told = {"KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE, "POD_NAMESPACE": NAMESPACE, "WATCH_NAMESPACE": ""}
        with (self._home / f"{name}.log").open("ab") as log:
            self._parts[name] = subprocess.Popen(
                leashed(command), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | told,
                start_new_session=True, cwd=self._home,
            )  # fmt: skip
        return self._parts[name]
