"""A steady load on a door: so many small events a second for so long; what the slowest waited, and what memory did.

    python -m tests.door.load [--rate 500] [--seconds 60]      (make load)

A line for each bar says pass or fail, and so does the exit code. The last line is for machines: sent, failed, p50_ms,
p99_ms, cpu_ms, rss_first_mb, rss_last_mb, early_bytes, late_bytes.
Each event is sent when its moment has come, whether or not the earlier ones were answered, and its time counts from
that moment. No worker runs, so every event stays open: what a door keeps of an open run shows.

A door fills things of bounded size (pages of the file, young records, the numbers of 10,000 runs) for its first 20,000
events, some of them in steps of 2 MB. So 20,000 are sent first, at the same rate; the seconds asked for follow. Memory
is looked at every second: `early_bytes` is what the door grew for each of the first events, `late_bytes` for each of
those after them. What grows then is a leak, or the index of the file. All else is told of all events.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import linear_regression
from typing import NamedTuple

from tests.door.doors import Doors

CONNECTIONS = 64
P99_MS = 100.0  #: what 99 of 100 events must be answered within
FLAT = 128.0  #: bytes for each event that a door may still grow by, once it is full
FULL = 20_000  #: events that fill a door
ENOUGH = 20_000  #: events after them by which a leak and one more step of a bounded thing can be told apart


class Verdict(NamedTuple):
    """What came of it."""

    sent: int  #: that were answered
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  #: of the door, for each event: what it costs however busy the machine is
    rss_first_mb: float
    rss_last_mb: float
    early_bytes: float  #: growth for each event while the door is filled
    late_bytes: float  #: and then; near 0: memory is flat


def memory(process: int | str) -> float:
    """Resident megabytes of a process, or of "self"."""
    line = next(x for x in Path(f"/proc/{process}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def processor(process: int) -> float:
    """Seconds of CPU that a process took."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def growth(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of (events, MB): bytes for each event, while the door is filled and then.

    By a line through all samples: two single ones would say what a garbage collector did in between.
    """
    early, late = [x for x in samples if x[0] <= FULL], [x for x in samples if x[0] >= FULL]
    return _slope(early), _slope(late)


def _slope(samples: Sequence[tuple[float, float]]) -> float:
    return linear_regression(*zip(*samples, strict=True)).slope * 1024 * 1024


class Line:
    """One connection; HTTP by hand, so that the client costs less than the door."""

    def __init__(self, host: str, port: int) -> None:
        self._place, self._lock = (host, port), asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """The status."""
        async with self._lock:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._place)
            reader, writer = self._streams
            head = "POST /apps/shop/Order HTTP/1.1\r\nhost: door\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            size = next(x for x in answer.lower().split(b"\r\n") if x.startswith(b"content-length:")).split(b":")[1]
            await reader.readexactly(int(size))
            return int(answer.split()[1])

    async def close(self) -> None:
        """End it."""
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()


async def load(host: str, port: int, process: int, rate: float, seconds: float) -> Verdict:
    """Send; the verdict."""
    lines = [Line(host, port) for _ in range(CONNECTIONS)]
    took, failed = list[float](), 0
    begun, worked = time.perf_counter(), processor(process)

    async def one(number: int) -> None:
        nonlocal failed
        due = begun + number / rate
        status = await lines[number % CONNECTIONS].post(b'{"n": %d}' % (number % 100))
        took.append(time.perf_counter() - due)
        failed += status != 202

    tasks, samples = set[asyncio.Task[None]](), list[tuple[float, float]]()
    total = FULL + int(rate * seconds)
    for number in range(total):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        tasks.add(task := asyncio.create_task(one(number)))
        task.add_done_callback(tasks.discard)
        if number % int(rate) == 0 or number == FULL:
            samples.append((number, memory(process)))
    await asyncio.gather(*tasks, return_exceptions=True)  # who got no answer is missing in `took`
    samples.append((total, memory(process)))
    cost = (processor(process) - worked) / total
    for line in lines:
        await line.close()
    took.sort()
    return Verdict(
        len(took), failed, took[len(took) // 2] * 1e3, took[int(len(took) * 0.99)] * 1e3, cost * 1e3,
        samples[0][1], samples[-1][1], *growth(samples),
    )  # fmt: skip


def judged(verdict: Verdict, total: int) -> Iterator[tuple[str, str]]:
    """(pass, fail or skip; why) for each bar."""
    lost = total - verdict.sent
    yield _bar(not lost + verdict.failed), f"{total} events: {verdict.failed} refused, {lost} without an answer"
    yield _bar(verdict.p99_ms < P99_MS), f"99 of 100 within {verdict.p99_ms:.1f} ms; the bar is {P99_MS:g} ms"
    grown = f"memory grew by {verdict.late_bytes:.0f} bytes for each event at last; the bar is {FLAT:g}"
    if total < FULL + ENOUGH:
        yield "skip", f"{grown}, over {ENOUGH} events: fewer are too few to tell"
    else:
        yield _bar(verdict.late_bytes < FLAT), grown


def _bar(held: bool) -> str:
    return "pass" if held else "fail"


def main() -> None:
    """Start a door, load it, judge it."""
    options = argparse.ArgumentParser()
    options.add_argument("--rate", type=float, default=500.0)
    options.add_argument("--seconds", type=float, default=60.0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        doors = Doors(Path(folder))
        try:
            process, url = doors.door("--insecure", "--log", "off")
            host, _, port = url.removeprefix("http://").partition(":")
            verdict = asyncio.run(load(host, int(port), process.pid, given.rate, given.seconds))
        finally:
            doors.close()
    bars = list(judged(verdict, FULL + int(given.rate * given.seconds)))
    for bar, why in bars:
        print(f"{bar}  {why}")  # noqa: T201
    print(" ".join(f"{name}={value:.4g}" for name, value in verdict._asdict().items()))  # noqa: T201
    sys.exit(any(bar == "fail" for bar, _ in bars))


if __name__ == "__main__":
    main()
