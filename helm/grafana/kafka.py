"""What happens between the workers and the bus."""

from __future__ import annotations

from helm.grafana.panels import HERE, Page, Panel, Query, Row

GROUP = f'{HERE}, group=~"(|.*[^a-zA-Z0-9])($app)\\\\..+"'
COMMITS = "stepwire_commit_duration_seconds"


def _quantile(of: float) -> Query:
    spread = f"sum by (le) (rate({COMMITS}_bucket{{{GROUP}}}[$__rate_interval]))"
    return Query(f"histogram_quantile({of:g}, {spread})", f"p{of * 100:g}")


PAGE = Page(
    "kafka",
    "Stepwire: Kafka",
    "Lag, commits, rebalances and what was cut off; on the local bus the same without rebalances.",
    [
        Row("Partitions", [
            Panel("Lag by partition", "short",
                  [Query(f"topk(20, max by (group, topic, partition) (stepwire_consumer_lag_messages{{{GROUP}}}))",
                         "{{group}} {{topic}}[{{partition}}]")],
                  "The 20 with most unfinished. One that stands out has a key that comes too often, or is stuck.", 12),
            Panel("Age of the watermark", "s",
                  [Query(f"topk(20, max by (group, topic, partition) (stepwire_consumer_lag_seconds{{{GROUP}}}))",
                         "{{group}} {{topic}}[{{partition}}]")],
                  "Age of the first unfinished record of a partition.", 12),
            Panel("Partitions held", "short",
                  [Query(f"sum by (group, topic) (stepwire_assigned_partitions{{{GROUP}}})", "{{group}} {{topic}}")],
                  "Together: all of a topic. Less: nobody works on some.", 12),
            Panel("Rebalances", "short",
                  [Query(f"sum by (group, kind) (increase(stepwire_rebalances_total{{{GROUP}}}[$__rate_interval]))",
                         "{{group}} {{kind}}")],
                  "`lost` is a worker that dropped its work: the bus was away, or nobody knew what was stored.", 12),
            Panel("Lost to retention", "short",
                  [Query(f"sum by (group, topic) (stepwire_records_lost_total{{{GROUP}}}) or vector(0)",
                         "{{group}} {{topic}}")],
                  "Offsets that a topic's retention passed before they were finished: raise retention.ms.", 12),
        ]),
        Row("Commits", [
            Panel("Commits", "ops",
                  [Query(f"sum by (group) (rate({COMMITS}_count{{{GROUP}}}[$__rate_interval]))", "{{group}}")],
                  "Transactions a second; under load each holds more deliveries."),
            Panel("Duration of a commit", "s", [_quantile(0.5), _quantile(0.99)], "From begin to the bus's answer."),
            Panel("Failed", "short", [
                Query(f"sum by (group, error_type) "
                      f"(increase(stepwire_commit_failures_total{{{GROUP}}}[$__rate_interval]))",
                      "{{group}}: {{error_type}}")],
                  "Transactions that did not commit; what they held is done again or kept."),
            Panel("Since the last commit", "s",
                  [Query(f"time() - max by (group) (stepwire_last_commit_timestamp_seconds{{{GROUP}}})", "{{group}}")],
                  "Long is normal where nothing comes in."),
            Panel("Since the last poll", "s",
                  [Query(f"time() - min by (group) (stepwire_last_poll_timestamp_seconds{{{GROUP}}})", "{{group}}")],
                  "Only counts while there is something to fetch."),
            Panel("Written", "ops", [
                Query(f'sum by (topic) '
                      f'(rate(stepwire_messages_produced_total{{{HERE}, outcome="ok"}}[$__rate_interval]))',
                      "{{topic}}"),
            ], "Records committed, by topic."),
            Panel("Unreadable", "short", [
                Query(f"sum by (topic, error_type) (increase(stepwire_deserialization_failures_total{{{HERE}}}"
                      f"[$__rate_interval]))", "{{topic}}: {{error_type}}"),
            ], "Records that are no event; each is a dead letter with its bytes."),
        ]),
    ],
)  # fmt: skip
