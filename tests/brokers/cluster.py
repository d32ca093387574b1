"""A cluster of this machine's own: one broker or three, from Kafka's jars.

In: a folder and a number of nodes. Out: a running cluster, its bootstrap servers and its nodes.
Promise: it listens on 127.0.0.1 only, or on the address it was given;
when it is closed, or this process dies, no broker is left.
"""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers.asking import brokers_known_at, wait_until
from tests.brokers.jars import VERSION, kafka_jars
from tests.brokers.node import BrokerFailed, Node
from tests.brokers.settings import Seat, properties

# Below the range from which the system takes ports for outgoing connections: one of those could sit on a killed
# broker's port when it comes back.
PORTS = range(18_000, 32_000)
ATTEMPTS = 3


class Cluster:
    """Running brokers; `nodes[0]` is number 1."""

    def __init__(self, nodes: list[Node], home: Path) -> None:
        self.nodes = nodes
        self.bootstrap = ",".join(node.address for node in nodes)
        self._home = home

    def give_away(self, node: Node, seconds: float = 30) -> None:
        """Return when no other broker counts on a killed one any more: others lead its partitions then."""
        others = [each for each in self.nodes if each is not node]
        gone = wait_until(lambda: all(node.number not in brokers_known_at(each.address) for each in others), seconds)
        if not others or not gone:
            raise BrokerFailed(
                f"nobody took over from broker {node.number} within {seconds} s; is it killed, one of three?"
            )

    def close(self) -> None:
        """End every broker and remove its data; the logs stay."""
        for node in self.nodes:
            if node.pid:
                node.kill()
        for data in self._home.glob("data*"):
            shutil.rmtree(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def start_cluster(
    home: Path,
    nodes: int = 1,
    settings: Mapping[str, str] | None = None,
    version: str = VERSION,
    address: str = "127.0.0.1",
    java: Sequence[str] = (),
) -> Cluster:
    """Fetch, format and start; `NotHere` if this machine cannot, `BrokerFailed` if it should have.

    `address` is where clients reach it: another one than loopback for clients that live in a network of the test's own.
    `java` is more for the command line of Java.
    """
    jars = kafka_jars(version)
    for attempt in range(1, ATTEMPTS + 1):
        place = home / f"cluster{attempt}"
        place.mkdir()
        cluster = _lay_out(place, jars, nodes, settings or {}, address, java)
        try:
            _bring_up(cluster)
        except BaseException as wrong:
            cluster.close()
            taken = isinstance(wrong, BrokerFailed) and "BindException" in str(wrong)
            if not taken or attempt == ATTEMPTS:
                raise
        else:
            return cluster
    raise AssertionError("unreachable: the last attempt returned or raised")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on. Another process may take one before it is used."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise BrokerFailed(f"fewer than {count} free ports in {PORTS}")


def _lay_out(
    place: Path, jars: Path, nodes: int, settings: Mapping[str, str], address: str, java: Sequence[str]
) -> Cluster:
    ports = free_ports(2 * nodes)
    seats = [Seat(number, *ports[2 * number - 2 : 2 * number]) for number in range(1, nodes + 1)]
    made = []
    for seat in seats:
        told = properties(seat, seats, address, str(place / f"data{seat.number}"), settings)
        told["advertised.listeners"] = f"PLAINTEXT://{address}:{seat.port}"
        made.append(Node(seat, place, jars, told, address, java))
    return Cluster(made, place)


def _bring_up(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.format()
    for node in cluster.nodes:  # all first: a lone controller of three elects nobody
        node.launch()
    for node in cluster.nodes:
        node.wait()
