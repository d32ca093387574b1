"""Who listens to the kernel's one telemetry seam: metrics, and a log line for each step."""

from __future__ import annotations

from stepwire import App
from stepwire.telemetry import Fact, Telemetry
from stepwire_handlers.configuration import Configuration, secrets
from stepwire_handlers.telemetry.logs import StepLog
from stepwire_handlers.telemetry.metrics import Metrics

__all__ = ["Metrics", "StepLog", "build"]


def build(values: Configuration, app: App, metrics: Metrics | None = None) -> Telemetry:
    """The hook of a worker: one call that feeds metrics and log."""
    counted = metrics or Metrics(app)
    if values.log == "off":
        return counted
    log = StepLog(values.log, values.log_level, values.payload, secrets(values))

    def hook(fact: Fact) -> None:
        counted(fact)
        log(fact)

    return hook
