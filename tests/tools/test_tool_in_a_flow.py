"""Tools in a running app: injected by name, keyed by the delivery, and what their errors do to an event."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from tests.tools.scripted_server import server
from tests.tools.surroundings import StandIns, raw

from stepwire import App, Event, handler
from stepwire.errors import SettingsError
from stepwire_handlers.mcp_servers import slack
from stepwire_handlers.steps.tool import Tool, Tools

pytestmark = pytest.mark.anyio


class Asked(Event, topic="tools.asked"):
    text: str


class Told(Event, topic="tools.told", result=True, terminal=True):
    text: str


class Message(BaseModel):
    channel: str
    text: str


class Text(BaseModel):
    text: str


async def test_a_message_is_sent_once_though_the_handler_fails_after_it(standins: StandIns, tmp_path: Path) -> None:
    """The second attempt makes the same call with the same key, so the server gives the stored answer."""
    attempts: list[str] = []

    @handler()
    async def tell(asked: Asked, send: Annotated[Tool[Message, slack.Sent], "slack.send"]) -> Told:
        sent = await send(channel="#a", text=f"{asked.text}, attempt {len(attempts) + 1}")
        attempts.append(sent.ts)
        if len(attempts) < 3:
            raise ConnectionError("after it was sent")
        return Told(text=sent.ts)

    tools = Tools({"slack": slack.make(standins.slack | {"STEPWIRE_CLAIMS": str(tmp_path / "claims.db")})})
    async with await App("flow", handlers=[tell], resources=[tools]).run(Asked(text="paid")) as run:
        (message,) = standins.received("slack/messages")
        assert run.result == Told(text=message["ts"])
    assert attempts == [message["ts"]] * 3 and message["text"] == "paid, attempt 1"


async def test_an_unknown_outcome_of_an_effect_waits_for_a_person(tmp_path: Path) -> None:
    """With `effect="once"` a server that dies in the call is called once; a person says what became of it."""
    log = tmp_path / "log"

    @handler(effect="once")
    async def tell(asked: Asked, die: Annotated[Tool[dict[str, Any], Any], "s.die"]) -> Told:
        await die()
        return Told(text=asked.text)

    tools = Tools({"s": raw(RAW_LOG=str(log))})
    async with await App("flow", handlers=[tell], resources=[tools]).run(Asked(text="x")) as run:
        assert run.state == "waiting" and len(run.unknown) == 1
        await run.advance(3600)
        assert log.read_text() == "die\n"
        await run.resolve(run.unknown[0], "done", Told(text="by hand"))
        assert run.result == Told(text="by hand")


async def test_an_effect_that_was_surely_not_sent_is_tried_again() -> None:
    """A server that cannot be reached is no unknown outcome: the event is retried, and then a dead letter."""
    attempts: list[int] = []

    @handler(effect="once")
    async def tell(asked: Asked, echo: Annotated[Tool[Text, Text], "s.echo"]) -> Told:
        attempts.append(1)
        return Told(text=(await echo(text=asked.text)).text)

    tools = Tools({"s": {"command": "/bin/false"}})
    async with await App("flow", handlers=[tell], resources=[tools]).run(Asked(text="x")) as run:
        await run.advance(3600)
        assert not run.unknown and len(attempts) == 5
        (dead,) = run.dead_letters
    assert dead.error == "ToolUnreachable" and "mcpServers.s" in dead.message


async def test_a_call_that_cannot_be_right_is_a_dead_letter_at_once() -> None:
    """A tool that the server lacks is not asked for five times."""
    attempts: list[int] = []

    @handler()
    async def tell(asked: Asked, nothing: Annotated[Tool[Text, Text], "s.nothing"]) -> Told:
        attempts.append(1)
        return Told(text=(await nothing(text=asked.text)).text)

    async with await App("flow", handlers=[tell], resources=[Tools({"s": server})]).run(Asked(text="x")) as run:
        (dead,) = run.dead_letters
    assert (dead.error, len(attempts)) == ("ToolRefused", 1)


def test_a_tool_beside_the_allow_list_stops_the_wiring() -> None:
    """What a flow may not call is said when the App is built."""

    @handler()
    async def tell(asked: Asked, fail: Annotated[Tool[Text, Text], "s.fail"]) -> Told:
        return Told(text=(await fail(text=asked.text)).text)

    with pytest.raises(SettingsError, match=r"tool 's.fail' is not allowed"):
        App("flow", handlers=[tell], resources=[Tools({"s": server}, allow=["s.echo"])])
