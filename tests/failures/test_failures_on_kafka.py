"""What a person sees when something is wrong on Kafka, and what became of it; docs/failures-kafka.md is made here.

Each case really happens, on a broker of its own: the worker is `stepwire run`, what others write comes from librdkafka.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from tests.kafka.guarded import Guarded, guarded, lent
from tests.kafka.place import APP, PATIENCE, Place, says, working

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PAGE = Path(__file__).parents[2] / "docs" / "failures-kafka.md"
ASKED, ANSWERS, GROUP = "secured.asked", "secured.answers", "secured.answer"
Seen = tuple[str, str]  #: the message, and what became of the event

CASES: dict[str, Callable[[Place], Seen]] = {}


def case(make: Callable[[Place], Seen]) -> Callable[[Place], Seen]:
    """Register a case; its docstring says what is wrong. It asserts that nothing is lost."""
    CASES[make.__name__] = make
    return make


# -- records


def send(place: Place, value: bytes | None, headers: Mapping[str, bytes] | None = None) -> None:
    """As some other client writes it."""
    producer = Producer({"bootstrap.servers": place.broker.address, "log_level": 0, "message.max.bytes": 2_000_000})
    producer.produce(place.prefix + ASKED, value, key=b"k", headers=dict(headers or {}))
    assert producer.flush(20) == 0


def letters(place: Place) -> list[dict[str, str]]:
    """`stepwire dlq list`."""
    command = [sys.executable, "-m", "stepwire_handlers.cli.main", "dlq", "list", "--app", APP, "--json"]
    environment = place.environment("open", {})
    done = subprocess.run(command, env=environment, cwd=place.home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def dead(place: Place, value: bytes | None, headers: Mapping[str, bytes] | None = None) -> Seen:
    """A record that is no event: a dead letter, and the next one is handled."""
    with working(place, "open"):
        send(place, value, headers)
        place.publish(2)
        assert place.answers(1) == [b'{"n":2}']
    (letter,) = letters(place)
    return f"{letter['error']}: {letter['message']}", "a dead letter with the original bytes; the next event is handled"


@case
def a_poison_record(place: Place) -> Seen:
    """Bytes that are no JSON."""
    return dead(place, b"\xff\xfe poison")


@case
def another_shape(place: Place) -> Seen:
    """JSON of another shape."""
    return dead(place, b'{"m": 1}')


@case
def a_tombstone(place: Place) -> Seen:
    """A null value: a tombstone of a compacted topic."""
    return dead(place, None)


@case
def a_framed_record(place: Place) -> Seen:
    """A record of a schema registry, and none is configured."""
    return dead(place, b"\x00\x00\x00\x00\x07\x02")


@case
def a_large_record(place: Place) -> Seen:
    """A record of 1 MB, as large as the topic takes."""
    with working(place, "open"):
        send(place, json.dumps({"n": 1, "text": "x" * 1_000_000}).encode())
        assert place.answers(1) == [b'{"n":1}']
    assert letters(place) == []
    return "nothing", "it is handled like any other"


@case
def a_large_output(place: Place) -> Seen:
    """An output that is larger than its topic takes."""
    with working(place, "open"):
        send(place, json.dumps({"n": 1, "times": 2_000_000}).encode())
        place.publish(2)
        assert place.answers(1) == [b'{"n":2}']
    (letter,) = letters(place)
    return f"{letter['error']}: {letter['message']}", "a dead letter with the whole event; the next one is handled"


@case
def an_aborted_transaction(place: Place) -> Seen:
    """Records of a transaction that was aborted."""
    producer = Producer({"bootstrap.servers": place.broker.address, "transactional.id": place.prefix, "log_level": 0})
    producer.init_transactions(20)
    with working(place, "open"):
        for n, finish in ((1, producer.abort_transaction), (2, producer.commit_transaction)):
            producer.begin_transaction()
            producer.produce(place.prefix + ASKED, b'{"n": %d}' % n)
            producer.flush(20)
            finish(20)
        assert place.answers(1) == [b'{"n":2}']
    assert letters(place) == []
    return "nothing", "they are no events; what was committed is handled"


# -- topics and progress


@case
def missing_topics(place: Place) -> Seen:
    """Topics that nobody made."""
    place.prefix += "nowhere."
    return place.refused("open"), "exit 2, nothing was read"


@case
def a_deleted_output_topic(place: Place) -> Seen:
    """The topic of a result is deleted under a running worker."""
    with working(place, "open") as heard:
        place.publish(1)
        assert place.answers(1) == [b'{"n":1}']
        delete(place, ANSWERS)
        place.publish(2)
        found = place.read("secured.answer.dlt", 1)
        assert found, heard.read_text()
    headers = {name: value.decode() for name, value in found[0].headers() or () if isinstance(value, bytes)}
    said = f"{headers['kafka_dlt-exception-fqcn'].rpartition('.')[2]}: {headers['kafka_dlt-exception-message']}"
    return said, "a dead letter with the whole event, to replay once the topic is there"


@case
def a_deleted_input_topic(place: Place) -> Seen:
    """The topic that it reads is deleted and made anew under a running worker."""
    file = place.home / "ended"
    running = place.run(place.environment("open", {}), file)
    try:
        place.publish(1)
        assert place.answers(1) == [b'{"n":1}']
        delete(place, ASKED)
        make(place, ASKED)
        assert running.wait(PATIENCE) == 1
    finally:
        running.kill()
    said = file.read_text().splitlines()[-1]
    assert "Say where" in place.refused("open")
    return said, "exit 1: where it goes on is for a person to say; until then it does not start"


@case
def forgotten_progress(place: Place) -> Seen:
    """A group was stopped for longer than Kafka keeps offsets."""
    with working(place, "open"):
        place.publish(1)
        assert place.answers(1) == [b'{"n":1}']
    place.broker.admin.delete_consumer_groups([place.prefix + GROUP])[place.prefix + GROUP].result(20)
    place.publish(2)
    return place.refused("open"), "exit 2: nothing is read twice or passed over before a person says where it goes on"


@case
def deleted_records(place: Place) -> Seen:
    """Retention deleted records that were not handled yet."""
    with working(place, "open"):
        place.publish(1)
        assert place.answers(1) == [b'{"n":1}']
    place.publish(*range(2, 40))
    everywhere = [TopicPartition(place.prefix + ASKED, number, -1) for number in (0, 1)]
    for done in place.broker.admin.delete_records(everywhere).values():
        done.result(20)
    said = place.refused("open").splitlines()[-1]
    return said, "exit 1, nothing else is done; `stepwire_records_lost_total` counts them"


def delete(place: Place, topic: str) -> None:
    """It is gone when this returns."""
    name = place.prefix + topic
    place.broker.admin.delete_topics([name])[name].result(20)
    while name in place.broker.admin.list_topics(timeout=10).topics:
        time.sleep(0.1)


def make(place: Place, topic: str) -> None:
    """It is there when this returns."""
    name = place.prefix + topic
    place.broker.admin.create_topics([NewTopic(name, 2)])[name].result(20)


# -- the cluster


@case
def a_refused_right(place: Place) -> Seen:
    """A right is taken from a running worker."""
    place.broker.give(place.rights)
    right = place.right(ANSWERS)
    with working(place, "plain") as said:
        place.broker.take(right)
        place.publish(1)
        assert says(said, "AuthorizationFailed")
        place.broker.give([right])
        assert place.answers(1) == [b'{"n":1}']
    lines = [line for line in said.read_text().splitlines() if "AuthorizationFailed" in line and line[0] == "{"]
    return json.loads(lines[0])[
        "error"
    ], "the worker waits, and goes on by itself once it has the right; nothing becomes a dead letter"


@case
def no_rights(place: Place) -> Seen:
    """A user without any right."""
    return place.refused("plain"), "exit 2, nothing was read"


@case
def a_wrong_password(place: Place) -> Seen:
    """A wrong password."""
    return place.refused("plain", STEPWIRE_KAFKA__SASL_PASSWORD="wrong"), "exit 1, nothing was read"  # noqa: S106


@case
def an_untrusted_certificate(place: Place) -> Seen:
    """A broker whose certificate names another host."""
    return place.refused("mistaken"), "exit 1, nothing was read"


@case
def another_protocol(place: Place) -> Seen:
    """A client without TLS at a port that wants it."""
    return place.refused("plain", STEPWIRE_KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT"), "exit 1, nothing was read"


@case
def nobody_there(place: Place) -> Seen:
    """An address where nothing listens."""
    return place.refused("open", STEPWIRE_BUS="kafka://127.0.0.1:9"), "exit 1, nothing was read"


@case
def a_broker_that_goes_away(place: Place) -> Seen:
    """The brokers stop under a running worker, and come back."""
    with working(place, "open") as said:
        place.publish(1)
        assert place.answers(1) == [b'{"n":1}']
        place.broker.node.stop()
        assert says(said, "no broker answers"), said.read_text()
        place.broker.node.start()
        place.publish(2)
        assert place.answers(1) == [b'{"n":2}']
    error = next(line for line in said.read_text().splitlines() if "no broker answers" in line)
    return json.loads(error)["event"], "the worker says so, also in `/readyz`, and goes on by itself once they answer"


# -- the page


def told(name: str, place: Place) -> Seen:
    """The case, as it stands on the page: without what differs from run to run."""
    said, kept = CASES[name](place)
    said = " ".join(said.replace(place.prefix, "").replace("nowhere.", "").split())
    said = re.sub(r"-[0-9a-f]{12}\b", "-…", re.sub(r"\[\d\]@\d+, there is \d+", "[…]@…, there is …", said))
    return re.sub(r"127\.0\.0\.1:\d{2,}", "127.0.0.1:PORT", said), kept


def title(name: str) -> str:
    return (CASES[name].__doc__ or "").rstrip(".")


def row(name: str, seen: Seen) -> str:
    said = seen[0].replace("|", "\\|")
    return f"| {title(name)} | {said} | {seen[1]} |"


@pytest.fixture(scope="module")
def broker(service: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all cases; each has topics under a prefix of its own."""
    with lent(service, tmp_path_factory.mktemp("guarded")) as found:
        yield found


def placed(broker: Guarded, folder: Path) -> Place:
    """Topics for one case."""
    place = Place(broker, f"f{uuid.uuid4().hex[:8]}.", folder)
    asyncio.run(place.apply())
    return place


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_said_clearly_and_nothing_is_lost(name: str, broker: Guarded, tmp_path: Path) -> None:
    """The message of docs/failures-kafka.md is the one that a person sees; write it anew with `make docs`."""
    seen = told(name, placed(broker, tmp_path))
    assert "Traceback" not in seen[0]
    assert row(name, seen) in PAGE.read_text().splitlines()


def test_the_page_has_these_rows_and_no_others() -> None:
    """A case that is gone leaves the page too."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0] for line in rows] == [f"| {title(name)}" for name in CASES]


def page(broker: Guarded) -> str:
    """The table of all cases."""
    lines = [
        "# Failures on Kafka", "",
        "What you see when something is wrong, and what becomes of the event. Made by",
        "`tests/failures/test_failures_on_kafka.py`, which lets each of them happen on a real broker; without Kafka:",
        "[failures.md](failures.md).", "",
        "| what is wrong | what you see | what became of it |", "|---|---|---|",
    ]  # fmt: skip
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            sys.stderr.write(f"{name}\n")
            lines.append(row(name, told(name, placed(broker, Path(folder)))))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home, guarded(Path(home)) as it:
        PAGE.write_text(page(it))
