"""How each worker ended, seen as it happened: the cluster forgets a pod when it is gone.

In: kubectl, a selector. Out: exit codes and times of containers.
"""

from __future__ import annotations

import json
import subprocess
import threading
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self


class Watch:
    """Follows pods from `with` to its end."""

    def __init__(self, command: list[str], selector: str) -> None:
        self._command = [*command, "get", "pods", f"--selector={selector}", "--watch", "--output=json"]
        self._pods: dict[str, dict[str, Any]] = {}
        self._told: dict[str, datetime] = {}  #: when a pod was told to end
        self.killed: set[str] = set()  #: names of pods whose process the test killed
        self.forced: set[str] = set()  #: names of those that it took away without their grace

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
        """Name -> exit code of every worker that was told to end in order; None if nobody saw it end."""
        return {name: _code(pod) for name, pod in self._pods.items() if name in self._told.keys() - self.forced}

    def cut(self) -> dict[str, int | None]:
        """Those that did not end by themselves."""
        return {name: code for name, code in self.ended().items() if code != 0}

    def longest(self) -> float:
        """Seconds from the word to the end, of the slowest."""
        ends = {name: _end(pod) for name, pod in self._pods.items() if name in self._told.keys() - self.forced}
        return max(
            (
                (datetime.fromisoformat(end["finishedAt"]) - self._told[name]).total_seconds()
                for name, end in ends.items()
                if end
            ),
            default=0.0,
        )

    def see(self, pod: dict[str, Any]) -> None:
        """Keep what a pod looks like now. Its last breath moves the time of its end, so the first one counts."""
        known = pod["metadata"]
        self._pods[known["name"]] = pod
        if over := known.get("deletionTimestamp"):  # when its grace will be over
            grace = timedelta(seconds=known["deletionGracePeriodSeconds"])
            self._told.setdefault(known["name"], datetime.fromisoformat(over) - grace)

    def _read(self) -> None:
        assert self._process.stdout is not None
        decoder, text = json.JSONDecoder(), ""
        for line in self._process.stdout:
            text += line
            if line.rstrip() == "}":  # an object's last line; those inside it are indented
                pod, _ = decoder.raw_decode(text.lstrip())
                text = ""
                self.see(pod)


def _end(pod: dict[str, Any]) -> dict[str, Any] | None:
    for status in pod["status"].get("containerStatuses", ()):
        end: dict[str, Any] | None = status["state"].get("terminated")
        return end
    return None


def _code(pod: dict[str, Any]) -> int | None:
    end = _end(pod)
    return None if end is None else end["exitCode"]
