"""Every query against a real Prometheus that scrapes a real worker and a real door: without error, and with data."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from tests.helm.chart import FOLDER
from tests.helm.test_dashboards import DASHBOARDS, expressions
from tests.helm.test_dashboards import filled as filled_slowly
from tests.telemetry.shop import Checked, Order, check, pay

from stepwire import App, Decision, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.clock import SystemClock
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.door.counting import counting
from stepwire_handlers.services.door.process import door_of, places_of
from stepwire_handlers.services.health import health, listen, serving
from stepwire_handlers.telemetry import Metrics, build

pytestmark = [pytest.mark.slow, pytest.mark.service("prometheus")]
EXPECTED = {"StepwireDeadLetters", "StepwireUnreadableRecords"}  #: alerts that what goes wrong here must raise
LONG = 40  #: seconds for a Prometheus to start and to see what there is; it takes about eight


class Big(Event, topic="big"):
    n: int


@handler()
async def approve(asked: Decision[Big]) -> Checked | None:
    return Checked(n=asked.final.n) if asked.approved else None


APP = App("shop", [check, pay, approve])


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


async def _trouble(bus: LocalBus) -> None:
    """What comes through, is repeated, is given up, and is no event; a little of each, twice a second."""
    while True:
        records = [APP.record(Order(n=n), now=SystemClock().now())[0] for n in (1, 2, 7, -1)]
        records.append(APP.record(Big(n=1), now=SystemClock().now())[0])
        await bus.publish([*records, records[0]._replace(value=b"no event")])
        await asyncio.sleep(0.5)


@asynccontextmanager
async def _door(bus: LocalBus) -> AsyncIterator[str]:
    """A door on the same bus; where its metrics are."""
    async with AsyncExitStack() as stack:
        door = door_of(Configuration(log="off"), await places_of(stack, [(APP, bus)]), None, 1_000)
        await stack.enter_async_context(counting(door.places, door.measures))
        listening = stack.enter_context(listen("127.0.0.1", 0))
        await stack.enter_async_context(serving(door.inner(), listening))
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_every_panel_and_rule_has_data(prometheus: Path, tmp_path: Path) -> None:
    """Worker and door with failures: each query has series, each rule is healthy, a dead letter's alert fires."""
    clock, metrics, firing = SystemClock(), Metrics(APP), set[str]()
    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(APP, bus, clock=clock, telemetry=build(Configuration(log="off"), APP, metrics))
    await worker.start()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(health(worker, metrics, "127.0.0.1", 0))
        door = await stack.enter_async_context(_door(bus))
        asked = await stack.enter_async_context(
            prometheus_at(prometheus, tmp_path, workers=url.removeprefix("http://"), door=door)
        )
        publishing = asyncio.create_task(_trouble(bus))
        try:
            async with asyncio.timeout(LONG):
                wanted = {filled(one) for page in DASHBOARDS.values() for one in expressions(page)}
                assert len(wanted) > 40
                while wanted := await _empty(asked, wanted):
                    await asyncio.wait([publishing], timeout=1)
                    assert not publishing.done(), publishing.exception()
                while EXPECTED - (firing := _firing(rules := await _rules(asked))):
                    await asyncio.sleep(0.5)
        except TimeoutError:
            pytest.fail(f"within {LONG} s: no data for {sorted(wanted)}, or not firing: {sorted(EXPECTED - firing)}")
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await worker.stop()
            await bus.close()
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    assert "StepwireWorkerDown" not in firing


async def _rules(asked: Prometheus) -> list[Any]:
    return [rule for group in (await asked.ask("rules"))["groups"] for rule in group["rules"]]


def _firing(rules: list[Any]) -> set[str]:
    return {rule["name"] for rule in rules if rule.get("state") == "firing"}


async def _empty(asked: Prometheus, wanted: set[str]) -> set[str]:
    """Those queries that have no series yet. An error of one is an error of the test, once Prometheus is there."""
    if not await asked.ready():
        return wanted
    return {one for one in wanted if not await asked.values(one)}
