"""What an MCP server counts, for Prometheus: the events by which its tools begin runs.

In: what happened. Out: a registry of its own. Labels are names of apps, never ids, callers or arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwire_handlers.services.door.measures import taken
from stepwire_handlers.telemetry.door import TAKEN
from stepwire_handlers.telemetry.series import Counter
from stepwire_handlers.telemetry.tools import MCP_BUILD, MCP_EVENTS


class Measures(Collector):
    """The metrics of one MCP server. Belongs to the event loop."""

    def __init__(self, apps: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter(MCP_EVENTS)
        for collector in (self._events, self):
            self.registry.register(collector)
        for app in apps:
            for outcome in TAKEN:
                self._events.at(app, outcome)

    def event(self, app: str, *, known: bool) -> None:
        """One event that was taken."""
        self._events.at(app, taken(known=known)).value += 1

    def collect(self) -> Iterable[Metric]:
        """What is true now."""
        yield InfoMetricFamily(MCP_BUILD.name, MCP_BUILD.about, value={"version": version("stepwire")})

    def scrape(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
