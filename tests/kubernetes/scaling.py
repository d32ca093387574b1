"""A worker group that KEDA scales by its lag: one pod, more while there is a backlog, one again.

In: a `Stage` with KEDA beside it. Out: a line for the log, with each number of pods and when it was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.kubernetes.load import Load
from tests.kubernetes.release import install
from tests.kubernetes.steps import Failed, Stage

MOST, CALLS = 3, 1  #: pods; calls at once in one of them, of a model that thinks for a second
TICKETS, RATE = 400, 100.0
LAG = 20  #: above what markers leave: one a partition, and there are six
OUT_SECONDS, BACK_SECONDS = 180, 900  #: scaling in takes two minutes a pod, as the chart has it


def installs(stage: Stage) -> str:
    """One replica, and nobody but KEDA says how many."""
    told: dict[str, Any] = stage.values("support")
    del told["defaults"]["replicas"]
    told["env"] = {**told["env"], "STEPWIRE_WORKER__CONCURRENCY": str(CALLS)}
    told["defaults"]["autoscaling"] = {
        "kind": "keda", "minReplicas": 1, "maxReplicas": MOST, "scaleDownStabilizationSeconds": 0,
        "keda": {"pollingInterval": 5, "triggers": [
            {"group": "support.triage", "topic": "support.tickets", "lagThreshold": LAG}]},
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
    seen = _seen(stage, lambda counts: max(counts) == MOST, OUT_SECONDS)
    return f"{stage.load.published} tickets; pods wanted: {seen}"


def back(stage: Stage) -> str:
    """Once they are worked off."""
    seen = _seen(stage, lambda counts: counts[-1] == 1, BACK_SECONDS)
    stage.kubectl.settled("support", "all", 1)
    return f"pods wanted: {seen}"


def drained(stage: Stage) -> str:
    """Those that were taken away ended by themselves."""
    ended, cut = stage.watch.ended(), stage.watch.cut()
    if cut or len(ended) < MOST - 1:
        raise Failed(f"{len(ended)} ended, of them before their drain: {cut}")
    return f"{len(ended)} ended with 0 after their drain, the slowest in {stage.watch.longest():.0f} s"


def _seen(stage: Stage, enough: Callable[[list[int]], bool], seconds: float) -> str:
    """How many pods were wanted, each number with its second, until it is enough."""
    counts, told, begun = list[int](), list[str](), time.monotonic()
    while not counts or not enough(counts):
        wanted = int(stage.kubectl.read("deployment/support-stepwire-all")["spec"]["replicas"])
        if not counts or wanted != counts[-1]:
            counts.append(wanted)
            told.append(f"{wanted} at {time.monotonic() - begun:.0f} s")
        if time.monotonic() - begun > seconds:
            raise Failed(
                f"after {seconds} s: {told}; {stage.kubectl('describe', 'scaledobject,hpa', check=False)[-2000:]}"
            )
        time.sleep(0.5)
    return ", ".join(told)
