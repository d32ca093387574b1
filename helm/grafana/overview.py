"""Is everything all right? Every app at a glance."""

from __future__ import annotations

from helm.grafana.panels import HERE, OF_APP, Page, Panel, Query, Row, rate

GROUP = f'{HERE}, group=~"(|.*[^a-zA-Z0-9])($app)\\\\..+"'
WAITS = 'state="waiting"'
OF_DOOR = f'{HERE}, app=~"$app"'


def _runs(what: str, how: str, over: str) -> str:
    """Whole runs: every door counts them all, so of several doors the largest number is the true one."""
    return f"sum(max by (namespace, app) ({how}(stepwire_runs_{what}_total{{{OF_DOOR}}}[{over}])))"


def _open(*where: str) -> str:
    return f"max by (namespace, app, state) (stepwire_runs_open{{{', '.join((OF_DOOR, *where))}}})"


def _took(of: float) -> Query:
    spread = f"rate(stepwire_run_duration_seconds_bucket{{{OF_DOOR}}}[$__rate_interval])"
    return Query(
        f"histogram_quantile({of:g}, sum by (le, app) (max by (namespace, app, le) ({spread})))",
        f"p{of * 100:g} {{{{app}}}}",
    )


LAG = f"max by (namespace, group, topic, partition) (stepwire_consumer_lag_messages{{{GROUP}}})"

PAGE = Page(
    "overview",
    "Stepwire: overview",
    "Every app at a glance: what comes through, what waits, what was given up.",
    [
        Row("Now", [
            Panel("Workers", "short", [Query(f'count(stepwire_build_info{{{HERE}, app=~"$app"}})')],
                  "Pods that answer.", 4, single=True),
            Panel("Deliveries", "ops", [Query(rate("stepwire_messages_processed_total", "", 'outcome="ok"'))],
                  "Deliveries that ended well, a second.", 4, single=True),
            Panel("Dead letters", "short",
                  [Query(f"sum(increase(stepwire_dead_letters_total{{{HERE}}}[$__range]) {OF_APP})")],
                  "Given up in the time shown; each waits for a person.", 4, single=True),
            Panel("Unfinished", "short", [Query(f"sum({LAG})")], "Records that are not finished.", 4, single=True),
            Panel("Oldest unfinished", "s", [Query(f"max(stepwire_consumer_lag_seconds{{{GROUP}}})")],
                  "Age of the first record that is not finished.", 4, single=True),
            Panel("Calls", "short", [Query(f"sum(stepwire_messages_in_flight{{{HERE}}} {OF_APP})")],
                  "Calls of handlers that run now.", 4, single=True),
        ]),
        Row("Runs (counted by the door)", [
            Panel("Started", "short", [Query(_runs("started", "increase", "$__range"))], "In the time shown.", 4,
                  single=True),
            Panel("Completed", "short", [Query(_runs("completed", "increase", "$__range"))],
                  "In the time shown: nothing of them is open any more.", 4, single=True),
            Panel("Failed", "short", [Query(_runs("failed", "increase", "$__range"))],
                  "In the time shown: they came to rest at a dead letter.", 4, single=True),
            Panel("Waiting now", "short", [Query(f"sum({_open(WAITS)})")],
                  "For a person, a timer, other parts or a foreign service.", 4, single=True),
            Panel("Oldest open", "s", [
                Query(f"time() - min(stepwire_runs_oldest_start_timestamp_seconds{{{OF_DOOR}}} > 0) or vector(0)"),
            ], "Age of the oldest run that runs or waits.", 4, single=True),
            Panel("Counted", "s", [
                Query(f"time() - max(stepwire_runs_counted_timestamp_seconds{{{OF_DOOR}}})"),
            ], "How long ago. Much is open if it is long.", 4, single=True),
            Panel("Runs", "ops", [
                Query(_runs(what, "rate", "$__rate_interval"), what) for what in ("started", "completed", "failed")
            ], "A second. Started above completed for long: they wait, or fail.", 12),
            Panel("Open runs", "short", [Query(f"sum by (state) ({_open()})", "{{state}}")],
                  "By what they do now.", 12),
            Panel("How long runs take", "s", [_took(0.5), _took(0.95)],
                  "Those that completed, from their first record to their last; a gate's wait is in it.", 24),
        ]),
        Row("Over time", [
            Panel("Deliveries by outcome", "ops",
                  [Query(rate("stepwire_messages_processed_total", "outcome"), "{{outcome}}")],
                  "What deliveries came to. `unknown` waits for a person.", 12),
            Panel("Dead letters by handler", "short",
                  [Query(f"sum by (handler) "
                         f"(increase(stepwire_dead_letters_total{{{HERE}}}[$__rate_interval]) {OF_APP})",
                         "{{handler}}")],
                  "Deliveries that were given up.", 12),
            Panel("Unfinished by group", "short", [Query(f"sum by (group) ({LAG})", "{{group}}")],
                  "Records that are not finished. A line that only rises needs more pods, or more partitions.", 12),
            Panel("Age of the first unfinished", "s",
                  [Query(f"max by (group) (stepwire_consumer_lag_seconds{{{GROUP}}})", "{{group}}")],
                  "A line that rises by a second each second is a record that does not finish.", 12),
            Panel("Retries", "ops", [Query(rate("stepwire_retries_total", "handler, error_type"),
                                           "{{handler}}: {{error_type}}")],
                  "Calls that are repeated.", 12),
            Panel("Releases", "short",
                  [Query(f'count by (app, version) (stepwire_build_info{{{HERE}, app=~"$app"}})',
                         "{{app}} {{version}}")],
                  "Pods of each release: two lines while one is rolled out.", 12),
        ]),
    ],
)  # fmt: skip
