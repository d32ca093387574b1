"""What a worker may be told. Frozen, checked at construction, before anything is consumed.

Every default has its reason beside it; all times are seconds, all sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from stepwire.errors import SettingsError

HOUR, DAY = 3_600.0, 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a worker runs. Raises SettingsError when a value makes no sense.

    The handler's own decorator overrides `timeout`, `attempts` and `concurrency`.
    """

    timeout: float = 60.0  #: one call of a handler; a slow model answers in 30 s, twice that is stuck
    attempts: int = 5  #: calls of one delivery when it fails in a way that may pass
    attempts_unknown: int = 3  #: the same for an exception nobody could explain: likely a bug, so give up sooner
    backoff: float = 1.0  #: the first wait; doubles each time, with full jitter
    backoff_cap: float = 600.0  #: the longest wait; after ten minutes an outage is somebody's pager's business
    in_place: float = 10.0  #: waits up to this keep their slot; longer ones are parked and survive a restart
    concurrency: int = 1_000  #: calls of one handler at once; they mostly wait for somebody else's computer
    span: int = 16_000  #: offsets above an unfinished one; their map always fits Kafka's 4096 characters
    drain: float = 75.0  #: on SIGTERM: finish for so long, then hand back; fits a grace period of 90 s
    session: float = 45.0  #: how long a silent member keeps its partitions; survives a long GC, not an outage
    join_deadline: float = 7 * DAY  #: a join that has no timeout of its own; the backstop for what no analysis sees
    keep: float = 30 * DAY  #: stubs, verdicts and the parts of a dead-lettered join; a month of people's time
    newer_type_wait: float = HOUR  #: an event of a version this worker does not know yet: a rolling deploy
    max_outputs: int = 10_000  #: events of one delivery; more is a scatter in two levels
    max_bytes: int = 16 * 1024 * 1024  #: what one delivery may write
    batch: int = 500  #: deliveries in one transaction
    prefetch: int = 1_000  #: records taken from the bus at once
    control_partitions: int = 1  #: of a control topic on the local bus, where one worker owns them all
    partitions: int = 1  #: of a business topic that does not exist yet

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0:
                raise SettingsError(f"{field.name} must be above 0, not {value}")
        if self.span > 16_000:
            raise SettingsError(f"span is {self.span}: above 16000 its map may not fit an offset's metadata")
