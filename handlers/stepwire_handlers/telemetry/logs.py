"""A log line for each step, through structlog: one JSON object, or coloured text on a terminal.

In: facts, and what steps log themselves. Out: lines on stderr, written once for each turn of the event loop. Payloads
are off, redacted (sensitive fields masked, long texts cut) or full (sensitive fields still masked).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Collection, MutableMapping, Sequence
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TextIO

import structlog
from pydantic_core import to_json

from stepwire.context import current
from stepwire.outcome import traced
from stepwire.telemetry import Assigned, Called, Committed, Fact, Lost, Skipped
from stepwire_handlers.harmless import harmless
from stepwire_handlers.telemetry.mask import MASK, SHORTEST_SECRET, masked, sensitive_values, shown, without
from stepwire_handlers.telemetry.traced import named

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
DROPPED = frozenset({"duplicate", "late", "refused", "already_decided", "retired"})  #: what came, and comes to nothing
UNKNOWN = 100  #: so many types that no event of the app has are told of, each once
LONGEST = 200  #: characters of such a type that are shown
EVERY = 600.0  #: seconds until a step says again that it throws decisions away
TRACEBACK = 4_096  #: characters of a traceback that are kept, its end
Line = MutableMapping[str, Any]
_KNOWN: ContextVar[tuple[Any, frozenset[str]]] = ContextVar("stepwire_hidden", default=(None, frozenset()))


class Sink:
    """Where rendered lines go. Inside an event loop they are written together at the end of its turn."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []

    def msg(self, line: bytes) -> None:
        """One line. structlog calls it by the name of its level."""
        self._waiting.append(line)
        if len(self._waiting) > 1:
            return  # somebody was told already
        try:
            asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:
            self.flush()

    debug = info = warning = error = critical = msg

    def flush(self) -> None:
        """Write what waits. Nobody may read stderr any more; that is no reason to end a step."""
        waiting, self._waiting = self._waiting, []  # in this order: another thread may add a line meanwhile
        lines = b"\n".join([*waiting, b""])
        raw = getattr(self._stream, "buffer", None)
        with contextlib.suppress(OSError, ValueError):
            if raw is None:
                self._stream.write(lines.decode())
            else:
                raw.write(lines)
                raw.flush()


def _stamped(_: Any, method: str, line: Line) -> Line:
    """Level and time; ten thousand lines a second make structlog's own stamps worth replacing."""
    line["level"] = method
    line["time"] = datetime.now(UTC)
    return line


class _Json:
    """The last processor: a line as bytes, without the secrets of the configuration."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = secrets

    def __call__(self, _: Any, __: str, line: Line) -> bytes:
        try:
            text = to_json(line, by_alias=False, inf_nan_mode="strings", fallback=str)
        except ValueError:  # bytes or half a surrogate pair somewhere inside; telemetry must not raise
            text = json.dumps(line, default=str).encode()
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK.encode())
        return text


class _Console:
    """The same as text for people."""

    def __init__(self, secrets: Sequence[str], *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(timestamp_key="time", colors=colors)
        self._secrets = secrets

    def __call__(self, target: Any, method: str, line: Line) -> bytes:
        line["time"] = f"{line['time']:%H:%M:%S}"
        line = {name: harmless(value) if isinstance(value, str) else value for name, value in line.items()}
        return without(self._render(target, method, line), self._secrets).encode("utf-8", "backslashreplace")


class Pipeline:
    """Processors, then the sink: what every line goes through.

    `write` is the short way for the line of a step: structlog's own logger binds, filters and copies before it comes to
    the same processors, which is half of what a line costs.
    """

    def __init__(self, kind: Literal["auto", "json", "console"], level: str, secrets: Sequence[str] = ()) -> None:
        hidden = sorted((secret for secret in secrets if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)
        terminal = sys.stderr.isatty()
        self._sink = Sink(sys.stderr)
        if kind == "console" or (kind == "auto" and terminal):
            self._render: Callable[[Any, str, Line], bytes] = _Console(hidden, colors=terminal)
        else:
            self._render = _Json([to_json(secret)[1:-1] for secret in hidden])
        self.threshold = LEVELS[level]
        wrapper = structlog.make_filtering_bound_logger(self.threshold)
        self.logger = structlog.wrap_logger(self._sink, [_stamped, self._render], wrapper).bind()

    def write(self, level: str, line: Line) -> None:
        """A line that is above the threshold."""
        self._sink.msg(self._render(None, level, _stamped(None, level, line)))


class _Forward(logging.Handler):
    """Lines of `ctx.log` and of the kernel's own loggers, in the same form."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        try:
            about = {name: getattr(record, name) for name in ("run", "handler", "key") if hasattr(record, name)}
            hidden, fields = _hidden_from(record), dict(getattr(record, "fields", {}))
            if record.exc_info and record.exc_info[1] is not None:
                fields["traceback"] = traced(record.exc_info[1])[-TRACEBACK:]
            about |= {**(_cleaned(fields, hidden) if hidden else fields), **named()}
            self._target.log(_level(record.levelno), without(record.getMessage(), hidden), **about)
        except Exception:  # noqa: BLE001 - as every logging handler: a bad line must not end a step
            self.handleError(record)


def _hidden_from(record: logging.LogRecord) -> Collection[str]:
    """What is sensitive in the events that the step which logs was called with, and in those that it logs."""
    try:
        inputs = (getattr(record, "context", None) or current()).inputs  # a pool's thread has no context of its own
    except LookupError:
        inputs = {}
    known, values = _KNOWN.get()
    if known is not inputs:  # once for all lines of a call: a gather may have taken ten thousand events
        values = frozenset(sensitive_values(inputs))
        _KNOWN.set((inputs, values))
    return values.union(sensitive_values(record.args)) if record.args else values


def _cleaned(value: Any, hidden: Collection[str]) -> Any:
    """A fact that an author gives, without what is sensitive in it."""
    if isinstance(value, str):
        return without(value, hidden)
    if isinstance(value, dict):
        return {without(str(name), hidden): _cleaned(item, hidden) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_cleaned(item, hidden) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return MASK if str(value) in hidden else value
    found = _cleaned(masked(value, shorten=False), hidden)
    return value if isinstance(value, (date, timedelta)) and found == str(value) else found  # JSON has its own form


def _level(number: int) -> int:
    """The level below that structlog knows, for those who invent their own."""
    return max((known for known in (*LEVELS.values(), logging.CRITICAL) if known <= number), default=logging.DEBUG)


def forwarded(pipeline: Pipeline) -> None:
    """Let the kernel's and the services' own loggers write through this pipeline, and that of exporters of traces."""
    for name, threshold in (("stepwire", pipeline.threshold), ("opentelemetry", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [_Forward(pipeline.logger)]
        logger.setLevel(max(threshold, pipeline.threshold))
        logger.propagate = False


class StepLog:
    """Writes a line for what happened."""

    def __init__(
        self, kind: Literal["auto", "json", "console"], level: str, payload: str, secrets: Sequence[str] = (),
        types: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._types = types  #: what `ce_type` may be in this app, with or without a version
        self._unknown: set[tuple[str, str]] = set()
        self._pipeline = Pipeline(kind, level, secrets)
        self._log = self._pipeline.logger
        self._payload = payload
        self._refused: dict[str, tuple[float, int]] = {}  #: handler -> when it was said, and how many since
        forwarded(self._pipeline)

    def __call__(self, fact: Fact) -> None:
        """The hook."""
        kind = type(fact)
        if kind is Called:
            self._called(fact)  # type: ignore[arg-type]
        elif kind is Committed and fact.error:  # type: ignore[union-attr]
            write = self._log.info if fact.kind == "Fenced" else self._log.error  # type: ignore[union-attr]
            write("commit", group=fact.group, error=fact.error, kind=fact.kind)  # type: ignore[union-attr]
        elif kind is Assigned:
            self._log.debug("assigned", group=fact.group, kind=fact.kind)  # type: ignore[union-attr]
        elif kind is Skipped:
            self._skipped(fact)  # type: ignore[arg-type]
        elif kind is Lost:
            self._lost(fact)  # type: ignore[arg-type]

    def _skipped(self, fact: Skipped) -> None:
        if fact.why == "unsigned":
            self._unsigned(fact)
        elif fact.type and self._types:
            self._other(fact)
        elif fact.why in DROPPED:
            self._log.info("skipped", app=fact.app, handler=fact.handler, why=fact.why, run=fact.run)

    def _unsigned(self, fact: Skipped) -> None:
        """The first one at once, then their number once in a while: whoever may write can write any number of them."""
        now, (said, count) = time.monotonic(), self._refused.get(fact.handler, (-math.inf, 0))
        if now - said < EVERY:
            self._refused[fact.handler] = said, count + 1
            return
        self._refused[fact.handler] = now, 0
        self._log.warning(
            "unsigned", app=fact.app, handler=fact.handler, decisions=count + 1,
            message="decisions without a signature by STEPWIRE_DECISION_KEY were thrown away; their gates still wait. "
            "Look at who decides without that key, or with another one",
        )  # fmt: skip

    def _lost(self, fact: Lost) -> None:
        self._log.error("lost", group=fact.group, topic=fact.topic, partition=fact.partition, offsets=fact.offsets)

    def _other(self, fact: Skipped) -> None:
        """A type that no event of the app has may be meant for others, or be mistaken: say it once for each."""
        known = fact.type in self._types or fact.type.rpartition(".v")[0] in self._types
        if known or (fact.topic, fact.type) in self._unknown or len(self._unknown) >= UNKNOWN:
            return
        self._unknown.add((fact.topic, fact.type))
        advice = "skipped here and from now on; if it is meant for this app, class …(Event, topic=…, type=…) names it"
        self._log.warning("unknown_type", topic=fact.topic, type=fact.type[:LONGEST], message=advice)

    def _called(self, fact: Called) -> None:
        level = "info" if fact.outcome == "ok" else "warning"
        if self._pipeline.threshold > LEVELS[level]:
            return
        line: dict[str, Any] = {
            "event": f"{fact.app}.{fact.handler}", "outcome": fact.outcome, "run": fact.run, "key": fact.key,
            "attempt": fact.attempt, "handler": fact.handler, "seconds": round(fact.seconds, 6),
        }  # fmt: skip
        if fact.trace is not None:
            line["trace_id"], line["span_id"] = fact.trace.trace_id, fact.trace.span_id
        if fact.error:
            line["error"] = fact.error
            line["message"] = without(fact.message, sensitive_values(fact.inputs))
            if fact.wait:
                line["retry_in"] = round(fact.wait, 1)
        hidden = {*sensitive_values((fact.inputs, fact.outputs))} if fact.notes else ()
        for name, fields in fact.notes:
            line.setdefault(name, []).append(_cleaned(fields, hidden) if hidden else fields)
        if self._payload != "off":
            shorten = self._payload == "redacted"
            line["input"] = shown(fact.inputs, shorten=shorten)
            line["output"] = shown(fact.outputs, shorten=shorten)
        self._pipeline.write(level, line)
