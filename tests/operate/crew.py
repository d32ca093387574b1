"""The processes of `make operate`: started with a log each, waited for, ended in the opposite order.

In: commands. Out: processes that answer. Promise: when the crew is closed none of them is left; nor, on Linux, when
this process is killed.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2
from tests.brokers.leash import leashed

START_SECONDS = 90.0  #: on a busy machine; it takes about five
DRAIN_SECONDS = 80.0  #: a worker's own limit is 75


class Failed(Exception):
    """Something that should run does not; says which, and the end of its log."""


class Member(NamedTuple):
    """One process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace").strip()[-800:] or "it said nothing"


class Crew:
    """Start in the order of need."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._members: list[Member] = []

    def start(self, name: str, command: Sequence[str | Path]) -> Member:
        """Begin to run it. In a session of its own: Ctrl-C is for us, who then end it in order."""
        log = self._home / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                leashed([str(word) for word in command]), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                cwd=self._home, start_new_session=True,
            )  # fmt: skip
        member = Member(name, process, log)
        self._members.append(member)
        return member

    async def answers(self, member: Member, url: str) -> None:
        """Return once it does. Raises Failed if it ends, or takes too long."""
        end = time.monotonic() + START_SECONDS
        async with httpx2.AsyncClient(timeout=5) as client:
            while not await _is_fine(client, url):
                if member.process.poll() is not None:
                    raise Failed(f"{member.name} ended while it started: {member.last_words()}")
                if time.monotonic() > end:
                    raise Failed(f"{member.name} does not answer on {url}: {member.last_words()}")
                await asyncio.sleep(0.1)

    def close(self) -> None:
        """End all: what takes events in first, what they need last. What does not end when told to is killed."""
        while self._members:
            process = self._members.pop().process
            process.terminate()
            try:
                process.wait(DRAIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _is_fine(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx2.TransportError:
        return False
