"""`stepwire publish`: what is published, under which id, and what --wait comes to."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cli.shell import APP, HERE, STEPWIRE, Shell, ended, until


def test_without_wait_it_says_the_run_and_exits_0(shell: Shell) -> None:
    """The run's id alone on stdout, and as JSON."""
    run = shell.order(1, "--id", "a")
    assert shell("publish", "Order", "--json-data", '{"n": 1}', "--id", "a", "--json", schema="publish").data == {
        "run": run
    }


def test_what_is_published_before_the_first_worker_is_there_when_one_starts(shell: Shell) -> None:
    """Nothing published is lost: it runs until a worker comes, then it is completed."""
    run = shell.order(1)
    assert shell.seen(run)["state"] == "running"
    shell.work()
    assert shell.seen(run)["result"] == {"type": "Done", "n": 1}


@pytest.mark.parametrize(
    ("n", "code", "state"), [(1, 0, "completed"), (0, 0, "completed"), (500, 3, "waiting"), (-1, 4, "failed")]
)
def test_wait_exits_by_what_the_run_came_to(shell: Shell, n: int, code: int, state: str) -> None:
    """0 completed, with or without a result, 3 a gate, 4 a dead letter."""
    shell.order(n, "--id", "a")
    shell.work()
    arguments = ("publish", "Order", "--json-data", json.dumps({"n": n}), "--id", "a", "--wait", "5", "--json")
    said = shell(*arguments, code=code, schema="publish-wait")
    assert said.data["state"] == state
    assert said.data["result"] == ({"type": "Done", "n": 1} if n == 1 else None)
    assert (said.data["dead_letter"] or {}).get("error") == ("Reject" if n < 0 else None)
    assert ("approve" in said.err) == (n == 500)


def test_the_command_that_wait_prints_for_a_gate_can_be_run(shell: Shell) -> None:
    """It approves as it is printed, on the bus that was named; the other answer is named behind it."""
    shell("publish", "Order", "--json-data", '{"n": 500}', "--id", "a")
    shell.work()
    bus = f"sqlite:///{shell.path}"
    again = ("publish", "Order", "--json-data", '{"n": 500}', "--id", "a", "--wait", "5", "--bus", bus)
    (line,) = [line for line in shell(*again, code=3).err.splitlines() if "gates decide" in line]
    printed, _, other = line.partition("stepwire ")[2].partition(" (")
    assert other == "or --decline)"
    assert printed.endswith(f"--bus {bus}")
    assert shell(*printed.split()).out.endswith("of approve: approved\n")
    shell.work()
    assert shell(*again, "--json").data["result"] == {"type": "Done", "n": 500}


def test_an_unknown_outcome_is_exit_3(shell: Shell) -> None:
    """What an effect at most once came to is a person's to say, like a gate."""
    shell("publish", "Charge", "--json-data", '{"amount": 7}', "--id", "a")
    shell.work()
    said = shell("publish", "Charge", "--json-data", '{"amount": 7}', "--id", "a", "--wait", "5", "--json", code=3)
    assert said.data["state"] == "waiting"
    assert "unknown outcome" in said.err


def test_wait_gives_up_when_time_is_up(shell: Shell) -> None:
    """Exit 5; the run stays, what is open is said, and how to look again."""
    said = shell("publish", "Order", "--json-data", '{"n": 1}', "--wait", "0", code=5)
    assert "state: running" in said.out
    assert "check (running)" in said.err
    assert f"stepwire run {APP}" in said.err


def test_wait_says_when_nobody_takes_the_event(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who forgot the worker learns it after seconds, once, not when the five minutes are up."""
    monkeypatch.setattr("stepwire_handlers.cli.publish.UNTAKEN", 0.0)
    said = shell("publish", "Order", "--json-data", '{"n": 1}', "--wait", "0.1", code=5)
    assert said.err.count(f"no step is done yet; if no worker runs, start one: stepwire run {APP}") == 1


def test_wait_on_a_service_outside_lasts_until_time_is_up(shell: Shell) -> None:
    """A run that waits for an external step goes on by itself, so it does not rest."""
    run = shell("publish", "Wish", "--json-data", '{"what": "tea"}', "--id", "a").out.strip()
    shell.work()
    said = shell("publish", "Wish", "--json-data", '{"what": "tea"}', "--id", "a", "--wait", "0", "--json", code=5)
    assert said.data["state"] == "waiting"
    assert [(item["kind"], item["handler"]) for item in shell.seen(run)["open"]] == [("external", "supplier")]


def test_a_known_identity_is_followed_and_not_published_again(shell: Shell) -> None:
    """The same id and source is one event; with another source it is another."""
    first = shell.order(1, "--id", "a")
    assert shell.order(1, "--id", "a") == first
    assert shell.order(1, "--id", "a", "--source", "elsewhere") != first
    assert len(shell.seen(first)["events"]) == 1


def test_two_events_of_one_run_are_both_published(shell: Shell) -> None:
    """A run named by a field is known as a run before its second event is known as an event."""
    left = shell("publish", "Left", "--json-data", '{"number": "7"}', "--id", "l").out.strip()
    right = shell("publish", "Right", "--json-data", '{"number": "7"}', "--id", "r").out.strip()
    assert left == right
    shell.work()
    assert shell.seen(left)["state"] == "completed"


@pytest.mark.slow
def test_the_same_id_from_eight_shells_is_published_once(shell: Shell) -> None:
    """Looking whether an identity is known and publishing it is one step, whoever else does it."""
    shell.order(1, "--id", "first")
    with ThreadPoolExecutor(8) as pool:
        arguments = ("publish", "Order", "--json-data", '{"n": 1}', "--id", "a")
        runs = {said.out for said in pool.map(ended, [shell.begin(*arguments) for _ in range(8)])}
    assert len(runs) == 1
    with sqlite3.connect(shell.path) as database:
        (count,) = database.execute('SELECT count(*) FROM events WHERE headers LIKE \'%"ce_id":"a"%\'').fetchone()
    database.close()
    assert count == 1


def test_an_attached_file_is_stored_first_and_names_the_event(shell: Shell) -> None:
    """The event carries hash, size and type; the id is the hash, so the same file is the same run."""
    paper = shell.folder / "paper.pdf"
    paper.write_bytes(b"%PDF-1.7 a letter")
    first = shell("publish", "Scan", "--attach", f"paper={paper}").out
    assert shell("publish", "Scan", "--attach", f"paper={paper}").out == first
    shell.work()
    (scan, read) = shell.seen(first.strip())["events"]
    assert scan["event"]["paper"] == {
        "sha256": hashlib.sha256(paper.read_bytes()).hexdigest(), "size": 17, "media_type": "application/pdf",
        "name": "paper.pdf",
    }  # fmt: skip
    assert read["event"] == {"size": 17, "code": "***"}


def test_what_is_sensitive_in_a_result_is_shown_only_if_asked_for(shell: Shell) -> None:
    """As everywhere else; the terminal of whoever waits may be the log of a pipeline."""
    paper = shell.folder / "paper.pdf"
    paper.write_bytes(b"%PDF-1.7 a letter")
    publish = ("publish", "Scan", "--attach", f"paper={paper}", "--json-data", '{"note": "4711-0815"}')
    shell(*publish)
    shell.work()
    shown = shell(*publish, "--wait", "5")
    assert "4711-0815" not in shown.out + shown.err and '"code":"***"' in shown.out
    assert (
        shell(*publish, "--wait", "5", "--raw", "--json", schema="publish-wait").data["result"]["code"] == "4711-0815"
    )
    assert "--raw needs the bus" in shell(*publish, "--raw", "--door", "http://127.0.0.1:1", code=2).err


def test_fields_come_from_a_file_from_stdin_and_by_ce_type(shell: Shell) -> None:
    """@file, - and the event's ce_type instead of its class."""
    (shell.folder / "order.json").write_text('{"n": 3}')
    shell("publish", "market.orders.Order.v1", "--json-data", f"@{shell.folder / 'order.json'}")
    shell("publish", "Order", "--json-data", "-", stdin='{"n": 4}')
    found = shell("runs", "list", "--json", schema="runs-list").data
    assert [shell.seen(run["run"])["events"][0]["event"]["n"] for run in found] == [4, 3]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Nothing"], "begin with Busy, Charge, Left, Loud, Order, Right, Scan, Wish, not with Nothing"),
        (["Done"], "not with Done"),
        (["Order", "--json-data", "{"], "--json-data is no JSON"),
        (["Order", "--json-data", "[1]"], "must be a JSON object"),
        (["Order", "--json-data", "@nowhere.json"], "No such file"),
        (["Order", "--json-data", '{"n": "x"}'], "n: "),
        (["Order", "--json-data", '{"n": 1, "m": 2}'], "Order has no field m (it has n"),
        (["Order", "--json-data", '{"n": "x", "m": 2, "o": 3}'], "; these fields are no Order: n: "),
        (["Order", "--json-data", '{"n": "x", "m": 2, "o": 3}'], "Order has no field m, o (it has n"),
        (["Order", "--attach", "n=market.py"], "Order has no attachment 'n'; it takes none"),
        (["Scan", "--attach", "file=market.py"], "it takes one in paper"),
        (["Scan", "--attach", "paper=nowhere.pdf"], "a file that exists"),
        (["Scan", "--attach", "paper"], "field=FILE"),
        (["Wish", "--json-data", '{"what": "\\ud800"}'], "half a surrogate pair"),
        (["Wish", "--json-data", '{"what": ' + "[" * 100_000], "nested too deep"),
        (["Order", "--json-data", '{"n": 1}', "--id", ""], "must not be empty"),
        (["Order", "--json-data", '{"n": 1}', "--bus", "sqlite:///."], "is a folder; name a file in it"),
        (["Order", "--json-data", '{"n": 1}', "--bus", "kafka://broker"], "names no brokers"),
        (["Order", "--app", "nowhere:app"], "there is no module 'nowhere'"),
        (["Order", "--app", "market.py:app"], "write the module's name: market:app"),
        (["Order", "--app", "../market:app"], "names no module"),
        (["Order", "--app", "market:missing"], "market has no 'missing'"),
        (["Order", "--app", "market:check"], "not an App"),
    ],
)
def test_a_mistake_is_one_message_and_exit_2(shell: Shell, arguments: list[str], says: str) -> None:
    """What is wrong, where, and the cure; nothing is published and no file is made."""
    assert says in shell("publish", *arguments, code=2).err
    assert not shell.path.exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise KeyError('HOME2')", "line 1: KeyError: 'HOME2'"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(7)", "line 1: SystemExit: 7"),
        ("import numpyy", "needs the package numpyy"),
        ("from stepwire import App\napp = App('x', [print])", "SW101"),
    ],
)
def test_what_goes_wrong_in_the_app_s_module_is_explained(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    """The kind of failure and its place, without a traceback."""
    name = f"broken_{abs(hash(code))}"
    (shell.folder / f"{name}.py").write_text(code)
    monkeypatch.chdir(shell.folder)
    assert says in shell("publish", "Order", "--app", f"{name}:app", code=2).err


@pytest.mark.slow
def test_a_file_that_is_locked_damaged_foreign_or_of_another_version_is_said_so(shell: Shell) -> None:
    """Exit 1 or 2 with what to do, and somebody else's database is not written into."""
    cases: list[tuple[str, int, str]] = [("damaged", 1, ".recover"), ("foreign", 2, "something else")]
    (shell.folder / "damaged.db").write_bytes(b"no database at all, a letter " * 400)
    for name, statement in (("foreign", "CREATE TABLE mine (x)"), ("newer", "PRAGMA user_version = 99")):
        with sqlite3.connect(shell.folder / f"{name}.db") as database:
            database.execute(statement)
        database.close()
    cases += [("newer", 1, "format 99")]
    for name, code, says in cases:
        bus = f"sqlite:///{shell.folder / name}.db"
        assert says in shell("publish", "Order", "--json-data", '{"n": 1}', "--bus", bus, code=code).err
    shell.order(1)
    holder = sqlite3.connect(shell.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert "locked" in shell("publish", "Order", "--json-data", '{"n": 1}', code=1).err
    finally:
        holder.close()


def test_a_network_file_system_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks do not hold there; nothing is written."""
    monkeypatch.setattr("stepwire_handlers.file_system.file_system", lambda _: "nfs4")
    said = shell("publish", "Order", "--json-data", '{"n": 1}', code=1).err
    assert "network file system (nfs4)" in said and "use a local disk" in said
    assert not shell.path.exists()


def test_a_file_from_any_folder_lies_beside_the_bus(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting, who publishes from another folder than the worker's puts it where the worker looks."""
    paper = Path("market.py").absolute()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("STEPWIRE_BLOBS")
    shell("publish", "Scan", "--attach", f"paper={paper}")
    assert (shell.folder / "blobs" / hashlib.sha256(paper.read_bytes()).hexdigest()).exists()
    assert list(elsewhere.iterdir()) == []


def test_a_bucket_that_cannot_be_reached_is_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client library says of it is pages long."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.setenv("STEPWIRE_BLOBS", "s3://bucket/p?endpoint=http://127.0.0.1:9")
    said = shell("publish", "Scan", "--attach", "paper=market.py", code=1).err
    assert "the blob store s3://bucket/p did not answer" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["graph", "market:app"], ["runs", "list"]])
def test_a_full_disk_behind_stdout_and_a_closed_pipe(shell: Shell, arguments: list[str]) -> None:
    """One line for the first, silence for the second: whoever reads has enough."""
    shell.order(1)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*STEPWIRE, *arguments], cwd=HERE, env=shell.environment, stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "stdout: No space left on device; what was to be written there is not\n",
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*STEPWIRE, *arguments], cwd=HERE, env=shell.environment, stdout=writing,
                          stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    os.close(writing)
    assert done.stderr == ""


def test_a_commit_that_nobody_knows_of_is_said_so(shell: Shell) -> None:
    """A file that must not grow: whether it was written is unknown, and the same id settles it."""
    shell.order(1)
    limit = shell.path.stat().st_size
    large = json.dumps({"what": "x" * 2 * limit})
    (shell.folder / "large.json").write_text(large)
    arguments = ["publish", "Wish", "--json-data", f"@{shell.folder / 'large.json'}", "--id", "w"]
    done = subprocess.run(
        [*STEPWIRE, *arguments], cwd=HERE, env=shell.environment, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "whether it was written is not known" in done.stderr and "Traceback" not in done.stderr
    run = shell(*arguments).out.strip()
    assert len(shell.seen(run)["events"]) == 1


def test_publish_while_a_worker_runs_and_a_killed_wait_leaves_the_run_going(shell: Shell, tmp_path: Path) -> None:
    """--wait only watches: kill -9 of it changes nothing, and the same id finds the run again."""
    hold = tmp_path / "hold"
    worker = shell.begin("run", APP)
    data = json.dumps({"n": 1, "hold": str(hold)})
    waiting = shell.begin("publish", "Order", "--json-data", data, "--id", "a", "--wait", "20")
    until((tmp_path / "hold.begun").exists, "the call")
    waiting.kill()
    waiting.communicate()
    hold.touch()
    said = shell("publish", "Order", "--json-data", data, "--id", "a", "--wait", "20", "--json", schema="publish-wait")
    assert said.data["result"] == {"type": "Done", "n": 1}
    assert worker.poll() is None
