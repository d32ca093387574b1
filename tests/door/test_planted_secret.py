"""A secret that is planted wherever one can stand is in no log, metric, trace, event or page of any process."""

from __future__ import annotations

import contextlib
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import httpx2
import pytest
from moto.server import ThreadedMotoServer
from tests.console.issuer import CLIENT, Issuer
from tests.door.doors import ROOT, STEPWIRE
from tests.flow_tools.servers import asking, text
from tests.operate.crew import Crew, Member
from tests.telemetry.receiver import collector

from stepwire_handlers.services.door.access import new_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CARD, OTHER_CARD = "4711-planted-card", "4712-planted-card"  # of sensitive fields
DECISIONS, COOKIES, MODEL = "planted-decision-key-0815", "planted-cookie-secret-0815-0815-0815", "sk-planted-0815"
STORE, SASL, ISSUER = "planted-aws-secret-0815", "planted-sasl-password-0815", "planted-oidc-secret-0815"
EVERYWHERE = (DECISIONS, COOKIES, MODEL, STORE, SASL, ISSUER)  # and the keys of callers
APP, FILES = "tests.door.shop:APP", "tests.door.shop:FILES"


def free_port() -> int:
    """One that nobody has just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Surroundings:
    """Door, tools, worker and console on one file, each with a log, metrics and traces."""

    def __init__(self, crew: Crew, folder: Path, issuer: Issuer) -> None:
        self.key, hashed = new_key()
        self.tools_key, tools_hashed = new_key()
        self._crew = crew
        self.ports = {name: (free_port(), free_port()) for name in ("door", "mcp", "console", "run")}
        access = folder / "access.toml"
        access.write_text(ACCESS.format(hashed, tools_hashed, issuer.url, CLIENT, self.address("console")))
        self.logs: list[Member] = []
        for name, apps in (("door", (APP, FILES)), ("mcp", (APP, "--http")), ("console", (APP,))):
            self._begin(name, *apps, "--port", str(self.ports[name][0]), "--access", str(access))
        self._begin("run", APP)

    def _begin(self, name: str, *options: str) -> None:
        more = ("--http-port", str(self.ports[name][1]), "--log", "json")
        self.logs.append(self._crew.start(name, [*STEPWIRE, name, *options, *more]))

    async def ready(self) -> None:
        """All answer."""
        for member in self.logs:
            await self._crew.answers(member, f"http://127.0.0.1:{self.ports[member.name][1]}/readyz")

    def lost(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """A worker whose Kafka is away, and what it says of that; and what it was told."""
        for name, value in {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "ann",
                            "SASL_PASSWORD": SASL}.items():  # fmt: skip
            monkeypatch.setenv(f"STEPWIRE_KAFKA__{name}", value)
        bus = ("--bus", f"kafka://127.0.0.1:{free_port()}")
        member = self._crew.start("lost", [*STEPWIRE, "run", APP, *bus, "--log", "json"])
        self.logs.append(member)
        end = time.monotonic() + 30
        while "127.0.0.1" not in member.log.read_text():
            assert time.monotonic() < end and member.process.poll() is None, member.log.read_text()
            time.sleep(0.05)
        done = subprocess.run([*STEPWIRE, "config", *bus], capture_output=True, text=True, check=True)
        assert done.stdout.count("***") >= 4, done.stdout
        yield done.stdout + done.stderr

    def address(self, name: str, inner: int = 0) -> str:
        return f"http://127.0.0.1:{self.ports[name][inner]}"

    def metrics(self) -> Iterator[str]:
        """What Prometheus scrapes."""
        for name in self.ports:
            yield httpx2.get(self.address(name, 1) + "/metrics").text


ACCESS = """
[[keys]]
name = "ann"
hash = "{}"
roles = {{"*" = ["operator", "approver"]}}
[[keys]]
name = "agent"
hash = "{}"
roles = {{"*" = ["operator"]}}
[grants]
"user:ann" = {{"*" = ["viewer"]}}
[oidc]
issuer = "{}"
audience = "stepwire"
[oidc.login]
client = "{}"
url = "{}"
"""


@pytest.fixture
def store() -> Iterator[ThreadedMotoServer]:
    """Where files lie."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield server
    with contextlib.suppress(Exception):  # the test ended it before
        server.stop()


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: ThreadedMotoServer) -> None:
    """The environment of every process."""
    host, port = store.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", STORE)
    with contextlib.closing(
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    ) as client:
        client.create_bucket(Bucket="files")
    for name, value in {
        "STEPWIRE_BUS": f"sqlite:///{tmp_path / 'bus.db'}", "STEPWIRE_BLOBS": f"s3://files/in?endpoint=http://{host}:{port}&region=us-east-1",
        "STEPWIRE_DECISION_KEY": DECISIONS, "STEPWIRE_CONSOLE_SECRET": COOKIES, "ANTHROPIC_API_KEY": MODEL,
        "STEPWIRE_CONSOLE_OIDC_SECRET": ISSUER, "PYTHONPATH": str(ROOT),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


async def test_no_secret_is_in_anything_that_is_shown(
    planted: None, store: ThreadedMotoServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of keys nothing anywhere; sensitive fields stay on the bus, in events and in what errors said of them."""
    del planted
    crew = Crew(tmp_path)
    with collector() as traces, contextlib.closing(Issuer()) as issuer:
        issuer.secret = ISSUER
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        try:
            around = Surroundings(crew, tmp_path, issuer)
            await around.ready()
            shown = [*_through_the_door(around), *_with_files(around, store), *_in_the_console(around, issuer)]
            shown += [said async for said in _by_tools(around)]
            shown += [*around.metrics(), *around.lost(monkeypatch)]
        finally:
            crew.close()  # in order, so that the last lines and spans are written
        told = {
            "answers and pages": "\n".join(shown),
            "logs": "\n".join(member.log.read_text() for member in around.logs),
            "traces": b"\n".join(traces.bodies).decode(errors="replace"),
        }
    assert "no line for ***" in told["logs"] and traces.spans  # there was something to hide, and to look at
    for where, said in told.items():
        for secret in (CARD, OTHER_CARD, *EVERYWHERE, around.key, around.tools_key):
            assert secret not in said, f"{secret} is in the {where}"
    everything = _records(tmp_path / "bus.db")
    assert CARD in everything
    for secret in (*EVERYWHERE, around.key, around.tools_key):
        assert secret not in everything, f"{secret} is in a record"


def _through_the_door(around: Surroundings) -> Iterator[str]:
    """Whatever a caller does: events that work, fail, wait for a person, and are refused."""
    with httpx2.Client(base_url=around.address("door"), headers={"authorization": f"Bearer {around.key}"}) as client:
        for n, fails in ((5, 2), (500, 0), (-1, 0)):
            order = {"n": n, "card": CARD, "fails": fails}
            yield client.post("/apps/shop/Order", json=order, headers={"prefer": "wait=20"}).text
        for body in ({"n": "x", "card": CARD}, {"n": 1, "card": {"of": CARD}}, {"n": 1, "c": CARD}, [CARD]):
            refused = client.post("/apps/shop/Order", json=body)
            assert refused.status_code == 422
            yield refused.text
        wrong = httpx2.get(around.address("door") + "/gates", headers={"authorization": f"Bearer {around.key}x"})
        assert wrong.status_code == 401
        yield wrong.text
        (gate,) = client.get("/gates").json()["gates"]
        decided = client.post(f"/gates/{gate['id']}", json={"decision": "approve", "why": "as agreed"})
        assert decided.is_success, decided.text
        (letter,) = client.get("/dead-letters").json()["dead_letters"]
        edit = {"edited": {"n": 7, "card": OTHER_CARD}}
        replayed = client.post(f"/dead-letters/{letter['id']}/replay", json=edit)
        assert replayed.is_success, replayed.text
        yield decided.text + replayed.text
        end = time.monotonic() + 30
        while {run["state"] for run in client.get("/runs").json()["runs"]} != {"completed"}:
            assert time.monotonic() < end
            time.sleep(0.05)
        for address in ("/runs", "/gates", "/dead-letters", "/openapi.json"):
            yield client.get(address).text
        for run in client.get("/runs").json()["runs"]:
            yield client.get(f"/runs/{run['run']}").text


def _with_files(around: Surroundings, store: ThreadedMotoServer) -> Iterator[str]:
    """A file into the bucket; then one while there is no bucket."""
    with httpx2.Client(base_url=around.address("door"), headers={"x-api-key": around.key}, timeout=60) as client:
        for status in (202, 503):
            answer = client.post("/apps/files/Scan", files={"pdf": ("a.pdf", b"%PDF-1.7", "application/pdf")})
            assert answer.status_code == status, answer.text
            yield answer.text
            if status == 202:
                store.stop()


async def _by_tools(around: Surroundings) -> AsyncIterator[str]:
    """A model's calls: one that works, one that fails, one that is refused."""
    url = around.address("mcp") + "/mcp"
    async with asking(url, **{"x-api-key": around.tools_key}) as client:
        for arguments in ({"n": 5, "card": CARD}, {"n": -2, "card": CARD}, {"n": "x", "card": CARD}):
            yield text(await client.call_tool("shop_Order", arguments))
    wrong = httpx2.post(url, headers={"x-api-key": around.tools_key + "x"}, json={})
    assert wrong.status_code == 401
    yield wrong.text


def _at_the_issuer(address: str, issuer: Issuer) -> Iterator[str]:
    """Logins of a person: one that is refused, for the issuer knows another secret, and one that is not."""
    for secret, status in (("another one", 502), (ISSUER, 200)):
        issuer.secret = secret
        with httpx2.Client(base_url=address) as client:
            there = httpx2.get(client.get("/login/oidc").headers["location"])
            answer = client.get(there.headers["location"], follow_redirects=True)
            assert answer.status_code == status, answer.text
            yield answer.text


def _in_the_console(around: Surroundings, issuer: Issuer) -> Iterator[str]:
    """Every page that a person comes to by links."""
    address = around.address("console")
    yield from _at_the_issuer(address, issuer)
    with httpx2.Client(base_url=address, follow_redirects=True, headers={"origin": address}) as client:
        yield client.post("/login", data={"key": around.key + "x"}).text
        assert client.post("/login", data={"key": around.key}).is_success
        to_see, seen = ["/"], set[str]()
        while to_see:
            page = client.get(to_see.pop())
            assert page.is_success, page.url
            yield page.text
            links = set(re.findall(r'href="(/[^"#]*)"', page.text)) - seen
            seen |= links
            to_see += links
        assert any(link.startswith("/runs/") for link in seen)


def _records(path: Path) -> str:
    """Keys, headers and values of all that lies on topics."""
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT key, headers, CAST(value AS TEXT) FROM events").fetchall()
    return "\n".join(" ".join(str(field) for field in row) for row in rows)
