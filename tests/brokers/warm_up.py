"""Starts one broker so that all later ones start with half the work; the result lies beside the jars.

In: the folder of Kafka's jars. Out: the files that `warm` reads. Promise: of processes that need them at once one makes
them and the others wait; they are made anew when Java is another one.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from confluent_kafka import Consumer, Producer
from tests.brokers.client import create
from tests.brokers.cluster import start_cluster
from tests.brokers.jars import alone, java_version
from tests.brokers.warm import CLASSES, FORMATTED, kept

SECONDS = 30


def warm_up(jars: Path) -> None:
    """Raises BrokerFailed if the broker does not start."""
    folder, java = kept(jars), java_version()
    with alone(folder.with_name(f"{folder.name}.lock")):
        if folder.is_dir() and (folder / "java").read_text() == java:
            return
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=jars.parent, prefix=f"{folder.name}.part-") as part:
            made = Path(part) / "made"
            made.mkdir()
            # Java writes the archive when it ends, of what it has loaded by then
            with start_cluster(Path(part), java=[f"-XX:ArchiveClassesAtExit={made / CLASSES}"]) as cluster:
                _use(cluster.bootstrap)
                cluster.nodes[0].stop()
                shutil.copyfile(cluster.nodes[0].data / FORMATTED, made / FORMATTED)
            (made / "java").write_text(java)
            made.rename(folder)


def _use(broker: str) -> None:
    """What most tests do: a transaction, and a member of a group that reads it."""
    create(broker, "a")
    producer = Producer({"bootstrap.servers": broker, "transactional.id": "a", "log_level": 0})
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    producer.produce("a", b"one")
    producer.commit_transaction(SECONDS)
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "a", "auto.offset.reset": "earliest"})
    consumer.subscribe(["a"])
    consumer.poll(SECONDS)
    consumer.close()
