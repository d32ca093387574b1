"""What the flows need and the cluster does not have: Kafka, an S3 store, a model, a database, Slack and Gmail.

In: an address of this machine that pods can reach. Out: the values for the chart, each with that address in it.
Promise: all of it runs as the demo runs it; what listens on loopback is handed on, byte by byte, from the address.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
from moto.server import ThreadedMotoServer
from tests.brokers.cluster import start_cluster

from stepwire_handlers.demo.surroundings import surroundings
from stepwire_handlers.standins import database

BUCKET = "stepwire"
CHUNK = 65_536
THINKING = 1.0  #: seconds that the model takes at least, so that a worker that is told to end has calls to finish


@dataclass(frozen=True)
class Surroundings:
    """Addresses as pods use them, and secrets by the variable that they are in."""

    kafka: str
    blobs: str
    env: dict[str, str]
    secrets: dict[str, str]
    drafts: Path  #: where the stand-in of Gmail keeps what was written


@asynccontextmanager
async def around(home: Path, address: str) -> AsyncIterator[Surroundings]:
    """Start everything; stop it at the end."""
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(start_cluster(home, address=address))
        s3 = ThreadedMotoServer(address, port=0, verbose=False)
        s3.start()
        stack.callback(s3.stop)
        endpoint = "http://{}:{}".format(*s3.get_host_and_port())
        _bucket(endpoint)
        # a model of the test's own, whatever else the environment has
        os.environ.pop("ANTHROPIC_API_KEY", None)
        os.environ.pop("ANTHROPIC_BASE_URL", None)
        await stack.enter_async_context(surroundings("invoices", home))
        stack.callback(database.stop, home / "postgres")  # before its folder goes, or it would not be found any more
        env = {}
        for name in ("ANTHROPIC_BASE_URL", "SLACK_BASE_URL", "GMAIL_BASE_URL"):
            url = urlsplit(os.environ[name])
            delay = THINKING if name == "ANTHROPIC_BASE_URL" else 0
            port = await _hand_on(stack, address, url.hostname or "", url.port or 80, delay)
            env[name] = url._replace(netloc=f"{address}:{port}").geturl()
        secrets = {name: os.environ[name] for name in ("ANTHROPIC_API_KEY", "SLACK_TOKEN", "GMAIL_TOKEN")}
        secrets["DATABASE_URL"] = await _database(stack, address)
        secrets |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        blobs = f"s3://{BUCKET}/blobs?endpoint={endpoint}&region=us-east-1"
        yield Surroundings(f"kafka://{cluster.bootstrap}", blobs, env, secrets, home / "drafts")


def _bucket(endpoint: str) -> None:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test",
                          aws_secret_access_key="test")  # fmt: skip  # noqa: S106 - the store takes any
    client.create_bucket(Bucket=BUCKET)
    client.close()


async def _database(stack: AsyncExitStack, address: str) -> str:
    """PostgreSQL listens on a socket in a folder."""
    own = urlsplit(os.environ["DATABASE_URL"])
    folder = Path(unquote(parse_qs(own.query)["host"][0]))
    (socket,) = (path for path in folder.glob(".s.PGSQL.*") if path.suffix != ".lock")
    port = await _hand_on(stack, address, str(socket), 0)
    return f"postgresql://{own.username}@{address}:{port}{own.path}"


async def _hand_on(stack: AsyncExitStack, address: str, host: str, port: int, delay: float = 0) -> int:
    """Listen on a free port; port 0: `host` is a socket in a folder."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):  # cancelled: the test is over
            to = asyncio.open_connection(host, port) if port else asyncio.open_unix_connection(host)
            other_reader, other_writer = await to
            await asyncio.gather(_copy(reader, other_writer, delay), _copy(other_reader, writer, 0))
        writer.close()

    server = await asyncio.start_server(serve, address, 0)
    stack.callback(server.close)
    found: int = server.sockets[0].getsockname()[1]
    return found


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
    writer.close()
