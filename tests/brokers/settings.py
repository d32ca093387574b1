"""What a test's broker is told: settings that make waiting short, and where it listens.

In: the nodes of a cluster, each with two ports. Out: the properties of one node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# A broker that was given (STEPWIRE_TEST_KAFKA) needs the first three; without the others tests are slow, not wrong.
QUICK: Mapping[str, str] = {
    "auto.create.topics.enable": "false",  # a missing topic must show
    "group.min.session.timeout.ms": "1000",  # so that a test need not wait 6 s for a dead worker
    "group.consumer.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",  # 10 s: an orphaned transaction holds readers
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "5",
    "offsets.retention.check.interval.ms": "1000",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.num.partitions": "1",
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "1000",
    # small: two cores and a heap of 256 MB are shared with the tests
    "log.cleaner.dedupe.buffer.size": "16777216",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.replica.fetchers": "1",
    # so long is a killed node's place kept: others lead its partitions only then, and itself is let in only then
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}


@dataclass(frozen=True)
class Seat:
    """One node's number and ports."""

    number: int
    port: int
    controller: int


def properties(seat: Seat, cluster: list[Seat], bind: str, data: str, extra: Mapping[str, str]) -> dict[str, str]:
    """All properties of one node that is broker and controller; `extra` wins."""
    copies, least = str(min(3, len(cluster))), str(min(2, len(cluster)))
    return {
        **QUICK,
        "process.roles": "broker,controller",
        "node.id": str(seat.number),
        "controller.quorum.voters": ",".join(f"{each.number}@127.0.0.1:{each.controller}" for each in cluster),
        "listeners": f"PLAINTEXT://{bind}:{seat.port},CONTROLLER://127.0.0.1:{seat.controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{seat.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": data,
        "default.replication.factor": copies,
        "min.insync.replicas": least,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": least,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": least,
        **extra,
    }
