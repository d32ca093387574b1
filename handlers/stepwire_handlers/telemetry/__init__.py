"""Who listens to the kernel's one telemetry seam: metrics, a log line for each step, spans where they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stepwire import App
from stepwire.telemetry import Fact
from stepwire_handlers.configuration import Configuration, secrets
from stepwire_handlers.telemetry.logs import StepLog
from stepwire_handlers.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from stepwire_handlers.telemetry.spans import Spans

__all__ = ["Hook", "Metrics", "StepLog", "build"]


class Hook:
    """The hook of a worker: one call that feeds all who listen. What goes wrong in one of them ends no step."""

    def __init__(self, listeners: dict[str, Callable[[Fact], None]], begin: Callable[[Any, Any], None] | None) -> None:
        self._listeners = tuple(listeners.items())
        self.begin = begin  #: called before each call of a handler; None: nobody traces
        self._said: set[tuple[str, type[Exception]]] = set()

    def __call__(self, fact: Fact) -> None:
        """One fact."""
        for name, listener in self._listeners:
            try:
                listener(fact)
            except Exception as error:  # noqa: BLE001 - whoever listens must not end a step
                self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> None:
        """Say each kind of failure once: the next event would only repeat it. Without its text, which may quote one."""
        if (name, type(error)) not in self._said:
            self._said.add((name, type(error)))
            logging.getLogger("stepwire").error("telemetry (%s) failed: %s", name, type(error).__name__)


def build(values: Configuration, app: App, metrics: Metrics | None = None, spans: Spans | None = None) -> Hook:
    """What listens to a worker."""
    listeners: dict[str, Callable[[Fact], None]] = {"metrics": metrics or Metrics(app)}
    if values.log != "off":
        types = {name for event in app.wiring.events for name in (event.spec.type, event.spec.base)}
        listeners["log"] = StepLog(values.log, values.log_level, values.payload, secrets(values), types)
    if spans is not None:
        listeners["traces"] = spans
    return Hook(listeners, None if spans is None else spans.begin)
