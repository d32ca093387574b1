"""A cluster that is given is asked before anything is done to it, and nothing of this machine's own is begun for it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.helm.tools import NotHere
from tests.kubernetes import given
from tests.kubernetes.given import RIGHTS, Images
from tests.kubernetes.reach import done, places, pod

GOOD = {
    "KUBECONFIG": "/k",
    "STEPWIRE_TEST_ADDRESS": "10.0.0.7",
    "STEPWIRE_TEST_IMAGES": "r:5000/team/s:1 r:5000/team/s:2",
}


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("s:1 s:2", Images("s", ("1", "2"))),
        ("r:5000/team/s:1 r:5000/team/s:2", Images("r:5000/team/s", ("1", "2"))),
    ],
)
def test_images(named: str, found: Images) -> None:
    """One name under two tags, a registry's port among it."""
    assert given.asked({**GOOD, "STEPWIRE_TEST_IMAGES": named}).images == found


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("s:1", "write two names"), ("s:1 s:2 s:3", "write two names"), ("s s:2", "write two names"),
        ("r:5000/s r:5000/s", "write two names"), ("s@sha256:ab s@sha256:cd", "write two names"),
        ("s:1 t:2", "two different tags"), ("s:1 s:1", "two different tags"),
    ],
)  # fmt: skip
def test_wrong_images(named: str, said: str) -> None:
    """What cannot be upgraded from one to the other is refused, with what to write."""
    with pytest.raises(NotHere, match=said):
        given.asked({**GOOD, "STEPWIRE_TEST_IMAGES": named})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"STEPWIRE_TEST_ADDRESS": ""}, "STEPWIRE_TEST_ADDRESS is not set"),
        ({"STEPWIRE_TEST_ADDRESS": "127.0.0.1"}, "each pod itself"),
        ({"STEPWIRE_TEST_IMAGES": ""}, "set one of"),
        ({"STEPWIRE_TEST_REGISTRY": "r:5000"}, "set one of"),
        ({"STEPWIRE_TEST_IMAGES": "", "STEPWIRE_TEST_REGISTRY": "https://r"}, "without a scheme"),
    ],
)
def test_what_is_missing(changed: dict[str, str], said: str) -> None:
    """Each variable that cannot work is named with what it must be."""
    with pytest.raises(NotHere, match=said):
        given.asked(GOOD | changed)


def test_everything_that_is_missing_is_said_at_once() -> None:
    """Nobody has to come back for the second mistake."""
    with pytest.raises(NotHere, match=r"STEPWIRE_TEST_ADDRESS is not set.*set one of STEPWIRE_TEST_IMAGES"):
        given.asked({"KUBECONFIG": "/k"})


def test_an_address_of_another_machine() -> None:
    """What the flows need cannot listen there."""
    given.own_address("127.0.0.1")
    with pytest.raises(NotHere, match="is no address of this machine"):
        given.own_address("192.0.2.1")


# -- asked of the cluster


class Asked:
    """A cluster that answers as it is told."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers, self.words = answers, list[str]()

    def __call__(self, *words: str, check: bool = True) -> str:
        del check
        text = " ".join(words)
        self.words.append(text)
        return next((answer for beginning, answer in self._answers.items() if text.startswith(beginning)), "")


def test_a_cluster_that_lets_us() -> None:
    """It is only asked, and named in the log."""
    cluster = Asked({"config view": "https://c:6443", "auth can-i": "yes\n"})
    assert given.allowed(cluster, keda=False, policies=False) == "https://c:6443"
    assert {words.split()[0] for words in cluster.words} == {"config", "get", "auth"}


@pytest.mark.parametrize(
    ("answers", "keda", "said"),
    [
        ({"get namespace": "namespace/stepwire-test", "auth": "yes"}, False, "has a namespace stepwire-test"),
        ({"auth can-i create pods --subresource=eviction": "no\n", "auth": "yes"}, False,
         r"may not.*: create pods --subresource=eviction$"),
        ({"auth": "no - no RBAC policy matched"}, False, f"may not.*{RIGHTS[0]}, .*{RIGHTS[-1]}"),
        ({"auth": "yes"}, True, "needs a KEDA in the cluster"),
    ],
)  # fmt: skip
def test_a_cluster_that_cannot_be_used(answers: dict[str, str], keda: bool, said: str) -> None:
    """A namespace of somebody else, rights that are missing, no KEDA: each refused with its name."""
    with pytest.raises(NotHere, match=said):
        given.allowed(Asked(answers), keda=keda, policies=False)


def test_network_policies_need_two_rights_more() -> None:
    """Who may not make them, or ask from inside of pods, hears it before anything is made."""
    with pytest.raises(NotHere, match=r"may not.*: create networkpolicies\S+, create pods --subresource=exec$"):
        given.allowed(
            Asked({"auth can-i create networkpolicies": "no\n", "auth can-i create pods --subresource=exec": "no\n",
                   "auth": "yes"}), keda=False, policies=True,
        )  # fmt: skip


# -- what pods find


def seen(phase: str, **waiting: str) -> dict[str, Any]:
    state = {"waiting": waiting} if waiting else {"running": {}}
    return {"status": {"phase": phase, "containerStatuses": [{"image": "s:1", "state": state}]}}


def test_an_image_that_no_node_gets() -> None:
    """A name that cannot be pulled is said as the cluster says it; one that is on its way is waited for."""
    assert not done({"status": {"phase": "Pending"}})
    assert not done(seen("Pending", reason="ContainerCreating"))
    assert done(seen("Succeeded")) and done(seen("Failed"))
    with pytest.raises(NotHere, match="cannot run s:1: ErrImagePull: no such host"):
        done(seen("Pending", reason="ErrImagePull", message="no such host"))


def test_what_pods_must_reach() -> None:
    """Every port that listens for them, and no secret among the words of the pod."""
    around: Any = SimpleNamespace(
        kafka="kafka://10.0.0.7:1,10.0.0.7:2", blobs="s3://b/blobs?endpoint=http://10.0.0.7:3&region=r",
        env={"SLACK_BASE_URL": "http://10.0.0.7:4/api"},
        secrets={"DATABASE_URL": "postgresql://user@10.0.0.7:5/shop"},
    )  # fmt: skip
    assert places(around) == [f"10.0.0.7:{port}" for port in (1, 2, 4, 5, 3)]
    wanted = pod(["s:1", "s:2"], places(around))
    assert [each["image"] for each in wanted["spec"]["containers"]] == ["s:1", "s:2"]
    assert "user@" not in json.dumps(wanted)
