"""The chart's network policies where they count: who reaches whom, asked from inside of pods.

In: a `Stage` on a cluster that enforces policies. Out: a line for the log. What is refused to one pod is answered to
another in the same moment, so that a refusal is the policy's and not a listener's that is not there.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.brokers.asking import wait_until
from tests.kubernetes.reach import places, pod
from tests.kubernetes.release import SECONDS, install, upgrade
from tests.kubernetes.steps import Failed, Stage

LABEL = "stepwire-test/who"
STRANGER = "stranger"  #: a pod that nothing is said about
#: who comes in, beside the release's own: a value of the chart -> the pod that it names
LET_IN = {"doorFrom": "system", "consoleFrom": "person", "mcpFrom": "model", "metricsFrom": "scraper"}
SERVERS = ("door", "console", "mcp")
OURS = ("all", *SERVERS)  #: components of the release
PATIENCE = 60  #: seconds until the cluster's network has heard of a change
ASK = """
import json, socket, sys
def answers(place):
    host, _, port = place.rpartition(":")
    try:
        if not port.isdigit():
            return bool(socket.gethostbyname(port))
        socket.create_connection((host, int(port)), 3).close()
        return True
    except OSError:
        return False
print(json.dumps([answers(place) for place in sys.argv[1:]]))
"""
Answers = dict[str, bool]  #: what is asked for -> was it reached


def installs(stage: Stage) -> str:
    """Closed but for four pods that are named, and for what the flow needs on this machine."""
    begun = time.monotonic()
    for who in (STRANGER, *LET_IN.values()):
        stage.kubectl("create", "--filename=-", text=json.dumps(_caller(stage, who)))
    install(stage.config, "support", _values(stage))
    stage.kubectl("wait", "pod", f"--selector={LABEL}", "--for=condition=Ready", f"--timeout={SECONDS}s")
    return f"{time.monotonic() - begun:.1f} s; {stage.kubectl('get', 'networkpolicies', '--output=name').split()}"


def judged(stage: Stage) -> str:
    """Everybody reaches what the values say, and nothing else."""
    with _elsewhere(stage) as elsewhere:
        asked = _places(stage, elsewhere)
        wanted = {
            who: {name: name in reached for name in asked if name.split()[0] != who}  # itself is the network's business
            for who, reached in _allowed().items()
        }
        seen: dict[str, Answers] = {}

        def holds() -> bool:
            seen.update({who: _asks(stage, who, asked, wanted[who]) for who in wanted if seen.get(who) != wanted[who]})
            return seen == wanted

        if not wait_until(holds, PATIENCE):
            raise Failed(f"otherwise than the values say: {_differences(wanted, seen)}")
        # all of it once more, now that nothing changes
        again = {who: _asks(stage, who, asked, wanted[who]) for who in wanted}
    if again != wanted:
        raise Failed(f"not for long: {_differences(wanted, again)}")
    every = [passed for answers in wanted.values() for passed in answers.values()]
    return f"{len(wanted)} pods, {len(asked)} places: {sum(every)} pass, {every.count(False)} refused"


def again(stage: Stage) -> str:
    """An upgrade's Job makes topics from behind the policies, and `helm test` calls door, console and tools."""
    begun = time.monotonic()
    upgrade(stage.config, "support", _values(stage) | {"configVersion": "2"})
    took = time.monotonic() - begun
    stage.config.test("support", timeout=SECONDS, logs=True)
    return f"upgrade {took:.1f} s, tests {time.monotonic() - begun - took:.1f} s"


def uninstalls(stage: Stage) -> str:
    """No policy stays; whoever was there before goes as they came."""
    stage.config.uninstall("support", wait="watcher", timeout=SECONDS)
    if left := stage.kubectl("get", "networkpolicies", "--output=name").split():
        raise Failed(f"left behind: {left}")
    stage.kubectl("delete", "pod", f"--selector={LABEL}", "--grace-period=1")
    return "no policy left"


def _allowed() -> dict[str, set[str]]:
    """Who -> what is reached. The stranger shows that a place answers at all."""
    outside = {"a name", "kafka", "s3"}
    called = dict(zip(LET_IN.values(), (*SERVERS, ""), strict=True))
    allowed = {who: outside | {"elsewhere"} | ({name} if name else set()) for who, name in called.items()}
    allowed[LET_IN["metricsFrom"]] |= {f"{component} 9090" for component in OURS}
    return {STRANGER: outside | {"elsewhere"}} | allowed | dict.fromkeys(OURS, outside)


def _places(stage: Stage, elsewhere: str) -> dict[str, str]:
    """What is asked for -> host:port, or :name."""
    found = {name: f"support-stepwire-{name}:80" for name in SERVERS}
    for component in OURS:
        address = stage.kubectl.pods("support", component)[0]["status"]["podIP"]
        found[f"{component} 9090"] = f"{address}:9090"
    listening = places(stage.around)
    return found | {"kafka": listening[0], "s3": listening[-1], "elsewhere": elsewhere,
                    "a name": ":support-stepwire-door"}  # fmt: skip


def _asks(stage: Stage, who: str, asked: Mapping[str, str], names: Iterable[str]) -> Answers:
    target = f"deployment/support-stepwire-{who}" if who in OURS else f"pod/{who}"
    said = stage.kubectl("exec", target, "--", "python", "-c", ASK, *(asked[name] for name in names))
    return dict(zip(names, json.loads(said), strict=True))


def _differences(wanted: Mapping[str, Answers], seen: Mapping[str, Answers]) -> list[str]:
    return [f"{who} {'does not reach' if answers[name] else 'reaches'} {name}"
            for who, answers in wanted.items() for name in answers if seen[who][name] != answers[name]]  # fmt: skip


def _values(stage: Stage) -> dict[str, Any]:
    listening = sorted({int(place.rpartition(":")[2]) for place in places(stage.around)})
    ports = [{"port": port, "protocol": "TCP"} for port in listening]
    egress = [{"to": [{"ipBlock": {"cidr": f"{_here(stage)}/32"}}], "ports": ports}]
    from_ = {name: [{"podSelector": {"matchLabels": {LABEL: who}}}] for name, who in LET_IN.items()}
    return stage.values("support") | {"networkPolicy": {"enabled": True, "egress": egress, **from_}}


def _caller(stage: Stage, who: str) -> dict[str, Any]:
    """A pod of ours that waits to be asked."""
    wanted = pod([f"{stage.image}:{stage.tags[0]}"], [])
    wanted["metadata"] = {"name": who, "labels": {LABEL: who}}
    wanted["spec"]["containers"][0]["command"] = ["python", "-c", "import time; time.sleep(3600)"]
    return wanted


def _here(stage: Stage) -> str:
    """This machine, for pods."""
    return stage.servers.split(",")[0].rpartition(":")[0]


@contextmanager
def _elsewhere(stage: Stage) -> Iterator[str]:
    """A port of this machine that the values do not name."""
    with socket.create_server((_here(stage), 0), backlog=512) as listening:
        yield f"{_here(stage)}:{listening.getsockname()[1]}"
