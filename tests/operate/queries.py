"""Ten questions that a person on duty asks first, in PromQL.

In: nothing. Out: what each asks, in words, and its expression; each comes to one number while a worker and a door run.
"""

from __future__ import annotations

from typing import NamedTuple


class Query(NamedTuple):
    """A question, and how Prometheus is asked it."""

    asks: str
    expression: str


def _mean(histogram: str) -> str:
    """Of one paper a quantile would be the bound of a bucket."""
    return f"sum({histogram}_sum) / sum({histogram}_count)"


QUERIES = (
    Query("processes that answer", "sum(up)"),
    Query("events taken by the door", 'sum(stepwire_ingress_events_total{outcome="published"})'),
    Query("steps done", 'sum(stepwire_messages_processed_total{outcome="ok"})'),
    Query("steps to be tried again", "sum(stepwire_retries_total)"),
    Query("dead letters", "sum(stepwire_dead_letters_total)"),
    Query("records not finished", "sum(max by (group, topic, partition) (stepwire_consumer_lag_messages))"),
    Query("a step, mean seconds", _mean("stepwire_handler_duration_seconds")),
    Query("a commit, mean seconds", _mean("stepwire_commit_duration_seconds")),
    Query("calls of tools", "sum(stepwire_tool_call_duration_seconds_count)"),
    Query("tokens of the model", "sum(gen_ai_client_token_usage_sum)"),
)
