"""Prometheus metrics: every name, label and bucket that Stepwire has, frozen in this one file.

In: facts of the kernel, and gauges read when somebody scrapes. Out: a registry of its own. Series of rare events start
at 0 for every handler, so that `increase()` sees the first one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, Info
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwire import App
from stepwire.telemetry import Assigned, Called, Committed, Fact, Skipped

if TYPE_CHECKING:
    from stepwire.worker import Worker

CALL = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)  #: seconds of a handler's call
DELAY = (0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3_600, 14_400)  #: seconds from record to call
MODEL = tuple(0.01 * 2**n for n in range(17))  #: seconds of a model call, as OpenTelemetry's GenAI conventions
TOKENS = tuple(4.0**n for n in range(1, 14))
OUTCOMES = ("ok", "retry", "dead_letter", "abandoned", "unknown")


class Metrics:
    """The metrics of one worker."""

    def __init__(self, app: App) -> None:
        self.registry = CollectorRegistry()
        self._app = app.name
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        topical = ["handler", "topic", "outcome"]
        self.processed = counter("stepwire_messages_processed", "Finished handler runs", topical)
        self.duration = histogram(
            "stepwire_handler_duration_seconds", "Wall time of a call", ["handler", "outcome"], buckets=CALL
        )
        self.delay = histogram("stepwire_message_queue_delay_seconds", "Record to call", ["handler"], buckets=DELAY)
        self.retries = counter("stepwire_retries", "Scheduled retries", ["handler", "error_type"])
        self.dead = counter("stepwire_dead_letters", "Unfinished deliveries", ["handler", "error_type"])
        self.duplicates = counter("stepwire_duplicates_skipped", "Second events or parts", ["handler"])
        self.unreadable = counter("stepwire_deserialization_failures", "Records that are no event", ["topic"])
        self.skipped = counter("stepwire_records_skipped", "Records that came to nothing", ["handler", "why"])
        self.produced = counter("stepwire_messages_produced", "Events written", ["topic"])
        self.commits = counter("stepwire_commits", "Transactions", ["group"])
        self.failures = counter("stepwire_commit_failures", "Transactions that did not commit", ["group"])
        self.rebalances = counter("stepwire_rebalances", "Changes of assignment", ["group", "kind"])
        model = ["gen_ai_request_model"]
        self.calls = histogram("gen_ai_client_operation_duration_seconds", "Model calls", model, buckets=MODEL)
        self.tokens = histogram(
            "gen_ai_client_token_usage", "Tokens of a model call", [*model, "gen_ai_token_type"], buckets=TOKENS
        )
        self.cost = counter("stepwire_model_cost_usd", "What model calls cost", ["handler", *model])
        self.tools = counter("stepwire_tool_calls", "Calls of tools", ["tool", "outcome"])
        build = Info("stepwire_build", "The release", registry=self.registry)
        build.info({"version": version("stepwire"), "app": app.name})
        self._cache: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        self._delays: dict[str, Any] = {}
        for handler in app.handlers:
            self._begin(handler.name)

    def _begin(self, handler: str) -> None:
        self.retries.labels(handler, "")
        self.dead.labels(handler, "")
        self.duplicates.labels(handler)
        self.failures.labels(f"{self._app}.{handler}")

    def watch(self, worker: Worker) -> None:
        """Read these gauges of a worker whenever somebody scrapes."""
        self.registry.register(_Gauges(worker))

    def __call__(self, fact: Fact) -> None:
        """The hook."""
        kind = type(fact)
        if kind is Called:
            self._called(fact)  # type: ignore[arg-type]
        elif kind is Committed:
            self._committed(fact)  # type: ignore[arg-type]
        elif kind is Skipped:
            self._skipped(fact)  # type: ignore[arg-type]
        elif kind is Assigned:
            self.rebalances.labels(fact.group, fact.kind).inc()  # type: ignore[union-attr]

    def _called(self, fact: Called) -> None:
        key = (fact.handler, fact.topic, fact.outcome)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = (self.processed.labels(*key), self.duration.labels(fact.handler, fact.outcome))
            self._delays.setdefault(fact.handler, self.delay.labels(fact.handler))
        found[0].inc()
        found[1].observe(fact.seconds)
        if fact.attempt == 1:
            self._delays[fact.handler].observe(fact.queue_delay)
        if fact.outcome == "retry":
            self.retries.labels(fact.handler, fact.error).inc()
        elif fact.outcome == "dead_letter":
            self.dead.labels(fact.handler, fact.error).inc()
        for name, fields in fact.notes:
            if name == "model":
                self._model(fact.handler, fields)
            elif name == "tool":
                self.tools.labels(str(fields.get("tool", "")), str(fields.get("outcome", ""))).inc()

    def _model(self, handler: str, note: Any) -> None:
        model = str(note.get("model", ""))
        self.calls.labels(model).observe(note.get("seconds", 0.0))
        for label, name in (("input", "input_tokens"), ("output", "output_tokens")):
            self.tokens.labels(model, label).observe(note.get(name, 0) or 0)
        self.cost.labels(handler, model).inc(note.get("cost_usd") or 0.0)

    def _committed(self, fact: Committed) -> None:
        if fact.error:
            self.failures.labels(fact.group).inc()
            return
        self.commits.labels(fact.group).inc()
        for topic, count in fact.outputs.items():
            self.produced.labels(topic).inc(count)

    def _skipped(self, fact: Skipped) -> None:
        if fact.why == "duplicate":
            self.duplicates.labels(fact.handler).inc()
        elif fact.why == "undecodable":
            self.unreadable.labels(fact.topic).inc()
        self.skipped.labels(fact.handler, fact.why).inc()


class _Gauges(Collector):
    """What is true at this moment, read from the worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        """Called at each scrape."""
        flight = GaugeMetricFamily("stepwire_messages_in_flight", "Calls running now", labels=["handler"])
        limit = GaugeMetricFamily("stepwire_handler_concurrency_limit", "Calls allowed at once", labels=["handler"])
        oldest = GaugeMetricFamily("stepwire_oldest_in_flight_start_timestamp_seconds",
                                   "Start of the oldest running call, 0 if none", labels=["handler"])  # fmt: skip
        poll = GaugeMetricFamily(
            "stepwire_last_poll_timestamp_seconds", "When the bus was asked last", labels=["group"]
        )
        lag = GaugeMetricFamily("stepwire_consumer_lag_messages", "Records that are not finished",
                                labels=["group", "topic", "partition"])  # fmt: skip
        parts = GaugeMetricFamily("stepwire_assigned_partitions", "Partitions held", labels=["group"])
        for dispatcher in self._worker.dispatchers:
            step, name = dispatcher.step, [dispatcher.step.name]
            flight.add_metric(name, len(dispatcher.caller.running))
            limit.add_metric(name, step.concurrency)
            oldest.add_metric(name, dispatcher.caller.oldest())
            poll.add_metric([step.group], dispatcher.last_poll)
            parts.add_metric([step.group], len(dispatcher.committer.ledgers))
            for (topic, number), behind in dispatcher.lag().items():
                lag.add_metric([step.group, topic, str(number)], behind)
        return [flight, limit, oldest, poll, lag, parts]
