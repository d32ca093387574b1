"""A record that SQLite cannot take is refused alone; what comes after it is written."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition
from stepwire.errors import RecordRefused


@pytest.mark.parametrize(
    "bad", [Out("a", "\udcff", {}, b""), Out("a", "k", {"ce_id": "\udcff"}, b"")], ids=["key", "header"]
)
async def test_the_bus_goes_on(bad: Out) -> None:
    """A record that SQLite cannot take is refused alone; what comes after it is written."""
    bus = LocalBus()
    await bus.open()
    await bus.create({"a": 1})
    with contextlib.suppress(RecordRefused):  # a header may be kept as an escape; a key may not
        async with asyncio.timeout(20):
            await bus.publish([bad])
    async with asyncio.timeout(20):
        await bus.publish([Out("a", "k", {}, b"after")])
    (ends,) = (await bus.ends(["a"])).values()
    last = (await bus.read(Partition("a", 0), ends - 1, 1))[0]
    assert last.value == b"after"
    await bus.close()
