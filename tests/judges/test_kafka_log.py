"""The judge of Kafka topics sees each kind of fault, and is not content where it saw nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from tests.brokers.client import create
from tests.judges import kafka_log
from tests.judges.kafka_log import Published, Verdict, identify_by, judge

pytestmark = [pytest.mark.slow, pytest.mark.service("java")]
PUBLISHED = [Published("1", "a"), Published("2", "b"), Published("3", "a"), Published("4", "b")]
GOOD = Verdict(
    published=4,
    outputs=4,
    lost=0,
    duplicated=0,
    foreign=0,
    unreadable=0,
    order_violations=0,
    hidden=0,
)


@dataclass
class Log:
    """Output topics to write to, transaction by transaction."""

    servers: str
    topics: list[str]
    producer: Producer

    def begin(self, *ids: str, topic: int = 0, partition: int = 0) -> None:
        self.producer.begin_transaction()
        for id_ in ids:
            self.producer.produce(self.topics[topic], b"{}", partition=partition, headers={"of": id_})
        assert self.producer.flush(20) == 0

    def commit(self, *ids: str, topic: int = 0, partition: int = 0) -> None:
        self.begin(*ids, topic=topic, partition=partition)
        self.producer.commit_transaction(20)

    def judge(self, open_seconds: float = 20) -> Verdict:
        return judge(self.servers, PUBLISHED, self.topics, identify_by("header:of"), open_seconds)


@pytest.fixture
def log(kafka: str, topic_prefix: str) -> Iterator[Log]:
    """Two output topics of two partitions."""
    topics = [f"{topic_prefix}one", f"{topic_prefix}two"]
    for topic in topics:
        create(kafka, topic, 2)
    producer = transactional(kafka, f"{topic_prefix}tx", 30_000)
    yield Log(kafka, topics, producer)
    producer.purge()


def transactional(kafka: str, name: str, timeout_ms: int) -> Producer:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": name, "transaction.timeout.ms": timeout_ms})
    producer.init_transactions(20)
    return producer


def test_once_each_and_in_order_is_good(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    """Each id once, over topics and partitions together, is good; the verdict is printed as one line."""
    log.commit("1", "3")
    log.commit("2", partition=1)
    log.commit("4", topic=1)
    verdict = log.judge()
    assert verdict == GOOD and verdict.good
    assert capsys.readouterr().out.splitlines() == [
        "published=4 outputs=4 lost=0 duplicated=0 foreign=0 unreadable=0 order_violations=0 hidden=0"
    ]


def test_an_aborted_output_does_not_count(log: Log) -> None:
    """A record of an aborted transaction is no output: an id that has no other is lost."""
    log.commit("1", "2", "3")
    log.begin("4")
    log.producer.abort_transaction(20)
    verdict = log.judge()
    assert verdict == replace(GOOD, outputs=3, lost=1) and not verdict.good


def test_a_second_output_is_a_duplicate(log: Log) -> None:
    """An id that came out twice is seen, in one topic or in two."""
    log.commit("1", "2", "3", "4", "4")
    log.commit("2", topic=1)
    verdict = log.judge()
    assert verdict == replace(GOOD, outputs=6, duplicated=2) and not verdict.good


def test_order_is_judged_key_by_key(log: Log) -> None:
    """An output after one of its key that was published later is a violation; keys do not wait for each other."""
    log.commit("2", "4", "3", "1")
    verdict = log.judge()
    assert verdict == replace(GOOD, order_violations=1) and not verdict.good


def test_what_nobody_published_is_seen(log: Log) -> None:
    """An invented id and an output without one are counted apart, and neither is good."""
    log.commit("1", "2", "3", "4", "5")
    assert log.judge() == replace(GOOD, outputs=5, foreign=1)
    log.producer.begin_transaction()
    log.producer.produce(log.topics[0], b"{}", headers={"another": "1"})
    log.producer.commit_transaction(20)
    verdict = log.judge()
    assert verdict == replace(GOOD, outputs=6, foreign=1, unreadable=1) and not verdict.good


def test_an_open_transaction_is_waited_for(log: Log) -> None:
    """Records behind a transaction that nobody ends are read once the broker has aborted it."""
    log.commit("1", "2", "3", partition=1)
    forgotten = replace(log, producer=transactional(log.servers, f"{log.topics[0]}.forgotten", 2_000))
    forgotten.begin("1")
    late = Producer({"bootstrap.servers": log.servers})
    late.produce(log.topics[0], b"{}", partition=0, headers={"of": "4"})
    assert late.flush(20) == 0
    assert log.judge(open_seconds=30) == GOOD


def test_an_end_that_cannot_be_seen_is_not_good(log: Log) -> None:
    """If a transaction is still open when the judge's patience ends, the verdict says that something is hidden."""
    log.commit("1", "2", "3", "4")
    log.begin("4", partition=1)
    verdict = log.judge(open_seconds=0.5)
    assert verdict == replace(GOOD, hidden=1) and not verdict.good
    log.producer.abort_transaction(20)


def test_nothing_published_is_not_good() -> None:
    """A run that published nothing has shown nothing."""
    assert not replace(GOOD, published=0, outputs=0).good


def test_an_id_that_was_published_twice_is_refused(log: Log) -> None:
    """A list that names an event twice cannot be judged."""
    with pytest.raises(ValueError, match="twice"):
        judge(log.servers, [*PUBLISHED, PUBLISHED[0]], log.topics, identify_by("value"))


@pytest.mark.parametrize("where", ["header:of", "json:n", "value", "key"])
def test_where_an_id_can_be(where: str) -> None:
    """An id is found in a header, a field of the value, the whole value or the key."""
    output = kafka_log.Output("t", 0, 0, b"key-id", b'{"n": 7}', {"of": b"header-id"})
    found = {"header:of": "header-id", "json:n": "7", "value": '{"n": 7}', "key": "key-id"}
    assert identify_by(where)(output) == found[where]
    assert identify_by("json:n")(output._replace(value=b"\xff")) is None
    with pytest.raises(ValueError, match="header:NAME"):
        identify_by("header")


def test_the_program_says_it_with_its_exit_code(log: Log, tmp_path: Path) -> None:
    """Run from a shell it prints the counts; it ends with 0 when all is well and with 1 when not."""
    list_ = tmp_path / "ids.jsonl"
    list_.write_text("".join(json.dumps(each._asdict()) + "\n" for each in PUBLISHED))
    command = [sys.executable, kafka_log.__file__, log.servers, *log.topics, "--published", str(list_), "--id"]
    log.commit("1", "2", "3")
    first = subprocess.run([*command, "header:of"], capture_output=True, text=True, check=False)
    log.commit("4")
    second = subprocess.run([*command, "header:of"], capture_output=True, text=True, check=False)
    assert (first.returncode, second.returncode) == (1, 0), first.stderr + second.stderr
    assert " lost=1 " in first.stdout and " lost=0 " in second.stdout


def test_it_knows_nothing_of_what_it_judges() -> None:
    """The judge imports no module of Stepwire, nor of its tests."""
    tree = ast.parse(Path(kafka_log.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "confluent_kafka" in names
    assert not {name for name in names if name.startswith(("stepwire", "tests", "bench"))}
