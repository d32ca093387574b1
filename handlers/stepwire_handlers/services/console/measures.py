"""What a console counts, for Prometheus: requests and logins.

In: what happened. Out: a registry of its own. Labels are routes and statuses, never ids, people or paths as they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwire_handlers.services.console.issuer import BACK
from stepwire_handlers.telemetry.console import (
    CONSOLE_BUILD,
    CONSOLE_LOGINS,
    CONSOLE_REQUESTS,
    ENTERED,
    LOGINS,
    REFUSED,
    SLOWED,
)
from stepwire_handlers.telemetry.series import Counter

KEY = {303: ENTERED, 401: REFUSED, 429: SLOWED}
OUTCOMES = {("/login", "POST"): KEY, (BACK, "GET"): {**KEY, 400: REFUSED, 403: REFUSED}}


class Measures(Collector):
    """The metrics of one console. Belongs to the event loop."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests, self._logins = Counter(CONSOLE_REQUESTS), Counter(CONSOLE_LOGINS)
        for collector in (self._requests, self._logins, self):
            self.registry.register(collector)
        for outcome in LOGINS:
            self._logins.at(outcome)

    def request(self, route: str, method: str, code: int) -> None:
        """One request that was answered."""
        self._requests.at(route, method, str(code)).value += 1
        if outcome := OUTCOMES.get((route, method), {}).get(code):
            self._logins.at(outcome).value += 1

    def collect(self) -> Iterable[Metric]:
        """What is true now."""
        yield InfoMetricFamily(CONSOLE_BUILD.name, CONSOLE_BUILD.about, value={"version": version("stepwire")})

    def scrape(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
