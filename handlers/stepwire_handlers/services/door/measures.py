"""What a door counts, for Prometheus: requests, events, decisions, open streams, and the runs of its apps.

In: what happened. Out: a registry of its own. Labels are routes and statuses, never ids, callers or paths as they came.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwire_handlers.services.tally import Tally
from stepwire_handlers.telemetry.door import (
    DECISIONS,
    DOOR_BUILD,
    DOOR_DECISIONS,
    DOOR_DURATION,
    DOOR_EVENTS,
    DOOR_REQUESTS,
    DOOR_STREAMS,
    TAKEN,
)
from stepwire_handlers.telemetry.runs import (
    RUNS_COMPLETED,
    RUNS_DURATION,
    RUNS_FAILED,
    RUNS_LOOKED,
    RUNS_OLDEST,
    RUNS_OPEN,
    RUNS_STARTED,
    STATES,
)
from stepwire_handlers.telemetry.series import Counter, Histogram, Spread, exposition, gauge

RARE = ("500", "503")


def taken(*, known: bool) -> str:
    """Which of these."""
    return TAKEN[known]


class Measures(Collector):
    """The metrics of one door. Belongs to the event loop."""

    def __init__(self, apps: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._requests, self._events = Counter(DOOR_REQUESTS), Counter(DOOR_EVENTS)
        self._decisions, self._seconds = Counter(DOOR_DECISIONS), Histogram(DOOR_DURATION)
        self._took = Histogram(RUNS_DURATION)
        self._runs = (Counter(RUNS_STARTED), Counter(RUNS_COMPLETED), Counter(RUNS_FAILED))
        self._open: dict[str, tuple[Tally, float]] = {}
        self.streams = 0
        for collector in (self._requests, self._events, self._decisions, self._seconds, *self._runs, self._took, self):
            self.registry.register(collector)
        for app in apps:
            for runs in self._runs:
                runs.at(app)
            self._took.at(app)
            for outcome in TAKEN:
                self._events.at(app, outcome)
            for decision in DECISIONS:
                self._decisions.at(app, decision)

    def request(self, route: str, method: str, code: int, seconds: float, trace_id: str = "") -> None:
        """One request that was answered; that the door fails at the route is rare, so this begins at 0."""
        for rare in RARE:
            self._requests.at(route, method, rare)
        self._requests.at(route, method, str(code)).value += 1
        self._seconds.at(route).observe(seconds, trace_id)

    def event(self, app: str, *, known: bool) -> None:
        """One event that was taken."""
        self._events.at(app, taken(known=known)).value += 1

    def decision(self, app: str, decision: str) -> None:
        """One decision that was sent to the worker."""
        self._decisions.at(app, decision).value += 1

    def runs(self, app: str, tally: Tally | None, took: Spread | None = None) -> None:
        """What a look at an app's runs came to; None: the bus did not answer, so nobody knows what is open."""
        if tally is None:
            self._open.pop(app, None)
            return
        for counter, more in zip(self._runs, (tally.started, tally.completed, tally.failed), strict=True):
            counter.at(app).value += more
        if took is not None:
            self._took.at(app).add(took)
        self._open[app] = (tally, time.time())

    def collect(self) -> Iterable[Metric]:
        """What is true now."""
        yield InfoMetricFamily(DOOR_BUILD.name, DOOR_BUILD.about, value={"version": version("stepwire")})
        yield gauge(DOOR_STREAMS, {(): float(self.streams)})
        known = self._open.items()
        yield gauge(
            RUNS_OPEN,
            {
                (app, state): float(count)
                for app, (tally, _) in known
                for state, count in zip(STATES, tally.open, strict=True)
            },
        )
        yield gauge(RUNS_OLDEST, {(app,): tally.oldest for app, (tally, _) in known})
        yield gauge(RUNS_LOOKED, {(app,): looked for app, (_, looked) in known})

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Everything in the form that is asked for, and its media type; exemplars are in OpenMetrics only."""
        return exposition(self.registry, accept)
