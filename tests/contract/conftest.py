"""One suite for every bus: each test runs on memory and on a file, later on Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stepwire.bus.local import LocalBus


@pytest.fixture(params=["memory", "file"])
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalBus]:
    """An open bus with topics of 3, 5 and 7 partitions and a control topic."""
    path = ":memory:" if request.param == "memory" else str(tmp_path / "bus.db")
    opened = LocalBus(path)
    await opened.open()
    await opened.create({"three": 3, "five": 5, "seven": 7, "g.control": 3})
    yield opened
    await opened.close()
