"""The flow of the examples, running: a worker and a door as processes, on the shared broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from tests.elsewhere.shop import Shop


@pytest.fixture(scope="module")
def shop(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """All languages meet on the same topics, as systems do."""
    opened = Shop(kafka, f"t{uuid.uuid4().hex[:12]}.", tmp_path_factory.mktemp("shop"))
    try:
        opened.open()
        yield opened
    finally:
        opened.close()
