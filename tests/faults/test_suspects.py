"""R12: after unclean takeovers only what was open then is called one at a time; and who hands over is alive."""

from __future__ import annotations

import asyncio
import time

from stepwire import App, Event, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition, Progress, Transaction
from stepwire.join import Rules
from stepwire.ledger import Ledger, Writer, encode_map, handed_over
from stepwire.state import AHEAD, ITEM, Entry, Mailbox
from stepwire.worker import Worker, prepare


class A(Event, topic="a"):
    n: int


async def test_what_comes_later_does_not_wait_for_the_suspects() -> None:
    """Events published after the takeover run at once, also while a suspect is still being called alone."""
    called: list[int] = []
    wait = asyncio.Event()

    @handler()
    async def h(a: A) -> None:
        called.append(a.n)
        if a.n == 0:
            await wait.wait()

    app = App("x", [h])
    bus = LocalBus()
    await bus.open()
    worker = Worker(app, bus, settings=Settings(drain=0.2))
    await worker.start()
    dispatcher = worker.dispatchers[0]
    async with asyncio.timeout(10):
        while not dispatcher.committer.ledgers:
            await asyncio.sleep(0)
    dispatcher.committer.ledgers[Partition("a", 0)].careful = 2  # offsets 0 and 1 were open at the takeover
    await bus.publish([app.record(A(n=n), now=time.time())[0] for n in range(5)])
    async with asyncio.timeout(10):
        while len(called) < 4:
            await asyncio.sleep(0)
    assert sorted(called) == [0, 2, 3, 4]
    wait.set()
    async with asyncio.timeout(10):
        while len(called) < 5:
            await asyncio.sleep(0)
    await worker.stop()
    await bus.close()


async def test_what_no_worker_can_have_begun_is_no_suspect() -> None:
    """A backlog behind a crash is worked off as always: only so much was begun as one worker calls and keeps."""

    @handler()
    async def h(a: A) -> None: ...

    app = App("x", [h])
    bus = LocalBus()
    await bus.open()
    settings = Settings(concurrency=5)
    await prepare(app, bus, settings)
    member = await bus.join("x.h", ["a"], "x.h.control")
    died_twice = Progress(0, encode_map(Writer("dead", 1, 1), b""))
    await member.commit(Transaction(progress={Partition("a", 0): died_twice}), member.assignment.generation)
    await member.leave()
    await bus.publish([app.record(A(n=n), now=time.time())[0] for n in range(100)])
    worker = Worker(app, bus, settings=settings)
    await worker.start()
    await worker.settle()
    assert worker.dispatchers[0].committer.ledgers[Partition("a", 0)].careful == 4 * settings.concurrency
    await worker.stop()
    await bus.close()


def test_who_waits_behind_another_of_its_order_is_a_suspect_as_far_as_calls_run_ahead_of_commits() -> None:
    """The first of one value of `order=`, and those behind it; nobody behind one that waits for a later attempt."""
    mailbox = Mailbox(0)
    for id_, seq, more in (
        ("c", 3, {"order": "x"}), ("a", 1, {"order": "x"}), ("b", 2, {"order": "y"}), ("d", 4, {}),
        ("e", 5, {"due": 9}), ("f", 6, {"due": 11}), ("g", 7, {"unknown": "it died"}),
        ("h", 8, {"order": "z", "due": 11}), ("i", 9, {"order": "z"}),
        *((f"w{n:02}", 10 + n, {"order": "w"}) for n in range(30)),
    ):  # fmt: skip
        mailbox.put(ITEM + id_, Entry({"kind": "item", "seq": seq, **more}).encode())
    mailbox.restore_order()
    rules = Rules((), frozenset(), (), False, False, False, None, False, 60.0, False, False, 60.0)
    ahead = {f"w{n:02}" for n in range(AHEAD)}
    assert mailbox.callable(rules, 10.0) == {"a", "c", "b", "d", "e"} | ahead


def test_progress_with_others_acquits_nobody() -> None:
    """Takeovers count on until all that was open in state at the takeover has been called and survived."""
    ledger = Ledger(Progress(3, encode_map(Writer("dead", 7, 1), b"")))
    ledger.suspects = {"poison", "other"}
    ledger.begin(3)
    ledger.finish([3])
    ledger.acquit("other")
    ledger.acquit("newer")
    assert ledger.writer.takeovers == 1
    ledger.acquit("poison")
    assert ledger.writer.takeovers == 0


def test_a_partition_that_was_handed_over_is_no_unclean_takeover() -> None:
    """The map of a living worker that gave its partition up adds nothing to the count, and is its own last commit."""
    left = encode_map(Writer("nonce", 7, 1), b"\x05")
    assert Ledger(Progress(3, left)).taken_over
    handed = Ledger(Progress(3, handed_over(handed_over(left))))
    assert not handed.taken_over
    assert (handed.writer.nonce, handed.writer.commits, handed.writer.takeovers) == ("nonce", 7, 1)
    assert not handed.begin(3) and handed.begin(4) and not handed.begin(5)
