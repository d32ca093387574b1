"""The command line as its users meet it: real processes, a worker in one, the commands in others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STEPWIRE = [sys.executable, "-m", "stepwire_handlers.cli.main"]
APP = ["--app", "shop:app"]


def stepwire(folder: Path, *arguments: str, code: int = 0, timeout: float = 30) -> str:
    """Run a command; its stdout. stderr must never hold a traceback."""
    done = subprocess.run(
        [*STEPWIRE, *arguments],
        cwd=HERE,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout if code in (0, 3, 4) else done.stderr


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPWIRE_")}
    return {**kept, "STEPWIRE_BUS": f"sqlite:///{folder / 'bus.db'}", "STEPWIRE_BLOBS": str(folder / "blobs")}


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A worker."""
    return subprocess.Popen([*STEPWIRE, "run", "shop:app", "--log", "off"], cwd=HERE, env=environment(folder))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(tmp_path)
    yield process
    process.kill()
    process.wait()


def publish(folder: Path, data: dict[str, object], *more: str, code: int = 0) -> dict[str, object]:
    out = stepwire(
        folder, "publish", "Order", *APP, "--json-data", json.dumps(data), "--wait", "--json", *more, code=code
    )
    found: dict[str, object] = json.loads(out)
    return found


@pytest.mark.usefixtures("worker")
def test_publish_and_wait_gives_the_result(tmp_path: Path) -> None:
    """A run that completes: exit 0 and its result; the same id again is the same run, published once."""
    first = publish(tmp_path, {"n": 7}, "--id", "a")
    assert first["state"] == "completed"
    assert first["result"] == {"type": "Done", "n": 7}
    assert publish(tmp_path, {"n": 7}, "--id", "a")["run"] == first["run"]
    runs = json.loads(stepwire(tmp_path, "runs", "list", *APP, "--json"))
    assert [run["run"] for run in runs] == [first["run"]]
    assert "Done" in stepwire(tmp_path, "runs", "show", str(first["run"])[:8], *APP)


@pytest.mark.usefixtures("worker")
def test_a_gate_waits_with_exit_3_and_is_decided(tmp_path: Path) -> None:
    """A run that waits for a person: exit 3; the decision, with an edit, completes it."""
    waiting = publish(tmp_path, {"n": 500}, "--id", "b", code=3)
    assert waiting["state"] == "waiting"
    (gate,) = json.loads(stepwire(tmp_path, "gates", "list", *APP, "--json"))
    assert gate["event"] == {"n": 500}
    stepwire(tmp_path, "gates", "decide", gate["id"][:10], "--approve", "--edit", '{"n": 60}', *APP)
    assert publish(tmp_path, {"n": 500}, "--id", "b")["result"] == {"type": "Done", "n": 60}
    assert json.loads(stepwire(tmp_path, "gates", "list", *APP, "--json")) == []


@pytest.mark.usefixtures("worker")
def test_a_dead_letter_is_exit_4_and_a_replay_heals_the_run(tmp_path: Path) -> None:
    """A delivery that failed for good: exit 4, its cause to read, an edited replay completes the run."""
    failed = publish(tmp_path, {"n": -1}, "--id", "c", code=4)
    assert failed["dead_letter"]["message"] == "a negative order"  # type: ignore[index]
    (letter,) = json.loads(stepwire(tmp_path, "dlq", "list", *APP, "--json"))
    assert "Reject" in stepwire(tmp_path, "dlq", "show", letter["id"][:10], *APP)
    assert json.loads(stepwire(tmp_path, "dlq", "stats", *APP, "--json"))[0]["count"] == 1
    stepwire(tmp_path, "dlq", "replay", letter["id"][:10], "--edit", '{"n": 3}', *APP)
    assert publish(tmp_path, {"n": -1}, "--id", "c")["result"] == {"type": "Done", "n": 3}
    assert json.loads(stepwire(tmp_path, "dlq", "list", *APP, "--json")) == []


def test_what_is_published_without_a_worker_is_done_by_the_next_one(tmp_path: Path) -> None:
    """Nothing published before the first worker is lost."""
    run = stepwire(tmp_path, "publish", "Order", *APP, "--json-data", '{"n": 1}', "--id", "d").strip()
    process = start(tmp_path)
    try:
        assert publish(tmp_path, {"n": 1}, "--id", "d")["run"] == run
    finally:
        process.kill()
        process.wait()


def test_sigterm_lets_a_call_finish(tmp_path: Path) -> None:
    """The drain: what runs is finished and committed, the exit code is 0, and nothing runs twice."""
    process = start(tmp_path)
    stepwire(tmp_path, "publish", "Order", *APP, "--json-data", '{"n": 1, "slow": 1.5}', "--id", "e")
    time.sleep(0.7)  # the call is under way; if it were not, the next worker would do it and the test still hold
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    again = start(tmp_path)
    try:
        assert publish(tmp_path, {"n": 1, "slow": 1.5}, "--id", "e")["state"] == "completed"
    finally:
        again.kill()
        again.wait()


def test_a_projects_folder_is_no_package(tmp_path: Path) -> None:
    """Who stands one folder too high is told so."""
    (tmp_path / "acme").mkdir()
    said = stepwire(tmp_path, "--directory", str(tmp_path), "graph", "acme.orders:app", code=2)
    assert "start in it (stepwire --directory acme …)" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["publish", "Nothing", "--app", "shop:app"], "begin with Order"),
        (["publish", "Order", "--app", "nowhere:app"], "start in the project's folder or name it"),
        (["graph", "stepwire.nowhere:app"], "stepwire has no module 'nowhere'; write MODULE:app"),
        (["--directory", "nowhere", "config"], "nowhere: No such file or directory"),
        (["publish", "Order", "--app", "shop:missing"], "has no 'missing'"),
        (["publish", "Order", "--app", "shop:app", "--json-data", "{"], "no JSON"),
        (["publish", "Order", "--app", "shop:app", "--json-data", '{"n": "x"}'], "n: "),
        (["publish", "Order", "--app", "shop:app", "--attach", "pdf=nowhere.pdf"], "exists"),
        (["runs", "list", "--app", "shop:app", "--bus", "kafka://x"], "names no brokers"),
        (["demo", "nothing"], "there are invoices"),
        (["gates", "decide", "x", "--app", "shop:app"], "exactly one"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    """What is wrong, where, and what to do; never a traceback."""
    assert says in stepwire(tmp_path, *arguments, code=2)


def test_a_project_is_reached_from_anywhere(tmp_path: Path) -> None:
    """--directory DIR: its modules, its stepwire.toml and what that names, as if started there."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "stepwire.toml").write_text('bus = "sqlite:///mine.db"\n')
    (tmp_path / "project" / "yard.py").write_text((HERE / "yard.py").read_text())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPWIRE_", "PYTHONPATH"))}
    for flag in ("--directory", "-C"):
        subprocess.run(
            [*STEPWIRE, flag, "project", "topics", "apply", "yard:before"], cwd=tmp_path, env=kept, check=True
        )
    assert (tmp_path / "project" / "mine.db").exists()


def test_a_damaged_file_is_said_so(tmp_path: Path) -> None:
    """A corrupt bus: exit 1, with the command that recovers what can be read."""
    (tmp_path / "bus.db").write_bytes(b"no database at all, a letter " * 400)
    assert ".recover" in stepwire(tmp_path, "runs", "list", *APP, code=1)


def test_the_graph_is_drawn_from_the_signatures(tmp_path: Path) -> None:
    """Mermaid and text."""
    assert 'step_check -- "Big" --> step_approve' in stepwire(tmp_path, "graph", "shop:app")
    assert "Big → Checked | end (a person decides)" in stepwire(tmp_path, "graph", "shop:app", "--format", "text")


def test_config_says_what_holds_and_why_and_masks_secrets(tmp_path: Path) -> None:
    """The effective values with their sources; a secret shows itself as stars."""
    done = subprocess.run(
        [*STEPWIRE, "config", "--json"],
        env={**environment(tmp_path), "STEPWIRE_DECISION_KEY": "hunter2"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hunter2" not in done.stdout
    values = json.loads(done.stdout)
    assert values["bus"]["source"] == "environment STEPWIRE_BUS"
    assert values["durability"] == {"value": "process", "source": "default"}


def test_topics_are_planned_and_applied(tmp_path: Path) -> None:
    """What an app needs, before and after it is there."""
    planned = json.loads(stepwire(tmp_path, "topics", "plan", "shop:app", "--json"))
    assert not any(topic["exists"] for topic in planned)
    stepwire(tmp_path, "topics", "apply", "shop:app")
    assert all(topic["exists"] for topic in json.loads(stepwire(tmp_path, "topics", "plan", "shop:app", "--json")))


def test_help_is_fast_and_brings_no_client() -> None:
    """`stepwire --help` imports neither a model's nor a tool's library, nor the kernel."""
    code = (
        "import sys; sys.argv = ['stepwire', '--help']\n"
        "from stepwire_handlers.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('\\nMODULES', *sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = out.partition("MODULES")[2].split()
    assert not {"anthropic", "mcp", "starlette", "stepwire.app"} & set(modules)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_new_project_passes_its_own_test(tmp_path: Path) -> None:
    """`stepwire new acme && cd acme && make test`; what its README starts is installed then."""
    subprocess.run([*STEPWIRE, "new", "acme"], cwd=tmp_path, check=True, capture_output=True)
    source = str(HERE.parents[1])
    done = subprocess.run(
        ["make", "test"], cwd=tmp_path / "acme", env={**os.environ, "STEPWIRE_SOURCE": source}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    for command in ("door", "console"):
        words = [".venv/bin/stepwire", command, "acme.flow:app"]
        said = subprocess.run(words, cwd=tmp_path / "acme", capture_output=True, text=True, check=False)
        assert "nobody may come in yet" in said.stderr, said.stderr  # nothing lacks but the keys
