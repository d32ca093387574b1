"""Dead letters: unfinished deliveries, listed, shown, resumed or given up (R8, R14).

In: the `.dlt` topics of an app. Out: what is still unfinished, and control records that resume or drop it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out, Partition, Record
from stepwire.dispatch.step import control_topic, dead_letter_topic
from stepwire.errors import StepwireError
from stepwire.memory import replay
from stepwire_handlers.services.stored import Stored

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One unfinished delivery."""

    handler: str
    record: Record

    @property
    def id(self) -> str:
        """Of the delivery: an identity, or a join id."""
        return self.record.headers["sw_delivery"].rpartition("/")[2]

    @property
    def error(self) -> str:
        """The exception's class name."""
        return self.record.headers["kafka_dlt-exception-fqcn"].rpartition(".")[2]

    @property
    def message(self) -> str:
        """What the exception said."""
        return self.record.headers["kafka_dlt-exception-message"]

    @property
    def number(self) -> int:
        """How often it was replayed before."""
        return int(self.record.headers["sw_replay"])

    @property
    def run(self) -> str:
        """The run it belongs to."""
        return self.record.headers["ce_swrun"]


class DeadLetters:
    """The dead letters of one app."""

    def __init__(self, app: App, bus: LocalBus) -> None:
        self._app, self._bus, self._stored = app, bus, Stored(app, bus)

    def every(self) -> Iterator[DeadLetter]:
        """All that ever were, oldest first for each handler."""
        for handler in self._app.runnable:
            topic, offset = dead_letter_topic(self._app.name, handler.name), 0
            if topic not in self._bus.log.topics:
                continue
            while records := self._bus.log.take(Partition(topic, 0), offset, PAGE):
                offset = records[-1].offset + 1
                yield from (DeadLetter(handler.name, record) for record in records)

    def open(self) -> list[DeadLetter]:
        """Those that nobody replayed or dropped since, newest last."""
        last = {(letter.handler, letter.id): letter for letter in self.every()}
        return sorted((x for x in last.values() if not self.answered(x)), key=lambda letter: letter.record.time)

    def answered(self, letter: DeadLetter) -> bool:
        """Was it replayed or dropped, or is a replay under way?"""
        if self._stored.verdict(letter.handler, letter.id)["n"] > letter.number:
            return True
        if letter.record.headers["sw_kind"] == "join":
            join = self._stored.join(letter.handler, letter.id)
            return join is None or join.call is None or not join.call.get("dead")
        return self._stored.item(letter.handler, letter.id) is not None

    def find(self, prefix: str) -> DeadLetter:
        """The open one whose id begins so. Raises StepwireError if there is none, or more than one."""
        found = [letter for letter in self.open() if letter.id.startswith(prefix)]
        if len(found) != 1:
            what = "several open dead letters begin" if found else "no open dead letter begins"
            raise StepwireError(f"{what} with {prefix!r}; see: stepwire dlq list --app …")
        return found[0]

    def stats(self) -> Counter[tuple[str, str]]:
        """(handler, error) -> how many are open."""
        return Counter((letter.handler, letter.error) for letter in self.open())

    async def resume(self, letters: Sequence[DeadLetter], edited: bytes | None = None) -> None:
        """Resume deliveries; an edited payload is for one that takes a single event."""
        if edited is not None and any(letter.record.headers["sw_kind"] == "join" for letter in letters):
            raise StepwireError("a join has no payload of its own; edit the event that brings the part")
        await self._send(letters, drop=False, edited=edited)

    async def drop(self, letters: Sequence[DeadLetter]) -> None:
        """Give deliveries up: what they owe is absent."""
        await self._send(letters, drop=True, edited=None)

    async def _send(self, letters: Sequence[DeadLetter], *, drop: bool, edited: bytes | None) -> None:
        outs = []
        for letter in letters:
            entry = replay(letter.record, drop=drop, edited=edited)
            topic = control_topic(self._app.name, letter.handler)
            outs.append(Out(topic, str(entry.meta["id"]), {}, entry.encode()))
        await self._bus.publish(outs)
