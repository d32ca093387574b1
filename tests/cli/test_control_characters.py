"""What an event, an error, a remark or a door says is text: none of it moves a cursor or fills somebody's clipboard."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from tests.cli.shell import Shell
from tests.cli.test_by_door import answering
from typer.testing import CliRunner

from stepwire import App, Context, Decision, Event, Reject, Retry, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker, prepare
from stepwire_handlers.cli.main import cli
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.telemetry.logs import Pipeline

#: turns red, sets the title, fills the clipboard, clears the screen, goes home, deletes, writes from right to left
EVIL = "\x1b[31m\x1b]0;title\x07\x1b]52;c;cm0=\x07\x1b[2J\x9b1;1H\x08\x7f\x00\x85\u202etxet\u2066"
FORBIDDEN = frozenset("\x1b\x07\x08\x9b\x7f\x00\x85\u202e\u2066\r")


class Asked(Event, topic="noisy.asked"):
    text: str
    n: int = 2


class Told(Event, topic="noisy.told"):
    text: str


class Ended(Event, topic="noisy.ended", result=True):
    text: str


@handler(retry=Retry(backoff=0.001))
async def listen(asked: Asked, ctx: Context) -> Told:
    if asked.n == 1:
        raise Reject(asked.text)
    if ctx.attempt == 1:
        raise ConnectionError(asked.text)
    ctx.stamp("prompt", asked.text)
    return Told(text=asked.text)


@handler()
async def approve(told: Decision[Told]) -> Ended | None:
    return Ended(text=told.final.text) if told.approved else None


@handler(effect="once")
async def send(ended: Ended) -> None:
    raise ConnectionError(ended.text)


app = App("noisy", [listen, approve, send])


def said(*arguments: str) -> str:
    """What a command writes, as it would to a terminal; without colours of its own, since it is none."""
    done = CliRunner().invoke(cli, arguments, color=True)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.stdout + done.stderr


def data(*arguments: str) -> Any:
    """The same as data."""
    return json.loads(said(*arguments, "--json"))


async def _work(path: str, *events: Event) -> None:
    """Publish, and work until every run rests: a retry's wait is no rest."""
    bus = LocalBus(path)
    await bus.open()
    await prepare(app, bus, app.settings)
    records = [app.record(event, now=time.time()) for event in events]
    await bus.publish([out for out, _ in records])
    worker = Worker(app, bus)
    await worker.start()
    await worker.settle()
    runs = Runs(app, bus)
    for _, run in records:
        while not (view := runs.view(run)).rests and view.state != "completed":
            await asyncio.sleep(0.01)
    await worker.stop()
    await bus.close()


@pytest.mark.slow
def test_no_command_hands_them_to_the_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, single things, a run's steps: they stand there as signs that do nothing; data keeps them, escaped."""
    monkeypatch.setenv("STEPWIRE_APP", "tests.cli.test_control_characters:app")
    asyncio.run(_work(str(shell.path), Asked(text=EVIL, n=1), Asked(text=EVIL)))
    (gate,), (letter,) = data("gates", "list"), data("dlq", "list")
    assert data("gates", "show", gate["id"])["event"]["text"] == letter["message"] == EVIL
    waiting = said("gates", "show", gate["id"])
    said("gates", "decide", gate["id"], "--approve", "--why", EVIL, "--by", f"ann{EVIL}")
    asyncio.run(_work(str(shell.path), Asked(text=EVIL)))
    gates, runs = [each["id"] for each in data("gates", "list")], [each["run"] for each in data("runs", "list")]
    assert (len(gates), len(runs)) == (2, 3)
    shows = [["dlq", "show", letter["id"]], *(["gates", "show", id_] for id_ in gates),
             *(["runs", "show", run] for run in runs)]  # fmt: skip
    lists = [
        ["runs", "list"],
        ["gates", "list"],
        ["dlq", "list"],
        ["dlq", "stats"],
        ["dlq", "show", letter["id"], "--raw"],
    ]
    publish = ["publish", "Asked", "--json-data", '{"text": ""}', "--source", EVIL, "--wait", "0"]
    follows = [publish, *(["runs", "watch", run, "--timeout", "0"] for run in runs)]
    for command in [*shows, *lists, *follows, *([*each, "--json"] for each in [*shows, *lists])]:
        told = said(*command)
        assert len(told) > 20, command
        assert not FORBIDDEN & {*told}, (command, told)
    assert "␛[31m" in said("dlq", "show", letter["id"]) and "␛" not in waiting


@pytest.mark.slow
def test_nor_does_what_a_door_answers(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of whoever answers, and what is on its pages."""
    monkeypatch.setenv("STEPWIRE_DOOR_KEY", "sw_key")
    gate = dict.fromkeys(("app", "id", "handler", "kind", "run", "why"), EVIL) | {"since": 0, "until": 0, "event": None}
    page = {"gates": [gate], "next": None}
    for status, body in ((409, {"detail": EVIL}), (500, {"detail": EVIL, "instance": EVIL}), (200, page),
                         (422, {"detail": "no", "errors": [{"pointer": EVIL, "reason": EVIL}]})):  # fmt: skip
        with answering(status, {}, json.dumps(body).encode()) as (url, _):
            for more in (["list"], ["list", "--json"], ["show", "x"]):
                told = said("gates", *more, "--door", url)
                assert "␛[31m" in told or "\\u001b[31m" in told
                assert not FORBIDDEN & {*told}, (status, more, told)


def test_nor_does_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    """Of a worker on a terminal: the message of an error, and what a step said."""
    pipeline = Pipeline("console", "info")
    pipeline.write("warning", {"event": EVIL, "message": EVIL, "error": f"E{EVIL}", "traceback": f"a\n{EVIL}"})
    told = capfd.readouterr().err
    assert told.count("␛[31m") == 4
    assert not FORBIDDEN & {*told}, told
