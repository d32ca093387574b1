"""The first version of an event, as the file of the release before has it."""

from __future__ import annotations

from stepwire import Event


class Order(Event, topic="order", entry=True):
    n: int
