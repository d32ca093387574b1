"""What the flows need is gone with the command, also where no namespace of processes takes it away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.kubernetes.surroundings import around

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def running(home: Path) -> list[str]:
    """Command lines of processes that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in command and process.name != str(os.getpid()):
            found.append(command)
    return found


async def test_nothing_of_it_stays(tmp_path: Path) -> None:
    """Kafka, the database and the stand-ins run from `with` to its end."""
    before = dict(os.environ)
    try:
        async with around(tmp_path, "127.0.0.1"):
            assert any("postgres" in command for command in running(tmp_path))
        assert running(tmp_path) == []
    finally:
        os.environ.clear()  # it tells them by variables
        os.environ.update(before)
