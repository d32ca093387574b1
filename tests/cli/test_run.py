"""`stepwire run` and the command as a whole: processes, signals, and how fast help is."""

from __future__ import annotations

import json
import logging
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.shell import APP, STEPWIRE, Shell, ended, until


def held(shell: Shell, name: str = "hold") -> str:
    """Publish an order whose call lasts until the file is there; the run."""
    data = json.dumps({"n": 1, "hold": str(shell.folder / name)})
    return shell("publish", "Order", "--json-data", data, "--id", name).out.strip()


def states(shell: Shell) -> dict[str, str]:
    return {run["run"]: run["state"] for run in shell("runs", "list", "--json", schema="runs-list").data}


def test_sigterm_drains_and_a_second_one_ends_it_at_once(shell: Shell) -> None:
    """The first lets the call finish and commits, exit 0; the second cuts off, exit 130, and it runs again."""
    worker, run = shell.begin("run", APP), held(shell)
    until((shell.folder / "hold.begun").exists, "the call")
    worker.send_signal(signal.SIGTERM)
    (shell.folder / "hold").touch()
    ended(worker)
    assert [step["outcome"] for step in shell.seen(run)["steps"]][:2] == ["published", "emitted"]

    again, other = shell.begin("run", APP), held(shell, "other")
    until((shell.folder / "other.begun").exists, "the other call")
    again.send_signal(signal.SIGINT)
    again.send_signal(signal.SIGTERM)
    assert "cut off" in ended(again, 130).err
    assert shell.seen(other)["state"] == "running"
    (shell.folder / "other").touch()
    shell.work()
    assert set(states(shell).values()) == {"completed"}


def test_a_second_worker_says_that_it_stands_by_and_takes_over_after_kill_9(shell: Shell) -> None:
    """One line when another has the lock, one when it takes over; what the dead one ran is run again."""
    first, run = shell.begin("run", APP), held(shell)
    until((shell.folder / "hold.begun").exists, "the call")
    second = shell.begin("run", APP)
    assert second.stderr is not None
    lines = iter(second.stderr.readline, "")
    assert any("standby for approve, ask, charge, check" in line for line in lines)
    first.kill()
    (shell.folder / "hold").touch()
    assert any("took over" in line for line in lines)
    said = shell("runs", "watch", run, "--timeout", "20")
    assert said.out.rstrip().endswith("completed")
    second.send_signal(signal.SIGTERM)
    ended(second)


def test_a_worker_says_once_what_it_runs_and_where_and_that_it_ends(shell: Shell) -> None:
    """A line of the structured log when it has started: app, the handlers it runs, bus; two when it is told to end."""
    worker = shell.begin("run", APP, "--only", "check, read", "--log", "json")
    assert worker.stderr is not None
    warning, line = json.loads(worker.stderr.readline()), json.loads(worker.stderr.readline())
    assert ("decisions are not signed" in warning["event"], warning["level"]) == (True, "warning")
    assert (line.pop("event"), line.pop("level"), line.pop("app")) == ("started", "info", "market")
    assert sorted(line.pop("handlers")) == ["check", "read"]
    assert line.pop("bus") == f"sqlite:///{shell.path}"
    assert line.keys() == {"time"}
    worker.send_signal(signal.SIGTERM)
    stopping, stopped = (json.loads(line) for line in ended(worker).err.splitlines())
    assert (stopping["event"], stopping["app"], stopping["calls"], stopping["drain"]) == ("stopping", "market", 0, 75.0)
    assert stopped["event"] == "stopped" and stopped["seconds"] < 60


def test_the_bus_in_that_line_shows_no_password(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    """An address with a user and a password is masked."""
    from market import app  # type: ignore[import-not-found]  # as the commands import it

    from stepwire.bus.local import LocalBus
    from stepwire.worker import Worker
    from stepwire_handlers.cli.run import _say_started

    monkeypatch.setattr(logging.getLogger("stepwire"), "propagate", True)
    with caplog.at_level("INFO", "stepwire"):
        _say_started(Worker(app, LocalBus(":memory:")), "kafka://ann:hunter2@broker:9092")
    # a log that another test left open passes the record on a second time
    assert {record.__dict__["fields"]["bus"] for record in caplog.records} == {"kafka://***@broker:9092"}


def test_only_runs_the_handlers_that_are_named(shell: Shell) -> None:
    """A worker of some handlers leaves the others' events to another one."""
    run = shell.order(1)
    worker = shell.begin("run", APP, "--only", "check, read")
    until(lambda: len(shell.seen(run)["events"]) == 2, "the check")
    worker.send_signal(signal.SIGTERM)
    ended(worker)
    assert [item["handler"] for item in shell.seen(run)["open"]] == ["finish"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--only", "chekc"], 2, "did you mean check?"),
        (["--only", ","], 2, "names no handler"),
        (["--bus", "kafka://x"], 2, "names no brokers"),
        (["--bus", "sqlite:////proc/nowhere/bus.db"], 1, "cannot open"),
    ],
)
def test_a_worker_that_cannot_start_says_why(shell: Shell, arguments: list[str], code: int, says: str) -> None:
    """One message and a code; nothing was consumed."""
    said = ended(shell.begin("run", APP, *arguments), code)
    assert says in said.err


def test_a_damaged_file_ends_the_worker_with_the_cure(shell: Shell) -> None:
    """Exit 1 and the command that recovers what is readable."""
    shell.path.write_bytes(b"no database at all, a letter " * 400)
    assert ".recover" in ended(shell.begin("run", APP), 1).err


def test_configured_limits_go_before_the_app_s_own(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """STEPWIRE_WORKER__… overrides what App(settings=…) says; what is not configured stays as the app says it."""
    from stepwire_handlers.cli.target import target

    code = "from market import *\nfrom stepwire import Settings\napp.settings = Settings(drain=70, keep=9)\n"
    (shell.folder / "tuned.py").write_text(code)
    monkeypatch.syspath_prepend(str(shell.folder))
    monkeypatch.setenv("STEPWIRE_WORKER__DRAIN", "5")
    app, _ = target("tuned:app", None)
    assert (app.settings.drain, app.settings.keep) == (5, 9)


def test_help_is_fast_and_brings_no_client() -> None:
    """Under 0.4 s of work, and no library of a model, a tool or a server, nor the kernel, is imported."""
    code = (
        "import sys; sys.argv = ['stepwire', '--help']\n"
        "from stepwire_handlers.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('\\nMODULES', *sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = out.partition("MODULES")[2].split()
    assert not {"anthropic", "mcp", "starlette", "pydantic", "asyncio", "stepwire.app"} & set(modules)
    assert min(seconds_of([*STEPWIRE, "--help"]) for _ in range(5)) < 0.4


def seconds_of(command: list[str]) -> float:
    """Processor time of a command: what others do on the machine does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_command_that_is_not_installed_does_not_break_the_others(tmp_path: Path) -> None:
    """A missing module is not offered; the rest works. A module that is there but broken is not hidden."""
    code = (
        "import sys\n"
        "from stepwire_handlers.cli import main\n"
        "main.COMMANDS['gone'] = 'not_installed'\n"
        "from typer.testing import CliRunner\n"
        "print(CliRunner().invoke(main.build(), ['--help']).stdout)\n"
        "sys.modules['watchfiles'] = None\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "publish" in out
    assert "gone" not in out


def test_nothing_of_a_worker_is_needed_to_look(shell: Shell) -> None:
    """Looking makes no file: without one, it is said where one was looked for."""
    for arguments in (["runs", "list"], ["gates", "list"], ["dlq", "list"], ["dlq", "replay", "--all"]):
        assert str(shell.path) in shell(*arguments, code=2).err
    assert list(Path(shell.folder).iterdir()) == []
