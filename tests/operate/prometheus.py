"""A Prometheus that scrapes this crew: its files, and what it answers.

In: addresses of processes. Out: a command; later, numbers.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import yaml
from tests.operate.crew import Failed
from tests.operate.queries import QUERIES

RULES = Path(__file__).parents[2] / "helm" / "stepwire" / "rules" / "stepwire.yaml"
PATIENCE = 40.0  #: seconds until it has seen what was done; it scrapes each second


def command(program: Path, home: Path, port: int, targets: Mapping[str, int]) -> list[str]:
    """Write its configuration, with the rules and alerts of the chart; how it is started."""
    scrapes = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{at}"], "labels": {"namespace": "operate"}}]}
        for name, at in targets.items()
    ]
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    told = {"global": often, "rule_files": [str(RULES)], "scrape_configs": scrapes}
    (home / "prometheus.yml").write_text(yaml.safe_dump(told))
    return [str(program), f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'series'}",
            f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip


async def values_after(url: str, moment: float, processes: int) -> list[float]:
    """What each query comes to, once all processes were scraped twice after a moment and say the same.

    A worker counts a step after its commit, so its result may be seen first. Raises Failed if a query has no value in
    time.
    """
    end = time.monotonic() + PATIENCE
    before: list[float] = []
    async with httpx2.AsyncClient(base_url=url, timeout=5) as client:
        while True:
            seen = await _value(client, f"min(timestamp(up)) and count(up == 1) == {processes}")
            found = [await _value(client, query.expression) for query in QUERIES]
            is_late, is_whole = time.monotonic() > end, not any(math.isnan(value) for value in found)
            if seen > moment and is_whole:
                if found == before or is_late:
                    return found
                before, moment = found, seen
            if is_late:
                empty = [query.expression for query, value in zip(QUERIES, found, strict=True) if math.isnan(value)]
                why = f"no value for {'; '.join(empty)}" if empty else f"not all {processes} processes were scraped"
                raise Failed(f"Prometheus on {url}: {why} within {PATIENCE:.0f} s")
            await asyncio.sleep(0.5)


async def _value(client: httpx2.AsyncClient, expression: str) -> float:
    """One number; not a number if there is none yet. Raises Failed if the expression is refused."""
    answer = await client.get("/api/v1/query", params={"query": expression})
    if answer.is_client_error:
        raise Failed(f"Prometheus refuses {expression}: {answer.json()['error']}")
    series = answer.json()["data"]["result"] if answer.is_success else []
    return float(series[0]["value"][1]) if series else math.nan
