"""Clusters of a test's own: their brokers die, freeze and come back as a test says, and none outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from tests.brokers.asking import brokers_known_at, wait_until
from tests.brokers.client import acknowledge, create, read_all
from tests.brokers.cluster import start_cluster
from tests.brokers.leash import leashed
from tests.brokers.node import BrokerFailed
from tests.brokers.plugin import OwnKafka

pytestmark = [pytest.mark.slow, pytest.mark.service("java")]
ROOT = Path(__file__).parents[2]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_killed_broker_comes_back_with_its_data(own_kafka: OwnKafka) -> None:
    """What was acknowledged before kill -9 is there after a restart, on the same address."""
    cluster = own_kafka()
    create(cluster.bootstrap, "a")
    acknowledge(cluster.bootstrap, "a", [b"one", b"two"])
    node = cluster.nodes[0]
    node.kill()
    assert brokers_known_at(node.address) == set()
    node.start()
    assert read_all(cluster.bootstrap, "a", "read_committed") == [b"one", b"two"]


def test_a_frozen_broker_is_silent_and_goes_on(own_kafka: OwnKafka) -> None:
    """SIGSTOP leaves the port open and every question unanswered, until SIGCONT."""
    cluster = own_kafka()
    node = cluster.nodes[0]
    node.pause()
    assert brokers_known_at(node.address, timeout=1) == set()
    assert node.pid
    node.resume()
    assert wait_until(lambda: brokers_known_at(node.address) == {1}, 30)


def test_a_broker_is_started_once(own_kafka: OwnKafka) -> None:
    """A running broker cannot be launched again, and a dead one cannot be killed: both say so."""
    node = own_kafka().nodes[0]
    with pytest.raises(BrokerFailed, match="runs already"):
        node.launch()
    node.kill()
    with pytest.raises(BrokerFailed, match="does not run"):
        node.kill()


def test_a_broker_that_cannot_start_says_why(own_kafka: OwnKafka) -> None:
    """A setting that Kafka refuses ends the start at once, with Kafka's own words."""
    with pytest.raises(BrokerFailed, match=r"num\.io\.threads"):
        own_kafka(settings={"num.io.threads": "none"})


@pytest.mark.slow
def test_three_brokers_lose_one(own_kafka: OwnKafka) -> None:
    """With one of three brokers killed, what is acknowledged by all goes on; it comes back and its copies catch up."""
    cluster = own_kafka(3)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    create(cluster.bootstrap, "a")
    acknowledge(cluster.bootstrap, "a", [b"one"])
    partition = admin.list_topics("a", timeout=10).topics["a"].partitions[0]
    assert sorted(partition.replicas) == [1, 2, 3]
    leader = cluster.nodes[partition.leader - 1]
    leader.kill()
    cluster.give_away(leader)
    assert all(leader.number not in brokers_known_at(node.address) for node in cluster.nodes)
    acknowledge(cluster.bootstrap, "a", [b"two"])
    leader.start()
    assert wait_until(lambda: len(admin.list_topics("a", timeout=10).topics["a"].partitions[0].isrs) == 3, 30)
    assert read_all(cluster.bootstrap, "a", "read_committed") == [b"one", b"two"]


def test_a_lone_broker_has_nobody_to_take_over(own_kafka: OwnKafka) -> None:
    """Waiting for others where there are none is refused instead of granted."""
    cluster = own_kafka()
    cluster.nodes[0].kill()
    with pytest.raises(BrokerFailed, match="nobody took over"):
        cluster.give_away(cluster.nodes[0])


def test_a_broker_ends_with_a_killed_test_run(own_kafka: OwnKafka, tmp_path: Path) -> None:
    """Kill -9 of the process that started a broker ends the broker too."""
    own_kafka().close()  # skips where there is none
    script = (
        "import pathlib, signal, sys\n"
        "from tests.brokers.cluster import start_cluster\n"
        "print(start_cluster(pathlib.Path(sys.argv[1])).nodes[0].pid, flush=True)\n"
        "signal.pause()\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert not is_gone(pid)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    assert wait_until(lambda: is_gone(pid), 10)


def test_closing_leaves_no_broker_and_no_data(own_kafka: OwnKafka, tmp_path: Path) -> None:
    """After close no process runs and no data lies on the disk."""
    own_kafka().close()
    home = tmp_path / "home"
    home.mkdir()
    with start_cluster(home) as cluster:
        pid = cluster.nodes[0].pid
        assert pid and list(home.rglob("data1"))
        cluster.nodes[0].pause()  # the one that a polite signal does not end
    assert is_gone(pid)
    assert list(home.rglob("data1")) == []


def test_a_cluster_is_reached_from_this_machine_only(own_kafka: OwnKafka) -> None:
    """Brokers and controllers listen on 127.0.0.1; another address of this machine is refused."""
    seat = own_kafka().nodes[0].seat
    for port in (seat.port, seat.controller):
        socket.create_connection(("127.0.0.1", port), 5).close()
        with pytest.raises(OSError, match=r"refused|assign"):
            socket.create_connection(("127.0.0.2", port), 5).close()


def test_a_leash_is_not_tied_to_a_passing_thread() -> None:
    """A start in another thread is refused: the broker would die with that thread."""
    refused: list[str] = []

    def try_it() -> None:
        try:
            leashed(["java"])
        except RuntimeError as wrong:
            refused.append(str(wrong))

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    assert len(refused) == 1 and "main thread" in refused[0]
