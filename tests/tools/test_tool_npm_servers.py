"""The same flow-side calls on servers that others wrote: npm's for PostgreSQL and for Slack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel
from tests.tools.surroundings import StandIns

from stepwire_handlers.mcp_servers.postgres import Rows
from stepwire_handlers.mcp_servers.slack import Sent
from stepwire_handlers.steps.tool import Tool, Tools
from stepwire_handlers.steps.tool_errors import ToolFailed, ToolRefused

pytestmark = [pytest.mark.slow, pytest.mark.anyio, pytest.mark.service("node")]

# The package's server has Slack's address built in.
REDIRECT = """
const real = globalThis.fetch;
globalThis.fetch = (url, options) => real(String(url).replace("https://slack.com", process.env.SLACK_AT), options);
"""
INJECTIONS = [
    "x' OR '1'='1",
    "x'; COMMIT; DELETE FROM customers; --",
    "x\\'; COMMIT; DELETE FROM customers; --",
    "$1'; COMMIT; DELETE FROM customers; --",
    "*/ x'); COMMIT; DELETE FROM customers; /*",
]


class Vendor(BaseModel):
    name: str


class Query(BaseModel):
    sql: str
    params: list[str]


class Message(BaseModel):
    channel: str
    text: str


@pytest.fixture
def servers(service: Any, npm: Path | None, dsn: str, standins: StandIns, tmp_path: Path) -> dict[str, Any]:
    service("node", npm, "no npm, or it cannot install the servers")
    assert npm is not None
    (tmp_path / "redirect.cjs").write_text(REDIRECT)
    slack = {
        "SLACK_BOT_TOKEN": "xoxb-stand-in",
        "SLACK_TEAM_ID": "T1",
        "SLACK_AT": standins.url,
        "NODE_OPTIONS": f"--require={tmp_path / 'redirect.cjs'}",
    }
    return {
        "pg": {"command": "node", "args": [str(npm / "server-postgres/dist/index.js"), dsn]},
        "chat": {"command": "node", "args": [str(npm / "server-slack/dist/index.js")], "env": slack},
    }


TOOLS: dict[str, Any] = {
    "postgres.query": {
        "server": "pg",
        "tool": "query",
        "arguments": {"sql": "{sql:bind(params)}"},
        "result": {"rows": "$"},
    },
    "customers.find": {
        "server": "pg",
        "tool": "query",
        "arguments": {"sql": "SELECT * FROM customers WHERE name = {name:sql} OR {name:sql} = ANY (aliases)"},
        "result": {"rows": "$"},
    },
    "slack.send": {
        "server": "chat",
        "tool": "slack_post_message",
        "arguments": {"channel_id": "{channel}", "text": "{text}"},
        "result": {"channel": "$.channel", "ts": "$.ts"},
        "ok": "$.ok",
        "error": "$.error",
    },
}


async def test_npms_postgres_server_does_the_job_of_ours(servers: dict[str, Any]) -> None:
    """The flow calls `postgres.query` with SQL and parameters; the map makes the one string that it takes."""
    tools = Tools(servers, TOOLS)
    query: Any = tools.provide(Tool[Query, Rows], "postgres.query")
    find: Any = tools.provide(Tool[Vendor, Rows], "customers.find")
    async with tools:
        answer = await query(sql="SELECT name FROM customers WHERE $1 = ANY (aliases)", params=["O'Hara"])
        found = await find(name="GSL")
    assert answer.rows == [{"name": "O'Hara & Sons"}]
    assert found.rows[0]["account_manager"] == "Ida Berg"


@pytest.mark.parametrize("name", INJECTIONS)
async def test_a_vendor_shaped_like_an_injection_is_a_vendor(name: str, servers: dict[str, Any], dsn: str) -> None:
    """That server runs whatever string it is given, as the database's owner; the value stays a value."""
    tools = Tools(servers, TOOLS)
    query: Any = tools.provide(Tool[Query, Rows], "postgres.query")
    find: Any = tools.provide(Tool[Vendor, Rows], "customers.find")
    async with tools:
        assert (await find(name=name)).rows == []
        assert (await query(sql="SELECT $1 AS vendor", params=[name])).rows == [{"vendor": name}]
        with pytest.raises(ToolRefused, match="NUL"):
            await find(name=f"{name}\0")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (3,)


async def test_its_errors_are_failures_of_the_tool(servers: dict[str, Any]) -> None:
    """That server answers an SQL error by an error of the protocol."""
    async with Tools(servers, allow=["pg.query"]) as tools:
        with pytest.raises(ToolFailed, match='column "nothing" does not exist'):
            await tools.call("pg.query", {"sql": "SELECT nothing"})


async def test_npms_slack_server_does_the_job_of_ours(servers: dict[str, Any], standins: StandIns) -> None:
    """The flow calls `slack.send`; a `no` of Slack inside of an ordinary answer is a failure all the same."""
    tools = Tools(servers, TOOLS)
    send: Any = tools.provide(Tool[Message, Sent], "slack.send")
    async with tools:
        sent = await send(channel="#invoices", text="INV-7 is paid")
        standins.fault(api="slack", status=200, error="channel_not_found")
        with pytest.raises(ToolFailed, match="channel_not_found"):
            await send(channel="#nowhere", text="x")
    (message,) = standins.received("slack/messages")
    assert (message["text"], message["ts"]) == ("INV-7 is paid", sent.ts)
