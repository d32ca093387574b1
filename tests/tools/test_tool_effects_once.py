"""`slack.send` and `gmail.create_draft` happen once, wherever the server's process dies."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pydantic import BaseModel
from tests.tools.surroundings import StandIns, free_port, own, serving, until

from stepwire_handlers.mcp_servers.claims import Claims
from stepwire_handlers.mcp_servers.once import Once
from stepwire_handlers.mcp_servers.verdict import MaybeHappened, NotHappened
from stepwire_handlers.steps.tool import Tools
from stepwire_handlers.steps.tool_errors import ToolOutcomeUnknown

pytestmark = pytest.mark.anyio

POINTS = ("before-claim", "after-claim", "after-call", "after-answer")
MESSAGE = {"channel": "#invoices", "text": "paid"}
DRAFT = {"to": ["ap@globex.example"], "subject": "paid", "body": "Dear Globex,"}


def claims_in(folder: Path) -> dict[str, str]:
    return {"STEPWIRE_CLAIMS": str(folder / "claims.db")}


async def outcome(tools: Tools, tool: str, arguments: dict[str, Any], key: str) -> object:
    try:
        return await tools.call(tool, arguments, key)
    except ToolOutcomeUnknown as unknown:
        return unknown


def killed_at(name: str, environ: dict[str, str]) -> Tools:
    """A server for each point that dies there, and one that is well; all with the same claims."""
    servers = {point: own(name, STEPWIRE_FAULT=point, **environ) for point in POINTS}
    servers["well"] = own(name, **environ)
    return Tools(servers, allow=[f"{server}.*" for server in servers])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tool", "arguments", "kept", "id_"),
    [
        ("slack", "send", MESSAGE, "slack/messages", "ts"),
        ("gmail", "create_draft", DRAFT, "gmail/drafts", "id"),
    ],
)
async def test_a_server_killed_at_any_point_does_it_once_or_says_it_does_not_know(
    name: str, tool: str, arguments: dict[str, Any], kept: str, id_: str, standins: StandIns, tmp_path: Path
) -> None:
    """After kill -9 at each step of a call, the same calls are made again on a new process."""
    environ = {"slack": standins.slack, "gmail": standins.gmail}[name] | claims_in(tmp_path)
    async with killed_at(name, environ) as tools:
        killed = await asyncio.gather(*(outcome(tools, f"{point}.{tool}", arguments, point) for point in POINTS))
        done = {received[id_] for received in standins.received(kept)}
        again = [await outcome(tools, f"well.{tool}", arguments, point) for point in POINTS]
        thrice = [await outcome(tools, f"well.{tool}", arguments, point) for point in POINTS]
    assert [getattr(unknown, "said_by", unknown) for unknown in killed] == ["connection"] * 4
    assert len(done) == 2, "the calls that died after the call was made"
    before_claim, after_claim, after_call, after_answer = again
    assert isinstance(before_claim, dict) and before_claim[id_] not in done, "nothing was claimed, so it is done now"
    for unknown in (after_claim, after_call):
        assert isinstance(unknown, ToolOutcomeUnknown) and unknown.said_by == "server"
    assert isinstance(after_answer, dict) and after_answer[id_] in done, "the stored answer"
    assert [str(answer) for answer in thrice] == [str(answer) for answer in again]
    assert len(standins.received(kept)) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tool", "arguments", "kept"),
    [("slack", "send", MESSAGE, "slack/messages"), ("gmail", "create_draft", DRAFT, "gmail/drafts")],
)
async def test_a_server_killed_while_its_back_end_answers_does_not_do_it_again(
    name: str, tool: str, arguments: dict[str, Any], kept: str, standins: StandIns, tmp_path: Path
) -> None:
    """The back end has done it and its answer never came; a new process says that nobody knows, and does nothing."""
    port, environ = free_port(), {"slack": standins.slack, "gmail": standins.gmail}[name] | claims_in(tmp_path)
    command = ["-m", f"stepwire_handlers.mcp_servers.{name}", "--port", str(port)]
    standins.fault(api=name, status=200, stored=True, seconds=5)
    async with Tools({name: {"url": f"http://127.0.0.1:{port}/mcp"}}, allow=[f"{name}.*"]) as tools:
        with serving(port, command, **environ) as process:
            call = asyncio.create_task(outcome(tools, f"{name}.{tool}", arguments, "k"))
            await asyncio.to_thread(until, lambda: standins.received(kept))
            process.kill()
            killed = await call
        with serving(port, command, **environ):
            again = await outcome(tools, f"{name}.{tool}", arguments, "k")
            other = await outcome(tools, f"{name}.{tool}", arguments, "another")
    assert isinstance(killed, ToolOutcomeUnknown) and killed.said_by == "connection"
    assert isinstance(again, ToolOutcomeUnknown) and again.said_by == "server"
    assert isinstance(other, dict) and len(standins.received(kept)) == 2


async def test_workers_that_share_a_server_over_http_share_its_claims(standins: StandIns, tmp_path: Path) -> None:
    """Two clients with the same key get one message, and the same answer."""
    port = free_port()
    command = ["-m", "stepwire_handlers.mcp_servers.slack", "--port", str(port)]
    servers = {"slack": {"url": f"http://127.0.0.1:{port}/mcp"}}
    with serving(port, command, **standins.slack, **claims_in(tmp_path)):
        async with Tools(servers, allow=["slack.send"]) as one, Tools(servers, allow=["slack.send"]) as two:
            calls = (tools.call("slack.send", MESSAGE, "k") for tools in (one, two, one))
            first, second, third = await asyncio.gather(*calls)
    (message,) = standins.received("slack/messages")
    assert first == second == third == {"channel": "#invoices", "ts": message["ts"]}


@pytest.mark.slow
async def test_a_person_lists_and_releases_a_claim_without_an_answer(standins: StandIns, tmp_path: Path) -> None:
    """After a look at the back end the claim is released by hand, and the call can be made."""
    environ = claims_in(tmp_path)

    def claims(*arguments: str) -> str:
        command = [sys.executable, "-m", "stepwire_handlers.mcp_servers.claims", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False).stdout

    async with killed_at("slack", standins.slack | environ) as tools:
        await outcome(tools, "after-claim.send", MESSAGE, "flow/step/1")
        listed = await asyncio.to_thread(claims)
        assert await asyncio.to_thread(claims, "--release", "slack.send", "flow/step/1") == "released\n"
        sent = await outcome(tools, "well.send", MESSAGE, "flow/step/1")
    assert listed.endswith("  slack.send  flow/step/1\n") and isinstance(sent, dict)
    assert claims("--release", "slack.send", "flow/step/1") == "there is no such claim without an answer\n"


class Done(BaseModel):
    number: int


class Effect:
    """Counts how often it happens; waits if it is told to, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count, self.error = 0, error
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def __call__(self) -> Done:
        self.count += 1
        self.begun.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Done(number=self.count)


async def test_the_same_key_gives_the_stored_answer(tmp_path: Path) -> None:
    """One key, one effect; another key or another tool is another effect."""
    effect = Effect()
    for once in (Once(tmp_path / "claims.db"), Once(tmp_path / "claims.db")):
        assert [await once("t", "k", effect, Done) for _ in range(2)] == [Done(number=1)] * 2
    assert await once("t", "other", effect, Done) == Done(number=2)
    assert await once("other", "k", effect, Done) == Done(number=3)


async def test_without_a_key_every_call_happens(tmp_path: Path) -> None:
    """A client that sends no key gets no deduplication, and no file."""
    once, effect = Once(tmp_path / "claims.db"), Effect()
    assert [(await once("t", None, effect, Done)).number for _ in range(2)] == [1, 2]
    assert not list(tmp_path.iterdir())


async def test_a_confirmed_failure_releases_the_claim(tmp_path: Path) -> None:
    """What surely did not happen may be tried again under the same key."""
    once = Once(tmp_path / "claims.db")
    with pytest.raises(NotHappened):
        await once("t", "k", Effect(NotHappened("retry-later", "asked too often")), Done)
    assert await once("t", "k", Effect(), Done) == Done(number=1)


@pytest.mark.parametrize("error", [MaybeHappened("no answer"), ValueError("a mistake of ours")])
async def test_any_other_failure_keeps_the_claim(tmp_path: Path, error: Exception) -> None:
    """What may have happened is not tried again."""
    once, effect = Once(tmp_path / "claims.db"), Effect()
    with pytest.raises(type(error)):
        await once("t", "k", Effect(error), Done)
    with pytest.raises(MaybeHappened, match="no answer was stored"):
        await once("t", "k", effect, Done)
    assert effect.count == 0


async def test_a_caller_that_leaves_does_not_stop_the_call(tmp_path: Path) -> None:
    """A timeout of the client does not cut the effect in half; the next one to ask gets its answer."""
    once, effect = Once(tmp_path / "claims.db"), Effect()
    effect.go.clear()
    caller = asyncio.create_task(once("t", "k", effect, Done))
    await effect.begun.wait()
    caller.cancel()
    await asyncio.wait([caller])
    second = asyncio.create_task(once("t", "k", effect, Done))
    effect.go.set()
    assert await second == Done(number=1) and effect.count == 1


async def test_callers_at_the_same_moment_share_one_call(tmp_path: Path) -> None:
    """A worker that was cut off and the one that took over may both be asking."""
    once, effect = Once(tmp_path / "claims.db"), Effect()
    assert await asyncio.gather(*(once("t", "k", effect, Done) for _ in range(20))) == [Done(number=1)] * 20


async def test_a_claim_that_cannot_be_written_stops_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk before the call: surely not done, and the call is made once there is room."""
    once, effect = Once(tmp_path / "claims.db"), Effect()
    with monkeypatch.context() as full:
        full.setattr(Claims, "claim", no_room)
        with pytest.raises(NotHappened, match=r"not-done: .*claims\.db cannot be written .*disk is full"):
            await once("t", "k", effect, Done)
    assert effect.count == 0
    assert await once("t", "k", effect, Done) == Done(number=1)


async def test_an_answer_that_cannot_be_stored_is_given_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk after the call: who asked gets the answer, and who asks again learns that it is not known."""
    once, effect = Once(tmp_path / "claims.db"), Effect()
    with monkeypatch.context() as full:
        full.setattr(Claims, "answer", no_room)
        assert await once("t", "k", effect, Done) == Done(number=1)
    with pytest.raises(MaybeHappened, match="no answer was stored"):
        await once("t", "k", effect, Done)
    assert effect.count == 1


async def test_a_claim_that_cannot_be_released_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk after a failure: the failure is what is said, and the claim waits for a person."""
    once, effect = Once(tmp_path / "claims.db"), Effect(NotHappened("retry-later", "asked too often"))
    with monkeypatch.context() as full:
        full.setattr(Claims, "release", no_room)
        with pytest.raises(NotHappened, match="asked too often"):
            await once("t", "k", effect, Done)
    with pytest.raises(MaybeHappened, match="no answer was stored"):
        await once("t", "k", effect, Done)
    assert effect.count == 1


def no_room(*_: object) -> NoReturn:
    raise sqlite3.OperationalError("database or disk is full")


async def test_claims_that_cannot_be_opened_stop_the_call(tmp_path: Path) -> None:
    """Without a file for the claims nothing happens, and the message names the setting."""
    (tmp_path / "file").touch()
    effect = Effect()
    with pytest.raises(NotHappened, match="Set STEPWIRE_CLAIMS"):
        await Once(tmp_path / "file" / "claims.db")("t", "k", effect, Done)
    assert effect.count == 0


def test_old_answers_are_forgotten_and_open_claims_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is kept for 90 days; a claim without one, until a person has looked."""
    monkeypatch.setattr("time.time", lambda: 0.0)
    claims = Claims(tmp_path / "claims.db")
    for key in ("answered", "open"):
        assert claims.claim("t", key).ours
    claims.answer("t", "answered", "{}")
    claims.close()
    monkeypatch.setattr("time.time", lambda: 91 * 86_400.0)
    claims = Claims(tmp_path / "claims.db")
    assert [(claim.tool, claim.key, claim.since) for claim in claims.open_claims()] == [("t", "open", 0.0)]
    assert claims.claim("t", "answered").ours
    claims.close()
