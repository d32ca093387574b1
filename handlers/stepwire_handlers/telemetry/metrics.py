"""Prometheus metrics: every name, label and bucket that Stepwire has, frozen in this one file.

In: facts of the kernel, and what is true of a worker when somebody scrapes. Out: a registry of its own. Series of rare
events start at 0 for every step and every error that the kernel itself raises, so that `increase()` sees the first one.
An error of the user's own has a series from its first retry, or from its first dead letter on: rules see it begin.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from stepwire import App
from stepwire.dispatch.step import control_topic, group_name
from stepwire.telemetry import Assigned, Called, Committed, Fact, Lost, Skipped
from stepwire_handlers.telemetry import console, door, runs, tools
from stepwire_handlers.telemetry.backlog import Backlog
from stepwire_handlers.telemetry.series import Count, Counter, Family, Histogram, Labels, Spread, exposition, gauge
from stepwire_handlers.telemetry.unanswered import open_gates, unknown_outcomes

if TYPE_CHECKING:
    from stepwire.worker import Worker

CALL = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
DELAY = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0)
COMMIT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
MODEL = tuple(0.01 * 2**n for n in range(17))  #: OpenTelemetry's list, longer: it ends at 82 s, models do not
TOKENS = tuple(4.0**n for n in range(14))
OUTCOMES = ("ok", "retry", "dead_letter", "unknown")
#: what the kernel and a step's own signals are called, as they stand in `error_type`
FAILURES = ("AwaitedCancelled", "CrashLoop", "DecodeError", "HandlerTimeout", "JoinExpired", "NewerType", "NoRun",
            "RecordRefused", "Reject", "TooManyOutputs", "VisitLimit", "WrongReturn")  # fmt: skip
PASSING = ("HandlerTimeout", "NotDone", "RetryLater", "Transient")
RARELY = ("late", "refused", "undecodable", "unknown_message")  #: why a record comes to nothing, in any step
USUALLY = ("correlated", "duplicate", "other_type", "retired")
OF_GATES = ("already_decided", "unsigned")
KINDS = ("assigned", "revoked", "lost")
TOKEN_TYPES = ("input", "output", "cache_read", "cache_write")
GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
LIMITED = frozenset({"RateLimitError", "OverloadedError"})  #: how the provider's client calls 429 and 529

PROCESSED = Family(
    "stepwire_messages_processed",
    "counter",
    ("handler", "topic", "outcome"),
    "Deliveries that came to an end, or to a wait; a join's topic is its control topic",
)
DURATION = Family(
    "stepwire_handler_duration_seconds", "histogram", ("handler", "topic", "outcome"), "Wall time of a call", CALL
)
QUEUED = Family(
    "stepwire_message_queue_delay_seconds",
    "histogram",
    ("handler", "topic"),
    "From the record's time to its first call",
    DELAY,
)
RETRIES = Family("stepwire_retries", "counter", ("handler", "topic", "error_type"), "Retries that were scheduled")
DEAD = Family("stepwire_dead_letters", "counter", ("handler", "topic", "error_type"), "Deliveries kept unfinished")
DUPLICATES = Family("stepwire_duplicates_skipped", "counter", ("handler",), "Second events, or second parts of a join")
UNREADABLE = Family(
    "stepwire_deserialization_failures", "counter", ("topic", "error_type"), "Records that are no event"
)
SKIPPED = Family("stepwire_records_skipped", "counter", ("handler", "why"), "Records that came to nothing, by design")
PRODUCED = Family("stepwire_messages_produced", "counter", ("topic", "outcome"), "Records committed")
COMMITS = Family("stepwire_commit_duration_seconds", "histogram", ("group",), "Transactions that committed", COMMIT)
COMMIT_FAILURES = Family(
    "stepwire_commit_failures", "counter", ("group", "error_type"), "Transactions that did not commit"
)
REBALANCES = Family("stepwire_rebalances", "counter", ("group", "kind"), "Changes of what a group's member owns")
LOST = Family(
    "stepwire_records_lost", "counter", ("group", "topic"), "Offsets that retention passed before they were finished"
)
IN_FLIGHT = Family("stepwire_messages_in_flight", "gauge", ("handler", "topic"), "Calls that run now")
LIMIT = Family("stepwire_handler_concurrency_limit", "gauge", ("handler",), "Calls that may run at once")
OLDEST = Family(
    "stepwire_oldest_in_flight_start_timestamp_seconds",
    "gauge",
    ("handler",),
    "Start of the oldest call that runs, 0 if none does",
)
LAG = Family("stepwire_consumer_lag_messages", "gauge", ("group", "topic", "partition"), "Records not finished")
LAG_SECONDS = Family(
    "stepwire_consumer_lag_seconds",
    "gauge",
    ("group", "topic", "partition"),
    "Age of the first record not finished, 0 if there is none",
)
ASSIGNED = Family("stepwire_assigned_partitions", "gauge", ("group", "topic"), "Partitions held")
POLLED = Family(
    "stepwire_last_poll_timestamp_seconds",
    "gauge",
    ("group",),
    "When records were asked for last; now, if there is nothing to ask for",
)
COMMITTED = Family("stepwire_last_commit_timestamp_seconds", "gauge", ("group",), "When the last transaction committed")
MODEL_CALLS = Family(
    "gen_ai_client_operation_duration_seconds",
    "histogram",
    (*GEN_AI, "error_type"),
    "Calls of models; error_type is empty if it answered",
    MODEL,
)
MODEL_TOKENS = Family(
    "gen_ai_client_token_usage",
    "histogram",
    (*GEN_AI, "gen_ai_token_type"),
    "Tokens of a call",
    TOKENS,
)
MODEL_COST = Family(
    "stepwire_model_cost_usd", "counter", ("handler", "gen_ai_request_model"), "US dollars, by our table"
)
MODEL_LIMITED = Family("stepwire_llm_rate_limited", "counter", GEN_AI[1:], "Calls answered with 429 or 529")
TOOL_CALLS = Family(
    "stepwire_tool_call_duration_seconds", "histogram", ("server", "tool", "outcome"), "Calls of tools", CALL
)
BUILD = Family("stepwire_build", "gauge", ("version", "app"), "The release")  # fmt: skip
BUILDS = (BUILD, door.DOOR_BUILD, console.CONSOLE_BUILD, tools.MCP_BUILD)

NO_COMMIT = ("BusUnavailable", "Fenced", "OutcomeUnknown")  #: why a transaction did not commit, or nobody knows
NO_EVENT = "DecodeError"  #: what the kernel's fact means today; the label is there for more

COUNTERS = (PROCESSED, RETRIES, DEAD, DUPLICATES, UNREADABLE, SKIPPED, PRODUCED, COMMIT_FAILURES, REBALANCES, LOST,
            MODEL_COST, MODEL_LIMITED)  # fmt: skip
HISTOGRAMS = (DURATION, QUEUED, COMMITS, MODEL_CALLS, MODEL_TOKENS, TOOL_CALLS)
GAUGES = (IN_FLIGHT, LIMIT, OLDEST, LAG, LAG_SECONDS, ASSIGNED, POLLED, COMMITTED, *runs.GATES)
#: labels that have no other values than these
CLOSED: tuple[tuple[str, tuple[Family, ...], tuple[str, ...]], ...] = (
    ("decision", (door.DOOR_DECISIONS,), door.DECISIONS),
    ("gen_ai_token_type", (MODEL_TOKENS,), TOKEN_TYPES),
    ("kind", (REBALANCES,), KINDS),
    ("outcome", (PROCESSED, DURATION), OUTCOMES),
    ("outcome", (door.DOOR_EVENTS, tools.MCP_EVENTS), door.TAKEN),
    ("outcome", (console.CONSOLE_LOGINS,), console.LOGINS),
    ("state", (runs.RUNS_OPEN,), runs.STATES),
    ("why", (SKIPPED,), (*RARELY, *USUALLY, *OF_GATES)),
)


class Metrics(Collector):
    """The metrics of one worker. Not for threads: facts, and scrapes, belong to the event loop."""

    def __init__(self, app: App) -> None:
        self.registry = CollectorRegistry()
        self.backlog: Backlog | None = None
        self._worker: Worker | None = None
        self._counters = {family: Counter(family) for family in COUNTERS}
        self._histograms = {family: Histogram(family) for family in HISTOGRAMS}
        self._calls: dict[Labels, tuple[Count, Spread, Spread]] = {}
        self._commits: dict[str, Spread] = {}
        self._committed: dict[Labels, float] = {}
        self._build = {"version": version("stepwire"), "app": app.name}
        for collector in (*self._counters.values(), *self._histograms.values(), self):
            self.registry.register(collector)
        for handler in app.runnable:
            self._begin(app.name, handler.name, {event.spec.topic for event in handler.signature.taken})
            if handler.signature.is_join:  # its calls have no other topic
                self._begin_calls(handler.name, control_topic(app.name, handler.name))
            for why in (*RARELY, *(OF_GATES if handler.signature.is_gate else ())):
                self._count(SKIPPED, handler.name, why)

    def _begin(self, app: str, handler: str, topics: Iterable[str]) -> None:
        """Series of rare events, at 0."""
        group, control = group_name(app, handler), control_topic(app, handler)
        self._count(DUPLICATES, handler)
        for error in NO_COMMIT:
            self._count(COMMIT_FAILURES, group, error)
        for kind in KINDS:
            self._count(REBALANCES, group, kind)
        for topic in (*topics, control):
            self._count(UNREADABLE, topic, NO_EVENT)
            self._count(LOST, group, topic)
        for topic in topics:
            self._begin_calls(handler, topic)

    def _begin_calls(self, handler: str, topic: str) -> None:
        """What calls of a step come to, at 0."""
        for outcome in OUTCOMES:
            self._count(PROCESSED, handler, topic, outcome)
        for error in PASSING:
            self._count(RETRIES, handler, topic, error)
        for error in FAILURES:
            self._count(DEAD, handler, topic, error)

    def watch(self, worker: Worker) -> None:
        """Read the gauges of this worker at each scrape."""
        self._worker, self.backlog = worker, Backlog(worker)

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Everything in the form that is asked for, and its media type; exemplars are in OpenMetrics only.

        Asks the bus how far behind the worker is.
        """
        if self.backlog is not None:
            await self.backlog.measure()
        return exposition(self.registry, accept)

    # -- facts

    def __call__(self, fact: Fact) -> None:
        """The hook."""
        kind = type(fact)
        if kind is Called:
            self._called(fact)  # type: ignore[arg-type]
        elif kind is Committed:
            self._commit(fact)  # type: ignore[arg-type]
        elif kind is Skipped:
            self._skipped(fact)  # type: ignore[arg-type]
        elif kind is Assigned:
            self._count(REBALANCES, fact.group, fact.kind).value += 1  # type: ignore[union-attr]
        elif kind is Lost:
            self._count(LOST, fact.group, fact.topic).value += fact.offsets  # type: ignore[union-attr]

    def _count(self, family: Family, *labels: str) -> Count:
        return self._counters[family].at(*labels)

    def _called(self, fact: Called) -> None:
        key = (fact.handler, fact.topic, fact.outcome)
        series = self._calls.get(key)
        if series is None:
            delay = self._histograms[QUEUED].at(fact.handler, fact.topic)
            series = self._calls[key] = (self._count(PROCESSED, *key), self._histograms[DURATION].at(*key), delay)
        trace_id = fact.trace.trace_id if fact.trace is not None and fact.trace.sampled else ""
        series[0].value += 1
        series[1].observe(fact.seconds, trace_id)
        if fact.attempt == 1:
            series[2].observe(fact.queue_delay, trace_id)
        if fact.error:
            if fact.outcome == "retry":
                self._count(RETRIES, fact.handler, fact.topic, fact.error).value += 1
                self._count(DEAD, fact.handler, fact.topic, fact.error)  # what it may come to, from 0
            elif fact.outcome == "dead_letter":
                self._count(DEAD, fact.handler, fact.topic, fact.error).value += 1
        for name, fields in fact.notes:
            if name == "model":
                self._model(fact.handler, fields, trace_id)
            elif name == "tool":
                self._tool(fields, trace_id)

    def _model(self, handler: str, note: Mapping[str, Any], trace_id: str) -> None:
        # by the name that was asked for, which a failed call has too: an answer may name a dated version of it
        model, error = str(note.get("asked") or note.get("model", "")), str(note.get("error", ""))
        labels = ("chat", "stepwire.offline" if note.get("offline") else "anthropic", model)
        self._histograms[MODEL_CALLS].at(*labels, error).observe(note.get("seconds") or 0.0, trace_id)
        self._count(MODEL_LIMITED, *labels[1:]).value += error in LIMITED
        if error:
            return
        for token_type in TOKEN_TYPES:
            if tokens := note.get(f"{token_type}_tokens"):
                self._histograms[MODEL_TOKENS].at(*labels, token_type).observe(tokens)
        self._count(MODEL_COST, handler, model).value += note.get("cost_usd") or 0.0

    def _tool(self, note: Mapping[str, Any], trace_id: str) -> None:
        labels = (str(note.get(name, "")) for name in TOOL_CALLS.labels)
        self._histograms[TOOL_CALLS].at(*labels).observe(note.get("seconds") or 0.0, trace_id)

    def _commit(self, fact: Committed) -> None:
        if fact.error:
            self._count(COMMIT_FAILURES, fact.group, fact.kind).value += 1
            return
        spread = self._commits.get(fact.group)
        if spread is None:
            spread = self._commits[fact.group] = self._histograms[COMMITS].at(fact.group)
        spread.observe(fact.seconds)
        self._committed[fact.group,] = time.time()
        for topic, count in fact.outputs.items():
            self._count(PRODUCED, topic, "ok").value += count

    def _skipped(self, fact: Skipped) -> None:
        if fact.why == "duplicate":
            self._count(DUPLICATES, fact.handler).value += 1
        elif fact.why == "undecodable":
            self._count(UNREADABLE, fact.topic, NO_EVENT).value += 1
        self._count(SKIPPED, fact.handler, fact.why).value += 1

    # -- gauges

    def collect(self) -> Iterable[Metric]:
        """What is true at this moment; called by the registry."""
        yield InfoMetricFamily(BUILD.name, BUILD.about, value=self._build)
        yield gauge(COMMITTED, self._committed)
        if self._worker is None or self.backlog is None:
            return
        flight: dict[Labels, float] = {}
        for dispatcher in self._worker.dispatchers:
            name = dispatcher.step.name
            flight |= {(name, topic): 0.0 for topic in dispatcher.step.codecs}
            for delivery in dispatcher.caller.running:
                flight[name, delivery.topic] = flight.get((name, delivery.topic), 0.0) + 1
        dispatchers = {d.step.name: d for d in self._worker.dispatchers}
        yield gauge(IN_FLIGHT, flight)
        yield gauge(LIMIT, {(name,): d.step.concurrency for name, d in dispatchers.items()})
        yield gauge(OLDEST, {(name,): d.caller.oldest() for name, d in dispatchers.items()})
        yield gauge(LAG, self.backlog.messages)
        yield gauge(LAG_SECONDS, self.backlog.seconds)
        yield gauge(ASSIGNED, self.backlog.assigned())
        yield gauge(POLLED, self.backlog.polled())
        gates = open_gates(self._worker)
        yield gauge(runs.GATES_OPEN, {(gate.handler,): float(gate.open) for gate in gates})
        yield gauge(runs.GATE_EXPIRY, {(gate.handler,): gate.expiry for gate in gates})
        yield gauge(runs.GATE_TIMEOUT, {(gate.handler,): gate.timeout for gate in gates})
        yield gauge(runs.UNKNOWN, unknown_outcomes(self._worker))


ABOUT = """Made from `telemetry/metrics.py` by `make docs`. Durations are seconds.

Over several workers, counters and what is open are added up. Two exceptions: lag, since two workers may show a
partition while it moves (`max` by partition), and whole runs, which every door counts: `max by (namespace, app)`. See
[observability.md](observability.md).

How long a whole run took is `stepwire_run_duration_seconds`, of the door: OpenTelemetry's `gen_ai.workflow.duration`,
for any app. There is no `gen_ai_client_operation_time_to_first_chunk_seconds`: steps ask models for whole answers,
never for a stream, so the first chunk is the last one."""


def shown(family: Family) -> str:
    """What Prometheus calls it."""
    return family.name + ("_total" if family.kind == "counter" else "_info" if family in BUILDS else "")


def page() -> str:
    """The table of metrics as docs/metrics.md has it."""
    lines = ["# Metrics", "", ABOUT, "", "| name | from | type | labels | meaning |", "|---|---|---|---|---|"]
    of = {
        "worker": (*COUNTERS, *HISTOGRAMS, *GAUGES, BUILD), "door": (*door.FAMILIES, *runs.FAMILIES),
        "console": console.FAMILIES, "mcp": tools.FAMILIES,
    }  # fmt: skip
    for family, whose in sorted((family, whose) for whose, families in of.items() for family in families):
        labels = ", ".join(family.labels)
        lines.append(f"| `{shown(family)}` | {whose} | {family.kind} | {labels} | {family.about} |")
    lines += ["", "## Labels", "", "Where a label has a few values and no others:", "", "| label | of | values |"]
    lines.append("|---|---|---|")
    for label, families, values in CLOSED:
        whose = ", ".join(f"`{shown(family)}`" for family in families)
        lines.append(f"| {label} | {whose} | {', '.join(f'`{value}`' for value in values)} |")
    lines += ["", "## Buckets", "", "| name | upper bounds |", "|---|---|"]
    lines += [
        f"| `{family.name}` | {', '.join(f'{bound:g}' for bound in family.buckets)} |"
        for family in (*HISTOGRAMS, door.DOOR_DURATION, runs.RUNS_DURATION)
    ]
    return "\n".join(lines) + "\n"
