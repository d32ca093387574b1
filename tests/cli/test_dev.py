"""`stepwire dev`: a worker that starts again on save, the offline model, every step shown."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.shell import STEPWIRE, Shell, until

from stepwire_handlers.dev.leash import DRAIN, PARTING

FLOW = """
from stepwire import App, Event, handler

class Ask(Event, topic="dev.asks"):
    n: int

class Told(Event, topic="dev.told", result=True):
    n: int

@handler()
async def double(ask: Ask) -> Told:
    return Told(n=ask.n * FACTOR)

app = App("dev", [double])
"""


class Dev:
    """The running command, and what it has shown."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.shown = process, ""
        self._lines: queue.Queue[str] = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self._lines.put(line)
                self.shown += line

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """By default Ctrl-C; the code it ends with."""
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reading.join(20)
        return code

    def shows(self, text: str) -> str:
        """The next line with this text."""
        while text not in (line := self._lines.get(timeout=20)):
            pass
        return line


@pytest.fixture
def dev(shell: Shell) -> Iterator[Callable[..., Dev]]:
    started: list[Dev] = []

    def start(*arguments: str) -> Dev:
        bare = {name: text for name, text in shell.environment.items() if not name.startswith("ANTHROPIC_")}
        process = subprocess.Popen(
            [*STEPWIRE, "dev", *arguments], cwd=shell.folder, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**bare, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        started.append(Dev(process))
        return started[-1]

    yield start
    for each in started:
        each.end()


def told(shell: Shell, app: str, kind: str, **fields: object) -> dict[str, object]:
    """What came of an event, published by another process."""
    done = subprocess.run(
        [*STEPWIRE, "publish", kind, "--app", app, "--json-data", json.dumps(fields), "--wait", "20", "--json"],
        cwd=shell.folder, env=shell.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    result: dict[str, object] = json.loads(done.stdout)["result"]
    return result


@pytest.mark.slow
def test_what_is_saved_runs_next_and_a_broken_save_is_said(shell: Shell, dev: Callable[..., Dev]) -> None:
    """Every step is shown; new code after each save; a mistake waits for the next save; Ctrl-C ends the worker too."""
    flow = shell.folder / "flow.py"
    flow.write_text(FLOW.replace("FACTOR", "2"))
    running = dev("flow:app")
    assert told(shell, "flow:app", "Ask", n=4) == {"type": "Told", "n": 8}
    assert "ok" in running.shows("dev.double")
    flow.write_text("broken(")
    running.shows("cannot be imported: SyntaxError")
    running.shows("the worker ended with code 2; waiting for a change")
    flow.write_text(FLOW.replace("FACTOR", "3"))
    running.shows("starting again")
    assert told(shell, "flow:app", "Ask", n=4) == {"type": "Told", "n": 12}
    assert running.end() == 130
    assert not left_in(shell.folder)


@pytest.fixture
def hangup() -> Iterator[None]:
    """Children take SIGHUP as a terminal's do, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_worker_is_left_however_it_ends(shell: Shell, dev: Callable[..., Dev], number: signal.Signals) -> None:
    """A signal to `stepwire dev` alone, kill -9 too, ends its worker, and with it the lock; it exits as at Ctrl-C."""
    (shell.folder / "flow.py").write_text(FLOW.replace("FACTOR", "2"))
    running = dev("flow:app")
    told(shell, "flow:app", "Ask", n=4)
    assert len(left_in(shell.folder)) == 2
    assert running.end(number) == (-9 if number is signal.SIGKILL else 130)
    until(lambda: not left_in(shell.folder), "the worker's end", 8)


@pytest.mark.slow
def test_a_worker_that_hangs_does_not_outlive_kill_9(shell: Shell, dev: Callable[..., Dev]) -> None:
    """The event loop of the worker stands still, so it drains nothing: it is gone a few seconds later all the same."""
    hangs = FLOW.replace("return Told", 'print("hangs", flush=True)\n    time.sleep(600)\n    return Told')
    (shell.folder / "flow.py").write_text("import time\n" + hangs.replace("FACTOR", "2"))
    running = dev("flow:app")
    subprocess.run(
        [*STEPWIRE, "publish", "Ask", "--app", "flow:app", "--json-data", '{"n": 1}'],
        cwd=shell.folder, env=shell.environment, capture_output=True, check=True,
    )  # fmt: skip
    running.shows("hangs")
    running.end(signal.SIGKILL)
    until(lambda: not left_in(shell.folder), "the worker's end", DRAIN + PARTING + 5)


@pytest.mark.slow
def test_another_worker_with_the_lock_is_said_at_once(shell: Shell, dev: Callable[..., Dev]) -> None:
    """Before its own worker starts, with the file and the cure; and again, marked, by the worker that stands by."""
    (shell.folder / "flow.py").write_text(FLOW.replace("FACTOR", "2"))
    first = dev("flow:app")
    told(shell, "flow:app", "Ask", n=4)
    assert "!!" not in first.shown
    second = dev("flow:app")
    said = second.shows("!!")
    assert f"another worker has the lock of {shell.path} for double: what you write here does NOT run" in said
    assert "--bus sqlite:///" in said
    assert "!!" in second.shows("standby for double")
    first.end()
    second.shows("took over double")


def left_in(folder: Path) -> list[Path]:
    return [process for process in Path("/proc").glob("[0-9]*") if works_in(process, folder)]


def works_in(process: Path, folder: Path) -> bool:
    """Does this process have that folder as its own?"""
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False


@pytest.mark.slow
def test_without_a_key_models_are_asked_at_the_offline_model(shell: Shell, dev: Callable[..., Dev]) -> None:
    """A shipped flow answers, labelled, with no key and no network."""
    app = "stepwire_handlers.flows.support:app"
    running = dev(app)
    running.shows("no ANTHROPIC_API_KEY: models are asked at the offline model, http://127.0.0.1:")
    answered = told(shell, app, "TicketOpened", customer="Dev", body="The installation stops with an error.")
    assert answered["type"] == "Answered"
    assert "offline-model" in running.shows("support.triage")
