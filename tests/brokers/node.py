"""One broker as a process of this machine, which a test may kill, stop, start again and freeze.

In: its seat, a folder, the jars. Out: an address. Promise: it ends with the process that launched it, and what was
acknowledged is still there when it is launched again.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.brokers.asking import brokers_known_at, wait_until
from tests.brokers.leash import leashed
from tests.brokers.settings import Seat
from tests.brokers.warm import CLUSTER_ID, flags, format_like

START_SECONDS = 60
LOGGING = """rootLogger.level=WARN
rootLogger.appenderRef.all.ref=All
appender.all.type=Console
appender.all.name=All
appender.all.layout.type=PatternLayout
appender.all.layout.pattern=%d %p %c %m%n
"""


class BrokerFailed(Exception):
    """A broker that ended or did not answer; carries the end of its log."""


class Node:
    """A broker. `launch` in the main thread, `wait` anywhere; the rest returns when it is done."""

    def __init__(
        self,
        seat: Seat,
        home: Path,
        jars: Path,
        properties: Mapping[str, str],
        host: str = "127.0.0.1",
        java: Sequence[str] = (),
    ) -> None:
        self.seat = seat
        self.number = seat.number
        self.address = f"{host}:{seat.port}"
        self.log = home / f"node{seat.number}.log"
        self.data = Path(properties["log.dirs"])
        self._file = home / f"node{seat.number}.properties"
        self._file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        logging = home / "log4j2.properties"
        logging.write_text(LOGGING)
        # it starts in half the time without the second compiler; most tests end before that would pay
        self._java = ["java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._java += [f"-Dlog4j2.configurationFile={logging}", *flags(jars), "-cp", f"{jars}/*"]
        self._jars, self._more = jars, java
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def format(self) -> None:
        """Make its empty data folder."""
        if format_like(self._jars, self.data, self.number):
            return
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._file)]
        done = subprocess.run([*self._java, *tool], capture_output=True, text=True, check=False, timeout=START_SECONDS)
        if done.returncode:
            raise BrokerFailed(f"broker {self.number} cannot be formatted: {(done.stdout + done.stderr)[-2000:]}")

    def launch(self) -> None:
        """Begin to start it, on the data that it has."""
        if self.pid:
            raise BrokerFailed(f"broker {self.number} runs already, as process {self.pid}; kill or stop it first")
        command = leashed([*self._java, *self._more, "kafka.Kafka", str(self._file)])
        with self.log.open("ab") as log:
            # a session of its own: Ctrl-C is for the tests, which then end it
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when it answers as a member of its cluster."""
        wait_until(lambda: not self.pid or self.number in brokers_known_at(self.address), seconds)
        if not self.pid:
            raise BrokerFailed(f"broker {self.number} ended while it started: {self.last_words()}")
        if self.number not in brokers_known_at(self.address):
            raise BrokerFailed(f"broker {self.number} does not answer on {self.address}: {self.last_words()}")

    def start(self) -> None:
        """Launch and wait."""
        self.launch()
        self.wait()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told.

        A transaction whose end was acknowledged a moment ago may still lack its markers. If the broker comes back
        while the cluster holds its place (a lone broker always does), Kafka 4.3.1 can skip those markers (at INFO its
        log says "Couldn't find leader endpoint"), and readers of committed records wait there for ever. That is
        Kafka's fault, not the client's; `Cluster.give_away` avoids it.
        """
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it hands its partitions over first."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else "(no log)"

    def _send(self, number: signal.Signals) -> None:
        if not self._process or self._process.poll() is not None:
            raise BrokerFailed(f"broker {self.number} does not run: no {number.name} for it")
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._send(number)
        assert self._process is not None
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise BrokerFailed(f"broker {self.number} did not end on {number.name}: {self.last_words()}") from None
