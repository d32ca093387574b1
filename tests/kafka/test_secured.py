"""A worker on a cluster that asks who it is, encrypts, and refuses what no ACL allows.

The worker is `stepwire run` as a person starts it: settings in its environment, and what it says on its stderr.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from tests.brokers.jars import NotHere, kafka_jars
from tests.kafka import secured_app
from tests.kafka.guarded import PASSWORD, Guarded, guarded

from stepwire.bus.kafka.bus import KafkaBus
from stepwire.worker import prepare
from stepwire_handlers.cluster.rights import Right, rights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE = 60.0  #: seconds for what takes about three
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def broker(service: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all tests here; each has topics under a prefix of its own."""
    try:
        kafka_jars()
    except NotHere as wrong:
        service("kafka", None, str(wrong))
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found


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
        consumer = Consumer({
            "bootstrap.servers": self.broker.address, "group.id": f"{self.prefix}judge", "log_level": 0,
            "auto.offset.reset": "earliest", "isolation.level": "read_committed",
        })  # fmt: skip
        consumer.subscribe([f"{self.prefix}secured.answers"])
        found: list[bytes] = []
        until = time.monotonic() + PATIENCE
        while len(found) < count and time.monotonic() < until:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message.value() or b"")
        consumer.close()
        return sorted(found)

    def command(self, way: str, changed: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """`stepwire run`, and its environment."""
        address, told = self.broker.properties(way)
        settings = {f"STEPWIRE_KAFKA__{name.replace('.', '_').upper()}": value for name, value in told.items()}
        settings |= {"STEPWIRE_BUS": f"kafka://{address}", "STEPWIRE_PREFIX": self.prefix, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "stepwire_handlers.cli.main", "run", "tests.kafka.secured_app:app"]
        return [*command, "--http-port", "0"], {**os.environ, **settings, **changed}

    def refused(self, way: str, **changed: str) -> str:
        """What it says when it does not start."""
        command, environment = self.command(way, changed)
        done = subprocess.run(
            command, env=environment, cwd=self.home, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode in (1, 2), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


@contextmanager
def working(place: Place, way: str) -> Iterator[Path]:
    """A worker that runs; the file with what it says. It must end in order."""
    command, environment = place.command(way, {})
    said = place.home / "said"
    with said.open("w") as stderr:
        running = subprocess.Popen(command, env=environment, cwd=place.home, stderr=stderr, start_new_session=True)
    try:
        yield said
        running.send_signal(signal.SIGTERM)
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


@pytest.fixture
async def place(broker: Guarded, topic_prefix: str, tmp_path: Path) -> Place:
    found = Place(broker, topic_prefix, tmp_path)
    await found.apply()
    return found


@pytest.mark.parametrize("way", ["plain-sasl", "plain", "scram", "oauth", "mutual"])
async def test_a_flow_runs_whoever_one_must_be(place: Place, way: str) -> None:
    """Password in the clear and under TLS, SCRAM, a token from a file, a certificate: nothing of it is in the log."""
    place.broker.give(place.rights)
    place.broker.write_token()
    with working(place, way) as said:
        place.publish(1, 2)
        assert place.answers(2) == [b'{"n":1}', b'{"n":2}']
    assert PASSWORD not in said.read_text()
    assert (place.broker.certificates.folder / "token").read_text() not in said.read_text()


WRONG = [
    ("mistaken", {}, "must name it"),
    ("plain", {"STEPWIRE_KAFKA__SASL_PASSWORD": "hunter2"}, "Invalid username or password); look at sasl.mechanism"),
    ("scram", {"STEPWIRE_KAFKA__SASL_PASSWORD": "hunter2"}, "does not let this user in"),
    ("plain-sasl", {"STEPWIRE_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512"}, "it does not know this mechanism"),
    ("plain", {"STEPWIRE_KAFKA__SSL_CA_LOCATION": "stranger.pem"}, "look at ssl.ca.location"),
    ("mutual", {"STEPWIRE_KAFKA__SSL_CERTIFICATE_LOCATION": "impostor.crt",
                "STEPWIRE_KAFKA__SSL_KEY_LOCATION": "impostor.key"}, "takes the certificate of ssl.certificate"),
    ("plain", {"STEPWIRE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "whether security.protocol fits this port"),
    ("plain-sasl", {"STEPWIRE_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT"}, "whether security.protocol fits this port"),
    ("oauth", {"STEPWIRE_KAFKA__SASL_OAUTHBEARER_TOKEN_FILE": "garbage.key"}, "look at sasl.oauthbearer.token.file"),
]  # fmt: skip


@pytest.mark.parametrize(("way", "changed", "said"), WRONG, ids=[f"{way}-{n}" for n, (way, *_) in enumerate(WRONG)])
async def test_who_is_not_let_in_is_told_why(place: Place, way: str, changed: dict[str, str], said: str) -> None:
    """Each wrong setting is one line that names it, soon, and without the password."""
    folder = place.broker.certificates.folder
    (folder / "garbage.key").write_text("garbage")
    files = (".pem", ".crt", ".key")
    changed = {name: str(folder / value) if value.endswith(files) else value for name, value in changed.items()}
    text = place.refused(way, **changed)
    assert said in text
    assert "hunter2" not in text and PASSWORD not in text


LOST = ["secured.answers", "secured.answer", "secured.answer-"]  #: a topic, a group, transactional ids


async def test_topics_that_may_not_be_seen_are_not_called_missing(place: Place) -> None:
    """Without any right: the worker ends with how to give them, and does not tell to make what is there."""
    text = place.refused("plain")
    assert "may not be seen" in text and "stepwire topics plan --format acls" in text


@pytest.mark.parametrize("lost", LOST)
async def test_a_worker_without_a_right_says_so_and_waits_for_it(place: Place, lost: str) -> None:
    """It says which right to what is missing and how to give it, and works as soon as it has it."""
    place.broker.give(place.rights)
    place.broker.take(place.right(lost))
    with working(place, "plain") as said:
        place.publish(1)
        assert says(said, "AuthorizationFailed"), said.read_text()
        assert "stepwire topics plan --format acls" in said.read_text()
        place.broker.give([place.right(lost)])
        place.publish(2)
        assert place.answers(2)[-1] == b'{"n":2}'


@pytest.mark.parametrize("lost", LOST)
async def test_a_right_that_is_taken_and_given_back_loses_nothing(place: Place, lost: str) -> None:
    """The worker says what is missing, waits, and goes on by itself: each event has one output, none a dead letter."""
    place.broker.give(place.rights)
    with working(place, "scram") as said:
        place.publish(1)
        assert len(place.answers(1)) == 1
        place.broker.take(place.right(lost))
        place.publish(2, 3)
        assert says(said, "AuthorizationFailed"), said.read_text()
        place.broker.give([place.right(lost)])
        place.publish(4)
        assert place.answers(3) == [b'{"n":2}', b'{"n":3}', b'{"n":4}']
    assert place.answers(0) == []


async def test_an_idle_worker_whose_password_is_changed_says_so_and_goes_on_once_it_fits(place: Place) -> None:
    """Nothing is read meanwhile, so only a look at the cluster can notice; what was published then is not lost."""
    place.broker.give(place.rights)
    with working(place, "scram") as said:
        place.publish(1)
        assert place.answers(1) == [b'{"n":1}']
        place.broker.set_password("another one")
        place.broker.node.stop()  # open connections would stay open
        place.broker.node.start()
        assert says(said, "the broker does not let this user in"), said.read_text()
        place.publish(2)
        place.broker.set_password(PASSWORD)
        assert says(said, "works again"), said.read_text()
        assert place.answers(1) == [b'{"n":2}']
