"""What is done to the pods of a cluster that is somebody else's: to pods, never to nodes."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from tests.kubernetes import steps
from tests.kubernetes.steps import HELD, Failed, Stage
from tests.kubernetes.watch import Watch

pytestmark = pytest.mark.slow  # for what it imports


class Pods:
    """Two workers; keeps what it was told."""

    def __init__(self, answers: list[str]) -> None:
        self._answers, self.said = answers, list[str]()

    def __call__(self, *words: str, **_: object) -> str:
        self.said.append(" ".join(words))
        return self._answers.pop(0) if self._answers else ""

    def pods(self, release: str) -> list[dict[str, Any]]:
        return [{"metadata": {"name": f"{release}-{n}", "uid": f"no-such-{n}"}, "status": {"phase": "Running"}}
                for n in (1, 2)]  # fmt: skip

    def settled(self, *_: object) -> None:
        """At once."""


class Evicted(Pods):
    """The first of its two pods is on its way out once it is evicted."""

    def pods(self, release: str) -> list[dict[str, Any]]:
        return super().pods(release) if not self.said else super().pods(release)[-1:]


def stage(pods: Any) -> Stage:
    nobody, load = None, SimpleNamespace(published=0)
    told: list[Any] = [pods, nobody, nobody, "s", ("1", "2"), "key", load, Watch([], ""), False]
    return Stage(*told)


def test_a_drain_is_two_evictions() -> None:
    """One is let go, the other held by the budget; no node hears of it."""
    pods = Evicted(["", f"Error from server: {HELD}."])
    assert steps.drain(stage(pods)).startswith("an eviction of each: 1 evicted, 1 held")
    assert [words.split()[0] for words in pods.said] == ["create", "create"]
    assert [words.split("/")[-2] for words in pods.said] == ["support-1", "support-2"]


def test_a_drain_that_nobody_holds_fails() -> None:
    """An eviction of both is what the budget is there to refuse."""
    with pytest.raises(Failed, match="was not held"):
        steps.drain(stage(Evicted(["", "created"])))


@pytest.mark.parametrize("process", ["", "1"])
def test_a_worker_that_is_not_ours_to_kill(monkeypatch: pytest.MonkeyPatch, process: str) -> None:
    """On another machine, or another user's: its pod is taken away without its grace, and said to be."""

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(steps, "_process", lambda _: process)
    monkeypatch.setattr(os, "kill", refused)
    monkeypatch.setattr(steps, "DURING", 0)
    pods = Pods([])
    told = stage(pods)
    assert "taken away without its grace" in steps.kill(told)
    assert pods.said == ["delete pod support-1 --grace-period=0 --force"]
    assert (told.watch.forced, told.watch.killed) == ({"support-1"}, set())
