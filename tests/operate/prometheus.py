"""A Prometheus that scrapes this crew, as docs/observability.md says to set one up: its files, and what it answers.

In: the page, and ports of processes by the job that it names. Out: a command; later, numbers.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import yaml
from tests.operate.crew import Failed
from tests.operate.queries import QUERIES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "observability.md"
RULES = ROOT / "helm" / "stepwire" / "rules" / "stepwire.yaml"
PATIENCE = 40.0  #: seconds until it has seen what was done; it scrapes each second


def on_the_page() -> dict[str, Any]:
    """The whole `prometheus.yml` of the page."""
    (found,) = re.findall(
        r"^```yaml\n# prometheus\.yml.*?\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    told: dict[str, Any] = yaml.safe_load(found)
    return told


def command(program: Path, home: Path, port: int, targets: Mapping[str, Sequence[int]]) -> list[str]:
    """Write the page's configuration, with the ports of this crew and looked at more often; how it is started."""
    told = on_the_page()
    told["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    told["rule_files"] = [str(RULES)]
    told["scrape_configs"] = [job for job in told["scrape_configs"] if job["job_name"] in targets]
    for job in told["scrape_configs"]:
        (static,) = job["static_configs"]
        static["targets"] = [f"127.0.0.1:{at}" for at in targets[job["job_name"]]]
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
