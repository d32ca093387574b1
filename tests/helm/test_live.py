"""Every query and rule against a real Prometheus that scrapes a worker, a door and a console: no error, and data."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import yaml
from starlette.applications import Starlette
from tests.helm.chart import FOLDER
from tests.helm.names import EXISTING
from tests.helm.test_dashboards import DASHBOARDS, expressions
from tests.helm.test_dashboards import filled as filled_slowly
from tests.helm.test_rules import ALL
from tests.kafka.stage import stage
from tests.telemetry.shop import Checked, Order, check, pay

from stepwire import App, Decision, Event, Settings, handler
from stepwire.bus.kafka.bus import KafkaBus
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Bus
from stepwire.clock import SystemClock
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.console.process import console_of
from stepwire_handlers.services.door.counting import counting
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.health import health, listen, serving
from stepwire_handlers.services.mirror import Mirror
from stepwire_handlers.services.tools.calls import Calls
from stepwire_handlers.services.tools.process import LOCAL, inner
from stepwire_handlers.telemetry import Metrics, build

pytestmark = [pytest.mark.slow, pytest.mark.service("prometheus")]
EXPECTED = {"StepwireDeadLetters", "StepwireUnreadableRecords"}  #: alerts that what goes wrong here must raise
LONG = 50  #: seconds for a Prometheus to start and to see what there is; it takes about eight
SERIES = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?")
B = TypeVar("B", LocalBus, Mirror, KafkaBus)


class Big(Event, topic="big"):
    n: int


@handler()
async def approve(asked: Decision[Big]) -> Checked | None:
    return Checked(n=asked.final.n) if asked.approved else None


@handler(effect="once")
async def book(big: Big) -> None:
    """Of which nobody knows what became of it is counted, from 0."""


APP = App("shop", [check, pay, approve, book])


def filled(expression: str) -> str:
    """A scrape each second has enough samples in ten."""
    return filled_slowly(expression.replace("$__rate_interval", "10s").replace("$__range", "1m"))


class Prometheus:
    """One that runs; asked over HTTP."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def ready(self) -> bool:
        """Whether it serves queries: while it starts it refuses connections, then answers 503."""
        try:
            return (await self._client.get("/-/ready")).is_success
        except httpx2.TransportError:
            return False

    async def ask(self, path: str, **query: str) -> Any:
        """The `data` of its answer. Raises HTTPError if it does not answer, or answers an error."""
        answer = await self._client.get(f"/api/v1/{path}", params=query)
        return answer.raise_for_status().json()["data"]

    async def values(self, expression: str) -> list[Any]:
        """What an expression comes to now."""
        return (await self.ask("query", query=expression))["result"]


@asynccontextmanager
async def prometheus_at(program: Path, home: Path, **targets: str) -> AsyncIterator[Prometheus]:
    """Scrapes the targets, by their jobs' names, each second, as if they were pods."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    scrapes = [
        {"job_name": job, "static_configs": [{"targets": [target], "labels": {"namespace": "n", "pod": job}}]}
        for job, target in targets.items()
    ]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": often, "rule_files": [str(FOLDER / "rules" / "stepwire.yaml")], "scrape_configs": scrapes}
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    flags = [f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'data'}",
             f"--web.listen-address={address}"]  # fmt: skip
    with (home / "log").open("w") as log:
        running = await asyncio.create_subprocess_exec(program, *flags, stdout=log, stderr=log, cwd=home)
    try:
        async with httpx2.AsyncClient(base_url=f"http://{address}", timeout=5) as client:
            yield Prometheus(client)
    finally:
        running.terminate()
        await running.wait()


async def _trouble(bus: Bus) -> None:
    """What comes through, is repeated, is given up, and is no event; a little of each, twice a second."""
    while True:
        records = [APP.record(Order(n=n), now=SystemClock().now())[0] for n in (1, 2, 7, -1)]
        records.append(APP.record(Big(n=1), now=SystemClock().now())[0])
        await bus.publish([*records, records[0]._replace(value=b"no event")])
        await asyncio.sleep(0.5)


@asynccontextmanager
async def _served(application: Starlette) -> AsyncIterator[str]:
    """Its address."""
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listen("127.0.0.1", 0))
        await stack.enter_async_context(serving(application, listening))
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def _visited(bus: LocalBus) -> AsyncIterator[dict[str, str]]:
    """A door and a console on the bus, each with a visitor, and tools: where their metrics are, by their jobs."""
    async with AsyncExitStack() as stack:
        values = Configuration(log="off")
        door = door_of(values, await places_of(stack, [(APP, bus)]), None, 1_000)
        await stack.enter_async_context(door.blobs)
        await stack.enter_async_context(counting(door.places, door.measures))
        console = console_of(values, door.places, None, "127.0.0.1")
        urls = [await stack.enter_async_context(_served(one)) for one in (door.application(), console.application())]
        visits = asyncio.create_task(_visits(*urls))
        stack.push_async_callback(_ended, visits)
        calls = Calls(door, 0.0, "", LOCAL)
        yield {
            "door": urls[0], "console": await stack.enter_async_context(_served(console.inner())),
            "mcp": await stack.enter_async_context(_served(inner(door, calls.measures))),
        }  # fmt: skip


async def _visits(door: str, console: str) -> None:
    """An event, a list and a page, twice a second."""
    async with httpx2.AsyncClient(timeout=20) as client:
        while True:
            (await client.post(f"http://{door}/apps/shop/Order", json={"n": 1})).raise_for_status()
            (await client.get(f"http://{door}/gates")).raise_for_status()
            await client.get(f"http://{console}/")
            await asyncio.sleep(0.5)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel it; what went wrong in it before is an error of the test."""
    failed = task.exception() if task.done() else None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if failed is not None:
        raise failed


async def test_every_panel_and_rule_has_data(prometheus: Path, tmp_path: Path) -> None:
    """Worker, door and console on one file, with failures: each query and each series of a rule is there."""
    path = str(tmp_path / "bus.db")
    async with _opened(LocalBus(path)) as bus, _opened(LocalBus(path)) as other:
        await _all_has_data(prometheus, tmp_path, bus, other, Settings())


@pytest.mark.timeout(180)
async def test_every_panel_and_rule_has_data_on_kafka(
    prometheus: Path, tmp_path: Path, kafka: str, topic_prefix: str
) -> None:
    """The same with a broker between them."""
    async with stage(kafka, topic_prefix, APP) as here, _opened(here.new_bus()) as bus:
        mirror = Mirror(here.new_bus(), APP, tmp_path)
        async with _opened(mirror):
            await _all_has_data(prometheus, tmp_path, bus, mirror, here.settings)


@asynccontextmanager
async def _opened(bus: B) -> AsyncIterator[B]:
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


async def _all_has_data(program: Path, home: Path, bus: Bus, other: LocalBus, settings: Settings) -> None:
    """A worker on the one, a door on the other: what is shown and what is watched exists, and nothing else is wrong."""
    metrics, firing = Metrics(APP), set[str]()
    worker = Worker(APP, bus, settings=settings, telemetry=build(Configuration(log="off"), APP, metrics))
    await worker.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(worker.stop)
        targets = await stack.enter_async_context(_visited(other))
        url = await stack.enter_async_context(health(worker, metrics, "127.0.0.1", 0))
        targets["workers"] = url.removeprefix("http://")
        asked = await stack.enter_async_context(prometheus_at(program, home, **targets))
        publishing = asyncio.create_task(_trouble(bus))
        stack.push_async_callback(_ended, publishing)
        wanted = {filled(one) for page in DASHBOARDS.values() for one in expressions(page)} | watched()
        assert len(wanted) > 120
        try:
            async with asyncio.timeout(LONG):
                while wanted := await _empty(asked, wanted):
                    await asyncio.wait([publishing], timeout=1)
                    assert not publishing.done(), publishing.exception()
                while EXPECTED - (firing := _firing(rules := await _rules(asked))):
                    await asyncio.sleep(0.5)
        except TimeoutError:
            pytest.fail(f"within {LONG} s: no data for {sorted(wanted)}, or not firing: {sorted(EXPECTED - firing)}")
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    assert firing == EXPECTED


def watched() -> set[str]:
    """What rules look at, without what they compare it with: each series by its labels, and what they record."""
    known = EXISTING | {rule["record"] for rule in ALL if "record" in rule} | {"up"}
    found = {one[0] for rule in ALL for one in SERIES.finditer(rule["expr"]) if one["name"] in known}
    return found | (known - EXISTING)


async def _rules(asked: Prometheus) -> list[Any]:
    return [rule for group in (await asked.ask("rules"))["groups"] for rule in group["rules"]]


def _firing(rules: list[Any]) -> set[str]:
    return {rule["name"] for rule in rules if rule.get("state") == "firing"}


async def _empty(asked: Prometheus, wanted: set[str]) -> set[str]:
    """Those queries that have no series yet. An error of one is an error of the test, once Prometheus is there."""
    if not await asked.ready():
        return wanted
    return {one for one in wanted if not await asked.values(one)}
