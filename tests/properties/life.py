"""An app on a bus over several lives of its worker: started, stopped, or killed as `kill -9` does it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Self, TypeVar

from tests.properties.rest import Rest

from stepwire import App, Event, Settings
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Record
from stepwire.clock import VirtualClock
from stepwire.dispatch.step import control_topic, dead_letter_topic
from stepwire.memory import replay
from stepwire.state import Entry, Mailbox, decode_meta
from stepwire.telemetry import Fact
from stepwire.worker import Worker

E = TypeVar("E", bound=Event)
DEFAULT = Settings(attempts=2, attempts_unknown=2, max_bytes=4_096)
TURNS = 20_000  #: of the event loop, within which something must come true


async def killed(worker: Worker, bus: LocalBus) -> None:
    """A worker is gone between two steps of the loop; nothing it has not committed is left of it."""
    for dispatcher in worker.dispatchers:
        dispatcher.caller.close()
        dispatcher.pump.close()
        if dispatcher._timer is not None:
            dispatcher._timer.cancel()
        for delivery in list(dispatcher.caller.running):
            dispatcher.caller.cancel(delivery)
    bus._groups.clear()
    while not all(task.done() for task in worker._loops):  # one that fails in that moment swallows it
        for task in worker._loops:
            task.cancel()
        await asyncio.sleep(0)


class Life:
    """One bus, one clock, and the present worker."""

    def __init__(
        self, app: App | None = None, settings: Settings = DEFAULT, *, bus: LocalBus | None = None,
        clock: VirtualClock | None = None,
    ) -> None:  # fmt: skip
        self._app, self.settings = app, settings
        self.clock = clock or VirtualClock(1_000_000.0)
        self.bus = bus or LocalBus(clock=self.clock)
        self.facts: list[Fact] = []
        self.worker: Worker | None = None
        self.hanging = 0  #: calls that only time can end; a handler's own business
        self._rest = Rest(self.bus, self.clock, lambda: self.hanging, lambda: None)

    async def __aenter__(self) -> Self:
        await self.bus.open()
        if self._app is not None:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.worker is not None:
            await self.stop()
        await self.bus.close()

    async def start(self, app: App | None = None) -> None:
        """A worker comes, perhaps with another release of the app."""
        self._app = app or self._app
        self.worker = Worker(
            self.app, self.bus, settings=self.settings, clock=self.clock, telemetry=self.facts.append,
            accept_owes_change=True,
        )  # fmt: skip
        self._rest.watch(self.worker)
        await self.worker.start()
        await self.until(lambda: all(dispatcher.joined for dispatcher in self.present.dispatchers))

    async def stop(self) -> None:
        """It leaves in order."""
        await self.present.stop()
        self.worker = None

    async def kill(self) -> None:
        """It is gone between two steps of the loop; nothing it has not committed is left of it."""
        await killed(self.present, self.bus)
        self.worker = None

    @property
    def app(self) -> App:
        assert self._app is not None, "start it with an app"
        return self._app

    @property
    def present(self) -> Worker:
        assert self.worker is not None, "no worker is there"
        return self.worker

    # -- moving

    async def publish(self, *events: Event, id: str | None = None) -> str:  # noqa: A002 - CloudEvents' word
        """Publish events; the run of the last one."""
        run = ""
        for event in events:
            out, run = self.app.record(event, id=id, now=self.clock.now())
            await self.bus.publish([out])
        return run

    async def post(self, handler: str, entry: Entry, times: int = 1) -> None:
        """Put a message on a handler's control topic, and do not wait."""
        out = Out(control_topic(self.app.name, handler), str(entry.meta["id"]), {}, entry.encode())
        await self.bus.publish([out] * times)

    async def send(self, handler: str, entry: Entry, times: int = 1) -> None:
        """Put a message on a handler's control topic, and wait for what comes of it."""
        await self.post(handler, entry, times)
        await self.settle()

    async def answer(self, dead: Record, *, drop: bool, times: int = 1, edited: bytes | None = None) -> None:
        """Replay or drop a dead letter."""
        await self.send(dead.topic.split(".")[1], replay(dead, drop=drop, edited=edited), times)

    async def resolve(self, handler: str, id_: str, verdict: str, event: Event | None = None) -> None:
        """Say what became of an unknown outcome."""
        kind = type(event).__name__ if event is not None else ""
        value = event.model_dump_json().encode() if event is not None else b"null"
        meta = {"kind": "resolve", "id": id_, "verdict": verdict, "by": "somebody", "type": kind}
        await self.send(handler, Entry(meta, {}, value))

    async def settle(self) -> None:
        """Until nothing can happen without time passing; calls that hang are sat out."""
        await self._rest.come([self.present])

    async def until_only_hanging(self) -> None:
        """Until nothing goes on but calls that hang, if any."""
        quiet = 0
        for _ in range(TURNS):
            await asyncio.sleep(0)
            running = sum(len(dispatcher.caller.running) for dispatcher in self.present.dispatchers)
            quiet = quiet + 1 if running <= self.hanging and await self._rest.rests([self.present]) else 0
            if quiet > 5:
                return
        raise AssertionError("it goes on and on")

    async def until(self, come_true: Callable[[], bool]) -> None:
        """Let the loop turn until something is true."""
        for _ in range(TURNS):
            if come_true():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came true")

    async def hang(self) -> None:
        """What a handler awaits that is to hang."""
        self.hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1

    async def advance(self, seconds: float) -> None:
        """Turn the clock, stopping at each timer."""
        end = self.clock.now() + seconds
        while (due := self.clock.next_timer()) is not None and due <= end:
            self.clock.turn(due)
            await self.settle()
        self.clock.turn(end)
        await self.settle()

    # -- looking

    async def records(self, topic: str) -> list[Record]:
        if topic not in self.bus.log.topics:
            return []
        return [
            record
            for partition in self.bus.log.partitions(topic)
            for record in await self.bus.read(partition, 0, 1_000_000)
        ]

    async def events(self, kind: type[E]) -> list[E]:
        """Every event of a type, oldest first."""
        return [
            kind.model_validate(json.loads(record.value))
            for record in await self.records(kind.spec.topic)
            if record.headers["ce_type"] == kind.spec.type
        ]

    async def dead(self, handler: str) -> list[Record]:
        return await self.records(dead_letter_topic(self.app.name, handler))

    def mailboxes(self) -> list[tuple[str, Mailbox]]:
        return [
            (dispatcher.step.name, mailbox)
            for dispatcher in self.present.dispatchers
            for mailbox in dispatcher.committer.mailboxes.values()
        ]

    def unknown(self) -> list[tuple[str, str]]:
        """(handler, id) of every unknown outcome."""
        return [
            (name, id_)
            for name, mailbox in self.mailboxes()
            for id_, raw in mailbox.items.items()
            if decode_meta(raw).get("unknown")
        ]

    def stored(self) -> dict[str, list[str]]:
        """Handler -> the keys of everything stored, but for verdicts and ids seen."""
        found = {}
        for group, (number, _) in self.bus.store.groups().items():
            control = control_topic(*group.split(".", 1))
            keys = [
                key
                for partition in self.bus.log.partitions(control)
                for key, _ in self.bus.store.state(number, partition.number, "", 1_000_000)
                if key[:2] not in ("v/", "d/")
            ]
            if keys:
                found[group.split(".", 1)[1]] = keys
        return found

    def fresh(self, handler: str, partition: int = 0) -> Mailbox:
        """A fresh scan of what a handler has stored."""
        number, _ = self.bus.store.groups()[f"{self.app.name}.{handler}"]
        mailbox = Mailbox(partition)
        for key, raw in self.bus.store.state(number, partition, "", 1_000_000):
            mailbox.put(key, raw)
        mailbox.restore_order()
        return mailbox

    def memory_is_what_is_stored(self) -> bool:
        return all(
            (fresh := self.fresh(name, mailbox.partition)).items == mailbox.items
            and {id_: sorted(join.stored) for id_, join in fresh.joins.items()}
            == {id_: sorted(join.stored) for id_, join in mailbox.joins.items()}
            and fresh.verdicts == mailbox.verdicts
            for name, mailbox in self.mailboxes()
        )
