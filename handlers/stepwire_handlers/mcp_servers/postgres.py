"""An MCP server for PostgreSQL: `query` reads, and cannot write.

Every call has a connection and a read-only transaction of its own, which is rolled back whatever happens, and its
SQL runs as the query of a cursor: one statement, with parameters that are never part of the text. So neither a
value nor the SQL can end the transaction, and nothing is left for the next call. That is why it keeps no claims: what
only reads may be repeated. Of an answer one row at a time is in memory beyond what is kept.

Give it a role that may read only what it should all the same: functions that a role may call can do what they like. A
superuser's read and write the server's files, end other sessions and reach other databases, which no read-only
transaction hinders, so a superuser is refused.

Environment: DATABASE_URL; QUERY_ROWS, the most rows of an answer (500); QUERY_TIMEOUT, seconds (15);
QUERY_SUPERUSER=yes lets a superuser query all the same, as on a laptop where there is no other role.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, cast

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
_BYTES = 4 * 2**20  # of one answer, which goes out twice, as text and as structure, and 16 MiB is what a client takes
_MOST = 1_000_000  # rows or seconds that a setting may say
# SQLSTATEs: protocol (a number of parameters), not for a cursor, a subquery of several rows, data, transaction,
# functions of others (dblink without a password), schemas, syntax and names, what no PostgreSQL can do.
_REJECTED = ("08P01", "0A", "21", "22", "25", "2F", "3F", "42", "54")


class Rows(BaseModel):
    """The rows of a query, each by the names of its columns."""

    rows: list[dict[str, Any]]
    truncated: bool = False  #: there were more


@dataclass(frozen=True, slots=True)
class _Database:
    """Where to ask, and how much."""

    dsn: str
    rows: int  #: most of one answer
    seconds: float  #: longest for one query
    superuser: bool  #: may the role be one?


def make(environ: Mapping[str, str]) -> MCPServer:
    """Read from a PostgreSQL database. Raises ValueError for a setting that is none."""
    database = _Database(
        environ.get("DATABASE_URL", ""),
        int(_number(environ, "QUERY_ROWS", "500", least=1)),
        _number(environ, "QUERY_TIMEOUT", "15", least=0.001),
        environ.get("QUERY_SUPERUSER") == "yes",
    )
    turn = asyncio.Semaphore(_CONNECTIONS)
    server = MCPServer("postgres", log_level="WARNING")

    @server.tool()
    async def query(
        sql: Annotated[str, Field(description="one SELECT; parameters as $1, $2 …", min_length=1)],
        params: Annotated[list[Scalar | list[Scalar]] | None, Field(description="their values")] = None,
    ) -> Rows:
        """Run a query in a read-only transaction."""
        if not database.dsn:
            raise NotHappened("not-done", "there is no database. Set DATABASE_URL")
        if "\0" in sql:
            raise NotHappened("rejected", "the SQL has a NUL character, at which the database would cut it off")
        try:
            async with turn:
                return await _query(database, sql, params or [])
        except (psycopg.Error, UnicodeEncodeError, TimeoutError) as error:
            raise _verdict(error, database.seconds) from None

    return server


async def _query(database: _Database, sql: str, params: list[Any]) -> Rows:
    connection = await psycopg.AsyncConnection.connect(
        database.dsn, connect_timeout=_CONNECT, application_name="stepwire postgres.query", context=ADAPTERS
    )
    try:
        await connection.set_read_only(True)
        await _prepare(connection, database)
        async with (
            asyncio.timeout(database.seconds + 1),
            psycopg.AsyncRawServerCursor(connection, "query") as cursor,
        ):
            await cursor.execute(sql, params)
            names = [column.name for column in cursor.description or ()]
            if not names:
                raise NotHappened("rejected", "the query has no columns. Name some after SELECT")
            if twice := {name for name in names if names.count(name) > 1}:
                raise NotHappened("rejected", f"columns of one name ({', '.join(sorted(twice))}). Name each with AS")
            return await _answer(connection, database.rows)
    finally:
        await connection.close()  # without a commit


async def _prepare(connection: psycopg.AsyncConnection[Any], database: _Database) -> None:
    """Let the server stop what runs too long, also for a client that is gone; and look who asks."""
    asked = await connection.execute(
        "SELECT set_config('statement_timeout', %s, true), current_setting('is_superuser'), current_user",
        [f"{database.seconds * 1000:.0f}"],
    )
    _, superuser, role = await asked.fetchone() or ("", "", "")
    if superuser == "on" and not database.superuser:
        reason = f"{role!r} is a superuser, whom a read-only transaction does not keep from files and other sessions"
        cure = "Name a role in DATABASE_URL that may only read what it should, or set QUERY_SUPERUSER=yes"
        raise NotHappened("not-done", f"{reason}. {cure}")


async def _answer(connection: psycopg.AsyncConnection[Any], limit: int) -> Rows:
    rows: list[dict[str, Any]] = []
    room = _BYTES
    fetched = connection.cursor(row_factory=dict_row).stream(f"FETCH FORWARD {limit + 1} FROM query")
    async with aclosing(cast("AsyncGenerator[dict[str, Any]]", fetched)) as answers:
        async for answer in answers:
            # What JSON has no form for, such as a range, goes as text.
            row = to_jsonable_python(answer, bytes_mode="base64", fallback=str)
            room -= len(to_json(row))
            if room < 0 and not rows:
                raise NotHappened("rejected", f"a single row has more than {_BYTES} bytes. Select less of it")
            if room < 0 or len(rows) == limit:
                return Rows(rows=rows, truncated=True)
            rows.append(row)
    return Rows(rows=rows)


def _number(environ: Mapping[str, str], name: str, default: str, least: float) -> float:
    said = environ.get(name) or default
    try:
        number = float(said)
    except ValueError:
        number = 0.0
    if not least <= number <= _MOST:
        raise ValueError(f"{name}={said!r} is not a number from {least:g} to {_MOST:g}. Set one, such as {default}")
    return number


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
