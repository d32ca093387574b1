"""What a person reads after a step that failed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kubernetes import run

pytestmark = pytest.mark.slow  # for what it imports
EVENT = "5s  Warning  FailedScheduling  pod/one  0/1 nodes are available"


class Sorting:
    """kubectl, which sorts no list of several kinds."""

    def __call__(self, command: str, *words: str, check: bool = True) -> str:
        del check
        if any(word.startswith("--sort-by") for word in words) and "," in words[0]:
            return "error: couldn't find any field with path"
        return EVENT if command == "get" and "events" in words[0] else "a log"

    def read(self, *_: str) -> dict[str, Any]:
        return {"items": [{"metadata": {"name": "one"}}]}


def test_events_and_logs_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The cluster's events and the end of every pod's log are in what is printed."""
    kubectl: Any = Sorting()
    run._explain(kubectl)
    told = capsys.readouterr().out
    assert EVENT in told and "--- one\na log" in told
