"""An MCP server for PostgreSQL: `query` reads, and cannot write.

Every call has a connection and a read-only transaction of its own, which is rolled back whatever happens, and its
SQL runs as the query of a cursor: one statement, with parameters that are never part of the text. So neither a
value nor the SQL can end the transaction, and nothing is left for the next call. Give it a role that may read only
what it should all the same: functions that a role may call can do what they like, and a superuser's read files.

Environment: DATABASE_URL; QUERY_ROWS, the most rows of an answer (500); QUERY_TIMEOUT, seconds (15).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import psycopg
from mcp.server.mcpserver import MCPServer
from psycopg.rows import dict_row
from pydantic import BaseModel, Field
from pydantic_core import to_json, to_jsonable_python

from stepwire_handlers.mcp_servers.postgres_values import ADAPTERS
from stepwire_handlers.mcp_servers.serve import run
from stepwire_handlers.mcp_servers.verdict import NotHappened

Scalar = str | int | float | bool | None

_CONNECT = 10  # seconds; under the 30 that Stepwire waits for a tool
_CONNECTIONS = 16  # at once; what is asked beyond them waits, since a database takes about a hundred in all
_BATCH = 20  # rows that are fetched at once: what may be in memory beyond an answer that is too large
_BYTES = 4 * 2**20  # of one answer, which goes out twice, as text and as structure, and 16 MiB is what a client takes
# SQLSTATEs: protocol (a number of parameters), not for a cursor, data, transaction, syntax and names.
_REJECTED = ("08P01", "0A", "22", "25", "42")


class Rows(BaseModel):
    """The rows of a query, each by the names of its columns."""

    rows: list[dict[str, Any]]
    truncated: bool = False  #: there were more


def make(environ: Mapping[str, str]) -> MCPServer:
    """Read from a PostgreSQL database."""
    dsn = environ.get("DATABASE_URL", "")
    limit, timeout = int(environ.get("QUERY_ROWS") or 500), float(environ.get("QUERY_TIMEOUT") or 15)
    turn = asyncio.Semaphore(_CONNECTIONS)
    server = MCPServer("postgres", log_level="WARNING")

    @server.tool()
    async def query(
        sql: Annotated[str, Field(description="one SELECT; parameters as $1, $2 …", min_length=1)],
        params: Annotated[list[Scalar | list[Scalar]] | None, Field(description="their values")] = None,
    ) -> Rows:
        """Run a query in a read-only transaction."""
        if not dsn:
            raise NotHappened("not-done", "there is no database. Set DATABASE_URL")
        if "\0" in sql:
            raise NotHappened("rejected", "the SQL has a NUL character, at which the database would cut it off")
        try:
            async with turn:
                return await _query(dsn, sql, params or [], limit, timeout)
        except (psycopg.Error, UnicodeEncodeError, TimeoutError) as error:
            raise _verdict(error, timeout) from None

    return server


async def _query(dsn: str, sql: str, params: list[Any], limit: int, timeout: float) -> Rows:
    connection = await psycopg.AsyncConnection.connect(
        dsn, connect_timeout=_CONNECT, application_name="stepwire postgres.query", context=ADAPTERS
    )
    try:
        await connection.set_read_only(True)
        # The server's limit is for each statement, and for a client that is gone; ours is for all of them.
        await connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{timeout * 1000:.0f}"])
        async with (
            asyncio.timeout(timeout + 1),
            psycopg.AsyncRawServerCursor(connection, "query", row_factory=dict_row) as cursor,
        ):
            await cursor.execute(sql, params)
            return await _answer(cursor, limit)
    finally:
        await connection.close()  # without a commit


async def _answer(cursor: psycopg.AsyncRawServerCursor[dict[str, Any]], limit: int) -> Rows:
    names = [column.name for column in cursor.description or ()]
    if twice := {name for name in names if names.count(name) > 1}:
        raise NotHappened("rejected", f"columns of one name ({', '.join(sorted(twice))}). Name each with AS")
    rows: list[dict[str, Any]] = []
    room = _BYTES
    while batch := await cursor.fetchmany(_BATCH):
        # What JSON has no form for, such as a range, goes as text.
        for row in to_jsonable_python(batch, bytes_mode="base64", fallback=str):
            room -= len(to_json(row))
            if room < 0 and not rows:
                raise NotHappened("rejected", f"a single row has more than {_BYTES} bytes. Select less of it")
            if room < 0 or len(rows) == limit:
                return Rows(rows=rows, truncated=True)
            rows.append(row)
    return Rows(rows=rows)


def _verdict(error: psycopg.Error | UnicodeEncodeError | TimeoutError, timeout: float) -> NotHappened:
    # Whatever went wrong, a transaction that only reads has done nothing.
    if isinstance(error, TimeoutError | psycopg.errors.QueryCanceled):
        return NotHappened("not-done", f"the query ran longer than {timeout:g} s (QUERY_TIMEOUT)")
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith("22") or isinstance(error, UnicodeEncodeError):
        # The message would quote the value.
        code = f" (SQLSTATE {state})" if state else ""
        return NotHappened("rejected", f"a value does not fit: {type(error).__name__}{code}")
    message = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    if state:
        return NotHappened("rejected" if state.startswith(_REJECTED) else "not-done", f"{message} (SQLSTATE {state})")
    if not isinstance(error, psycopg.OperationalError):
        return NotHappened("rejected", message)  # said by the driver: the query or its values cannot be sent
    return NotHappened("not-done", f"the database does not answer: {message} Check DATABASE_URL, and that it runs")


if __name__ == "__main__":
    run(make)
