"""One suite for every bus: each test runs on memory, on a file, and on a real Kafka broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.local import LocalBus

TOPICS = {"three": 3, "five": 5, "seven": 7, "g.control": 3}


def bus_of(request: pytest.FixtureRequest, folder: Path) -> Any:
    """The bus that a fixture's parameter names, not open yet."""
    if request.param == "kafka":
        servers, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix")
        return KafkaBus(servers, prefix=prefix, session=6.0, create_topics=True)
    return LocalBus(":memory:" if request.param == "memory" else str(folder / "bus.db"))


@pytest.fixture(params=["memory", "file", "kafka"])
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """An open bus with topics of 3, 5 and 7 partitions and a control topic."""
    opened = bus_of(request, tmp_path)
    await opened.open()
    await opened.create(TOPICS)
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "kafka"])
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A bus that gives the partitions of a group out among its members."""

    def split(partitions, members):  # type: ignore[no-untyped-def]
        return [frozenset(partitions[i::members]) for i in range(members)]

    if request.param == "kafka":
        servers, prefix = request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix")
        opened: Any = KafkaBus(servers, prefix=prefix, session=6.0, create_topics=True)
    else:
        opened = LocalBus(split=split)
    await opened.open()
    await opened.create(TOPICS)
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "file", "kafka"])
async def where(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """An open bus on which workers make their own topics."""
    opened = bus_of(request, tmp_path)
    await opened.open()
    yield opened
    await opened.close()
