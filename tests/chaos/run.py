"""kill -9 at random moments, while others publish and decide; then the judge. Started by `make chaos`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.flow import Ticket, app
from tests.chaos.judge import judge

from stepwire.bus.local import LocalBus
from stepwire.worker import prepare
from stepwire_handlers.services.gates import Gates

ROOT = Path(__file__).parents[2]


class Chaos:
    """One run of it in one folder."""

    def __init__(self, folder: Path, seed: int, *, broken: bool, quiet: bool) -> None:
        self.folder, self.path = folder, folder / "bus.db"
        self._random, self._broken, self._quiet = random.Random(seed), broken, quiet
        self._workers: list[subprocess.Popen[str]] = []
        self.kills = self.in_flight = 0
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """One line, with the time."""
        if not self._quiet:
            sys.stdout.write(f"{time.monotonic() - self._begun:7.2f} s {text}\n")

    def start(self) -> None:
        """A worker, or a standby."""
        environment = {**os.environ, "CHAOS_FOLDER": str(self.folder), "PYTHONPATH": str(ROOT)}
        if self._broken:
            environment["CHAOS_BROKEN"] = "1"
        self._workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker", str(self.path)], env=environment, cwd=ROOT,
                stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip

    def unfinished(self) -> int:
        """Records that no group has finished: what is in flight, seen from outside."""
        database = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)
        try:
            (behind,) = database.execute(
                "SELECT coalesce(sum(e.n - p.watermark), 0) FROM progress p JOIN (SELECT pos >> 44 AS topic, "
                "(pos >> 36) & 255 AS part, max(pos & ((1 << 36) - 1)) + 1 AS n FROM events GROUP BY 1, 2) e "
                "ON e.topic = p.topic AND e.part = p.part WHERE e.n > p.watermark"
            ).fetchone()
        except sqlite3.Error:
            behind = 0
        database.close()
        return int(behind)

    async def kill_one(self) -> None:
        """SIGKILL to the oldest worker; a standby takes over, a new one starts."""
        victim = self._workers.pop(0)
        flying = self.unfinished() > 0
        victim.kill()
        victim.wait()
        assert victim.stdout is not None
        victim.stdout.close()
        self.kills += 1
        self.in_flight += flying
        self.say(f"kill {self.kills} (in flight: {'yes' if flying else 'no'})")
        self.start()

    async def publish(self, bus: LocalBus, events: int) -> None:
        """Publish all, noting each before: what is not noted was not promised."""
        with (self.folder / "published.jsonl").open("a") as noted:
            for n in range(events):
                out, run = app.record(Ticket(n=n), id=f"t{n}", source="chaos", now=time.time())
                noted.write(json.dumps({"n": n, "run": run}) + "\n")
                noted.flush()
                await bus.publish([out])
                await asyncio.sleep(self._random.expovariate(400))

    async def decide(self, bus: LocalBus) -> None:
        """A person who approves whatever is asked, while workers die."""
        while True:
            bus.log.refresh()
            gates = Gates(app, bus)
            for waiting in gates.open():
                if waiting.kind == "gate":
                    await gates.decide(waiting, approved=True, by="chaos", why="", edited=None, key="")
            await asyncio.sleep(0.3)

    async def run(self, events: int, kills: int, limit: float) -> dict[str, int]:
        """All of it; the verdict before a person decides what is unknown."""
        bus = LocalBus(str(self.path))
        await bus.open()
        await prepare(app, bus, app.settings)
        self.start()
        self.start()
        publishing, deciding = asyncio.create_task(self.publish(bus, events)), asyncio.create_task(self.decide(bus))
        try:
            while self.kills < kills:
                await asyncio.sleep(self._random.uniform(0.2, 0.9))
                await self.kill_one()
            await publishing
            await self._settle(events, limit)
            return judge(self.folder)
        finally:
            for task in (publishing, deciding):
                task.cancel()
            await asyncio.gather(publishing, deciding, return_exceptions=True)
            await self._resolve(bus)
            await bus.close()
            self.stop()

    async def _settle(self, events: int, limit: float) -> None:
        """Until every run has ended or waits for a person, or time is up."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            counts = judge(self.folder)
            if counts["completed"] + counts["unknown"] >= events:
                return
            await asyncio.sleep(0.3)

    async def _resolve(self, bus: LocalBus) -> None:
        """A person says of every unknown outcome that it happened."""
        bus.log.refresh()
        gates = Gates(app, bus)
        for waiting in gates.open():
            if waiting.kind == "unknown outcome" and waiting.event is not None:
                data = json.dumps({"n": waiting.event.n})  # type: ignore[attr-defined]
                await gates.resolve(waiting, "done", by="chaos", kind="Sent", data=data)
        end = time.monotonic() + 10
        while gates.open() and time.monotonic() < end:
            await asyncio.sleep(0.1)

    def stop(self) -> None:
        """End the workers that we started."""
        for worker in self._workers:
            worker.kill()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()


async def chaos(
    folder: Path, events: int, kills: int, seed: int, *, broken: bool = False, quiet: bool = False
) -> dict[str, int]:  # fmt: skip
    """One chaos run; the judge's counts, with what was done to the workers, and what was left after the decisions."""
    begun = time.monotonic()
    trial = Chaos(folder, seed, broken=broken, quiet=quiet)
    before = await trial.run(events, kills, limit=60.0)
    after = judge(folder)
    return {
        **before, "hung": events - after["completed"], "kills": trial.kills, "in_flight_kills": trial.in_flight,
        "seconds": int(time.monotonic() - begun),
    }  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--bus", default="local", choices=["local"])
    parser.add_argument("--broken", action="store_true", help="commit in the wrong order: the verdict must be bad")
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    with TemporaryDirectory() as folder:
        counts = asyncio.run(chaos(Path(folder), options.events, options.kills, options.seed, broken=options.broken))
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in counts.items()) + "\n")
    return 1 if any(counts[name] for name in ("lost", "duplicated", "effects_twice", "hung", "unexplained")) else 0


if __name__ == "__main__":
    sys.exit(main())
