"""`postgres.query`: what it reads, and all that it must not do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel
from tests.tools.surroundings import free_port, own, serving, until

from stepwire.errors import NotDone, Reject, Transient
from stepwire_handlers.mcp_servers import postgres
from stepwire_handlers.mcp_servers.serve import run
from stepwire_handlers.standins.database import reader
from stepwire_handlers.steps.tool import Tool, Tools
from stepwire_handlers.steps.tool_errors import ToolError, ToolFailed, ToolOutcomeUnknown

pytestmark = pytest.mark.anyio

INJECTION = "x'; DELETE FROM customers; --"


def on(server: object) -> Tools:
    return Tools({"s": server}, allow=["s.*"])


def asking(dsn: str, **settings: str) -> Tools:
    """The server in this process, for the database's superuser: what holds for that role holds for any."""
    return on(postgres.make({"DATABASE_URL": dsn, "QUERY_SUPERUSER": "yes", **settings}))


async def failed(tools: Tools, sql: str, params: list[Any] | None = None) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await tools.call("s.query", {"sql": sql} | ({} if params is None else {"params": params}))
    return caught.value


@pytest.fixture
def guarded(dsn: str) -> Iterator[str]:
    """The database with a sequence, a large object and dblink; nothing may have changed."""

    def counted() -> object:
        with psycopg.connect(dsn, autocommit=True) as connection:
            return connection.execute(
                "SELECT (SELECT array_agg(c ORDER BY id) FROM customers c)::text, (SELECT last_value FROM numbers), "
                "(SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_class)"
            ).fetchone()

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS numbers")
        connection.execute("CREATE EXTENSION IF NOT EXISTS dblink")
        connection.execute("SELECT lo_create(4711) WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata)")
        connection.execute(
            "CREATE OR REPLACE FUNCTION erase() RETURNS int LANGUAGE sql AS 'DELETE FROM customers RETURNING 1'"
        )
    before = counted()
    yield dsn
    assert counted() == before


async def test_a_query_gives_rows_by_name(dsn: str) -> None:
    """`postgres.query` over stdio, typed: parameters in, rows out."""

    class Query(BaseModel):
        sql: str
        params: list[str | int] = []

    tools = on(own("postgres", DATABASE_URL=reader(dsn)))
    query: Any = tools.provide(Tool[Query, postgres.Rows], "s.query")
    sql = "SELECT id, name, aliases FROM customers WHERE $1 = any(aliases) OR id = $2 ORDER BY id"
    async with tools:
        answer = await query(sql=sql, params=["O'Hara", 3])
    assert answer.rows == [
        {"id": 2, "name": "O'Hara & Sons", "aliases": ["O'Hara"]},
        {"id": 3, "name": "Initech", "aliases": []},
    ]
    assert not answer.truncated


async def test_values_that_json_lacks_come_as_text(dsn: str) -> None:
    """Numbers of any precision, times, bytes, ranges and numbers that are none are values that an event can carry."""
    values = {
        "1.10::numeric": "1.10",
        "'NaN'::numeric": "NaN",
        "'NaN'::float8": "NaN",
        "'-Infinity'::float4": "-Infinity",
        "0.1::float4": 0.1,
        "1e300::float8": 1e300,
        "9007199254740993": 9007199254740993,
        "date '2026-11-22'": "2026-11-22",
        "date 'infinity'": "infinity",
        "date '0044-03-15 BC'": "0044-03-15 BC",
        "timestamp '12000-01-01'": "12000-01-01 00:00:00",
        "timestamp '2026-11-22 10:00'": "2026-11-22T10:00:00",
        "time '24:00'": "24:00:00",
        "interval '1 month 2 days'": "1 mon 2 days",
        "'\\xff00'::bytea": "_wA=",
        "int4range(1, 5)": "[1, 5)",
        "ARRAY[date '2026-11-22', 'infinity']": ["2026-11-22", "infinity"],
        "'{\"a\": [1.5, null]}'::jsonb": {"a": [1.5, None]},
        "NULL::date": None,
    }
    columns = ", ".join(f"{value} AS c{number}" for number, value in enumerate(values))
    async with asking(dsn) as tools:
        (row,) = (await tools.call("s.query", {"sql": f"SELECT {columns}"}))["rows"]
    assert dict(zip(values, row.values(), strict=True)) == values


ATTACKS = [
    "DELETE FROM customers",
    "WITH gone AS (DELETE FROM customers RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO customers SELECT * FROM customers RETURNING *) SELECT * FROM new",
    "INSERT INTO customers SELECT * FROM customers RETURNING *",
    "COMMIT; DELETE FROM customers",
    "SELECT 1; DELETE FROM customers",
    "SELECT 1\0; DELETE FROM customers",
    "CLOSE query; DELETE FROM customers",
    "SELECT 1 --\n; DELETE FROM customers",
    "SELECT 1 /* ; */; DELETE FROM customers --",
    "/* SELECT */ DELETE FROM customers /* */",
    "MERGE INTO customers c USING customers d ON c.id = d.id WHEN MATCHED THEN DELETE",
    "UPDATE customers SET name = 'x' RETURNING name",
    "TRUNCATE customers",
    "LOCK TABLE customers",
    "PREPARE p AS DELETE FROM customers",
    "EXECUTE p",
    "NOTIFY heard",
    "VACUUM customers",
    "COMMIT",
    "BEGIN READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT set_config('transaction_read_only', 'off', false), erase()",
    "SELECT set_config('default_transaction_read_only', 'off', false), erase()",
    "SELECT erase()",
    "SELECT query_to_xml('DELETE FROM customers', true, true, '')",
    "DO $$ BEGIN DELETE FROM customers; END $$",
    "CALL erase()",
    "COPY customers TO PROGRAM 'cat'",
    "COPY customers FROM '/etc/hostname'",
    "COPY customers TO STDOUT",
    "SELECT query_to_xml('COPY customers TO PROGRAM ''cat''', true, true, '')",
    "EXPLAIN ANALYZE DELETE FROM customers",
    "SELECT * INTO copied FROM customers",
    "CREATE TABLE copied AS SELECT 1",
    "SELECT * FROM customers FOR UPDATE",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 99)",
    "SELECT lo_import('/etc/hostname')",
    "SELECT lo_unlink(4711)",
    "SELECT nothing FROM customers",
    "SELECT 1 AS a, 2 AS a",
    "SELECT (SELECT id FROM customers)",
    "SELECT " + ", ".join(f"1 AS c{number}" for number in range(1700)),
    "SELECT FROM customers",
    "no sql at all",
]


@pytest.mark.parametrize("sql", ATTACKS, ids=lambda sql: sql[:60])
async def test_a_query_cannot_write(sql: str, guarded: str) -> None:
    """Even for the database's owner: one statement, in a transaction that reads; and it is not tried again."""
    async with asking(guarded) as tools:
        error = await failed(tools, sql)
        assert isinstance(tools.classify(error), Reject), error


@pytest.mark.parametrize(
    "call",
    [
        "pg_read_file('/etc/hostname')",
        "pg_ls_dir('/')",
        "lo_import('/etc/hostname')",
        "lo_export(4711, '/dev/null')",
        "pg_reload_conf()",
        "pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        "nextval('numbers')",
        "rolpassword FROM pg_authid",
        "pg_stat_reset()",
        "pg_switch_wal()",
        "pg_create_physical_replication_slot('kept')",
        "set_config('role', 'postgres', true)",
        "set_config('session_authorization', 'postgres', true)",
        "dblink_connect_u('dbname=postgres')",
    ],
)
async def test_a_role_that_only_reads_cannot_reach_files_or_the_server(call: str, guarded: str) -> None:
    """What a read-only transaction lets the owner do is refused to the role that the README's flow is given."""
    async with on(postgres.make({"DATABASE_URL": reader(guarded)})) as tools:
        error = await failed(tools, f"SELECT {call}")
        assert isinstance(tools.classify(error), Reject) and "permission denied" in str(error)


async def test_a_connection_of_its_own_cannot_be_opened_without_a_password(guarded: str) -> None:
    """By dblink one would write outside of the transaction; the database's trust in the server is not lent."""
    async with on(postgres.make({"DATABASE_URL": reader(guarded)})) as tools:
        error = await failed(tools, "SELECT dblink_exec('dbname=postgres', 'DELETE FROM customers')")
        assert isinstance(tools.classify(error), Reject) and "password" in str(error)


async def test_a_superuser_is_refused_unless_that_is_said(guarded: str) -> None:
    """No read-only transaction keeps a superuser from files and dblink, so nothing of the query is run."""
    async with on(postgres.make({"DATABASE_URL": guarded})) as tools:
        for sql in ("SELECT 1", "SELECT dblink_exec('dbname=postgres', 'DELETE FROM customers')"):
            error = await failed(tools, sql)
            assert isinstance(tools.classify(error), NotDone)
            assert "'postgres' is a superuser" in str(error) and "QUERY_SUPERUSER=yes" in str(error)


async def test_a_query_that_ends_the_sessions_of_its_role_costs_each_an_attempt(dsn: str) -> None:
    """PostgreSQL lets a role do that; who was ended was surely not done, and the next query has a session again."""
    others = (
        "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity "
        "WHERE usename = current_user AND pid <> pg_backend_pid()"
    )
    async with on(postgres.make({"DATABASE_URL": reader(dsn)})) as tools:
        waits = asyncio.create_task(failed(tools, "SELECT pg_sleep(60)"))
        await asyncio.to_thread(until, lambda: sessions(dsn))
        assert (await tools.call("s.query", {"sql": others}))["rows"] == [{"ended": True}]
        for error in (await waits, await failed(tools, "SELECT pg_terminate_backend(pg_backend_pid())")):
            assert isinstance(tools.classify(error), NotDone) and "terminating connection" in str(error)
        assert (await tools.call("s.query", {"sql": "SELECT 1 AS one"}))["rows"] == [{"one": 1}]


async def test_what_a_query_says_to_others_is_not_heard_and_what_it_locks_is_free(dsn: str) -> None:
    """The transaction is rolled back, so a notification is never sent; the session ends, so no lock stays."""
    with psycopg.connect(dsn, autocommit=True, options="-c lock_timeout=20s") as connection:
        connection.execute("LISTEN heard")
        async with asking(dsn) as tools:
            for _ in range(2):
                await tools.call("s.query", {"sql": "SELECT pg_notify('heard', 'x'), pg_advisory_lock(7)"})
        assert list(connection.notifies(timeout=0)) == []
        # The server lets go of a session's locks when its process ends, which its client does not wait for.
        connection.execute("SELECT pg_advisory_lock(7)")


@pytest.mark.parametrize("value", [INJECTION, "x' OR '1'='1", "$1", "'; COMMIT; --", "\\", "%s", "é\U0001f600\n"])
async def test_a_value_shaped_like_sql_is_a_value(value: str, guarded: str) -> None:
    """Parameters never become part of the text, alone or in a list."""
    sql = "SELECT $1::text AS a, $2::text[] AS b, (SELECT count(*) FROM customers WHERE name = $1) AS found"
    async with asking(guarded) as tools:
        answer = await tools.call("s.query", {"sql": sql, "params": [value, [value]]})
    assert answer["rows"] == [{"a": value, "b": [value], "found": 0}]


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT $1::text, $2::text", ["secret"]),
        ("SELECT 1", ["secret"]),
        ("SELECT $1::text", ["secret\0"]),
        ("SELECT $1::text", ["secret\ud800"]),
        ("SELECT $1", [[1, "secret"]]),
        ("SELECT $1::text::int", ["secret"]),
        ("SELECT 1 FROM customers WHERE id = $1", ["secret"]),
    ],
)
async def test_values_that_do_not_fit_are_rejected_without_being_quoted(sql: str, params: list[Any], dsn: str) -> None:
    """The same values would not fit the next time either; the message carries no payload into dead letters."""
    async with asking(dsn) as tools:
        error = await failed(tools, sql, params)
        assert isinstance(tools.classify(error), Reject) and "secret" not in str(error)


async def test_rows_and_bytes_are_limited(dsn: str) -> None:
    """An answer that is too long is cut and says so, by rows or by size; a single row of that size is refused."""
    async with asking(dsn, QUERY_ROWS="45") as tools:
        many = await tools.call("s.query", {"sql": "SELECT generate_series(1, 1000000000) AS n"})
        assert [row["n"] for row in many["rows"]] == list(range(1, 46)) and many["truncated"]
        endless = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT n FROM t"
        assert len((await tools.call("s.query", {"sql": endless}))["rows"]) == 45
        exact = await tools.call("s.query", {"sql": "SELECT n FROM generate_series(1, 45) n"})
        assert len(exact["rows"]) == 45 and not exact["truncated"]
        wide = await tools.call("s.query", {"sql": "SELECT repeat('x', 1000000) FROM generate_series(1, 40)"})
        assert len(wide["rows"]) == 4 and wide["truncated"]
        error = await failed(tools, "SELECT repeat('x', 5000000) AS x")
        assert isinstance(tools.classify(error), Reject) and "Select less of it" in str(error)


@pytest.mark.slow
async def test_of_an_answer_that_is_too_wide_one_row_is_in_memory(dsn: str) -> None:
    """Fifty rows of 20 MB are one refusal that names the limit, and not a gigabyte in the server's process."""
    port = free_port()
    command = ["-m", "stepwire_handlers.mcp_servers.postgres", "--port", str(port)]
    with serving(port, command, DATABASE_URL=reader(dsn)) as process:
        async with on({"url": f"http://127.0.0.1:{port}/mcp"}) as tools:
            await tools.call("s.query", {"sql": "SELECT 1"})
            before = peak(process.pid)
            error = await failed(tools, "SELECT repeat('x', 20000000) FROM generate_series(1, 50)")
            assert isinstance(tools.classify(error), Reject) and "Select less of it" in str(error)
            assert peak(process.pid) - before < 200


def peak(pid: int) -> int:
    """The most memory that a process has had, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_sleep(60)",
        "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
        "SELECT set_config('statement_timeout', '0', false), pg_sleep(0.005) FROM generate_series(1, 10000)",
        "SELECT count(*) FROM generate_series(1, 1000000000) a",
        "SELECT pg_advisory_lock(9)",
    ],
)
async def test_a_query_that_would_never_end_is_stopped(sql: str, dsn: str) -> None:
    """Also one that waits for another, or switches the database's limit off; and nothing of it goes on running."""
    with psycopg.connect(dsn) as other:
        other.execute("SELECT pg_advisory_lock(9)")
        async with asking(dsn, QUERY_TIMEOUT="0.3", QUERY_ROWS="10000") as tools:
            error = await failed(tools, sql)
    assert isinstance(error, ToolFailed) and "longer than 0.3 s (QUERY_TIMEOUT)" in str(error)
    assert isinstance(tools.classify(error), NotDone)
    await asyncio.to_thread(until, lambda: not sessions(dsn))


async def test_more_queries_than_the_database_has_connections(dsn: str) -> None:
    """They wait for their turn, instead of being refused by the database."""
    async with asking(dsn) as tools:
        sql = {"sql": "SELECT pg_sleep(0.05)"}
        answers = await asyncio.gather(*(tools.call("s.query", sql) for _ in range(150)))
    assert len(answers) == 150


@pytest.mark.slow
async def test_a_server_killed_in_a_query_costs_one_attempt(dsn: str, tmp_path: Path) -> None:
    """During the query: repeatable. Before it: not sent. A new process answers, and no session is left over."""
    port = free_port()
    command = ["-m", "stepwire_handlers.mcp_servers.postgres", "--port", str(port)]
    async with on({"url": f"http://127.0.0.1:{port}/mcp"}) as tools:
        with serving(port, command, DATABASE_URL=reader(dsn), QUERY_TIMEOUT="3") as process:
            assert (await tools.call("s.query", {"sql": "SELECT 1 AS one"}))["rows"] == [{"one": 1}]
            call = asyncio.create_task(failed(tools, "SELECT pg_sleep(60)"))
            await asyncio.to_thread(until, lambda: sessions(dsn))
            process.kill()
            killed = await call
        assert isinstance(killed, ToolOutcomeUnknown) and isinstance(tools.classify(killed), Transient)
        assert isinstance(tools.classify(await failed(tools, "SELECT 1")), NotDone)
        with serving(port, command, DATABASE_URL=reader(dsn)):
            assert (await tools.call("s.query", {"sql": "SELECT 2 AS two"}))["rows"] == [{"two": 2}]
    await asyncio.to_thread(until, lambda: not sessions(dsn))


def sessions(dsn: str) -> int:
    """How many of the server's sessions the database has."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stepwire postgres.query'"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_database_that_is_down_did_nothing() -> None:
    """Not done, with a message that says where."""
    async with on(postgres.make({"DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/x"})) as tools:
        error = await failed(tools, "SELECT 1")
        assert isinstance(tools.classify(error), NotDone) and "127.0.0.1" in str(error)


@pytest.mark.parametrize(("name", "value"), [("QUERY_ROWS", "many"), ("QUERY_ROWS", "0"), ("QUERY_TIMEOUT", "inf")])
def test_a_setting_that_is_no_number_is_said_at_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program ends with one line and exit code 2, instead of a traceback or a query without a limit."""
    monkeypatch.setattr("sys.argv", ["postgres"])
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        run(postgres.make)
    assert ended.value.code == 2 and f"{name}={value!r} is not a number from" in capsys.readouterr().err
