"""Stepwire: workflow steps as stateless handlers on events; the types are the wiring."""

from stepwire.app import App
from stepwire.context import Context, current
from stepwire.errors import (
    NotDone,
    PublishError,
    Reject,
    RetryLater,
    SettingsError,
    StepwireError,
    Transient,
    WiringError,
)
from stepwire.event import Decision, Event, Sensitive
from stepwire.handler import Handler, Join, agreed, external, handler
from stepwire.outcome import Retry
from stepwire.settings import Settings

__all__ = [
    "App",
    "Context",
    "Decision",
    "Event",
    "Handler",
    "Join",
    "NotDone",
    "PublishError",
    "Reject",
    "Retry",
    "RetryLater",
    "Sensitive",
    "Settings",
    "SettingsError",
    "StepwireError",
    "Transient",
    "WiringError",
    "agreed",
    "current",
    "external",
    "handler",
]
