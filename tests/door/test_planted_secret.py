"""A secret that is planted wherever one can stand is in no log, metric, trace, event or page of any process."""

from __future__ import annotations

import re
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.door.doors import ROOT
from tests.operate.crew import Crew, Member
from tests.telemetry.receiver import collector

from stepwire_handlers.services.door.access import new_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CARD, OTHER_CARD = "4711-planted-card", "4712-planted-card"  # of sensitive fields
DECISIONS, COOKIES, MODEL = "planted-decision-key-0815", "planted-cookie-secret-0815-0815-0815", "sk-planted-0815"
APP = "tests.door.shop:APP"


def free_port() -> int:
    """One that nobody has just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Surroundings:
    """Door, worker and console on one file, each with a log, metrics and traces."""

    def __init__(self, crew: Crew, folder: Path) -> None:
        self.key, hashed = new_key()
        self._crew = crew
        access = folder / "access.toml"
        access.write_text(f'[[keys]]\nname = "ann"\nhash = "{hashed}"\nroles = {{"*" = ["operator", "approver"]}}\n')
        self.ports = {name: (free_port(), free_port()) for name in ("door", "console", "run")}
        self.logs: list[Member] = []
        for name in ("door", "console"):
            self._begin(name, "--port", str(self.ports[name][0]), "--access", str(access))
        self._begin("run")

    def _begin(self, name: str, *options: str) -> None:
        more = ("--http-port", str(self.ports[name][1]), "--log", "json")
        command = [sys.executable, "-m", "stepwire_handlers.cli.main", name, APP, *options, *more]
        self.logs.append(self._crew.start(name, command))

    async def ready(self) -> None:
        """All answer."""
        for member in self.logs:
            await self._crew.answers(member, f"http://127.0.0.1:{self.ports[member.name][1]}/readyz")

    def address(self, name: str, inner: int = 0) -> str:
        return f"http://127.0.0.1:{self.ports[name][inner]}"

    def metrics(self) -> Iterator[str]:
        """What Prometheus scrapes."""
        for name in self.ports:
            yield httpx2.get(self.address(name, 1) + "/metrics").text


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of every process."""
    for name, value in {
        "STEPWIRE_BUS": f"sqlite:///{tmp_path / 'bus.db'}", "STEPWIRE_BLOBS": str(tmp_path / "blobs"),
        "STEPWIRE_DECISION_KEY": DECISIONS, "STEPWIRE_CONSOLE_SECRET": COOKIES, "ANTHROPIC_API_KEY": MODEL,
        "PYTHONPATH": str(ROOT),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


async def test_no_secret_is_in_anything_that_is_shown(
    planted: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of keys nothing anywhere; sensitive fields stay on the bus, in events and in what errors said of them."""
    del planted
    crew = Crew(tmp_path)
    with collector() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        try:
            around = Surroundings(crew, tmp_path)
            await around.ready()
            shown = [*_through_the_door(around), *_in_the_console(around), *around.metrics()]
        finally:
            crew.close()  # in order, so that the last lines and spans are written
        told = {
            "answers and pages": "\n".join(shown),
            "logs": "\n".join(member.log.read_text() for member in around.logs),
            "traces": b"\n".join(traces.bodies).decode(errors="replace"),
        }
    assert "no line for ***" in told["logs"] and traces.spans  # there was something to hide, and to look at
    for where, text in told.items():
        for secret in (CARD, OTHER_CARD, DECISIONS, COOKIES, MODEL, around.key):
            assert secret not in text, f"{secret} is in the {where}"
    everything = _records(tmp_path / "bus.db")
    assert CARD in everything
    for secret in (DECISIONS, COOKIES, MODEL, around.key):
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


def _in_the_console(around: Surroundings) -> Iterator[str]:
    """Every page that a person comes to by links."""
    address = around.address("console")
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
