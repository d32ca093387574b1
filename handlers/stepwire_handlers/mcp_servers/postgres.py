"""An MCP server for PostgreSQL: `query` reads, and cannot write.

Every call has a connection and a read-only transaction of its own, and its SQL runs as the query of a cursor:
one statement, with parameters that are never part of the text. So neither a value nor the SQL can end the
transaction, and nothing is left for the next call. Give it a role that may read only what it should all the
same: functions that a role may call can do what they like.

Environment: DATABASE_URL; QUERY_ROWS, the most rows of an answer (500); QUERY_TIMEOUT, seconds (15).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import psycopg
from mcp.server.mcpserver import MCPServer
from psycopg.rows import dict_row
from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from stepwire_handlers.mcp_servers.serve import run
from stepwire_handlers.mcp_servers.verdict import NotHappened

Scalar = str | int | float | bool | None

_CONNECT = 10  # seconds; under the 30 that Stepwire waits for a tool
_REJECTED = ("0A", "22", "25006", "42")  # SQLSTATEs: not for a cursor, data, read only, syntax and names


class Rows(BaseModel):
    """The rows of a query, each by the names of its columns."""

    rows: list[dict[str, Any]]
    truncated: bool = False  #: there were more


def make(environ: Mapping[str, str]) -> MCPServer:
    """Read from a PostgreSQL database."""
    dsn = environ.get("DATABASE_URL", "")
    limit, timeout = int(environ.get("QUERY_ROWS") or 500), float(environ.get("QUERY_TIMEOUT") or 15)
    server = MCPServer("postgres", log_level="WARNING")

    @server.tool()
    async def query(
        sql: Annotated[str, Field(description="one SELECT; parameters as $1, $2 …", min_length=1)],
        params: Annotated[list[Scalar | list[Scalar]] | None, Field(description="their values")] = None,
    ) -> Rows:
        """Run a query in a read-only transaction."""
        if not dsn:
            raise NotHappened("not-done", "there is no database. Set DATABASE_URL")
        try:
            return await _query(dsn, sql, params or [], limit, timeout)
        except psycopg.Error as error:
            raise _verdict(error, timeout) from None

    return server


async def _query(dsn: str, sql: str, params: list[Any], limit: int, timeout: float) -> Rows:
    connection = await psycopg.AsyncConnection.connect(
        dsn, connect_timeout=_CONNECT, application_name="stepwire postgres.query"
    )
    async with connection:
        await connection.set_read_only(True)
        await connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{timeout * 1000:.0f}"])
        async with psycopg.AsyncRawServerCursor(connection, "query", row_factory=dict_row) as cursor:
            await cursor.execute(sql, params)
            rows = await cursor.fetchmany(limit + 1)
    # What JSON has no form for (a range, an interval) goes as text.
    plain = to_jsonable_python(rows[:limit], bytes_mode="base64", fallback=str)
    return Rows(rows=plain, truncated=len(rows) > limit)


def _verdict(error: psycopg.Error, timeout: float) -> NotHappened:
    # Whatever went wrong, a transaction that only reads has done nothing.
    state = error.sqlstate or ""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return NotHappened("not-done", f"the query ran longer than {timeout:g} s (QUERY_TIMEOUT)")
    if state.startswith("22"):
        # The server's message would quote the value.
        return NotHappened("rejected", f"a value does not fit: {type(error).__name__} (SQLSTATE {state})")
    message = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    if not state:
        return NotHappened("not-done", f"the database does not answer: {message} Check DATABASE_URL, and that it runs")
    return NotHappened("rejected" if state.startswith(_REJECTED) else "not-done", f"{message} (SQLSTATE {state})")


if __name__ == "__main__":
    run(make)
