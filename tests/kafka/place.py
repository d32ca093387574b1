"""A worker of one app on a guarded broker, as a person starts it: settings in its environment, words on its stderr.

In: a broker, a prefix. Out: what the worker says, what lies on topics (read by librdkafka, as committed).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Message, Producer
from tests.forked import Forked
from tests.kafka import secured_app
from tests.kafka.guarded import Guarded

from stepwire.bus.kafka.bus import KafkaBus
from stepwire.worker import prepare
from stepwire_handlers.cluster.rights import Right, rights

PATIENCE = 60.0  #: seconds for what takes about three
ROOT = Path(__file__).parents[2]
APP = "tests.kafka.secured_app:app"


class Place:
    """The app's topics on the broker, under a prefix."""

    def __init__(self, broker: Guarded, prefix: str, home: Path) -> None:
        self.broker, self.prefix, self.home = broker, prefix, home
        self.rights = rights(secured_app.app, prefix)

    async def apply(self) -> None:
        """As the administrator."""
        bus = KafkaBus(self.broker.address, prefix=self.prefix, create_topics=True)
        await bus.open()
        await prepare(secured_app.app, bus, secured_app.app.settings)
        await bus.close()

    def right(self, name: str) -> Right:
        """The one to a topic or group, by its name without prefix."""
        return next(right for right in self.rights if right.name == self.prefix + name)

    def publish(self, *numbers: int) -> None:
        """As an upstream system."""
        producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 0})
        for n in numbers:
            producer.produce(f"{self.prefix}secured.asked", b'{"n": %d}' % n)
        assert producer.flush(20) == 0

    def answers(self, count: int) -> list[bytes]:
        """So many results, or what came within PATIENCE."""
        return sorted(message.value() or b"" for message in self.read("secured.answers", count))

    def read(self, topic: str, count: int) -> list[Message]:
        """So many committed records after those that were read before, or what came within PATIENCE."""
        consumer = Consumer({
            "bootstrap.servers": self.broker.address, "group.id": f"{self.prefix}judge", "log_level": 0,
            "auto.offset.reset": "earliest", "isolation.level": "read_committed",
        })  # fmt: skip
        consumer.subscribe([self.prefix + topic])
        found: list[Message] = []
        until = time.monotonic() + PATIENCE
        while len(found) < count and time.monotonic() < until:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
        consumer.close()
        return found

    def environment(self, way: str, changed: Mapping[str, str]) -> dict[str, str]:
        """What `stepwire` is told."""
        address, told = self.broker.properties(way)
        settings = {f"STEPWIRE_KAFKA__{name.replace('.', '_').upper()}": value for name, value in told.items()}
        settings |= {"STEPWIRE_BUS": f"kafka://{address}", "STEPWIRE_PREFIX": self.prefix, "PYTHONPATH": str(ROOT)}
        return {**os.environ, **settings, **changed}

    def run(self, environment: Mapping[str, str], said: Path) -> Forked:
        """`stepwire run`, which writes to a file."""
        return Forked("stepwire_handlers.cli.main", ["run", APP], environment, self.home, said)

    def refused(self, way: str, **changed: str) -> str:
        """What it says when it does not start."""
        said = self.home / "refused"
        said.unlink(missing_ok=True)
        running = self.run(self.environment(way, changed), said)
        try:
            code = running.wait(PATIENCE)
        finally:
            running.kill()
        text = said.read_text()
        assert code in (1, 2), text
        assert "Traceback" not in text
        return text


@contextmanager
def working(place: Place, way: str) -> Iterator[Path]:
    """A worker that runs; the file with what it says. It must end in order."""
    said = place.home / "said"
    said.write_text("")
    running = place.run(place.environment(way, {}), said)
    try:
        yield said
        running.terminate()
        assert running.wait(PATIENCE) == 0, said.read_text()
    finally:
        running.kill()
        running.wait()


def says(file: Path, text: str) -> bool:
    """Does it say so within PATIENCE?"""
    until = time.monotonic() + PATIENCE
    while text not in file.read_text():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
