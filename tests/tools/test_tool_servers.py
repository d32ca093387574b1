"""Our servers for Slack, Gmail and PostgreSQL, on their back ends."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.tools.surroundings import StandIns, free_port, own

from stepwire.errors import NotDone, Reject, RetryLater
from stepwire_handlers.mcp_servers import gmail, slack
from stepwire_handlers.steps.tool import Tool, Tools
from stepwire_handlers.steps.tool_errors import ToolError, ToolOutcomeUnknown

pytestmark = pytest.mark.anyio

MESSAGE = {"channel": "#invoices", "text": "INV-7 is paid"}
DRAFT = {"to": ["ap@globex.example"], "subject": "Rechnung Nº 7", "body": "Grüße"}


def on(server: object) -> Tools:
    return Tools({"s": server}, allow=["s.*"])


async def failed(tools: Tools, tool: str, arguments: dict[str, Any], key: str | None = None) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await tools.call(tool, arguments, key)
    return caught.value


@pytest.fixture
def slack_tools(standins: StandIns, tmp_path: Path) -> Tools:
    return on(slack.make(standins.slack | {"STEPWIRE_CLAIMS": str(tmp_path / "claims.db")}))


@pytest.fixture
def gmail_tools(standins: StandIns, tmp_path: Path) -> Tools:
    return on(gmail.make(standins.gmail | {"STEPWIRE_CLAIMS": str(tmp_path / "claims.db")}))


async def test_a_message_is_posted_and_its_id_comes_back(standins: StandIns) -> None:
    """`slack.send` over stdio, as a flow has it: what Slack took is what was said."""

    class Message(BaseModel):
        channel: str
        text: str
        thread_ts: str | None = None

    tools = on(own("slack", **standins.slack))
    send: Any = tools.provide(Tool[Message, slack.Sent], "s.send")
    async with tools:
        sent = await send(**MESSAGE)
        answer = await send(channel="#invoices", text="thanks", thread_ts=sent.ts)
    first, second = standins.received("slack/messages")
    assert (first["channel"], first["text"], first["ts"]) == (sent.channel, MESSAGE["text"], sent.ts)
    assert second["thread_ts"] == sent.ts and second["ts"] == answer.ts != sent.ts


@pytest.mark.parametrize("to", ["../../x <a/b@x.example>", "<", ",", "a@x.example, \ud800", "not an address"])
async def test_an_address_that_is_none_is_rejected_or_kept_as_text(
    to: str, standins: StandIns, gmail_tools: Tools
) -> None:
    """What a model puts where an address belongs never breaks the server."""
    async with gmail_tools as tools:
        call = tools.call("s.create_draft", DRAFT | {"to": [to]})
        outcome: Any = (await asyncio.gather(call, return_exceptions=True))[0]
        assert isinstance(outcome, dict) or isinstance(tools.classify(outcome), Reject)


async def test_a_draft_is_a_mail_that_a_program_can_read(standins: StandIns, gmail_tools: Tools) -> None:
    """`gmail.create_draft` makes a proper message, also with letters beyond ASCII and an HTML part."""
    async with gmail_tools as tools:
        draft = await tools.call("s.create_draft", DRAFT | {"cc": ["ida@x.example"], "html": "<p>Grüße</p>"})
        listed = await tools.call("s.list_drafts", {"limit": 5})
    (received,) = standins.received("gmail/drafts")
    mail = message_from_bytes((standins.folder / "drafts" / received["file"]).read_bytes(), policy=default)
    assert (mail["To"], mail["Cc"], mail["Subject"]) == ("ap@globex.example", "ida@x.example", "Rechnung Nº 7")
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None and plain.get_content().strip() == "Grüße"
    assert html is not None and "<p>Grüße</p>" in html.get_content()
    assert listed["drafts"][0] == draft and draft["id"] == received["id"]


@pytest.mark.parametrize("field", ["to", "subject"])
async def test_a_line_break_makes_no_second_header(field: str, standins: StandIns, gmail_tools: Tools) -> None:
    """An address or a subject with a line break is rejected, not made into a Bcc."""
    value = "x\r\nBcc: thief@evil.example"
    async with gmail_tools as tools:
        error = await failed(tools, "s.create_draft", DRAFT | {field: [value] if field == "to" else value})
        assert isinstance(tools.classify(error), Reject)
    assert standins.received("gmail/drafts") == []


@pytest.mark.parametrize(("api", "tool"), [("slack", "send"), ("gmail", "create_draft")])
async def test_a_back_end_that_is_asked_too_often_is_waited_for(
    api: str, tool: str, standins: StandIns, slack_tools: Tools, gmail_tools: Tools
) -> None:
    """429 with Retry-After is a RetryLater of that long, and the same key works afterwards."""
    tools, arguments = (slack_tools, MESSAGE) if api == "slack" else (gmail_tools, DRAFT)
    standins.fault(api=api, status=429, retry_after=7)
    async with tools:
        error = await failed(tools, f"s.{tool}", arguments, "k")
        meaning = tools.classify(error)
        assert isinstance(meaning, RetryLater) and meaning.seconds == 7
        assert await tools.call(f"s.{tool}", arguments, "k") == await tools.call(f"s.{tool}", arguments, "k")
    assert len(standins.received("slack/messages") + standins.received("gmail/drafts")) == 1


@pytest.mark.parametrize(("api", "tool"), [("slack", "send"), ("gmail", "create_draft")])
@pytest.mark.parametrize("stored", [True, False])
async def test_a_status_of_500_is_an_unknown_outcome(
    api: str, tool: str, stored: bool, standins: StandIns, slack_tools: Tools, gmail_tools: Tools
) -> None:
    """It may have happened or not: nothing is tried again under the key."""
    tools, arguments = (slack_tools, MESSAGE) if api == "slack" else (gmail_tools, DRAFT)
    standins.fault(api=api, status=500, stored=stored)
    async with tools:
        for _ in range(2):
            error = await failed(tools, f"s.{tool}", arguments, "k")
            assert isinstance(error, ToolOutcomeUnknown) and error.said_by == "server"
    assert len(standins.received("slack/messages") + standins.received("gmail/drafts")) == int(stored)


@pytest.mark.parametrize(
    ("error", "status", "signal"),
    [
        ("channel_not_found", 200, Reject),
        ("msg_too_long", 200, Reject),
        ("ratelimited", 200, RetryLater),
        ("token_revoked", 200, NotDone),
        ("service_unavailable", 200, NotDone),
        ("fatal_error", 200, type(None)),
        ("invalid_auth", 401, NotDone),
        ("no_such_thing", 404, Reject),
    ],
)
async def test_what_slack_says_decides_what_happens_next(
    error: str, status: int, signal: type[object], standins: StandIns, slack_tools: Tools
) -> None:
    """Slack's `ok: false` has a meaning for the event, and its word is in the message."""
    standins.fault(api="slack", status=status, error=error)
    async with slack_tools as tools:
        raised = await failed(tools, "s.send", MESSAGE)
        assert type(tools.classify(raised)) is signal
    assert (error if status == 200 and error != "ratelimited" else "Slack") in str(raised)


@pytest.mark.parametrize(
    ("status", "reason", "signal"),
    [
        (400, "invalidArgument", Reject),
        (401, "authError", NotDone),
        (403, "rateLimitExceeded", RetryLater),
        (403, "userRateLimitExceeded", RetryLater),
        (403, "insufficientPermissions", NotDone),
        (404, "notFound", Reject),
        (429, "rateLimitExceeded", RetryLater),
        (503, "backendError", type(None)),
    ],
)
async def test_what_gmail_says_decides_what_happens_next(
    status: int, reason: str, signal: type[object], standins: StandIns, gmail_tools: Tools
) -> None:
    """Google tells a limit from a missing right by a word of its answer; only the latter names the setting."""
    standins.fault(api="gmail", status=status, error=reason)
    async with gmail_tools as tools:
        raised = await failed(tools, "s.create_draft", DRAFT, "k")
        assert type(tools.classify(raised)) is signal
        assert ("GMAIL_TOKEN" in str(raised)) is (signal is NotDone)
    assert standins.received("gmail/drafts") == []


async def test_drafts_that_cannot_be_listed_are_asked_for_again(standins: StandIns, gmail_tools: Tools) -> None:
    """What only reads is never of an unknown outcome."""
    standins.fault(api="gmail", status=503)
    async with gmail_tools as tools:
        assert isinstance(tools.classify(await failed(tools, "s.list_drafts", {})), NotDone)
        assert await tools.call("s.list_drafts", {})


@pytest.mark.parametrize(
    ("make", "tool", "arguments", "word"),
    [(slack.make, "s.send", MESSAGE, "SLACK_TOKEN"), (gmail.make, "s.create_draft", DRAFT, "GMAIL_TOKEN")],
)
async def test_a_token_that_is_wrong_or_missing_is_said(
    make: Any, tool: str, arguments: dict[str, Any], word: str, standins: StandIns, tmp_path: Path
) -> None:
    """The message names the variable; with a file, a renewed token is used by the next call."""
    file = tmp_path / "token"
    base = {name: url for name, url in (standins.slack | standins.gmail).items() if name.endswith("URL")}
    async with on(make(base)) as tools:
        assert f"Set {word}" in str(await failed(tools, tool, arguments))
    async with on(make(base | {f"{word}_FILE": str(file)})) as tools:
        assert "No such file" in str(await failed(tools, tool, arguments))
        file.write_text("expired\n")
        assert f"Check {word}" in str(await failed(tools, tool, arguments))
        file.write_text((standins.slack | standins.gmail)[word] + "\n")
        assert await tools.call(tool, arguments)


async def test_a_back_end_that_is_down_did_nothing(tmp_path: Path) -> None:
    """No connection: not done, and the claim is released."""
    environ = {"SLACK_BASE_URL": f"http://127.0.0.1:{free_port()}/api", "SLACK_TOKEN": "x"}
    async with on(slack.make(environ | {"STEPWIRE_CLAIMS": str(tmp_path / "claims.db")})) as tools:
        for _ in range(2):
            assert isinstance(tools.classify(await failed(tools, "s.send", MESSAGE, "k")), NotDone)
