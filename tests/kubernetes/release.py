"""The chart's releases in the cluster: what they are told, and Helm's actions on them.

In: a kubeconfig, the surroundings, an image. Out: releases `support` and `invoices`, each with workers and a door, and
`support` with console and tools.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helm_python
from tests.brokers.asking import wait_until
from tests.helm.chart import FOLDER

if TYPE_CHECKING:
    from tests.kubernetes.surroundings import Surroundings  # it brings servers along, and takes seconds

NAMESPACE = "stepwire-test"
SECONDS = 300  #: of each of Helm's actions
DRAIN = 20  #: seconds
FLOWS = ("support", "invoices")
ACCESS, ENVIRONMENT = "door-access", "surroundings"
KEY, SESSION = (
    "key",
    "session",
)  #: in the Secret of the access file: the test's key, and what signs the console's sessions
TICKET = {"customer": "the test", "body": "What are your opening hours?"}


class Kubectl:
    """The command, for one cluster and the test's namespace."""

    def __init__(self, program: str, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.command = [program, f"--kubeconfig={kubeconfig}", f"--namespace={NAMESPACE}"]

    def __call__(self, *words: str, text: str | None = None, check: bool = True) -> str:
        """What it prints; RuntimeError with what it complained about."""
        done = subprocess.run([*self.command, *words], input=text, capture_output=True, text=True, check=False)
        if done.returncode and check:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()[-1000:]}")
        return done.stdout + (done.stderr if not check else "")

    def read(self, *words: str) -> dict[str, Any]:
        """An object, or a list of them."""
        found: dict[str, Any] = json.loads(self("get", *words, "--output=json"))
        return found

    def pods(self, release: str, component: str = "all") -> list[dict[str, Any]]:
        """Pods that are not on their way out."""
        labels = f"app.kubernetes.io/instance={release},app.kubernetes.io/component={component}"
        rows: list[dict[str, Any]] = self.read("pods", f"--selector={labels}")["items"]
        return [row for row in rows if "deletionTimestamp" not in row["metadata"]]

    def settled(self, release: str, component: str, replicas: int, seconds: float = 120) -> None:
        """Return when so many pods are ready and nobody else is there."""

        def holds() -> bool:
            labels = f"app.kubernetes.io/instance={release},app.kubernetes.io/component={component}"
            rows = self.read("pods", f"--selector={labels}")["items"]
            ready = [row for row in rows if any(
                each["type"] == "Ready" and each["status"] == "True" for each in row["status"].get("conditions", ())
            )]  # fmt: skip
            return len(rows) == len(ready) == replicas

        if not wait_until(holds, seconds):
            raise RuntimeError(f"{release}-{component} is not {replicas} ready pods: {self('get', 'pods')}")


def prepare(kubectl: Kubectl, around: Surroundings, key: tuple[str, str]) -> None:
    """What the namespace has before the releases: pod security as strict as it gets, the two Secrets that they name."""
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    access = f'[[keys]]\nname = "test"\nhash = "{key[1]}"\nroles = {{ "*" = ["viewer", "operator", "approver"] }}\n'
    for name, values in (
        (ACCESS, {"access.toml": access, KEY: key[0], SESSION: secrets.token_hex(32)}),
        (ENVIRONMENT, around.secrets),
    ):
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        kubectl("create", "--filename=-", text=json.dumps(secret))


def values(flow: str, around: Surroundings, image: str, tag: str) -> dict[str, Any]:
    """Small requests: the node may have two cores, for everything."""
    small = {"cpu": "20m", "memory": "128Mi", "ephemeral-storage": "64Mi"}
    kept = {"cpu": "20m", "memory": "128Mi"}
    named = {name: {"name": ENVIRONMENT, "key": name} for name in around.secrets}
    stored = {name: key for name, key in named.items() if name.startswith("AWS_")}  # all that servers need of them
    told: dict[str, Any] = {
        "app": f"stepwire_handlers.flows.{flow}:app",
        "image": {"repository": image, "tag": tag},
        "bus": {"url": around.kafka},
        "blobs": {"url": around.blobs},
        "env": around.env,
        "defaults": {"replicas": 2 if flow == "support" else 1, "drainSeconds": DRAIN, "resources": {"requests": kept},
                     "secrets": named},
        "door": {"enabled": True, "replicas": 1, "access": {"secret": ACCESS}, "resources": {"requests": kept},
                 "secrets": stored},
        "topics": {"apply": {"resources": {"requests": small}}},
        "tests": {"resources": {"requests": small}},
    }  # fmt: skip
    if flow == "support":
        key = {"name": ACCESS, "key": KEY}  # by the door
        told["console"] = {"enabled": True, "resources": {"requests": kept},
                           "secrets": {"STEPWIRE_CONSOLE_SECRET": {"name": ACCESS, "key": SESSION}}}  # fmt: skip
        told["mcp"] = {"enabled": True, "resources": {"requests": kept}, "secrets": stored}
        told["tests"]["publish"] = {"event": "TicketOpened", "data": TICKET, "key": key}
    return told


@contextmanager
def helm(kubectl: Kubectl) -> Iterator[helm_python.Config]:
    """Helm's actions, in the test's namespace."""
    with helm_python.Config(kubeconfig_path=kubectl.kubeconfig, namespace=NAMESPACE) as config:
        yield config


def install(config: helm_python.Config, flow: str, told: dict[str, Any]) -> None:
    """`helm install --wait`."""
    config.install(FOLDER, flow, told, namespace=NAMESPACE, wait="watcher", timeout=SECONDS)


def upgrade(config: helm_python.Config, flow: str, told: dict[str, Any]) -> None:
    """`helm upgrade --wait`."""
    config.upgrade(FOLDER, flow, told, namespace=NAMESPACE, wait="watcher", timeout=SECONDS)
