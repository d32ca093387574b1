"""May this user write transactions, do they work, and do the clocks agree?

In: a connection, an app, a topic of its own. Out: lines. A producer is begun under the names that workers use, then one
transaction is opened on that topic and aborted. When it began is told by its coordinator, by the coordinator's clock:
that is the only clock of a cluster that one can read.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import CoordinationType
from aiokafka.protocol.api import Request
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest

from stepwire import App
from stepwire.bus.kafka import wire
from stepwire.bus.kafka.connection import NETWORK, Connection, meaning
from stepwire.dispatch.step import group_name
from stepwire.errors import BusUnavailable
from stepwire_handlers.cluster.asking import until_patience
from stepwire_handlers.cluster.wire import DescribeTransactions
from stepwire_handlers.doctor.line import Line, failed, note, ok

TRANSACTIONS, CLOCK = "transactions", "clock"
TIMEOUT = 10.0  #: seconds, as workers ask for: a broker's transaction.max.timeout.ms must allow it
SKEW = 5.0  #: seconds; timers and deadlines of one worker begin in another: more makes them visibly early or late


async def transactions(connection: Connection, app: App, prefix: str, topic: str | None) -> list[Line]:
    """Begin a producer under each kind of name; abort one transaction on `topic`, if there is one."""
    ids = [f"{prefix}{group_name(app.name, handler.name)}-doctor" for handler in app.runnable]
    writers: list[wire.Producer] = []
    for id_ in (*ids, f"{prefix}publish-doctor"):
        try:
            writers.append(await _begin(connection, id_))
        except BusUnavailable as error:
            cure = "give Describe and Write to it: stepwire topics plan --format acls; and look at the brokers' log"
            return [failed(TRANSACTIONS, f"{id_}: {error}", cure)]
    if topic is None:
        return [ok(TRANSACTIONS, f"{len(writers)} producers may begin; none was tried, its topic is missing")]
    try:
        skew = await _abort_one(connection, writers[0], topic)
    except BusUnavailable as error:
        return [failed(TRANSACTIONS, f"on {topic}: {error}", "give Write to the topic, and look at the brokers' log")]
    return [
        ok(TRANSACTIONS, f"{len(writers)} producers may begin, one transaction was opened and aborted"),
        _clock(skew),
    ]


async def _begin(connection: Connection, id_: str) -> wire.Producer:
    answer = await connection.ask_any(FindCoordinatorRequest(id_, CoordinationType.TRANSACTION))
    if answer.error_code not in (0, 14, 15, 16):
        raise BusUnavailable(meaning(answer.error_code))
    writer = wire.Producer(id_)

    async def attempt() -> int:
        nonlocal writer
        said = await connection.ask_coordinator(CoordinationType.TRANSACTION, id_, wire.InitProducerId(id_, TIMEOUT))
        if said is None:
            return NETWORK
        writer = writer._replace(id=said.producer_id, epoch=said.producer_epoch)
        return int(said.error_code)

    await _insist(connection, "begin a transaction", attempt)
    return writer


async def _abort_one(connection: Connection, writer: wire.Producer, topic: str) -> float | None:
    """Open a transaction and abort it; how far the coordinator's clock is ahead of ours, at least; None: not told."""
    id_ = writer.transactional_id

    async def ask(request: Request[Any]) -> Any:
        return await connection.ask_coordinator(CoordinationType.TRANSACTION, id_, request)

    async def added() -> int:
        answer = await ask(AddPartitionsToTxnRequest(id_, writer.id, writer.epoch, [(topic, [0])]))
        return NETWORK if answer is None else int(answer.errors[0][1][0][1])

    async def aborted() -> int:
        answer = await ask(EndTxnRequest(id_, writer.id, writer.epoch, transaction_result=False))
        return NETWORK if answer is None else int(answer.error_code)

    before = time.time()
    await _insist(connection, "open a transaction", added)
    after = time.time()
    try:
        said = await ask(DescribeTransactions(id_))
    except NotImplementedError:
        said = None
    await _insist(connection, "abort a transaction", aborted)
    row = said.to_object()["transactions"][0] if said is not None else {"error_code": 1}
    if row["error_code"]:
        return None
    began = row["start_ms"] / 1000
    return float(min(0.0, began - before) or max(0.0, began - after))


async def _insist(connection: Connection, what: str, attempt: Callable[[], Awaitable[int]]) -> None:
    if code := await connection.insist(what, attempt, until_patience()):
        raise BusUnavailable(f"{what}: {meaning(code)}")


def _clock(skew: float | None) -> Line:
    if skew is None:
        return note(CLOCK, "these brokers do not tell the time", "look that all machines follow NTP")
    if abs(skew) > SKEW:
        return failed(CLOCK, f"the broker's is {skew:+.1f} s off ours", "let all machines follow NTP: timers need it")
    return ok(CLOCK, "ours and the broker's agree" if abs(skew) < 0.1 else f"the broker's is {skew:+.1f} s off ours")
