"""The load: so many runs at once, each started when the one before it ended (a closed loop).

In: a function that does one run and returns when its result is there. Out: a `Sample`, and one line of JSON
for the harness. Every script uses this one, ours and the peers', so that all are timed alike; it imports
nothing but the standard library, because the peers have a Python environment of their own.
Times are seconds unless a name says ms.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

WARM_UP = 0.5  #: seconds of the same load, thrown away: imports, caches, the first pages of the file
KIBIBYTE = "y" * 1024  #: the chain's payload; its content costs no engine less than any other
ITEM = "z" * 256  #: one item of a scatter


@dataclass(frozen=True, slots=True)
class Sample:
    """What one load came to."""

    latencies: Sequence[float]  #: seconds of each run, at least one
    seconds: float  #: from the first start to the last end
    cpu_seconds: float  #: of this process in that time

    def figures(self) -> dict[str, float]:
        """The sample as the fields of a line."""
        runs = len(self.latencies)
        return {
            "runs": runs,
            "seconds": round(self.seconds, 4),
            "runs_per_s": round(runs / self.seconds, 2),
            "p50_ms": round(percentile(self.latencies, 0.50) * 1e3, 4),
            "p99_ms": round(percentile(self.latencies, 0.99) * 1e3, 4),
            "cpu_ms_per_run": round(self.cpu_seconds / runs * 1e3, 4),
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank).

    Raises ValueError when there are none.
    """
    if not values:
        raise ValueError("no run ended: there is nothing to take a percentile of")
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


async def closed_loop(one: Callable[[], Awaitable[object]], *, at_once: int, seconds: float) -> Sample:
    """Await `one` again and again, `at_once` side by side; none is started after `seconds`."""
    latencies: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()

    async def client() -> None:
        while (start := time.perf_counter()) < began + seconds:
            await one()
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*[client() for _ in range(at_once)])
    return Sample(latencies, time.perf_counter() - began, time.process_time() - cpu)


def closed_loop_in_threads(one: Callable[[], object], *, at_once: int, seconds: float) -> Sample:
    """As `closed_loop`, for a blocking `one`; a single client needs no thread and gets none."""
    latencies: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()

    def client() -> None:
        while (start := time.perf_counter()) < began + seconds:
            one()
            latencies.append(time.perf_counter() - start)

    if at_once == 1:
        client()
    else:
        with ThreadPoolExecutor(at_once) as threads:
            for ended in [threads.submit(client) for _ in range(at_once)]:
                ended.result()
    return Sample(latencies, time.perf_counter() - began, time.process_time() - cpu)


def report(peer: str, version: str, pattern: str, keeps: str, figures: dict[str, float]) -> None:
    """Print the line that the harness reads; `keeps` says what survives a kill of the process."""
    line = {"peer": peer, "version": version, "pattern": pattern, "keeps": keeps, **figures}
    print(json.dumps(line), flush=True)
