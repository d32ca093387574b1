"""The worker processes: started, killed, frozen, sent home.

In: servers, a prefix, a folder, how their commits are broken, the detour of the one that is far. Out: processes of ours
that end with this one. A worker that ends by itself is started anew and counted: none should.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.chaos_kafka.flow import calls_at
from tests.forked import Forked

ROOT = Path(__file__).parents[2]
GUEST = "guest"  #: a worker beside the others
FAR = "w0"  #: the worker whose way to the brokers leads through the relay
GOING = 30.0  #: seconds that a worker may take to leave in order


class Crew:
    """Workers by name."""

    def __init__(self, servers: str, prefix: str, folder: Path, broken: str, detour: Mapping[int, int]) -> None:
        self._servers, self._prefix, self._folder, self._broken = servers, prefix, folder, broken
        self._detour = detour
        self._workers: dict[str, Forked] = {}
        self._leaving: dict[str, Forked] = {}
        self.away: set[str] = set()  #: not to be harmed, and out of reach
        self.died = 0  #: ended by themselves
        self.stuck = 0  #: did not leave in order in time

    @property
    def present(self) -> list[str]:
        """Who works just now, without the guest, who comes and goes on its own."""
        return sorted(self._workers.keys() - self.away - {GUEST})

    def start(self, name: str) -> None:
        """A new process."""
        detour = json.dumps(self._detour if name == FAR else {})
        arguments = [self._servers, self._prefix, str(self._desk(name)), self._broken, detour]
        log = self._folder / f"{name}.log"
        self._workers[name] = Forked("tests.chaos_kafka.worker", arguments, os.environ, ROOT, log)

    def _desk(self, name: str) -> Path:
        return self._folder / f"{name}.desk"

    def calls(self, name: str) -> int:
        """How many calls it makes just now."""
        desk = self._desk(name)
        return calls_at(desk) if desk.exists() else 0

    def begun(self, name: str) -> bool:
        """Has it reached the brokers?"""
        return self._desk(name).exists()

    def kill(self, name: str) -> int:
        """SIGKILL; how many calls it was making."""
        worker = self._workers.pop(name)
        worker.kill()
        worker.wait()
        self.away.discard(name)
        calls = self.calls(name)
        self._desk(name).unlink(missing_ok=True)
        return calls

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self._workers[name].send_signal(signal.SIGSTOP)
        self.away.add(name)

    def thaw(self, name: str) -> None:
        """SIGCONT: it does not know that it was away."""
        self._workers[name].send_signal(signal.SIGCONT)
        self.away.discard(name)

    def send_home(self, name: str) -> None:
        """SIGTERM: it finishes what it can; `dismissed` waits for it."""
        worker = self._leaving[name] = self._workers.pop(name)
        worker.terminate()

    def dismissed(self, name: str) -> None:
        """Return when it has gone, by force if it must be."""
        worker = self._leaving.pop(name)
        try:
            worker.wait(GOING)
        except subprocess.TimeoutExpired:
            self.stuck += 1
            worker.kill()
            worker.wait()
        else:
            self.died += worker.returncode != 0
        self._desk(name).unlink(missing_ok=True)

    def revive(self) -> list[str]:
        """Who ended by itself; they are started anew."""
        ended = [name for name, worker in self._workers.items() if worker.poll() is not None]
        for name in ended:
            self.died += 1
            self.start(name)
        return ended

    def log(self, name: str) -> str:
        """The end of what it said."""
        return (self._folder / f"{name}.log").read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End all, in order as far as they let us."""
        for name in [*self.away]:
            self.thaw(name)
        for name in list(self._workers):
            self.send_home(name)
        for name in list(self._leaving):
            self.dismissed(name)
