"""What a delivery came to, as values: only the dispatch loop has effects.

returned -> Done        failed, may pass -> RetryAt        failed for good -> DeadLetter
nobody knows whether the effect happened (effect="once") -> Unknown
"""

from __future__ import annotations

import random
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from stepwire.errors import DecodeError, NotDone, Reject, RetryLater, Signal, Transient, reasons
from stepwire.settings import Settings

INPUT = re.compile(r", input_value=.*, input_type=.*\]")  #: as pydantic ends the line of what is wrong


class Done(NamedTuple):
    """The handler returned; `value` is what it returned."""

    value: Any


class RetryAt(NamedTuple):
    """Call again after `wait` seconds."""

    wait: float
    error: BaseException


class DeadLetter(NamedTuple):
    """Nothing helps: keep the delivery whole, for a person."""

    error: BaseException


class Unknown(NamedTuple):
    """R13: the effect may or may not have happened; a person decides."""

    error: BaseException


Outcome = Done | RetryAt | DeadLetter | Unknown


class HandlerTimeout(Exception):
    """The call did not return within the handler's timeout."""


class AwaitedCancelled(Exception):
    """The handler awaited something of its own that somebody cancelled; the call itself was not cut off."""


class CrashLoop(Exception):
    """R12: the process died three times while this delivery, alone, was being called."""


class VisitLimit(Exception):
    """The loop was gone round as often as the handler allows."""


class TooManyOutputs(Exception):
    """One delivery returned more than may be written at once; scatter in two levels."""


class WrongReturn(Exception):
    """The handler returned something that its signature does not declare."""


class JoinExpired(Exception):
    """The join's deadline passed before it was complete."""


class NoRun(DecodeError):
    """An answer from outside says neither by header nor by a field which run it belongs to."""


class NewerType(Exception):
    """The event is of a version that this worker does not know, and nobody who knows it came."""


FINAL = (VisitLimit, TooManyOutputs, WrongReturn, JoinExpired, CrashLoop, NoRun, NewerType)

Classify = Callable[[Exception], Signal | None]


@dataclass(frozen=True, slots=True)
class Retry:
    """How a handler's failures are retried: exponential backoff with full jitter, in seconds.

    None means: as the worker's settings say. The jitter is AWS's "full jitter": uniform in (0, backoff * 2**n].
    """

    attempts: int | None = None  #: calls in all, the first one included
    backoff: float | None = None
    cap: float | None = None


def said(error: BaseException) -> str:
    """An exception's own text, even of one that cannot give it; what no encoding holds is a question mark."""
    try:
        several = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        own = str(error) if not isinstance(error, ValidationError) else f"{error.title}: {reasons(error)}"
        text = "; ".join([own, *(f"{type(each).__name__}: {said(each)}" for each in several[:3])])
        return text.encode(errors="replace").decode()
    except Exception as failure:  # noqa: BLE001 - whatever it is, the delivery must come to its end
        return f"(its text cannot be had: {type(failure).__name__})"


def traced(error: BaseException) -> str:
    """Its traceback, in which no model's error quotes what the model was given, wherever in it that error stands."""
    return INPUT.sub("]", "".join(traceback.format_exception(error)))


def brief(error: BaseException) -> str:
    """What it is and what it says, as our own records keep it."""
    return f"{type(error).__name__}: {said(error)}"[:500]


def explain(error: Exception, classifiers: Sequence[Classify]) -> Signal | None:
    """What the error means: what it says itself, what a resource says, or None (nobody knows)."""
    if isinstance(error, Signal):
        return error
    if isinstance(error, ExceptionGroup):
        return _together([explain(each, classifiers) for each in error.exceptions])
    for classify in classifiers:
        try:
            signal = classify(error)
        except Exception:  # noqa: BLE001 - a resource that fails over an error knows nothing of it
            signal = None
        if signal is not None:
            return signal
    if isinstance(error, (ConnectionError, TimeoutError, HandlerTimeout)):
        return Transient(said(error))
    return None


def alone(error: BaseException) -> Exception:
    """What a group of one is about: a TaskGroup wraps what one of its tasks raised. Who wants to leave has failed."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, Exception):
        return error
    what = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else brief(error)
    failed = RuntimeError(f"{what} in a handler; raise Reject, or what went wrong")
    failed.__cause__ = error
    return failed


def _together(signals: Sequence[Signal | None]) -> Signal | None:
    """What several tasks' errors mean at once: no more than is known of each of them, and no sooner than each says."""
    if None in signals:
        return None
    for kind in (Transient, Reject, RetryLater):
        if found := [signal for signal in signals if isinstance(signal, kind)]:
            return max(found, key=lambda signal: getattr(signal, "seconds", 0.0))
    return signals[0]


def decide(
    error: Exception, signal: Signal | None, attempt: int, retry: Retry, settings: Settings, jitter: random.Random
) -> RetryAt | DeadLetter:
    """Retry or dead letter, by what the error means and how often it was tried (DESIGN §8)."""
    if isinstance(signal, Reject) and signal is not error and said(signal) != said(error):
        signal.__cause__ = error  # a person reads what the resource says of it; the stack shows both
        return DeadLetter(signal)
    if isinstance(error, FINAL) or isinstance(signal, Reject):
        return DeadLetter(error)
    if attempt >= (retry.attempts or (settings.attempts if signal else settings.attempts_unknown)):
        return DeadLetter(error)
    cap = retry.cap or settings.backoff_cap
    if isinstance(signal, RetryLater):
        if ExceptionGroup("", [error]).subgroup(lambda each: each is signal):
            cap = retry.cap or settings.keep  # the step means it; what a resource makes of it, some server said
        return RetryAt(min(cap, max(0.0, signal.seconds)), error)
    ceiling = min((retry.backoff or settings.backoff) * 2 ** (attempt - 1), cap)
    return RetryAt(ceiling * (1.0 - jitter.random()), error)


def decide_once(error: BaseException, signal: Signal | None) -> bool:
    """R13: is it known that the effect did not happen?"""
    return isinstance(error, FINAL) or isinstance(signal, (Reject, RetryLater, NotDone))
