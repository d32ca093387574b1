"""Ten questions that a person on duty asks first, in PromQL.

In: nothing. Out: what each asks, in words, and its expression; each comes to one number while a worker and a door run.
"""

from __future__ import annotations

from typing import NamedTuple


class Query(NamedTuple):
    """A question, and how Prometheus is asked it."""

    asks: str
    expression: str


QUERIES = (
    Query("processes that answer", "sum(up)"),
    Query("events taken by the door", 'sum(stepwire_ingress_events_total{outcome="published"})'),
    Query("steps done", 'sum(stepwire_messages_processed_total{outcome="ok"})'),
    Query("steps to be tried again", "sum(stepwire_retries_total)"),
    Query("dead letters", "sum(stepwire_dead_letters_total)"),
    Query("records not finished", "sum(max by (group, topic, partition) (stepwire_consumer_lag_messages))"),
    Query("step, seconds, 95 of 100", "histogram_quantile(0.95, sum by (le) (stepwire_handler_duration_seconds_bucket))"),
    Query("commit, seconds, 95 of 100", "histogram_quantile(0.95, sum by (le) (stepwire_commit_duration_seconds_bucket))"),
    Query("calls of tools", "sum(stepwire_tool_call_duration_seconds_count)"),
    Query("tokens of the model", "sum(gen_ai_client_token_usage_sum)"),
)  # fmt: skip
