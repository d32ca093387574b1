"""A log line for each step, through structlog: one JSON object, or coloured text on a terminal.

In: facts. Out: lines on stderr. Payloads are off, redacted (sensitive fields masked, long texts cut) or full
(sensitive fields still masked).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from pydantic_core import to_json

from stepwire.codec import rfc3339
from stepwire.telemetry import Assigned, Called, Committed, Fact
from stepwire_handlers.telemetry.mask import masked

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def _stamped(_: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Level and time; ten thousand lines a second make structlog's own stamps worth replacing."""
    line["level"] = method
    line["time"] = rfc3339(time.time())
    return line


def logger(kind: str, level: str) -> Any:
    """A fast structlog logger on stderr."""
    if kind == "console":
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
        return structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            [structlog.processors.add_log_level, stamp, structlog.dev.ConsoleRenderer(timestamp_key="time")],
            structlog.make_filtering_bound_logger(LEVELS[level]),
        ).bind()
    json = structlog.processors.JSONRenderer(serializer=lambda data, **_: to_json(data, fallback=str))
    return structlog.wrap_logger(
        structlog.BytesLogger(sys.stderr.buffer),
        [_stamped, json],
        structlog.make_filtering_bound_logger(LEVELS[level]),
    ).bind()


class _Forward(logging.Handler):
    """Lines of `ctx.log` and of the kernel's own loggers, in the same form."""

    def __init__(self, target: Any) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        about = {name: getattr(record, name) for name in ("run", "handler", "key") if hasattr(record, name)}
        self._target.log(record.levelno, record.getMessage(), **about)


class StepLog:
    """Writes a line for what happened."""

    def __init__(self, kind: str, level: str, payload: str) -> None:
        self._log, self._payload = logger(kind, level), payload
        ours = logging.getLogger("stepwire")
        ours.handlers = [_Forward(self._log)]
        ours.setLevel(LEVELS[level])
        ours.propagate = False

    def __call__(self, fact: Fact) -> None:
        """The hook."""
        kind = type(fact)
        if kind is Called:
            self._called(fact)  # type: ignore[arg-type]
        elif kind is Committed and fact.error:  # type: ignore[union-attr]
            self._log.error("commit", group=fact.group, error=fact.error)  # type: ignore[union-attr]
        elif kind is Assigned:
            self._log.debug("assigned", group=fact.group, kind=fact.kind)  # type: ignore[union-attr]

    def _called(self, fact: Called) -> None:
        line = {"outcome": fact.outcome, "run": fact.run, "key": fact.key, "attempt": fact.attempt,
                "ms": round(fact.seconds * 1_000, 1)}  # fmt: skip
        if fact.error:
            line |= {"error": fact.error, "message": fact.message, "retry_in": round(fact.wait, 1)}
        for name, fields in fact.notes:
            line[name] = dict(fields)
        if self._payload != "off":
            shorten = self._payload == "redacted"
            line["input"] = [masked(value, shorten=shorten) for value in fact.inputs]
            line["output"] = [masked(value, shorten=shorten) for value in fact.outputs]
        write = self._log.info if fact.outcome == "ok" else self._log.warning
        write(f"{fact.app}.{fact.handler}", **line)
