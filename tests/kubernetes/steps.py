"""What is tried with the releases, each step a function that raises `Failed` or says what it saw, in figures.

In: a `Stage`: the cluster, Helm, the surroundings. Out: a line for the log.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import helm_python
import httpx2
from tests.brokers.asking import wait_until
from tests.kubernetes.load import Load
from tests.kubernetes.release import (
    ACCESS,
    DRAIN,
    ENVIRONMENT,
    FLOWS,
    NAMESPACE,
    SECONDS,
    Kubectl,
    install,
    upgrade,
    values,
)
from tests.kubernetes.surroundings import BUCKET, Surroundings
from tests.kubernetes.watch import Watch

ROOT = Path(__file__).parents[2]
PATIENCE = 120  #: seconds for what was published to be worked off
TOLD = 6  #: workers that end: two each at upgrade and rollback, one drained, one deleted
DURING = 5  #: seconds of load before and after what happens to a pod
HELD = "Cannot evict pod as it would violate the pod's disruption budget"
KINDS = (
    "all,secrets,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,persistentvolumeclaims,ingresses,"
    "horizontalpodautoscalers"
)
#: what every namespace gets, and what the releases are given
ITS_OWN = {
    ("Secret", ACCESS),
    ("Secret", ENVIRONMENT),
    ("ServiceAccount", "default"),
    ("ConfigMap", "kube-root-ca.crt"),
}


class Failed(Exception):
    """Something is not as promised."""


@dataclass
class Stage:
    """Everything that a step needs."""

    kubectl: Kubectl
    config: helm_python.Config
    around: Surroundings
    image: str
    tags: tuple[str, str]
    key: str  #: of the door
    load: Load
    watch: Watch
    ours: bool = True  #: a cluster of our own, whose node may be drained
    before: frozenset[tuple[str, str]] = frozenset()  #: (kind, name) of what the namespace had before the releases
    run: str = ""  #: that a model began by a tool
    session: str = ""  #: the cookie of a person at the console

    @property
    def servers(self) -> str:
        """Of Kafka."""
        return self.around.kafka.removeprefix("kafka://")

    def values(self, flow: str, tag: int = 0) -> dict[str, Any]:
        """Of one of the two releases of the image."""
        return values(flow, self.around, self.image, self.tags[tag])


def installs(stage: Stage) -> str:
    """`helm install --wait` of both flows, each with its door."""
    took = []
    for flow in FLOWS:
        begun = time.monotonic()
        install(stage.config, flow, stage.values(flow))
        took.append(f"{flow} {time.monotonic() - begun:.1f} s")
    restarts = sum(each["restartCount"] for flow in FLOWS for pod in stage.kubectl.pods(flow)
                   for each in pod["status"]["containerStatuses"])  # fmt: skip
    if restarts:
        raise Failed(f"{restarts} restarts while it was installed: {stage.kubectl('get', 'pods')}")
    return ", ".join(took)


def event(stage: Stage) -> str:
    """An event posted to the door comes back as a result."""
    with reached(stage, "service/support-stepwire-door") as url:
        answer = _post(stage, f"{url}/apps/support/TicketOpened", "application/json",
                       json.dumps({"customer": "Ann", "body": "I was charged twice."}).encode())  # fmt: skip
    result = answer["result"] or {}
    if result.get("type") != "Answered" or result.get("customer") != "Ann":
        raise Failed(f"the door answered {answer}")
    return f"{result['desk']}: {result['reply'][:60]!r}"


def pdf(stage: Stage, file: Path) -> str:
    """A PDF posted to the door goes through all seven steps; its bytes lie in the store, the draft in the mailbox."""
    with reached(stage, "service/invoices-stepwire-door") as url:
        answer = _post(stage, f"{url}/apps/invoices/InvoiceReceived", "application/pdf", file.read_bytes())
    result = answer["result"] or {}
    if result.get("type") != "InvoiceDone":
        raise Failed(f"the door answered {answer}")
    endpoint = re.search(r"endpoint=([^&]+)", stage.around.blobs)
    assert endpoint
    client = boto3.client("s3", endpoint_url=endpoint[1], region_name="us-east-1", aws_access_key_id="test",
                          aws_secret_access_key="test")  # fmt: skip  # noqa: S106 - the store takes any
    sizes = [each["Size"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
    client.close()
    if file.stat().st_size not in sizes:
        raise Failed(f"the store has objects of {sizes} bytes, the file has {file.stat().st_size}")
    drafts = list(stage.around.drafts.glob("*"))
    if len(drafts) != 1:
        raise Failed(f"the mailbox has {len(drafts)} drafts: {drafts}")
    invoice = result["invoice"]
    return f"{file.name}: {invoice['vendor']}, {invoice['total']} {invoice['currency']}, draft {result['draft']}"


def tests(stage: Stage) -> str:
    """`helm test` of both."""
    for flow in FLOWS:
        stage.config.test(flow, timeout=SECONDS, logs=True)
    return "support: topics, publish, door, console, tools; invoices: topics, door"


def upgrades(stage: Stage) -> str:
    """`helm upgrade --wait` to another image while tickets come in."""
    before = stage.load.published
    time.sleep(DURING)
    begun = time.monotonic()
    upgrade(stage.config, "support", stage.values("support", 1))
    took = time.monotonic() - begun
    stage.kubectl.settled("support", "all", 2)
    _image_is(stage, 1)
    time.sleep(DURING)
    return f"{took:.1f} s, {stage.load.published - before} tickets meanwhile"


def drain(stage: Stage) -> str:
    """`kubectl drain` evicts one of the two workers, and is held by the budget from then on."""
    before = stage.load.published
    what, said, running = _drained(stage) if stage.ours else _evicted(stage)
    if HELD not in said or len(running) != 1:
        raise Failed(f"{what} was not held ({len(running)} workers run): {said}")
    stage.kubectl.settled("support", "all", 2)
    return f"{what}: 1 evicted, 1 held; {stage.load.published - before} tickets meanwhile"


def _drained(stage: Stage) -> tuple[str, str, list[str]]:
    """What was done, what was said to it, and who is left running while the node takes nobody."""
    node = stage.kubectl.pods("support")[0]["spec"]["nodeName"]
    labels = "app.kubernetes.io/instance=support,app.kubernetes.io/component=all"
    try:
        said = stage.kubectl("drain", node, f"--pod-selector={labels}", "--delete-emptydir-data", "--ignore-daemonsets",
                             f"--timeout={DRAIN + 20}s", check=False)  # fmt: skip
        return "the drain", said, _running(stage)
    finally:
        stage.kubectl("uncordon", node)


def _evicted(stage: Stage) -> tuple[str, str, list[str]]:
    """The same by evictions, which is what a drain does, without a word to a node that is somebody else's."""
    both = _running(stage)
    _evict(stage, both[0], check=True)
    said = _evict(stage, both[1], check=False)
    return "an eviction of each", said, [name for name in _running(stage) if name in both]


def _running(stage: Stage) -> list[str]:
    return [pod["metadata"]["name"] for pod in stage.kubectl.pods("support") if pod["status"]["phase"] == "Running"]


def _evict(stage: Stage, name: str, *, check: bool) -> str:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    wanted = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    return stage.kubectl("create", f"--raw={path}", "--filename=-", text=json.dumps(wanted), check=check)


def delete(stage: Stage) -> str:
    """`kubectl delete pod`."""
    before, begun = stage.load.published, time.monotonic()
    name = stage.kubectl.pods("support")[0]["metadata"]["name"]
    stage.kubectl("delete", "pod", name)
    took = time.monotonic() - begun
    stage.kubectl.settled("support", "all", 2)
    time.sleep(DURING)
    return f"gone after {took:.1f} s, {stage.load.published - before} tickets meanwhile"


def kill(stage: Stage) -> str:
    """SIGKILL to the worker's process, as the system does when memory runs out.

    Where it is not on this machine, or not ours to signal, the pod is taken away without its grace.
    """
    before = stage.load.published
    pod = stage.kubectl.pods("support")[0]
    name, id_ = pod["metadata"]["name"], pod["metadata"]["uid"]
    if (process := _process(id_)) and _killed(stage, name, process):
        if not wait_until(lambda: _restarts(stage, name) == 1, 60):
            raise Failed(f"{name} was not started again: {stage.kubectl('get', 'pods')}")
        told = f"{name} started again"
    else:
        stage.watch.forced.add(name)
        stage.kubectl("delete", "pod", name, "--grace-period=0", "--force")
        told = f"{name} taken away without its grace"
    stage.kubectl.settled("support", "all", 2)
    time.sleep(DURING)
    return f"{told}, {stage.load.published - before} tickets meanwhile"


def _killed(stage: Stage, name: str, process: str) -> bool:
    """False if it is not ours to signal."""
    stage.watch.killed.add(name)
    try:
        os.kill(int(process), signal.SIGKILL)
    except PermissionError:
        stage.watch.killed.discard(name)
        return False
    return True


def rollback(stage: Stage) -> str:
    """`helm rollback --wait` to the first image, still with tickets coming in."""
    begun = time.monotonic()
    stage.config.rollback("support", version=1, wait="watcher", timeout=SECONDS)
    took = time.monotonic() - begun
    stage.kubectl.settled("support", "all", 2)
    _image_is(stage, 0)
    return f"{took:.1f} s"


def verdict(stage: Stage) -> str:
    """What was published is answered, once; judged by a process that knows nothing of us. No worker was cut off."""
    if stage.load.refused:
        raise Failed(f"Kafka took {len(stage.load.refused)} tickets not: {stage.load.refused[:2]}")
    command = [sys.executable, "-m", "tests.kubernetes.judge", stage.servers, str(stage.load.published)]
    end = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if not done.returncode or time.monotonic() > end or "duplicated=0" not in done.stdout:
            break
        time.sleep(1)
    said = done.stdout.strip() or done.stderr[-500:]
    if done.returncode:
        raise Failed(said)
    return said


def workers(stage: Stage) -> str:
    """Every worker that was told to end did so by itself, in time, after its drain."""
    cut = stage.watch.cut()
    if cut:
        raise Failed(f"ended before their drain: {cut}")
    ended, slowest = len(stage.watch.ended()), stage.watch.longest()
    if ended < TOLD:
        raise Failed(f"{ended} workers were seen to end; at least {TOLD} were told to")
    seen = f"{ended} workers ended with 0 after their drain, the slowest in {slowest:.0f} s"
    hard = len(stage.watch.killed), len(stage.watch.forced)
    return f"{seen}; {hard[0]} was killed and started again, {hard[1]} taken away without its grace"


def uninstalls(stage: Stage) -> str:
    """`helm uninstall --wait` leaves nothing of the chart."""
    for flow in FLOWS:
        stage.config.uninstall(flow, wait="watcher", timeout=SECONDS)

    def left() -> set[tuple[str, str]]:
        return set(there(stage.kubectl)) - stage.before - ITS_OWN

    if not wait_until(lambda: not left(), 2 * DRAIN):
        raise Failed(f"left behind: {sorted(left())}")
    return "nothing left"


def there(kubectl: Kubectl) -> frozenset[tuple[str, str]]:
    """(kind, name) of what is in the namespace."""
    return frozenset((row["kind"], row["metadata"]["name"]) for row in kubectl.read(KINDS)["items"])


def _image_is(stage: Stage, tag: int) -> None:
    images = {pod["spec"]["containers"][0]["image"] for pod in stage.kubectl.pods("support")}
    if images != {f"{stage.image}:{stage.tags[tag]}"}:
        raise Failed(f"the workers run {images}")


def _restarts(stage: Stage, name: str) -> int:
    return sum(each["restartCount"] for each in stage.kubectl.read(f"pod/{name}")["status"]["containerStatuses"])


def _process(pod: str) -> str:
    """The worker's process on this machine, by the control group of its pod."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            group, command = (folder / "cgroup").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if pod in group.replace("_", "-") and b"stepwire" in command and b"run" in command.split(b"\0"):
            return folder.name
    return ""


@contextmanager
def reached(stage: Stage, name: str, port: int = 80) -> Iterator[str]:
    """The address here of a Service or a pod, by way of the API server: it is not open to the outside."""
    command = [*stage.kubectl.command, "port-forward", name, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
            if not found:
                raise Failed(f"{name} cannot be reached")
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            forward.terminate()


def _post(stage: Stage, url: str, media_type: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": media_type, "X-API-Key": stage.key, "Prefer": "wait=60"}
    answer = httpx2.post(url, content=body, headers=headers, timeout=90)
    if answer.status_code != 200:
        raise Failed(f"{url} answered {answer.status_code}: {answer.text[:500]}")
    told: dict[str, Any] = answer.json()
    return told
