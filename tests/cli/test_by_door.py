"""`--door URL`: the same commands through a door, decided by whoever the key is of, without bus or signing key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.cli.shell import Shell, ended

from stepwire_handlers.services import remote
from stepwire_handlers.services.door.access import new_key

SIGN = "hunter2hunter2"
KEYS = {name: new_key() for name in ("boss", "eye", "crm")}
ROLES = {"boss": '["operator", "approver"]', "eye": '["viewer"]', "crm": '["publisher"]'}


@pytest.fixture
def door(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    """A door that signs, on the shell's file; its address. The key of `boss` is configured, the signing key is not."""
    access = shell.folder / "access.toml"
    access.write_text("".join(
        f'[[keys]]\nname = "{name}"\nhash = "{KEYS[name][1]}"\nroles = {{ market = {roles} }}\n'
        for name, roles in ROLES.items()
    ))  # fmt: skip
    arguments = ("door", "market:app", "--port", "0", "--access", str(access))
    process = shell.begin(*arguments, STEPWIRE_DECISION_KEY=SIGN)
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", KEYS["boss"][0])
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"door: (http://\S+)", line):
            return found[1]
    raise AssertionError("the door did not open")


def filled(shell: Shell) -> tuple[str, str, str]:
    """Something of each kind: the runs of a gate, of an unknown outcome and of a dead letter."""
    gate = shell.order(500)
    unknown = shell("publish", "Charge", "--json-data", '{"amount": 7}').out.strip()
    dead = shell.order(-1)
    shell.work(SIGN)
    return gate, unknown, dead


@pytest.mark.slow
def test_what_is_shown_is_the_same(shell: Shell, door: str) -> None:
    """Lists and single things, as tables and as JSON, word for word."""
    filled(shell)
    gates = shell("gates", "list", "--json", schema="gates-list").data
    (letter,) = shell("dlq", "list", "--json", schema="dlq-list").data
    assert len(gates) == 2
    commands = [["gates", "list"], ["dlq", "list"], ["dlq", "stats"], ["dlq", "show", letter["id"][:9]],
                ["dlq", "list", "--every"], ["dlq", "list", "--error", "None"],
                *(["gates", "show", each["id"][:9]] for each in gates)]  # fmt: skip
    for command in commands:
        for more in ([], ["--json"]):
            there = shell(*command, *more, "--door", door)
            assert there.out == shell(*command, *more).out, command
            assert shell(*command, *more, "--door", door + "/", "--app", "market").out == there.out


def test_a_gate_is_decided_by_the_key_s_owner(shell: Shell, door: str) -> None:
    """Signed by the door, so that the workers take it; the edit reaches the step; then it is decided already."""
    run, _, _ = filled(shell)
    (id_,) = [each["id"] for each in shell("gates", "list", "--json").data if each["kind"] == "gate"]
    said = shell("gates", "decide", id_[:6], "--approve", "--edit", '{"n": 60}', "--why", "fair", "--door", door)
    assert said.out == f"decided {id_[:12]} of approve: approved, edited\n"
    again = shell("gates", "decide", id_, "--decline", "--door", door, code=1)
    assert "decided or expired?" in again.err and again.out == ""
    shell.work(SIGN)
    seen = shell.seen(run)
    assert seen["result"] == {"type": "Done", "n": 60}
    assert '"by": "key:boss"' in json.dumps(seen)


def test_an_unknown_outcome_is_resolved_and_signed(shell: Shell, door: str) -> None:
    """What nobody signed is skipped, and asked again; through the door it counts."""
    _, run, _ = filled(shell)
    (id_,) = [each["id"] for each in shell("gates", "list", "--json").data if each["kind"] != "gate"]
    shell("gates", "decide", id_, "--done", '{"amount": 7}')  # at the bus, without the key
    shell.work(SIGN)
    assert id_ in [each["id"] for each in shell("gates", "list", "--json").data]
    assert shell("gates", "decide", id_, "--done", "{", "--door", door, code=2).err.startswith("--done is no JSON")
    assert "unknown outcome" in shell("gates", "decide", id_, "--approve", "--door", door, code=2).err
    said = shell("gates", "decide", id_, "--done", '{"amount": 7}', "--door", door)
    assert said.out.endswith("of charge: done\n")
    shell.work(SIGN)
    assert shell.seen(run)["state"] == "completed"


@pytest.mark.slow
def test_runs_are_the_same(shell: Shell, door: str) -> None:
    """Lists by state, time and number, and each run step by step, as tables and as JSON, word for word."""
    runs = [*filled(shell), shell("publish", "Busy", "--json-data", '{"card": "4111 1111"}').out.strip()]
    shell.work(SIGN)
    (id_,) = [each["id"] for each in shell("gates", "list", "--json").data if each["kind"] == "gate"]
    shell("gates", "decide", id_, "--approve", "--edit", '{"n": 60}', "--why", "fair", "--door", door)
    shell.work(SIGN)
    assert {run["state"] for run in shell("runs", "list", "--json", schema="runs-list").data} == {
        "completed", "waiting", "failed"
    }  # fmt: skip
    commands = [["list"], ["list", "--state", "failed"], ["list", "--since", "1h"], ["list", "--since", "2999-01-01"],
                ["list", "--limit", "1"], *(["show", run[:9]] for run in runs)]  # fmt: skip
    for command in commands:
        for more in ([], ["--json"]):
            there = shell("runs", *command, *more, "--door", door)
            here = shell("runs", *command, *more)
            assert there.out == here.out, command
            assert [line for line in here.err.splitlines() if line not in there.err] == []
            assert "4111" not in there.out
            assert shell("runs", *command, *more, "--door", door, "--app", "market").out == there.out
    for wrong, code, says in ((["show", "0123"], 1, "no run begins with"), (["show", ""], 2, "the id is empty"),
                              (["watch", "0123"], 1, "no run begins with"), (["list", "--limit", "101"], 2, "1 to 100"),
                              (["list", "--state", "well"], 2, "there are"), (["list", "--app", "no"], 1, "such app"),
                              (["list", "--since", "x"], 2, "write 30m")):  # fmt: skip
        said = shell("runs", *wrong, "--door", door, code=code)
        assert says in said.err and len(said.err.splitlines()) == 1 and said.out == ""


@pytest.mark.slow
def test_a_run_is_watched_to_its_end(shell: Shell, door: str) -> None:
    """The same lines and exit codes: completed, failed, time is up."""
    _, unknown, dead = filled(shell)
    done = shell.order(1)
    shell.work(SIGN)
    for run, code in ((done, 0), (dead, 4)):
        assert (
            shell("runs", "watch", run[:9], "--door", door, code=code).out == shell("runs", "watch", run, code=code).out
        )
    up = shell("runs", "watch", unknown, "--timeout", "0", "--door", door, code=5)
    assert up.err == "time is up; the run is waiting: unknown outcome: charge\n"
    hold = shell.folder / "hold"
    run = shell("publish", "Order", "--json-data", json.dumps({"n": 1, "hold": str(hold)})).out.strip()
    watching = shell.begin("runs", "watch", run, "--door", door, STEPWIRE_DOOR_KEY=KEYS["eye"][0])
    assert watching.stdout is not None and "published" in watching.stdout.readline()
    hold.touch()
    shell.work(SIGN)
    assert f"run {run}: completed" in ended(watching).out


@pytest.mark.parametrize(
    ("n", "code", "state"), [(1, 0, "completed"), (0, 0, "completed"), (500, 3, "waiting"), (-1, 4, "failed")]
)
def test_an_event_is_published_and_waited_for(shell: Shell, door: str, n: int, code: int, state: str) -> None:
    """The same data, the same exit codes, and commands that go through the door again; a repeat follows its run."""
    order = ("publish", "Order", "--json-data", json.dumps({"n": n}), "--id", "a", "--door", door)
    run = shell(*order, "--json", schema="publish").data["run"]
    shell.work(SIGN)
    said = shell(*order, "--wait", "5", "--json", code=code, schema="publish-wait")
    assert (said.data["run"], said.data["state"]) == (run, state)
    assert said.data["result"] == ({"type": "Done", "n": 1} if n == 1 else None)
    assert (said.data["dead_letter"] or {}).get("error") == ("Reject" if n < 0 else None)
    assert f"published before under this id; following run {run}\n" in said.err
    if n == 500:
        printed = said.err.partition("stepwire gates")[2].partition(" (")[0]
        assert shell("gates", *printed.split()).out.endswith("of approve: approved\n")


def test_a_file_is_sent_through_the_door(shell: Shell, door: str) -> None:
    """With fields beside it; the same file again is the same run, and what a form cannot hold is refused."""
    paper = shell.folder / 'a "b" é.pdf'
    paper.write_bytes(b"\r\n--x\0" * 100_000)
    scan = ("publish", "Scan", "--attach", f"paper={paper}", "--door", door)
    run = shell(*scan, "--json-data", '{"note": "é 1"}').out.strip()
    shell.work(SIGN)
    assert shell(*scan, "--json-data", '{"note": "é 1"}', "--wait", "5", "--json").data["run"] == run
    (event, read) = shell.seen(run)["events"]
    assert (event["event"]["note"], event["event"]["paper"]["size"], read["event"]["size"]) == ("é 1", 600_000, 600_000)
    assert event["event"]["paper"]["name"].endswith(" é.pdf")
    assert "another body" in shell(*scan, "--json-data", '{"note": "2"}', code=2).err
    for wrong, says in ((("--json-data", '{"note": []}'), "no single value"), (("--attach", "paper=/no"), "exists"),
                        (("--source", "x"), "--source does not go"), (("--id", "a b"), "visible ASCII"),
                        (("--app", ""), "name the app")):  # fmt: skip
        said = shell(*scan, *wrong, code=2)
        assert says in said.err and len(said.err.splitlines()) == 1


def test_a_wait_gives_up_at_the_door_too(shell: Shell, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 5 with how to look again; a key that only publishes is told its run, and that it may not see more."""
    order = ("publish", "Order", "--json-data", '{"n": 1}', "--wait", "0", "--door", door)
    said = shell(*order, code=5)
    assert "check (running)" in said.err and f"--app market --door {door}" in said.err
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", KEYS["crm"][0])
    said = shell(*order, code=1)
    assert re.fullmatch("published as run [0-9a-f]{32}, but what comes of it is not known: .*\n", said.err)
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", KEYS["eye"][0])
    assert "is no publisher of market" in shell(*order, code=1).err


def test_whoever_may_not_look_learns_nothing_of_runs(shell: Shell, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that only publishes sees no run, whether it is there or not."""
    run = shell.order(1)
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", KEYS["crm"][0])
    for id_ in (run, "0123"):
        said = "the door refuses this: key:crm is no viewer of market; the door's access file gives roles\n"
        assert shell("runs", "show", id_, "--door", door, code=1).err == said


def test_dead_letters_are_answered(shell: Shell, door: str) -> None:
    """By id with an edit, or by what they are; as many as --max says, and one message says what is left."""
    _, _, run = filled(shell)
    (letter,) = shell("dlq", "list", "--json").data
    for wrong, code in (([letter["id"], "--all"], 2), ([], 2), ([letter["id"], "--edit", '{"n": "x"}'], 2),
                        (["0123"], 1), ([""], 2)):  # fmt: skip
        assert shell("dlq", "replay", *wrong, "--door", door, code=code).out == ""
    assert shell("dlq", "replay", letter["id"][:7], "--edit", '{"n": 3}', "--door", door).out == "replayed 1 of 1\n"
    shell.work(SIGN)
    assert shell.seen(run)["result"]["n"] == 3
    for n in (-2, -3, -4):
        shell.order(n)
    shell.work(SIGN)
    dropped = shell("dlq", "drop", "--error", letter["error"], "--max", "2", "--door", door)
    assert (dropped.out, "1 are left" in dropped.err) == ("dropped 2 of 3\n", True)
    shell.work(SIGN)
    assert len(shell("dlq", "list", "--json", "--door", door).data) == 1


def test_what_goes_wrong_is_said(shell: Shell, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, a wrong one, no role, no door, no such app: one line with the cure, and never the key."""
    filled(shell)
    (id_,) = [each["id"] for each in shell("gates", "list", "--json").data if each["kind"] == "gate"]

    def says(*command: str, code: int = 1, url: str = door) -> str:
        said = shell("gates", *command, "--door", url, code=code)
        assert said.out == "" and len(said.err.splitlines()) == 1 and "sw_" not in said.err
        return said.err

    assert "--by does not go with --door" in says("decide", id_, "--approve", "--by", "x", code=2)
    assert "give one" in says("list", "--bus", "sqlite:///x.db", code=2)
    assert "no such app" in says("list", "--app", "none")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        assert "no door answers at" in says("list", url=f"http://127.0.0.1:{free.getsockname()[1]}")
    assert "plain HTTP" in says("list", url="http://door.example.com", code=2)
    assert "an address alone" in says("list", url="https://ann:secret@door.example.com", code=2)
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", KEYS["eye"][0])
    assert "is no approver of market" in says("decide", id_, "--approve")
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_guessed")
    assert "does not take the key in STEPWIRE_DOOR_KEY" in says("list")
    monkeypatch.delenv("STEPWIRE_DOOR_KEY")
    assert "set STEPWIRE_DOOR_KEY" in says("list", code=2)
    assert len(shell("gates", "list", "--json").data) == 2
    assert "--raw needs the bus" in shell("dlq", "show", "x", "--raw", "--door", door, code=2).err


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that says the same to everybody, and the addresses that it was asked for."""
    asked: list[str] = []

    class Same(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, text in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Same)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (503, json.dumps({"detail": "the bus is away"}), "the door cannot do it now: the bus is away"),
        (409, json.dumps({"detail": "it is another release's"}), "it is another release's"),
        (429, json.dumps({"detail": "wait 3 s"}), "wait 3 s"),
        (500, json.dumps({"detail": "it failed", "instance": "urn:1"}), "answers 500: it failed urn:1"),
        (502, "<html>", "is no Stepwire door: it answers 502"),
        (200, "<html>", "is no Stepwire door"),
        (200, '{"gates": []}', "another release's door"),
    ],
)
def test_what_a_door_or_none_answers_is_said(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, status: int, body: str, says: str
) -> None:
    """Exit 1 and one line."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    with answering(status, {"content-type": "application/json"}, body.encode()) as (url, _):
        said = shell("gates", "list", "--door", url, code=1)
    assert says in said.err and len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    ["", "x", "http://", "http://[::1", "http://localhost:x", "http://localhost:99999", "http://localhost/a b",
     "http://localhost/\r\nx: y", "https://[", "https://a@b", "https://door?x", "https://door#x"],
)  # fmt: skip
def test_what_is_no_address_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """In one line, before anything is asked."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    said = shell("gates", "list", "--door", url, code=2)
    assert "an address alone" in said.err and len(said.err.splitlines()) == 1


GATE = {"app": "market", "id": "a", "handler": "h", "kind": "gate", "run": "r", "since": 1.5, "until": None,
        "event": {"type": "Big", "n": 1}, "why": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((json.dumps({"gates": [GATE | spoilt], "next": None}), 200)
          for spoilt in ({"since": "x"}, {"since": 1e300}, {"until": -1}, {"id": 5}, {"event": [1]}, {"why": None})),
        *((json.dumps({"gates": gates, "next": None}), 200) for gates in ([1], [{}], "abc", None, {})),
        ('{"gates": [], "next": null, "x": ' + "[" * 100_000, 200), ("[" * 100_000, 500), ("[]", 200), ("null", 200),
        (json.dumps({"gates": [GATE | {"since": float("nan")}], "next": None}), 200),
        *((json.dumps({"detail": "no", "errors": errors}), 422) for errors in ([1], 7, "x")),
    ],
)  # fmt: skip
def test_whatever_is_no_answer_of_a_door_is_said_to_be_none(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, body: str, status: int
) -> None:
    """Exit 1 and one line, never a traceback."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    with answering(status, {}, body.encode()) as (url, _):
        for command in (["list"], ["list", "--json"], ["show", "a"]):
            said = shell("gates", *command, "--door", url, code=1)
            assert "door" in said.err and len(said.err.splitlines()) == 1 and said.out == ""


def test_of_several_apps_a_list_says_whose_it_is(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column more, of gates and of runs; of one app there is none."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    monkeypatch.delenv("STEPWIRE_APP")
    pages = {
        "gates": [GATE, GATE | {"app": "yard"}],
        "runs": [LISTED, LISTED | {"app": "yard"}],
        "next": None,
        "whole": True,
    }
    for several in (True, False):
        told = pages if several else pages | {"gates": [GATE], "runs": [LISTED]}
        with answering(200, {}, json.dumps(told).encode()) as (url, _):
            for group in ("gates", "runs"):
                said = shell(group, "list", "--door", url).out
                assert all((word in said) == several for word in ("app", "yard", "market"))
                shell(group, "list", "--door", url, "--json", schema=f"{group}-list")


LISTED = {"run": "r", "app": "market", "state": "waiting", "started": 1.5, "result": None, "dead_letter": None,
          "events": 1, "waits": []}  # fmt: skip
STEP = {"handler": "h", "id": "a", "outcome": "gate", "begun": 1.5, "ended": None, "seconds": None, "attempts": 1,
        "inputs": [], "outputs": [{"type": "T", "identity": "nowhere"}], "about": "", "last_error": "", "due": None,
        "stamps": {"usage": "$x"}, "said": []}  # fmt: skip
TOLD = {"app": "market", "run": "r", "state": "waiting", "started": 1.5, "result": None, "dead_letter": None,
        "events": [], "steps": [STEP], "open": []}  # fmt: skip


@pytest.mark.parametrize(
    ("listed", "told", "code"),
    [
        (LISTED, TOLD, 0), (LISTED, TOLD | {"events": [{}]}, 1), (LISTED, TOLD | {"steps": [STEP | {"due": 1e300}]}, 1),
        (LISTED, TOLD | {"steps": [STEP | {"said": [{}]}]}, 1), (LISTED, [], 1), (LISTED, TOLD | {"state": "well"}, 1),
        *((LISTED | spoilt, TOLD, 1) for spoilt in ({"run": ""}, {"started": "x"}, {"waits": [5]}, {"run": "another"},
                                                    {"dead_letter": {}}, {"state": None})), ("x", TOLD, 1),
    ],
)  # fmt: skip
def test_a_run_is_shown_only_if_it_can_be(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, listed: object, told: object, code: int
) -> None:
    """Whatever else is answered is said to be no answer of a door, or no such run: exit 1 and one line."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    answers = [{"runs": [listed], "whole": True}, told] * 3
    monkeypatch.setattr(remote.Remote, "_ask", lambda *_, **__: answers.pop(0))
    said = shell("runs", "show", "r", "--door", "http://127.0.0.1:9", code=code)
    assert code == 0 or (len(said.err.splitlines()) == 1 and said.out == "")


@pytest.mark.parametrize("cursor", ["again", 5, ""])
def test_pages_without_an_end_are_not_read_on(shell: Shell, monkeypatch: pytest.MonkeyPatch, cursor: object) -> None:
    """A page that leads to itself, or nowhere, ends the command."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    with answering(200, {}, json.dumps({"gates": [GATE], "next": cursor}).encode()) as (url, asked):
        assert "have no end" in shell("gates", "list", "--door", url, code=1).err
    assert len(asked) <= 2


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"])
def test_an_answer_that_comes_drop_by_drop_has_an_end(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    """However slow: a proxy that hangs must not hang a script for ever."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    monkeypatch.setattr(remote, "LONGEST", 0.5)
    over = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with closing(connection), contextlib.suppress(OSError):
            connection.sendall(begin)
            while not over.wait(0.02):
                connection.sendall(b" ")

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        dripping = threading.Thread(target=drip)
        dripping.start()
        said = shell("gates", "list", "--door", f"http://127.0.0.1:{listening.getsockname()[1]}", code=1)
        over.set()
        dripping.join()
    assert "not whole within 0.5 s" in said.err


def test_the_key_follows_no_redirection(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands elsewhere is not asked."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    with answering(200, {}, b"{}") as (other, asked), answering(302, {"location": other}, b"") as (url, _):
        assert "is no Stepwire door" in shell("gates", "list", "--door", url, code=1).err
        assert asked == []


def test_without_the_key_that_workers_ask_for_the_door_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor with another: nothing is written that would be skipped; a worker that asks for none takes the mark away."""
    from market import app  # type: ignore[import-not-found]  # as the commands import it

    from stepwire.bus.local import LocalBus
    from stepwire_handlers.services.signing import tell

    filled(shell)
    (id_,) = [each["id"] for each in shell("gates", "list", "--json").data if each["kind"] == "gate"]
    bus = LocalBus(str(shell.path))
    asyncio.run(tell(bus, app, SIGN))
    assert "--door URL" in shell("gates", "decide", id_, "--approve", code=2).err
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", "another one")
    assert "is another key than theirs" in shell("gates", "decide", id_, "--approve", code=2).err
    assert len(shell("gates", "list", "--json").data) == 2
    monkeypatch.delenv("STEPWIRE_DECISION_KEY")
    asyncio.run(tell(bus, app, "", only=["check"]))  # a worker whose steps nobody decides about
    assert "--door URL" in shell("gates", "decide", id_, "--approve", code=2).err
    asyncio.run(tell(bus, app, ""))
    shell("gates", "decide", id_, "--approve")
