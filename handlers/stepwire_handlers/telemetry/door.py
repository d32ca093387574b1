"""The metrics of the HTTP door: names, labels and buckets, frozen like those of a worker."""

from __future__ import annotations

from stepwire_handlers.telemetry.series import Family

ANSWER = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

TAKEN = ("published", "repeated")  #: what becomes of an event that is taken
DECISIONS = ("approve", "decline", "done", "redo", "drop", "replay")

DOOR_REQUESTS = Family(
    "stepwire_ingress_requests", "counter", ("route", "method", "code"), "Requests answered by the HTTP door"
)
DOOR_DURATION = Family(
    "stepwire_ingress_request_duration_seconds",
    "histogram",
    ("route",),
    "From a request to the beginning of its answer; what waits by its own wish counts too",
    ANSWER,
)
DOOR_EVENTS = Family(
    "stepwire_ingress_events", "counter", ("app", "outcome"), "Events taken: published, or repeated and followed"
)
DOOR_DECISIONS = Family(
    "stepwire_ingress_decisions", "counter", ("app", "decision"), "Gates decided, dead letters replayed or dropped"
)
DOOR_STREAMS = Family("stepwire_ingress_sse_connections", "gauge", (), "Streams of runs that are open")
DOOR_BUILD = Family("stepwire_door_build", "gauge", ("version",), "The release of the door")

FAMILIES = (DOOR_REQUESTS, DOOR_DURATION, DOOR_EVENTS, DOOR_DECISIONS, DOOR_STREAMS, DOOR_BUILD)
