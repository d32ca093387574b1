"""Why no broker can be reached: asked for by many, tried once."""

from __future__ import annotations

import asyncio

from aiokafka.client import CoordinationType
from aiokafka.errors import NodeNotReadyError

from stepwire.bus.kafka.bus import KafkaBus
from stepwire_handlers.unreachable import Reason


async def test_however_many_ask_at_once_the_address_is_tried_once() -> None:
    """A hundred requests that fail together open one connection; one of them that gives up spoils none."""
    tries = 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        reason = Reason(address, {})
        first, *others = [asyncio.create_task(reason()) for _ in range(100)]
        await asyncio.sleep(0)
        first.cancel()
        said = set(await asyncio.gather(*others))
        assert len(said) == 1
        assert said.pop().startswith(f"{address}: ")
    assert tries == 1


async def test_a_broker_that_is_not_ready_is_asked_again_later() -> None:
    """What aiokafka raises of itself has no error code: a worker must wait, not end, when its coordinator goes away."""
    connection = KafkaBus("127.0.0.1:1").connection()

    async def unready(*_: object) -> int:
        raise NodeNotReadyError("node 2")

    connection._client.coordinator_lookup = unready  # type: ignore[method-assign]
    assert await connection.coordinator(CoordinationType.GROUP, "a.h") is None
    await connection.close()
