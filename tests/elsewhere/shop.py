"""A worker and a door of `examples/publish/orders.py`, and a view of their topics that uses nothing of ours.

In: a broker, a prefix. Out: addresses for the examples; what lies on the topics, read with librdkafka; how many
duplicates the worker counts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from tests.brokers.cluster import free_ports
from tests.elsewhere.programs import EXAMPLES, Program

from stepwire_handlers.services.door.access import new_key

STEPWIRE = [sys.executable, "-m", "stepwire_handlers.cli.main"]
SKIPPED = re.compile(r'^stepwire_duplicates_skipped_total\{handler="confirm"\} (\S+)$', re.MULTILINE)
PATIENCE = 30.0  #: seconds


class Shop:
    """Open it, then run programs against it."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        self.kafka, self.prefix, self.folder = kafka, prefix, folder
        self.key, self._hash = new_key()
        (self._probes,) = free_ports(1)
        self.door = ""
        self._started: list[subprocess.Popen[str]] = []

    def open(self) -> None:
        """Topics, worker, door; and a confirmation that a worker took back."""
        subprocess.run([*STEPWIRE, "topics", "apply", "orders:app"], check=True, **self._place(), capture_output=True)
        self._begin("run", "orders:app", "--log", "off", "--http-port", str(self._probes))
        self._take_back()
        access = self.folder / "access.toml"
        access.write_text(f'[[keys]]\nname = "shop"\nhash = "{self._hash}"\nroles = {{ orders = ["operator"] }}\n')
        door = self._begin("door", "orders:app", "--port", "0", "--access", str(access), stderr=subprocess.PIPE)
        assert door.stderr is not None
        self.door = next(found[1] for line in door.stderr if (found := re.search(r"door: (http://\S+)", line)))
        self.until(lambda: self._page("readyz") is not None)

    def run(self, program: Program, what: str, *words: str, rows: list[dict[str, Any]] | None = None) -> list[str]:
        """The lines that it prints."""
        done = subprocess.run(
            program.command(what, *words), cwd=program.folder, env=self._told(), check=False, capture_output=True,
            text=True, input="".join(json.dumps(row) + "\n" for row in rows or []), timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3_000:]
        return done.stdout.splitlines()

    def read(self, topic: str) -> list[Message]:
        """All that is committed there, up to the ends of now."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": f"{self.prefix}judge",
                             "isolation.level": "read_committed", "enable.auto.commit": False,
                             "enable.partition.eof": True})  # fmt: skip
        name, found = f"{self.prefix}{topic}", []
        for number in consumer.list_topics(name, timeout=10).topics[name].partitions:
            consumer.assign([TopicPartition(name, number, 0)])
            while (message := consumer.poll(10)) is not None and not message.error():
                found.append(message)
            assert message is not None and message.error().code() == KafkaError._PARTITION_EOF
        consumer.close()
        return found

    def placed(self) -> Counter[tuple[str, str]]:
        """How often each source and id lies on the entry topic."""
        headers = [dict(message.headers()) for message in self.read("orders.placed")]
        return Counter((each["ce_source"].decode(), each["ce_id"].decode()) for each in headers)

    def confirmed(self) -> list[dict[str, Any]]:
        """The results."""
        return [json.loads(message.value()) for message in self.read("orders.confirmed")]

    def skipped(self) -> int:
        """Duplicates that the worker counts."""
        found = SKIPPED.search(self._page("metrics") or "")
        return int(float(found[1])) if found else 0

    def until(self, holds: Callable[[], bool]) -> None:
        """Ask until it holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"not within {PATIENCE} s"
            assert all(process.poll() is None for process in self._started), "a worker or door ended"
            time.sleep(0.1)

    def close(self) -> None:
        """End the processes."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            process.wait(30)
            if process.stderr is not None:
                process.stderr.close()

    def _take_back(self) -> None:
        """What lies on a topic after a transaction that was aborted: whoever reads uncommitted sees it."""
        producer = Producer({"bootstrap.servers": self.kafka, "transactional.id": f"{self.prefix}taken-back"})
        producer.init_transactions(20)
        producer.begin_transaction()
        headers = {"ce_id": "0", "ce_source": "/nobody", "ce_type": "orders.confirmed.OrderConfirmed.v1",
                   "ce_specversion": "1.0", "content-type": "application/json"}  # fmt: skip
        for partition in range(6):
            producer.produce(
                f"{self.prefix}orders.confirmed", b'{"order": "TAKEN-BACK", "cents": 1}', headers=[*headers.items()],
                partition=partition,
            )  # fmt: skip
        assert producer.flush(20) == 0
        producer.abort_transaction(20)

    def _begin(self, *words: str, stderr: int | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen([*STEPWIRE, *words], text=True, stderr=stderr, **self._place())
        self._started.append(process)
        return process

    def _page(self, name: str) -> str | None:
        try:
            answer = httpx2.get(f"http://127.0.0.1:{self._probes}/{name}", timeout=5)
        except httpx2.TransportError:
            return None
        return answer.text if answer.is_success else None

    def _place(self) -> dict[str, Any]:
        """Where our own processes run, and what they are told."""
        mine = {
            "STEPWIRE_BUS": f"kafka://{self.kafka}",
            "STEPWIRE_PREFIX": self.prefix,
            "STEPWIRE_BLOBS": str(self.folder / "blobs"),
            "PYTHONPATH": str(EXAMPLES),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPWIRE_")}
        return {"cwd": self.folder, "env": kept | mine}

    def _told(self) -> dict[str, str]:
        """What the examples are told."""
        return os.environ | {"KAFKA": self.kafka, "PREFIX": self.prefix, "DOOR": self.door, "DOOR_KEY": self.key}
