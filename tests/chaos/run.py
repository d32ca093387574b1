"""kill -9 at random moments, while others publish and decide; then the judge. Started by `make chaos`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos import flow
from tests.chaos.inputs import FLOWS, OURS, inputs
from tests.chaos.judge import BAD, Facts, judge
from tests.chaos.office import Office
from tests.chaos.person import Person, in_flight
from tests.chaos_kafka import run as on_kafka

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire.worker import prepare
from stepwire_handlers.demo.surroundings import surroundings

APPS: dict[str, App] = {**FLOWS, OURS: flow.app}
MODULES = {**{name: f"stepwire_handlers.flows.{name}:app" for name in FLOWS}, OURS: "tests.chaos.flow:app"}
STALLED = 60.0  #: seconds without another end of a run, and it is over
MEANT = 0.9  #: how often a worker with deliveries in flight is chosen
OTHERS = 0.3  #: how often the model or an MCP server is killed too


class Chaos:
    """One run of it in one folder."""

    def __init__(self, folder: Path, seed: int, office: Office, *, quiet: bool) -> None:
        self.folder, self._office, self._quiet = folder, office, quiet
        self._dice = random.Random(seed)
        self._begun = time.monotonic()
        self.counts = {"kills": 0, "kills_in_flight": 0, "kills_of_the_model": 0, "kills_of_tool_servers": 0}

    def say(self, text: str) -> None:
        """One line, with the time."""
        if not self._quiet:
            sys.stdout.write(f"{time.monotonic() - self._begun:7.2f} s {text}\n")
            sys.stdout.flush()

    # -- what happens meanwhile

    async def publish(self, bus: LocalBus, seed: int, events: int, pace: float) -> None:
        """Publish all, noting each before; some twice, where the flow says that the second is none."""
        with (self.folder / "published.jsonl").open("a") as noted:
            for app, id_, event in await inputs(self.folder, seed, events):
                out, run = APPS[app].record(event, id=id_, source="chaos", now=time.time())
                noted.write(json.dumps({"app": app, "id": id_, "run": run}) + "\n")
                noted.flush()
                twice = app == "invoices" and self._dice.random() < 0.05
                await bus.publish([out] * (2 if twice else 1))
                await asyncio.sleep(self._dice.expovariate(1.0 / pace))
        self.say(f"published {events} and {events // 10}")

    async def decide(self, person: Person) -> None:
        """A person at the gates, while workers die."""
        while True:
            await person.decide()
            await asyncio.sleep(1.0)

    def kill(self) -> None:
        """SIGKILL to one worker; now and then to what it works with, too."""
        path = self.folder / "bus.db"
        busy = [app for app in APPS if in_flight(path, app)]
        app = self._dice.choice(busy if busy and self._dice.random() < MEANT else list(APPS))
        flying = in_flight(path, app)
        self._office.kill_worker(app)
        self.counts["kills"] += 1
        self.counts["kills_in_flight"] += flying
        self.say(f"kill {self.counts['kills']}: {app} (in flight: {'yes' if flying else 'no'})")
        if self._dice.random() < OTHERS:
            self._office.kill_model()
            self.counts["kills_of_the_model"] += 1
            self.say("kill: the offline model")
        if self._dice.random() < OTHERS * 2 and (name := self._office.kill_tool_server(self._dice.randrange(9))):
            self.counts["kills_of_tool_servers"] += 1
            self.say(f"kill: {name}")

    # -- start to end

    async def run(self, bus: LocalBus, seed: int, events: int, kills: int, every: float) -> dict[str, int]:
        """All of it; the verdict before and after a person decides what nobody knows."""
        person = Person(APPS, bus, self.folder, random.Random(seed))
        pace = kills * every / (events * 1.1)
        publishing = asyncio.create_task(self.publish(bus, seed, events, pace))
        deciding = asyncio.create_task(self.decide(person))
        try:
            while self.counts["kills"] < kills:
                await asyncio.sleep(self._dice.uniform(0.3, 1.7) * every)
                for task in (publishing, deciding):
                    if task.done():
                        task.result()
                self.kill()
            await publishing
            await self._rest()
            before = judge(self.folder)
            self.say("before the decisions: " + shown(before))
            while await person.answer():
                await self._rest()
            after = judge(self.folder)
            after["unexplained"] += before["unexplained"]
            after["lost"] += before["lost"]
            after["unknown_before"] = before["unknown"]
            after["open"] = after["published"] - after["completed"] - after["dropped"]
            return {**after, **self.counts, "gates_decided": person.decided, "resolved": person.resolved,
                    "replayed": person.replayed}  # fmt: skip
        finally:
            for task in (publishing, deciding):
                task.cancel()
            await asyncio.gather(publishing, deciding, return_exceptions=True)

    async def _rest(self) -> None:
        """Until every run has ended or waits for a person, or nothing more ends."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < STALLED:
            counts = await asyncio.to_thread(judge, self.folder)
            ended = counts["completed"] + counts["dropped"]
            if not counts["lost"] and not any(in_flight(self.folder / "bus.db", app) for app in APPS):
                return
            if ended != last:
                last, since = ended, time.monotonic()
                self.say(f"ended {ended} of {counts['published']}")
            await asyncio.sleep(1.0 if counts["published"] < 500 else 3.0)


def shown(counts: dict[str, int]) -> str:
    """The counts in one line."""
    return " ".join(f"{name}={count}" for name, count in counts.items())


def bad(counts: dict[str, int]) -> dict[str, int]:
    """What must be zero and is not."""
    return {name: counts[name] for name in (*BAD, "open") if counts[name]}


async def chaos(
    folder: Path, events: int, kills: int, seed: int, *, every: float = 8.0, broken: bool = False, quiet: bool = False
) -> dict[str, int]:  # fmt: skip
    """One chaos run; what the judge says, and what was done to the processes."""
    office = Office(folder, MODULES, broken=broken)
    os.environ |= {
        "ANTHROPIC_BASE_URL": office.model_url, "ANTHROPIC_API_KEY": "offline", "STEPWIRE_BLOBS": str(folder / "blobs"),
    }  # fmt: skip
    office.start_model()
    try:
        async with surroundings("invoices", folder):
            office.wait_for_model()
            slow_down()
            bus = LocalBus(str(folder / "bus.db"))
            await bus.open()
            for name, app in APPS.items():
                await prepare(app, bus, app.settings)
                office.start_worker(name)
            try:
                begun = time.monotonic()
                trial = Chaos(folder, seed, office, quiet=quiet)
                counts = await trial.run(bus, seed, events, kills, every)
                return {**counts, "seconds": int(time.monotonic() - begun)}
            finally:
                await bus.close()
                office.stop()
    finally:
        office.stop()


def slow_down() -> None:
    """The web APIs do at once what they are asked for and answer late, so that kills fall into effects."""
    for api in ("slack", "gmail"):
        url = os.environ["GMAIL_BASE_URL"] + f"/faults?api={api}&times=100000&status=200&stored=true&seconds=0.4"
        urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10).close()  # noqa: S310


def by_flow(folder: Path) -> str:
    """How the runs of each flow ended, as a table."""
    facts = Facts(folder)
    lines = []
    for app in APPS:
        runs = [run for run, name in facts.published.items() if name == app]
        done = sum(run in facts.results for run in runs)
        gone = sum(run in facts.dropped and run not in facts.results for run in runs)
        lines.append(f"{app:10} published {len(runs):5}  completed {done:5}  dropped {gone:3}")
    return "\n".join(lines)


def main() -> int:
    """The command."""
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument("--bus", default="local", choices=["local", "kafka"])
    bus, rest = which.parse_known_args()
    if bus.bus == "kafka":  # other faults, so other flags
        return on_kafka.main(rest)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--every", type=float, default=8.0, help="seconds between two kills, about")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--bus", default="local", choices=["local", "kafka"], help="kafka has flags of its own")
    parser.add_argument("--broken", action="store_true", help="commit in the wrong order: the verdict must be bad")
    parser.add_argument("--keep", type=Path, help="a folder that does not exist yet, to look at afterwards")
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    with TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary) / "chaos").absolute()
        folder.mkdir(parents=True)
        counts = asyncio.run(
            chaos(folder, options.events, options.kills, options.seed, every=options.every, broken=options.broken)
        )
        sys.stdout.write(by_flow(folder) + "\n")
    sys.stdout.write(shown(counts) + "\n")
    wrong = bad(counts)
    if counts["kills_in_flight"] < counts["kills"] * 2 // 3:
        wrong["kills_in_flight"] = counts["kills_in_flight"]  # it proves too little
    sys.stdout.write(f"FAILED: {shown(wrong)}\n" if wrong else "nothing lost, nothing twice\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
