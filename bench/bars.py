"""What is measured and what must hold: the one table of scripts, lines and bars.

A line is a question; its measures answer it, each a script in a fresh process, run one after another in every
round. A bar is a ratio with a reason; lines without a bar are shown because a reader would ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FIELDS = {
    "runs_per_s": "runs/s",
    "p50_ms": "median ms",
    "cpu_ms_per_run": "CPU ms/run",
    "wall_s": "s",
    "ready_s": "s to ready",
    "peak_mb": "MB at most",
}
SMALLER_IS_BETTER = frozenset(FIELDS) - {"runs_per_s"}


Environment = Literal["ours", "peers"]  #: which Python environment a script runs in: their pins are not ours


@dataclass(frozen=True, slots=True)
class Measure:
    """One script with its arguments; it prints one line of JSON whose fields are the figures."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Environment = "ours"


@dataclass(frozen=True, slots=True)
class Bar:
    """Our figure, `at least` or `at most` so many times another one."""

    measure: str
    field: str
    relation: Literal["at least", "at most"]
    factor: float
    against: tuple[str, ...] | float  #: measures, of which the best counts; or a fixed figure in the field's unit
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """One question."""

    name: str
    title: str
    fields: tuple[str, ...]
    measures: tuple[Measure, ...]
    bars: tuple[Bar, ...] = ()
    prepare: Measure | None = None  #: run once before the first round: makes a file that takes long to make


OURS = "bench.ours_chain"
LANGGRAPH = "bench.peer_langgraph"
PYDANTIC_GRAPH = "bench.peer_pydantic_graph"
SAVERS_16 = ("langgraph async saver, 16 at once", "langgraph blocking saver, 16 at once")
SAVERS_1 = ("langgraph async saver, one at a time", "langgraph blocking saver, one at a time")

CHAIN = Line(
    "chain",
    "Five trivial steps, 1 KiB, 16 runs at once",
    ("runs_per_s", "p50_ms", "cpu_ms_per_run"),
    (
        Measure("stepwire, 16 at once", OURS, ("--at-once", "16")),
        Measure("pydantic-graph, 16 at once", PYDANTIC_GRAPH, ("--at-once", "16"), "peers"),
        Measure(SAVERS_16[0], LANGGRAPH, ("chain", "--saver", "async", "--at-once", "16"), "peers"),
        Measure(SAVERS_16[1], LANGGRAPH, ("chain", "--saver", "blocking", "--at-once", "16"), "peers"),
    ),
    (
        Bar(
            "stepwire, 16 at once", "runs_per_s", "at least", 1.5, ("pydantic-graph, 16 at once",),
            "keeping every event must not cost the lead over the fastest engine, which keeps nothing",
        ),
        Bar(
            "stepwire, 16 at once", "runs_per_s", "at least", 25.0, SAVERS_16,
            "same promise, same kind of file: a log of small facts against a snapshot for every step",
        ),
    ),
)  # fmt: skip

TWO_PROCESSES = Line(
    "two-processes",
    "The same chain, the load in a process of its own",
    ("runs_per_s", "p50_ms"),
    (Measure("stepwire, load outside", OURS, ("--at-once", "16", "--outside")),),
)

LATENCY = Line(
    "latency",
    "Five trivial steps, 1 KiB, one run at a time",
    ("p50_ms", "runs_per_s", "cpu_ms_per_run"),
    (
        Measure("stepwire, one at a time", OURS, ("--at-once", "1")),
        Measure("pydantic-graph, one at a time", PYDANTIC_GRAPH, ("--at-once", "1"), "peers"),
        Measure(SAVERS_1[0], LANGGRAPH, ("chain", "--saver", "async", "--at-once", "1"), "peers"),
        Measure(SAVERS_1[1], LANGGRAPH, ("chain", "--saver", "blocking", "--at-once", "1"), "peers"),
    ),
    (
        Bar(
            "stepwire, one at a time", "p50_ms", "at most", 2.0, ("pydantic-graph, one at a time",),
            "six commits may cost as much again as the whole run costs in memory, no more",
        ),
        Bar(
            "stepwire, one at a time", "p50_ms", "at most", 0.15, SAVERS_1,
            "one run alone gains nothing from commits shared with others, and must still be far ahead",
        ),
    ),
)  # fmt: skip

SCATTER = Line(
    "scatter",
    "Scatter over items of 256 B, and gather",
    ("p50_ms", "cpu_ms_per_run"),
    (
        Measure("stepwire, 1,000 items", "bench.ours_scatter", ("--items", "1000")),
        Measure("langgraph in memory, 1,000 items", LANGGRAPH, ("map", "--items", "1000"), "peers"),
        Measure("stepwire, 10,000 items", "bench.ours_scatter", ("--items", "10000")),
    ),
    (
        Bar(
            "stepwire, 1,000 items", "p50_ms", "at most", 0.5, ("langgraph in memory, 1,000 items",),
            "each item is an event that survives a kill; the peer's are not",
        ),
        Bar(
            "stepwire, 10,000 items", "p50_ms", "at most", 12.0, ("stepwire, 1,000 items",),
            "ten times the items, a fifth on top for larger trees: anything above grows faster than the work",
        ),
    ),
)  # fmt: skip

WAITS = Line(
    "waits",
    "1,000 deliveries that each wait 1 s, one worker",
    ("wall_s",),
    (Measure("stepwire, 1,000 waits", "bench.ours_waits", ("--waits", "1000")),),
    (
        Bar(
            "stepwire, 1,000 waits", "wall_s", "at most", 1.2, 1.0,
            "a handler mostly waits for somebody else's computer; a thousand waits are one wait",
        ),
    ),
)  # fmt: skip

PARKED = Line(
    "parked",
    "Restart with 100,000 parked timers and 10,000 open joins",
    ("peak_mb", "ready_s"),
    (Measure("stepwire, restart", "bench.ours_parked", ("restart",)),),
    (
        Bar(
            "stepwire, restart", "peak_mb", "at most", 1.0, 300.0,
            "what waits must fit into a small pod beside the work; the peak is what gets a pod killed",
        ),
        Bar(
            "stepwire, restart", "ready_s", "at most", 1.0, 5.0,
            "a deploy stops every step for this long",
        ),
    ),
    Measure("stepwire, fill", "bench.ours_parked", ("fill",)),
)  # fmt: skip

HISTORY = Line(
    "history",
    "The chain on a file with 1,000,000 past events",
    ("runs_per_s", "p50_ms", "cpu_ms_per_run"),
    (
        Measure("stepwire, 1,000,000 past events", OURS, ("--at-once", "16", "--file", "history.db")),
        Measure("stepwire, empty file", OURS, ("--at-once", "16")),
    ),
    (
        Bar(
            "stepwire, 1,000,000 past events", "runs_per_s", "at least", 0.9, ("stepwire, empty file",),
            "a file that is never emptied must not slow down what is new",
        ),
    ),
    Measure("stepwire, history", "bench.ours_history", ("--file", "history.db")),
)  # fmt: skip

LINES = (CHAIN, TWO_PROCESSES, LATENCY, SCATTER, WAITS, PARKED, HISTORY)
