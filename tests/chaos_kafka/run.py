"""`make chaos BUS=kafka`: 100,000 events, three brokers, four workers, and everything that goes wrong.

In: numbers as flags. Out: each fault with its time, and the verdict as the last line.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.brokers.cluster import start_cluster
from tests.chaos_kafka.faults import MORE, OTHERS
from tests.chaos_kafka.trial import Plan, Trial, bad, last_line
from tests.chaos_kafka.worker import BROKEN

MEANT = 3 / 4  #: of the kills so many must fall into calls, or it proves too little


def clock() -> Callable[[str], None]:
    """Prints a line with the seconds since now before it."""
    begun = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - begun:7.2f} s {text}\n")
        sys.stdout.flush()

    return say


def chaos(home: Path, nodes: int, plan: Plan, say: Callable[[str], None]) -> dict[str, int]:
    """One chaos run on a cluster of its own."""
    with start_cluster(home, nodes) as cluster:
        return asyncio.run(Trial(cluster, home, plan, say).run(home))


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """What the person asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run --bus kafka", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=100.0, help="events published a second")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two kills, about")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--brokers", type=int, default=3, choices=[1, 3])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--faults", nargs="*", default=list(OTHERS), choices=[*OTHERS, *MORE], help="besides the kills, in turn"
    )
    parser.add_argument("--broken", default="no", choices=BROKEN, help="a commit that the verdict must find bad")
    parser.add_argument("--keep", type=Path, help="a folder that does not exist yet, to look at afterwards")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """The command."""
    told = options(arguments)
    sys.stdout.write(f"seed {told.seed}\n")
    plan = Plan(
        events=told.events, rate=told.rate, workers=told.workers, kills=told.kills, every=told.every, seed=told.seed,
        others=tuple(told.faults), broken=told.broken,
    )  # fmt: skip
    with TemporaryDirectory() as temporary:
        home = (told.keep or Path(temporary) / "chaos").absolute()
        home.mkdir(parents=True)
        counts = chaos(home, told.brokers, plan, clock())
    wrong = bad(counts)
    if counts["kills_in_flight"] < counts["kills"] * MEANT:
        wrong["kills_in_flight"] = counts["kills_in_flight"]
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in counts.items()) + "\n")
    if wrong:
        sys.stdout.write("FAILED: " + " ".join(f"{name}={count}" for name, count in wrong.items()) + "\n")
    sys.stdout.write(last_line(counts) + "\n")
    return 1 if wrong else 0
