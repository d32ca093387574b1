"""The Kafka table: its bars, its verdicts, its count from outside and its exit code; the figures are made up."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.brokers.client import acknowledge, create

sys.path.insert(0, str(Path(__file__).parents[2]))  # `bench` is no installed package

from bench.kafka import PEERS, QUESTIONS, STAMPED, Bar, Figures, Void, command, main, rate, stamps
from bench.kafka_loads import LOADS

from bench import kafka as table
from bench import process

FASTSTREAM = QUESTIONS["faststream"].bars[0]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peers' environment seems to be there."""
    monkeypatch.setattr(process, "PEERS", Path(sys.executable))


def answered(monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Figures]) -> None:
    """No broker is started, and each load has these figures."""

    @contextmanager
    def no_cluster(_home: Path, _nodes: int) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(bootstrap="nowhere:9")

    monkeypatch.setattr(table, "start_cluster", no_cluster)
    monkeypatch.setattr(table, "measured", lambda load, *_: answer(load))


# -- bars and loads


def test_every_load_has_its_script_and_every_bar_a_load_that_its_question_measures(installed: None) -> None:
    for question in QUESTIONS.values():
        for load in question.loads:
            assert (load in LOADS) is (load not in PEERS)
            script = command(load)[2].replace(".", "/") + ".py" if load != "quix-hop" else command(load)[-1]
            assert (process.ROOT / script).is_file()
        for bar in question.bars:
            assert {part.partition(".")[0] for part in bar.figure.split("/")} <= set(question.loads)


def test_the_peer_of_the_bar_is_faststream_and_the_bar_ten_times() -> None:
    """Issue 4: one hop exactly once, at least 10 x FastStream at most once."""
    figures = {"hop": {"appended_per_s": 11_700.0}, "faststream-hop": {"appended_per_s": 1_170.0}}
    assert FASTSTREAM.value(figures) == 10.0
    assert FASTSTREAM.verdict([10.0])[0]
    assert not FASTSTREAM.verdict([9.99])[0]


def test_a_peer_without_its_environment_is_missed_before_a_broker_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "PEERS", tmp_path / "python")
    monkeypatch.setattr(table, "start_cluster", lambda *_: pytest.fail("a broker was started"))
    assert main(["--only", "hop", "faststream"]) == 2
    assert "uv sync --frozen --only-group peers" in capsys.readouterr().err


# -- verdicts


def test_the_median_of_the_rounds_is_judged() -> None:
    least, most = Bar("hop", "hop.per_s", least=10.0), Bar("idle", "idle.mb", most=10.0)
    assert least.verdict([9.0, 10.0, 30.0]) == (True, "pass  hop: 10 (9 to 30), bar: at least 10")
    assert least.verdict([9.0, 9.9, 30.0]) == (False, "FAIL  hop: 9.9 (9 to 30), bar: at least 10")
    assert [most.verdict([value])[0] for value in (10.0, 10.1)] == [True, False]


def test_a_figure_without_a_bar_is_shown_and_fails_nothing() -> None:
    assert Bar("hop", "hop.per_s").verdict([0.001]) == (True, "seen  hop: 0.001 (0.001 to 0.001), bar: none")


@pytest.mark.parametrize(("ours", "code", "word"), [(11_700.0, 0, "pass"), (11_000.0, 1, "FAIL")])
def test_the_exit_code_says_whether_the_bar_is_cleared(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    installed: None,
    ours: float,
    code: int,
    word: str,
) -> None:
    answered(monkeypatch, lambda load: {"appended_per_s": ours if load == "hop" else 1_170.0})
    assert main(["--only", "faststream"]) == code
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{word}  one hop exactly once")]


def test_a_load_that_did_not_do_its_work_gives_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], installed: None
) -> None:
    def void(load: str) -> Figures:
        raise Void(f"{load} made 9 outputs of 10")

    answered(monkeypatch, void)
    assert main(["--only", "faststream"]) == 2
    assert "no figure: faststream-hop made 9 outputs of 10" in capsys.readouterr().err


# -- the count from outside


@pytest.mark.parametrize(
    ("appended", "per_s"),
    [
        (range(0, 10_000, 10), 100.0),
        (range(9_990, -1, -10), 100.0),  # partitions are read one after another
        ([0, *range(5_000, 14_990, 10)], 100.0),  # a slow start
        ([*range(0, 9_990, 10), 60_000], 100.0),  # a straggler
        ([stamp for stamp in range(10) for _ in range(500)], 500_000.0),  # records of a batch have one stamp
    ],
)
def test_the_rate_is_that_of_the_eighty_percent_in_the_middle(appended: Sequence[int], per_s: float) -> None:
    assert rate(appended) == per_s


def test_of_outputs_that_came_at_once_there_is_no_rate() -> None:
    with pytest.raises(Void, match="20 outputs were appended within a millisecond"):
        rate([5] * 20)


@pytest.mark.slow
def test_outputs_are_counted_in_all_partitions_with_the_brokers_stamps(kafka: str, topic_prefix: str) -> None:
    """A client that stamps its records itself cannot make its rate up; what it did not commit does not count."""
    from confluent_kafka import Producer

    topic = topic_prefix + "went"
    create(kafka, topic, 2, STAMPED)
    acknowledge(kafka, topic, [b"first"])
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic_prefix + "client"})
    producer.init_transactions(20)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(topic, b"made", partition=partition, timestamp=1)
        producer.flush(20)
        end(20)
    found = stamps(kafka, topic, 2)
    assert len(found) == 3
    assert max(found) - min(found) < 60_000
    assert min(found) > 1_700_000_000_000
