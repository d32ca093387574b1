"""A network that lets everybody through, or nobody, does not pass for one that counts policies."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.kubernetes import network
from tests.kubernetes.steps import Failed, Stage
from tests.kubernetes.watch import Watch

pytestmark = pytest.mark.slow  # for what it imports


class Network:
    """Pods that all hear the same answer."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    def __call__(self, *words: str, **_: object) -> str:
        return json.dumps([self._answers] * (len(words) - words.index("-c") - 2))

    def pods(self, *_: str) -> list[dict[str, Any]]:
        return [{"status": {"podIP": "10.244.0.9"}}]


@pytest.mark.parametrize(("answers", "said"), [(True, "stranger reaches door"), (False, "all does not reach kafka")])
def test_what_counts_no_policy_fails(monkeypatch: pytest.MonkeyPatch, answers: bool, said: str) -> None:
    """Who reached what they should not, or not what they should, is named."""
    monkeypatch.setattr(network, "PATIENCE", 0)
    around = SimpleNamespace(
        kafka="kafka://127.0.0.1:1", blobs="s3://b/blobs?endpoint=http://127.0.0.1:3&region=r", env={},
        secrets={"DATABASE_URL": "postgresql://user@127.0.0.1:5/shop"},
    )  # fmt: skip
    told: list[Any] = [Network(answers=answers), None, around, "s", ("1", "2"), "key", None, Watch([], "")]
    with pytest.raises(Failed, match=said):
        network.judged(Stage(*told))
