"""A worker group that KEDA scales by its lag: one pod, more while there is a backlog, one again.

In: a `Stage` with KEDA beside it. Out: a line for the log: each number of pods, wanted/ready, and when it was seen.
"""

from __future__ import annotations

import json
import time
from typing import Any

from tests.kubernetes.load import Load
from tests.kubernetes.release import NAMESPACE, SECONDS, install
from tests.kubernetes.steps import Failed, Stage

MOST, CALLS = 2, 1  #: pods; calls at once in one of them, of a model that thinks for a second
TICKETS, RATE = 120, 100.0
LAG = 20  #: above what markers leave: one a partition
TOPICS = {"support.tickets": "support.triage", "support.billing": "support.billing"}  #: the second one is all markers
DEPLOYMENT = "support-stepwire-all"
METRICS = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}"
OUT_SECONDS, BACK_SECONDS = 180, 900  #: scaling in takes two minutes a pod, as the chart has it


def installs(stage: Stage) -> str:
    """One replica, and nobody but KEDA says how many."""
    told: dict[str, Any] = stage.values("support")
    del told["defaults"]["replicas"], told["console"], told["mcp"]
    told["env"] = {**told["env"], "STEPWIRE_WORKER__CONCURRENCY": str(CALLS)}
    told["defaults"]["autoscaling"] = {
        "kind": "keda", "minReplicas": 1, "maxReplicas": MOST, "scaleDownStabilizationSeconds": 0,
        "keda": {"pollingInterval": 5, "triggers": [
            {"group": group, "topic": topic, "lagThreshold": LAG} for topic, group in TOPICS.items()]},
    }  # fmt: skip
    begun = time.monotonic()
    install(stage.config, "support", told)
    took = time.monotonic() - begun
    stage.kubectl.settled("support", "all", 1)
    return f"{took:.1f} s, 1 pod"


def out(stage: Stage) -> str:
    """A burst of tickets."""
    stage.load = Load(stage.servers, RATE)
    with stage.load:
        while stage.load.published < TICKETS:
            time.sleep(0.1)
    seen = _seen(stage, (MOST, MOST), OUT_SECONDS)
    return f"{stage.load.published} tickets; pods: {seen}"


def back(stage: Stage) -> str:
    """Once they are worked off."""
    seen = _seen(stage, (1, 1), BACK_SECONDS)
    stage.kubectl.settled("support", "all", 1)
    return f"pods: {seen}"


def markers(stage: Stage) -> str:
    """What KEDA counts for groups that have nothing left to do."""
    names = stage.kubectl.read(f"scaledobject/{DEPLOYMENT}")["status"]["externalMetricNames"]
    lags = [_lag(stage, name) for name in names]
    if max(lags) > LAG:
        raise Failed(f"{dict(zip(names, lags, strict=True))}, above the threshold of {LAG}")
    return f"lag of {', '.join(f'{name} {lag}' for name, lag in zip(names, lags, strict=True))}; threshold {LAG}"


def drained(stage: Stage) -> str:
    """Those that were taken away ended by themselves."""
    ended, cut = stage.watch.ended(), stage.watch.cut()
    if cut or len(ended) < MOST - 1:
        raise Failed(f"{len(ended)} ended, of them before their drain: {cut}")
    return f"{len(ended)} ended with 0 after their drain, the slowest in {stage.watch.longest():.0f} s"


def uninstalls(stage: Stage) -> str:
    """`helm uninstall --wait`: KEDA lets its object go."""
    stage.config.uninstall("support", wait="watcher", timeout=SECONDS)
    return "gone"


def _lag(stage: Stage, metric: str) -> int:
    """As the pod autoscaler gets it."""
    path = f"{METRICS}/{metric}?labelSelector=scaledobject.keda.sh%2Fname%3D{DEPLOYMENT}"
    (row,) = json.loads(stage.kubectl("get", f"--raw={path}"))["items"]
    return int(row["value"])


def _seen(stage: Stage, until: tuple[int, int], seconds: float) -> str:
    """How many pods are wanted and ready, each change with its second, until they are so many."""
    seen, told, begun = (0, 0), list[str](), time.monotonic()
    while seen != until:
        row = stage.kubectl.read(f"deployment/{DEPLOYMENT}")
        now = int(row["spec"]["replicas"]), int(row["status"].get("readyReplicas", 0))
        if now != seen:
            seen = now
            told.append(f"{now[0]}/{now[1]} at {time.monotonic() - begun:.0f} s")
        if time.monotonic() - begun > seconds:
            raise Failed(
                f"after {seconds} s: {told}; {stage.kubectl('describe', 'scaledobject,hpa', check=False)[-2000:]}"
            )
        time.sleep(0.5)
    return ", ".join(told)
