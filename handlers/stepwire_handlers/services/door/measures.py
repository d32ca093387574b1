"""What a door counts, for Prometheus: requests, events, decisions, open streams.

In: what happened. Out: a registry of its own. Labels are routes and statuses, never ids, callers or paths as they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwire_handlers.telemetry.door import (
    DOOR_BUILD,
    DOOR_DECISIONS,
    DOOR_DURATION,
    DOOR_EVENTS,
    DOOR_REQUESTS,
    DOOR_STREAMS,
)
from stepwire_handlers.telemetry.series import Counter, Histogram, gauge


class Measures(Collector):
    """The metrics of one door. Belongs to the event loop."""

    def __init__(self, apps: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._requests, self._events = Counter(DOOR_REQUESTS), Counter(DOOR_EVENTS)
        self._decisions, self._seconds = Counter(DOOR_DECISIONS), Histogram(DOOR_DURATION)
        self.streams = 0
        for collector in (self._requests, self._events, self._decisions, self._seconds, self):
            self.registry.register(collector)
        for app in apps:
            for outcome in ("published", "repeated"):
                self._events.at(app, outcome)
            for decision in ("approve", "decline", "done", "redo", "drop", "replay"):
                self._decisions.at(app, decision)

    def request(self, route: str, method: str, code: int, seconds: float) -> None:
        """One request that was answered."""
        self._requests.at(route, method, str(code)).value += 1
        self._seconds.at(route).observe(seconds)

    def event(self, app: str, *, known: bool) -> None:
        """One event that was taken."""
        self._events.at(app, "repeated" if known else "published").value += 1

    def decision(self, app: str, decision: str) -> None:
        """One decision that was sent to the worker."""
        self._decisions.at(app, decision).value += 1

    def collect(self) -> Iterable[Metric]:
        """What is true now."""
        yield InfoMetricFamily(DOOR_BUILD.name, DOOR_BUILD.about, value={"version": version("stepwire")})
        yield gauge(DOOR_STREAMS, {(): float(self.streams)})

    def scrape(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
