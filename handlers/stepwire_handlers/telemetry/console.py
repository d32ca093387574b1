"""The metrics of the console: names and labels, frozen like those of a worker."""

from __future__ import annotations

from stepwire_handlers.telemetry.series import Family

LOGINS = ENTERED, REFUSED, SLOWED = "entered", "refused", "slowed"  #: what becomes of one who logs in

CONSOLE_BUILD = Family("stepwire_console_build", "gauge", ("version",), "The release of the console")
CONSOLE_REQUESTS = Family(
    "stepwire_console_requests", "counter", ("route", "method", "code"), "Requests answered by the console"
)
CONSOLE_LOGINS = Family(
    "stepwire_console_logins",
    "counter",
    ("outcome",),
    "Logins with a key or at the issuer: entered, refused, or slowed down unread",
)

FAMILIES = (CONSOLE_BUILD, CONSOLE_REQUESTS, CONSOLE_LOGINS)
