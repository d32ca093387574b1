"""Everything that Stepwire raises, and what a handler may raise to say what should happen next.

    StepwireError
    ├── WiringError            the handlers do not fit together; carries every refusal, each with its code and cure
    ├── SettingsError          a setting is missing or wrong; nothing was consumed
    ├── PublishError           an event could not be published; nothing was written
    ├── DecodeError            a record is not a valid event; final
    ├── BusError
    │   ├── BusUnavailable     the bus did not take it, and surely did not: the same call may be repeated
    │   ├── RecordRefused      one record of a transaction can never be written; the others can
    │   ├── OutcomeUnknown     nobody knows whether the commit happened: what is in memory is worthless
    │   ├── Fenced             somebody else owns these partitions now: drop the work
    │   ├── RecordsLost        retention passed records that were not finished; needs a person's word to go on
    │   └── BusCorrupt         the stored data is damaged; needs a person
    └── Signal                 what a handler, or a resource's `classify`, says about a failure
        ├── Reject             never try again: dead letter
        ├── RetryLater         try again, not before so many seconds
        ├── Transient          try again with the handler's backoff
        └── NotDone            the effect outside surely did not happen (matters for `effect="once"`)

Messages say what, where, and what to do about it; they never contain a payload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError


class StepwireError(Exception):
    """Root of all errors of this project."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is wrong with a wiring: a stable code, where it is, one line, and the cure."""

    code: str  #: `SW101` and so on; never reused for another meaning
    where: str  #: the handler or event it is about
    problem: str  #: what is wrong, one line
    cure: str  #: what to write instead

    def __str__(self) -> str:
        return f"{self.code} {self.where}: {self.problem}. {self.cure}"


class WiringError(StepwireError):
    """The handlers of an app do not fit together; raised when the App is built."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__(refusals)
        self.refusals = tuple(refusals)

    def __str__(self) -> str:
        return "\n".join(str(refusal) for refusal in self.refusals)


class SettingsError(StepwireError):
    """A setting is missing or wrong. Nothing was consumed or published."""


class PublishError(StepwireError):
    """An event could not be published. Nothing was written."""


class DecodeError(StepwireError):
    """A record is not a valid event. Final: dead letter, never retried."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where, self.reason = where, reason

    def __str__(self) -> str:
        return f"cannot decode {self.where}: {self.reason}"


class BusError(StepwireError):
    """The bus could not do what it was asked."""


class BusUnavailable(BusError):
    """The bus did not take it, and certainly did not: the same call may be repeated."""


class RecordRefused(BusError):
    """One record of the transaction can never be written (too large, no rights); nothing of it was."""


class OutcomeUnknown(BusError):
    """Nobody knows whether the commit happened: memory must be rebuilt from what is stored."""


class Fenced(BusError):
    """Another member owns these partitions now. What was in flight here must be dropped."""


class RecordsLost(BusError):
    """Records that were not finished are gone: their topic's retention was shorter than the outage."""

    def __init__(self, message: str, gaps: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        super().__init__(message)
        self.gaps = gaps  #: topic and partition -> the first offset that is gone, and the first that is there


class BusCorrupt(BusError):
    """The stored data is damaged. Nothing more is read or written until a person looks."""


class Signal(StepwireError):
    """What a handler, or a resource's `classify`, says about a failure."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Reject(Signal):
    """Never try this event again: dead letter at once, with this reason."""


class RetryLater(Signal):
    """Try again, but not before `seconds` have passed (as a provider's retry-after says)."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason)
        self.seconds = float(seconds)
        self.args = (self.seconds, reason)


class Transient(Signal):
    """Try again with the handler's own backoff: connection lost, timed out, 5xx."""


class NotDone(Signal):
    """As `Transient`; and the effect outside certainly did not happen (`effect="once"` may repeat it)."""


def reasons(error: ValidationError) -> str:
    """What is wrong with which field, without any value (a payload never enters a message)."""
    return "; ".join(
        f"{'.'.join(str(part) for part in issue['loc']) or 'value'}: {issue['msg']}"
        for issue in error.errors(include_url=False, include_input=False, include_context=False)[:5]
    )
