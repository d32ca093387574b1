"""Who listens to the kernel's one telemetry seam: metrics, and a log line for each step."""

from __future__ import annotations

import logging

from stepwire import App
from stepwire.telemetry import Fact, Telemetry
from stepwire_handlers.configuration import Configuration, secrets
from stepwire_handlers.telemetry.logs import StepLog
from stepwire_handlers.telemetry.metrics import Metrics

__all__ = ["Metrics", "StepLog", "build"]


def build(values: Configuration, app: App, metrics: Metrics | None = None) -> Telemetry:
    """The hook of a worker: one call that feeds metrics and log. What goes wrong in either ends no step."""
    counted = metrics or Metrics(app)
    log = None if values.log == "off" else StepLog(values.log, values.log_level, values.payload, secrets(values))
    said: set[tuple[str, type[Exception]]] = set()

    def failed(listener: str, error: Exception) -> None:
        """Say each kind of failure once: the next event would only repeat it. Without its text, which may quote one."""
        if (listener, type(error)) not in said:
            said.add((listener, type(error)))
            logging.getLogger("stepwire").error("telemetry (%s) failed: %s", listener, type(error).__name__)

    def hook(fact: Fact) -> None:
        try:
            counted(fact)
        except Exception as error:  # noqa: BLE001 - whoever listens must not end a step
            failed("metrics", error)
        if log is not None:
            try:
                log(fact)
            except Exception as error:  # noqa: BLE001 - the same
                failed("log", error)

    return hook
