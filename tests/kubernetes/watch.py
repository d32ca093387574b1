"""How each worker ended, seen as it happened: the cluster forgets a pod when it is gone.

In: kubectl, a selector. Out: exit codes and times of containers.
"""

from __future__ import annotations

import json
import subprocess
import threading
from datetime import datetime
from types import TracebackType
from typing import Any, Self


class Watch:
    """Follows pods from `with` to its end."""

    def __init__(self, command: list[str], selector: str) -> None:
        self._command = [*command, "get", "pods", f"--selector={selector}", "--watch", "--output=json"]
        self._pods: dict[str, dict[str, Any]] = {}
        self.killed: set[str] = set()  #: names of pods whose process the test killed

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join()

    def ended(self) -> dict[str, int | None]:
        """Name -> exit code of every worker that was told to end; None if nobody saw it end."""
        told = {name: pod for name, pod in self._pods.items() if "deletionTimestamp" in pod["metadata"]}
        return {name: _code(pod) for name, pod in told.items()}

    def cut(self) -> dict[str, int | None]:
        """Those that did not end by themselves."""
        return {name: code for name, code in self.ended().items() if code != 0}

    def longest(self) -> float:
        """Seconds from the word to the end, of the slowest."""
        told = [_seconds(pod) for pod in self._pods.values() if "deletionTimestamp" in pod["metadata"]]
        return max((seconds for seconds in told if seconds is not None), default=0.0)

    def _read(self) -> None:
        assert self._process.stdout is not None
        decoder, text = json.JSONDecoder(), ""
        for line in self._process.stdout:
            text += line
            if line.rstrip() == "}":  # an object's last line; those inside it are indented
                pod, _ = decoder.raw_decode(text.lstrip())
                text = ""
                self._pods[pod["metadata"]["name"]] = pod


def _end(pod: dict[str, Any]) -> dict[str, Any] | None:
    for status in pod["status"].get("containerStatuses", ()):
        end: dict[str, Any] | None = status["state"].get("terminated")
        return end
    return None


def _code(pod: dict[str, Any]) -> int | None:
    end = _end(pod)
    return None if end is None else end["exitCode"]


def _seconds(pod: dict[str, Any]) -> float | None:
    """The cluster notes when the grace period is over."""
    over = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    end = _end(pod)
    if end is None or not end.get("finishedAt"):
        return None
    grace = pod["metadata"]["deletionGracePeriodSeconds"]
    return grace + (datetime.fromisoformat(end["finishedAt"]) - over).total_seconds()
