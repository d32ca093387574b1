"""Brokers as fixtures: `kafka` for all tests together, `own_kafka` for a test that harms its broker.

A test on the shared broker names its topics, groups and transactional ids with its own `topic_prefix`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from tests.brokers.cluster import Cluster, start_cluster
from tests.brokers.jars import NotHere
from tests.brokers.place import fetch_what_is_needed, open_broker

Need = Callable[[str, object, str], None]


class OwnKafka(Protocol):
    """`own_kafka(3)`: a cluster for this test alone, of brokers that it may kill."""

    def __call__(self, nodes: int = 1, settings: Mapping[str, str] | None = None) -> Cluster: ...


def pytest_collection_finish(session: pytest.Session) -> None:
    """The first run on a machine downloads 54 MB and starts a broker: now, where no test's time limit runs."""
    wanted = any({"kafka", "own_kafka"} & set(getattr(item, "fixturenames", ())) for item in session.items)
    if wanted and not session.config.option.collectonly:
        fetch_what_is_needed()


@pytest.fixture(scope="session")
def kafka(service: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real broker that all tests share."""
    with ExitStack() as stack:
        found, why = "", ""
        try:
            found = open_broker(stack, tmp_path_factory.mktemp("kafka"))
        except NotHere as wrong:
            why = str(wrong)
        service("kafka", found, why)
        yield found


@pytest.fixture
def topic_prefix() -> str:
    """What the names of this test's topics, groups and transactional ids begin with."""
    return f"t{uuid.uuid4().hex[:12]}."


@pytest.fixture
def own_kafka(service: Need, tmp_path: Path) -> Iterator[OwnKafka]:
    """Starts clusters that end with the test. From Kafka's jars always: other brokers are not ours to kill."""
    with ExitStack() as stack:

        def start(nodes: int = 1, settings: Mapping[str, str] | None = None) -> Cluster:
            home = tmp_path / f"kafka-{uuid.uuid4().hex[:6]}"
            home.mkdir()
            found, why = None, ""
            try:
                found = stack.enter_context(start_cluster(home, nodes, settings))
            except NotHere as wrong:
                why = str(wrong)
            service("kafka", found, why)
            assert found is not None
            return found

        yield start
