"""Any state that a file can be in, written without a worker: also what only a torn copy of a cluster shows.

In: dice. Out: records, progress with its map, stored deliveries and joins, messages, dead letters and their answers,
forwards and backwards. Nothing of it has to make sense together; whoever counts must count it all the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.cli import market

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Change, Out
from stepwire.clock import VirtualClock
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name, runs_topic
from stepwire.ledger import Writer, encode_map
from stepwire.state import Entry
from stepwire.worker import prepare
from stepwire_handlers.services.dead_letter import NUMBERS, TEXTS


class Turn(Event, topic="market.turns"):
    who: str


@handler(order="who", effect="once")
async def serve(turn: Turn) -> None:
    raise RuntimeError(turn.who)


#: as the market, but nothing waits for somebody else's service: that is known of whole events only
APP = App("market", [market.check, market.approve, market.finish, market.charge, market.weigh, market.pair, serve])
RUNS = 30
IDS = [f"{number:032x}" for number in range(12)]


class Forger:
    """Writes to one bus what the dice say."""

    def __init__(self, seed: int) -> None:
        self.clock = VirtualClock(1e9)
        self.bus, self._dice = LocalBus(clock=self.clock), random.Random(seed)
        self._names = [f"{self._dice.getrandbits(128):032x}" for _ in range(RUNS)]
        self._handlers = [each.name for each in APP.runnable]

    async def open(self) -> None:
        """Make the file, with its topics and groups."""
        await self.bus.open()
        await prepare(APP, self.bus, APP.settings)

    def step(self) -> None:
        """One more thing happens to the file."""
        steps: list[Callable[[], None]] = [
            self._event, self._event, self._progress, self._progress, self._item, self._item, self._join, self._join,
            self._message, self._letter, self._verdict, self._elsewhere,
        ]  # fmt: skip
        self.clock.turn(self.clock.now() + 1.0)
        self.bus.store.begin()
        self._dice.choice(steps)()
        self.bus.store.commit()
        self.bus.log.refresh()

    def _run(self) -> str:
        return self._dice.choice(self._names)

    def _append(self, topic: str, headers: dict[str, str], value: bytes) -> None:
        number = self._dice.randrange(self.bus.log.topics[topic][1])
        self.bus.log.append([(Out(topic, "k", headers, value), number)], self.bus.clock.now())

    def _event(self) -> None:
        topics = sorted({event.spec.topic for event in APP.wiring.events} | {runs_topic(APP.name)})
        for _ in range(self._dice.choice([1, 1, 5])):
            self._append(self._dice.choice(topics), {"ce_swrun": self._run()}, b"{}")

    def _elsewhere(self) -> None:
        if "elsewhere" not in self.bus.log.topics:
            self.bus.store.add_topics({"elsewhere": 1})
            self.bus.log.refresh()
        self._append("elsewhere", {"ce_swrun": self._run()}, b"{}")

    def _group(self, *names: str) -> tuple[str, int]:
        name = self._dice.choice(names or self._handlers)
        return name, self.bus.store.group(group_name(APP.name, name))[0]

    def _progress(self) -> None:
        """Mostly up to the end, sometimes with a map, sometimes back, as a copy between two pages may show it."""
        name, group = self._group()
        step = next(each for each in APP.runnable if each.name == name)
        topics = {event.spec.topic for event in step.signature.taken} | {control_topic(APP.name, name)}
        for place in [place for topic in sorted(topics) for place in self.bus.log.partitions(topic)]:
            end = self.bus.log.end(place)
            watermark = self._dice.choice([end, end, end, self._dice.randint(0, end)])
            bits = self._dice.randbytes(self._dice.choice([0, 1, 2])) if watermark < end else b""
            row = (group, self.bus.log.topics[place.topic][0], place.number, watermark, encode_map(Writer(), bits))
            self.bus.store.save_progress([row])

    def _save(self, key: str, entry: Entry, *handlers: str) -> None:
        _, group = self._group(*handlers)
        raw = None if self._dice.random() < 0.4 else entry.encode()
        self.bus.store.save_state(group, [Change(0, key, raw)])

    def _item(self) -> None:
        meta: dict[str, object] = {"kind": "parked", "run": self._run(), "seq": self._dice.randrange(9)}
        meta |= self._dice.choice([{}, {}, {"due": 9e9}, {"unknown": "the line went dead"}])
        if self._dice.random() < 0.5:
            self._save("i/" + self._dice.choice(IDS), Entry({**meta, "order": self._dice.choice("ab")}), "serve")
        else:
            self._save("i/" + self._dice.choice(IDS), Entry(meta))

    def _join(self) -> None:
        part = {"run": self._run(), "scope": "", "at": self.bus.clock.now()}
        slot, meta = self._dice.choice([
            ("asked", {"kind": "part", **part}), ("left", {"kind": "part", **part}),
            ("weighed", {"kind": self._dice.choice(["part", "absent"]), **part}),
            ("left", {"kind": "blocked", "by": "market/weigh/x", **part}),
            ("#call", {"kind": "call", "due": 9e9}), ("#call", {"kind": "call", "unknown": "?"}),
            ("#call", {"kind": "call", "dead": True, "until": 9e9}),
            ("#decision", {"kind": "decision", "sent": self.bus.clock.now()}),
            ("#stub", {"kind": "stub", "until": 9e9, "outstanding": ["left"]}),
        ])  # fmt: skip
        kept = Entry(meta, {}, b"kept\nwith a line feed")
        self._save(f"j/{self._dice.choice(IDS[:3])}/{slot}", kept, "approve", "pair")

    def _message(self) -> None:
        kind = self._dice.choice(["part", "replay", "decision"])
        entry = Entry({"kind": kind, "id": self._dice.choice(IDS), "run": self._run()})
        self._append(
            control_topic(APP.name, self._dice.choice(self._handlers)), {},
            self._dice.choice([entry.encode(), entry.encode(), b"no message\n", b"1no json\n", b""]),
        )  # fmt: skip

    def _letter(self) -> None:
        name, id_ = self._dice.choice(self._handlers), self._dice.choice(IDS)
        run = self._names[int(id_, 16)]  # a delivery belongs to one run
        headers = {**dict.fromkeys(TEXTS, ""), **dict.fromkeys(NUMBERS, "0")}
        headers |= {"ce_swrun": self._dice.choice([run, run, run, ""]), "sw_delivery": f"market/{name}/{id_}"}
        headers |= {"sw_replay": str(self._dice.randrange(2)), "sw_kind": self._dice.choice(["event", "event", "join"])}
        self._append(dead_letter_topic(APP.name, name), headers, b"{}")

    def _verdict(self) -> None:
        meta = {"kind": "verdict", "n": self._dice.randint(1, 2), "verdict": "dropped", "until": 9e9}
        self._save("v/" + self._dice.choice(IDS), Entry(meta))
