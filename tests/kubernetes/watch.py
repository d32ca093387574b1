"""How each worker ended, seen as it happened: the cluster forgets a pod when it is gone.

In: kubectl, a selector. Out: exit codes and times of containers.
"""

from __future__ import annotations

import json
import subprocess
import threading
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

    def _read(self) -> None:
        assert self._process.stdout is not None
        decoder, text = json.JSONDecoder(), ""
        for line in self._process.stdout:
            text += line
            if line.rstrip() == "}":  # an object's last line; those inside it are indented
                pod, _ = decoder.raw_decode(text.lstrip())
                text = ""
                self._pods[pod["metadata"]["name"]] = pod


def _code(pod: dict[str, Any]) -> int | None:
    for status in pod["status"].get("containerStatuses", ()):
        if "terminated" in status["state"]:
            code: int = status["state"]["terminated"]["exitCode"]
            return code
    return None
