"""The metrics of whole runs: names and labels, frozen like those of a worker.

Only a process that sees all topics of an app can count runs: the door. Every door counts all of them, so over several
doors they are not added up: `max by (namespace, app)`. A worker knows its own gates; these are added up.
"""

from __future__ import annotations

from stepwire_handlers.telemetry.series import Family

#: from a run of three quick steps to one that waits a week for a person
DURATION = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 86_400.0, 604_800.0)

STATES = ("running", "waiting", "failed")  #: of a run that is open

RUNS_STARTED = Family("stepwire_runs_started", "counter", ("app",), "Runs that began")
RUNS_COMPLETED = Family(
    "stepwire_runs_completed", "counter", ("app",), "Runs of which nothing is open any more, whatever they came to"
)
RUNS_FAILED = Family(
    "stepwire_runs_failed", "counter", ("app",), "Runs that came to rest at a dead letter; a replay lets them go on"
)
RUNS_DURATION = Family(
    "stepwire_run_duration_seconds",
    "histogram",
    ("app",),
    "Of completed runs, from their first record to their last, waits for people included",
    DURATION,
)
RUNS_OPEN = Family(
    "stepwire_runs_open",
    "gauge",
    ("app", "state"),
    "Runs that are open: running, waiting (person, timer, other parts, foreign service), failed",
)
RUNS_OLDEST = Family(
    "stepwire_runs_oldest_start_timestamp_seconds",
    "gauge",
    ("app",),
    "Start of the oldest run that runs or waits, 0 if there is none",
)
RUNS_LOOKED = Family("stepwire_runs_counted_timestamp_seconds", "gauge", ("app",), "When runs were counted last")

GATES_OPEN = Family("stepwire_gates_open", "gauge", ("handler",), "Gates that wait for a person, on this worker")
GATE_EXPIRY = Family(
    "stepwire_gate_next_expiry_timestamp_seconds",
    "gauge",
    ("handler",),
    "When the next of these gates expires, 0 if none is open",
)
GATE_TIMEOUT = Family("stepwire_gate_timeout_seconds", "gauge", ("handler",), "How long a gate waits")

UNKNOWN = Family(
    "stepwire_unknown_outcomes_open",
    "gauge",
    ("handler",),
    'Deliveries of effect="once" of which a person must say what happened, on this worker',
)

COUNTERS = (RUNS_STARTED, RUNS_COMPLETED, RUNS_FAILED)
FAMILIES = (*COUNTERS, RUNS_DURATION, RUNS_OPEN, RUNS_OLDEST, RUNS_LOOKED)
GATES = (GATES_OPEN, GATE_EXPIRY, GATE_TIMEOUT, UNKNOWN)
