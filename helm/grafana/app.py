"""One row for each step of an app."""

from __future__ import annotations

from helm.grafana.panels import HERE, OF_APP, Page, Panel, Query, Row, quantile, quantiles, rate

STEP = 'handler=~"$handler"'
EXPIRY = "stepwire_gate_next_expiry_timestamp_seconds"
GROUP = f'{HERE}, group=~"(|.*[^a-zA-Z0-9])($app)\\\\.($handler)"'

PAGE = Page(
    "app",
    "Stepwire: app",
    "Each step: how much, how fast, what fails, what waits.",
    [
        Row("$handler", [
            Panel("Deliveries", "ops",
                  [Query(rate("stepwire_messages_processed_total", "outcome", STEP), "{{outcome}}")],
                  "What deliveries of this step came to.", 6),
            Panel("Retries", "ops", [Query(rate("stepwire_retries_total", "error_type", STEP), "{{error_type}}")],
                  "Calls that are tried again, by what failed.", 6),
            Panel("Dead letters", "ops",
                  [Query(rate("stepwire_dead_letters_total", "error_type", STEP), "{{error_type}}")],
                  "What was given up and waits for a person, by its reason: `stepwire dlq list`.", 6),
            Panel("Duration of a call", "s", quantiles("stepwire_handler_duration_seconds", STEP),
                  "Wall time of a call, whatever it came to.", 6),
            Panel("Waiting before the call", "s", [
                Query(quantile(0.95, "stepwire_message_queue_delay_seconds", "topic", STEP), "p95 {{topic}}"),
            ], "From the record's time to its first call.", 6),
            Panel("Unfinished", "short",
                  [Query(f"sum by (topic) (max by (topic, partition) (stepwire_consumer_lag_messages{{{GROUP}}}))",
                         "{{topic}}")],
                  "Records that are not finished, also those that wait for other parts or a person.", 6),
            Panel("Age of the first unfinished", "s",
                  [Query(f"max by (topic) (stepwire_consumer_lag_seconds{{{GROUP}}})", "{{topic}}")],
                  "How long the first of them waits.", 6),
            Panel("Calls and their limit", "short", [
                Query(f"sum(stepwire_messages_in_flight{{{HERE}, {STEP}}} {OF_APP})", "running"),
                Query(f"sum(stepwire_handler_concurrency_limit{{{HERE}, {STEP}}} {OF_APP})", "limit"),
            ], "At the limit the step fetches no more.", 6),
            Panel("Oldest call", "s",
                  [Query(f"time() - min((stepwire_oldest_in_flight_start_timestamp_seconds{{{HERE}, {STEP}}} > 0)"
                         f" {OF_APP}) or vector(0)", "oldest")],
                  "How long the oldest call runs; 0 if none does.", 6),
            Panel("Skipped", "ops", [
                Query(rate("stepwire_records_skipped_total", "why", STEP), "{{why}}"),
                Query(rate("stepwire_duplicates_skipped_total", "", STEP), "second of a kind"),
            ], "Records that came to nothing, by design.", 6),
            Panel("Open gates", "short", [Query(f"sum(stepwire_gates_open{{{HERE}, {STEP}}} {OF_APP})", "open")],
                  "What waits for a person: `stepwire gates list`. Nothing where the step has no gate.", 6),
            Panel("Unknown outcomes", "short",
                  [Query(f"sum(stepwire_unknown_outcomes_open{{{HERE}, {STEP}}} {OF_APP})", "open")],
                  "Effects of which a person must say whether they happened. Nothing where the step may repeat.", 6),
            Panel("Until the next gate expires", "s", [
                Query(f"min(({EXPIRY}{{{HERE}, {STEP}}} > 0) {OF_APP}) - time()", "left"),
                Query(f"max(stepwire_gate_timeout_seconds{{{HERE}, {STEP}}} {OF_APP})", "in all"),
            ], "Of all the time that the gate has. Nothing where none is open.", 6),
        ], repeat="handler"),
    ],
    [("handler", f"label_values(stepwire_handler_concurrency_limit{{{HERE}}}, handler)")],
)  # fmt: skip
