"""`make operate`: everything a person operates, on this machine: bus, workers, door, console, Prometheus.

In: Java or Docker if Kafka is wanted, curl, Prometheus (fetched where there is apt). Out, on stdout: what became of a
PDF that curl uploads, the console's address, ten queries and their values. Promise: it listens on 127.0.0.1 only; after
that, on Ctrl-C and on SIGTERM no process, topic or folder is left. With STAY=1 it stays until one of these. Exit
code 1, and one line that says why, if something is missing or the invoice does not come through.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.brokers.cluster import free_ports
from tests.brokers.node import BrokerFailed
from tests.helm.tools import NotHere, prometheus
from tests.operate.crew import Crew, Failed
from tests.operate.place import Place, open_place
from tests.operate.prometheus import command, values_after
from tests.operate.queries import QUERIES

from stepwire.errors import StepwireError
from stepwire_handlers.demo.surroundings import surroundings
from stepwire_handlers.flows.invoices.samples import generate
from stepwire_handlers.standins import database

APP = "stepwire_handlers.flows.invoices:app"
STEPWIRE = (sys.executable, "-m", "stepwire_handlers.cli.main")
SEED = 7
WAIT_SECONDS = 60  #: as long as the door holds a request
RUN_SECONDS = 150  #: for the run, on a busy machine; it takes about five


def main() -> int:
    """Run it; the exit code."""
    # like Ctrl-C, also where a shell started this in the background and had it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    for name in [name for name in os.environ if name.startswith("STEPWIRE_") and name != "STEPWIRE_TEST_KAFKA"]:
        del os.environ[name]  # another deployment's
    try:
        with ExitStack() as stack:
            if not shutil.which("curl"):
                raise NotHere("no curl on the PATH: install curl")
            watcher = prometheus()
            made = tempfile.TemporaryDirectory(prefix="stepwire-operate-", ignore_cleanup_errors=True)
            home = Path(stack.enter_context(made))
            asyncio.run(_operate(home, open_place(stack, home), watcher))
        _say("stopped; nothing is left")
    except (NotHere, Failed, BrokerFailed, ConnectionError, StepwireError) as wrong:
        sys.stderr.write(f"make operate: {wrong}\n")
        return 1
    except KeyboardInterrupt:
        _say("stopped; nothing is left")
    return 0


async def _operate(home: Path, place: Place, watcher: Path) -> None:
    os.environ |= {"STEPWIRE_BUS": place.url, "STEPWIRE_PREFIX": place.prefix, "STEPWIRE_BLOBS": str(home / "blobs")}
    async with AsyncExitStack() as stack:
        stack.callback(_end_database, home / "postgres")
        _say(f"invoices on {place.url}, asking {await stack.enter_async_context(surroundings('invoices', home))}")
        crew = Crew(home)
        stack.callback(crew.close)
        door, watching, processes = await _start(crew, home, place, watcher)
        _show_run(_upload(door, home))
        values = await values_after(watching, time.time(), processes)
        _say(f"\nPrometheus: {watching}")
        for query, value in zip(QUERIES, values, strict=True):
            _say(f"  {query.asks:28} {value:10.6g}   {query.expression}")
        if os.environ.get("STAY") == "1":
            _say("\nit stays until Ctrl-C")
            await asyncio.Event().wait()


async def _start(crew: Crew, home: Path, place: Place, watcher: Path) -> tuple[str, str, int]:
    """The addresses of the door and of Prometheus, and how many processes it watches."""
    door, probes, pages, more, watching, *workers = free_ports(5 + place.workers)
    if place.is_kafka:
        _run([*STEPWIRE, "topics", "apply", APP], home)
    members = {
        port: crew.start(f"worker-{number}", [*STEPWIRE, "run", APP, "--log", "json", "--http-port", str(port)])
        for number, port in enumerate(workers, 1)
    }
    members[probes] = crew.start("door", _server("door", door, probes))
    targets = {"worker": workers, "door": [probes]}
    if has_console := find_spec("stepwire_handlers.cli.console") is not None:
        members[more] = crew.start("console", _server("console", pages, more))
        targets["console"] = [more]
    watched = crew.start("prometheus", command(watcher, home, watching, targets))
    for port, member in members.items():
        await crew.answers(member, f"http://127.0.0.1:{port}/readyz")
    await crew.answers(watched, f"http://127.0.0.1:{watching}/-/ready")
    _say(f"{place.workers} worker{'s' * (place.workers > 1)}, door: http://127.0.0.1:{door}")
    _say(f"console: http://127.0.0.1:{pages}" if has_console else "console: not in this release")
    return f"http://127.0.0.1:{door}", f"http://127.0.0.1:{watching}", len(members)


def _server(command: str, port: int, probes: int) -> list[str]:
    """The door or the console; both are on this machine only and ask nobody who they are."""
    return [*STEPWIRE, command, APP, "--insecure", "--port", str(port), "--http-port", str(probes)]


def _upload(door: str, home: Path) -> dict[str, Any]:
    """What the door says of a PDF whose amount needs no person. Raises Failed."""
    samples = generate(home / "inbox", SEED)
    paper = home / "inbox" / next(sample.file for sample in samples if sample.outcome == "drafted")
    wanted = f"Prefer: wait={WAIT_SECONDS}"
    words = ["curl", "-sS", "--fail-with-body", f"{door}/apps/invoices/InvoiceReceived",
             "-H", "Content-Type: application/pdf", "-H", wanted, "--data-binary", f"@{paper}"]  # fmt: skip
    _say(f"\n$ {shlex.join(words)}")
    end = time.monotonic() + RUN_SECONDS
    run: dict[str, Any] = json.loads(_run(words, home))
    follow = ["curl", "-sS", "--fail-with-body", f"{door}{run['url']}", "-H", wanted]
    while run["state"] == "running" and time.monotonic() < end:
        run = json.loads(_run(follow, home))
    return run


def _show_run(run: dict[str, Any]) -> None:
    """Raises Failed if the run has no result."""
    if run.get("result") is None:
        raise Failed(f"the invoice has no result: {json.dumps(run)[:800]}")
    _say(json.dumps({name: run[name] for name in ("run", "state", "result")}, indent=2))


def _run(words: Sequence[str], home: Path) -> str:
    done = subprocess.run(words, cwd=home, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode:
        raise Failed(f"{shlex.join(words)} ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-800:]}")
    return done.stdout


def _end_database(folder: Path) -> None:
    if folder.exists():
        database.stop(folder)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
