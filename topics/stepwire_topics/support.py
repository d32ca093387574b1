"""Support: a ticket, the desk it goes to, and the answer."""

from __future__ import annotations

from stepwire import Event


class TicketOpened(Event, topic="support.tickets"):
    """A customer wrote."""

    customer: str
    body: str


class BillingTicket(Event, topic="support.billing"):
    """About invoices, payments, refunds or prices."""

    customer: str
    body: str


class TechnicalTicket(Event, topic="support.technical"):
    """About errors, crashes, log-in, installation or how something works."""

    customer: str
    body: str


class GeneralTicket(Event, topic="support.general"):
    """About anything else: opening hours, feedback, partnership, jobs."""

    customer: str
    body: str


class Answered(Event, topic="support.answers", result=True):
    """What the desk answers."""

    customer: str
    desk: str
    reply: str
