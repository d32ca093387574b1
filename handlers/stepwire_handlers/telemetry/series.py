"""Counters and histograms that cost a dictionary look-up and an addition: ten thousand facts a second pass here.

In: numbers, from the event loop only. Out: Prometheus metric families when somebody scrapes. The client library's own
objects take a lock for each number and compare it with one bucket after another, which is three times as slow.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

Labels = tuple[str, ...]


class Family(NamedTuple):
    """One metric: its frozen name, labels and buckets."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    about: str
    buckets: tuple[float, ...] = ()


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Spread:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}  #: bucket -> the last traced value in it

    def observe(self, value: float, trace_id: str = "") -> None:
        """One more value; where it has a trace, that is its bucket's example."""
        bucket = bisect_left(self._bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if trace_id:
            self.exemplars[bucket] = Exemplar({"trace_id": trace_id}, value, time.time())

    def add(self, other: Spread) -> None:
        """What another one observed, with the same bounds."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Counter(Collector):
    """All series of a counter."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._series: dict[Labels, Count] = {}

    def at(self, *labels: str) -> Count:
        """One series; it begins at 0."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Count()
        return found

    def collect(self) -> Iterator[Metric]:
        """As Prometheus knows it."""
        metric = CounterMetricFamily(self._family.name, self._family.about, labels=self._family.labels)
        for labels, count in self._series.items():
            metric.add_metric(labels, count.value)
        yield metric


class Histogram(Collector):
    """All series of a histogram."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._names = [*(str(bound) for bound in family.buckets), "+Inf"]
        self._series: dict[Labels, Spread] = {}

    def at(self, *labels: str) -> Spread:
        """One series."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Spread(self._family.buckets)
        return found

    def collect(self) -> Iterator[Metric]:
        """As Prometheus knows it."""
        metric = HistogramMetricFamily(self._family.name, self._family.about, labels=self._family.labels)
        for labels, spread in self._series.items():
            counts = zip(self._names, accumulate(spread.counts), strict=True)
            known = spread.exemplars
            buckets = [
                (name, float(count), known[number]) if number in known else (name, float(count))
                for number, (name, count) in enumerate(counts)
            ]
            metric.add_metric(labels, buckets, spread.total)
        yield metric


def gauge(family: Family, values: dict[Labels, float]) -> Metric:
    """A gauge, read at this moment."""
    metric = GaugeMetricFamily(family.name, family.about, labels=family.labels)
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """All metrics in the form that is asked for, and its media type; exemplars are in OpenMetrics only."""
    try:
        encode, media = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number, and the like: then the form that everybody reads
        encode, media = choose_encoder("")
    return encode(registry), media
