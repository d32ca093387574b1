"""A broker's answers, made worse by a plan: a proxy that understands Kafka's protocol, in front of one broker.

In: the broker's address; which request is met by which fault, and how often. Out: a port to be used in its place, which
the answers name too. Promise: on a connection answers keep their order; what no fault meets passes unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka.protocol import admin, commit, coordination, fetch, group, metadata, offset, produce, transaction
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.types import Array, Boolean, Bytes, CompactString, Int16, Int32, Schema, String, TaggedFields

from stepwire.bus.kafka import wire

MODULES = (admin, commit, coordination, fetch, group, metadata, offset, produce, transaction, wire)
#: requests by the numbers of Kafka's protocol guide
APIS = {
    "Produce": 0, "Fetch": 1, "ListOffsets": 2, "Metadata": 3, "OffsetCommit": 8, "OffsetFetch": 9,
    "FindCoordinator": 10, "JoinGroup": 11, "Heartbeat": 12, "SyncGroup": 14, "CreateTopics": 19, "InitProducerId": 22,
    "AddPartitionsToTxn": 24, "AddOffsetsToTxn": 25, "EndTxn": 26, "TxnOffsetCommit": 28,
}  # fmt: skip
ADDRESSES = (APIS["Metadata"], APIS["FindCoordinator"])  #: their answers name brokers
INSTEAD, AFTER, CUT, SILENT, LATE = "instead", "after", "cut", "silent", "late"  #: ways to meet a request
WAYS = (INSTEAD, AFTER, CUT, SILENT, LATE)


class Fault(NamedTuple):
    """What becomes of a request.

    `instead`: the broker never sees it, the client gets the code; `after`: the broker does it, and the client gets the
    code; `cut`: the broker does it, and the connection ends; `silent`: so that it stays open, and nothing comes any
    more; `late`: so that the answer comes after `seconds`.
    """

    how: str
    code: int = 0
    seconds: float = 0.0


class Asked(NamedTuple):
    """A request as it came."""

    struct: type[RequestStruct] | None
    api: int
    correlation: int
    body: Any


def structs() -> Iterator[type[RequestStruct]]:
    """Every request that aiokafka and the bus know, in every version."""
    for module in MODULES:
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, RequestStruct) and found is not RequestStruct:
                yield found


class Faulty:
    """The proxy of a lone broker; on 127.0.0.1 only."""

    def __init__(self, broker: str) -> None:
        self._host, _, port = broker.rpartition(":")
        self._broker = int(port)
        self._structs = {(struct.API_KEY, struct.API_VERSION): struct for struct in structs()}
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self.port = 0
        self.plan: Callable[[str], Fault | None] = lambda _: None  #: the request's name -> what becomes of it
        self.seen: Counter[str] = Counter()  #: requests that came
        self.met: Counter[str] = Counter()  #: of these, by a fault

    @property
    def address(self) -> str:
        """To be used as bootstrap server."""
        return f"127.0.0.1:{self.port}"

    def next(self, api: str, fault: Fault, times: int = 1) -> None:
        """The next so many requests of this kind are met so, and no others."""
        left = [times]

        def plan(name: str) -> Fault | None:
            if name != api or not left[0]:
                return None
            left[0] -= 1
            return fault

        self.plan = plan

    def heal(self) -> None:
        """No more faults."""
        self.plan = lambda _: None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    # -- one connection

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.ensure_future(self._line(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(self._host, self._broker)
            due: asyncio.Queue[tuple[Asked, Fault | None]] = asyncio.Queue()
            with contextlib.closing(back):
                ways = [
                    asyncio.ensure_future(self._requests(reader, back, due)),
                    asyncio.ensure_future(self._answers(there, writer, due)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    for wrong in await asyncio.gather(*ways, return_exceptions=True):
                        if isinstance(wrong, Exception) and not isinstance(wrong, (OSError, EOFError)):
                            raise wrong

    async def _requests(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, due: Any) -> None:
        while True:
            frame = await _frame(reader)
            asked = self._read(frame)
            name = NAMES.get(asked.api, str(asked.api))
            self.seen[name] += 1
            fault = self.plan(name) if asked.struct is not None else None
            if fault is not None and fault.how == INSTEAD and asked.api == APIS["Metadata"]:
                fault = fault._replace(how=AFTER)  # an answer without brokers would be none at all
            self.met[name] += fault is not None
            due.put_nowait((asked, fault))
            if fault is None or fault.how != INSTEAD:
                back.write(len(frame).to_bytes(4, "big") + frame)
                await back.drain()

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, due: Any) -> None:
        while True:
            asked, fault = await due.get()
            how = fault.how if fault is not None else ""
            frame = b"" if how == INSTEAD else await _frame(there)
            if how == CUT:
                return
            if how == SILENT:
                await asyncio.Event().wait()
            if how == LATE:
                await asyncio.sleep(fault.seconds)
            if asked.api in ADDRESSES or how in (INSTEAD, AFTER):
                frame = self._worse(asked, frame, None if how in ("", LATE) else fault.code)
            writer.write(len(frame).to_bytes(4, "big") + frame)
            await writer.drain()

    # -- what the bytes mean

    def _read(self, frame: bytes) -> Asked:
        data = BytesIO(frame)
        api, version, correlation = Int16.decode(data), Int16.decode(data), Int32.decode(data)
        struct = self._structs.get((api, version))
        if struct is None:
            assert api not in ADDRESSES, f"{NAMES[api]} v{version} is not known"
            return Asked(None, api, correlation, None)
        String("utf-8").decode(data)
        if struct.FLEXIBLE_VERSION:
            TaggedFields.decode(data)
        return Asked(struct, api, correlation, struct.SCHEMA.decode(data))

    def _worse(self, asked: Asked, frame: bytes, code: int | None) -> bytes:
        assert asked.struct is not None
        schema = asked.struct.RESPONSE_TYPE.SCHEMA
        head = Int32.encode(asked.correlation) + (b"\0" if asked.struct.FLEXIBLE_VERSION else b"")
        if frame:
            value = schema.decode(BytesIO(frame[len(head) :]))
        else:
            value = _blank(schema, _topics(asked.struct.SCHEMA, asked.body))
        return head + schema.encode(self._changed(schema, value, code))

    def _changed(self, schema: Schema, value: Any, code: int | None) -> Any:
        """The same with this error code wherever one is told, and brokers behind the proxy."""
        made = []
        for name, kind, old in zip(schema.names, schema.fields, value, strict=True):
            new = old
            if name == "error_code" and code is not None:
                new = code
            elif name == "port" and old > 0:
                new = self.port
            elif isinstance(kind, Array) and isinstance(kind.array_of, Schema) and old:
                new = [self._changed(kind.array_of, each, code) for each in old]
            made.append(new)
        return tuple(made)


NAMES = {number: name for name, number in APIS.items()}


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


def _topics(schema: Schema, body: Any) -> list[tuple[str, list[int]]]:
    """The topics that a request names, with their partitions."""
    found = []
    for kind, value in zip(schema.fields, body, strict=True):
        if (
            isinstance(kind, Array)
            and isinstance(kind.array_of, Schema)
            and isinstance(kind.array_of.fields[0], String)
        ):
            for topic, *rest in value or ():
                rows = rest[0] if rest and isinstance(rest[0], list) else []
                found.append((topic, [row[0] if isinstance(row, tuple) else row for row in rows]))
    return found


def _blank(schema: Schema, topics: list[tuple[str, list[int]]], partition: int = 0, topic: str = "") -> Any:
    """An answer about these topics that says nothing."""
    made: list[Any] = []
    for name, kind in zip(schema.names, schema.fields, strict=True):
        if isinstance(kind, Array):
            made.append(_rows(kind, topics, topic))
        elif isinstance(kind, (String, CompactString)):
            made.append(topic if name in ("topic", "topics") else "")
        elif kind is TaggedFields:
            made.append({})
        elif kind is Bytes:
            made.append(b"")
        elif kind is Boolean:
            made.append(False)
        else:
            made.append(partition if name == "partition" else -1 if name != "throttle_time_ms" else 0)
    return tuple(made)


def _rows(kind: Array, topics: list[tuple[str, list[int]]], topic: str) -> list[Any]:
    of = kind.array_of
    if not isinstance(of, Schema) or "member_id" in of.names:
        return []
    if not topic:
        return [_blank(of, [(name, numbers)], topic=name) for name, numbers in topics]
    if "partition" in of.names or "error_code" in of.names:
        return [_blank(of, [], partition=number, topic=topic) for number in topics[0][1]] if topics else []
    return []
