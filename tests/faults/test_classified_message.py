"""A failure that a resource classified as Reject tells a person what the resource said, not only the raw exception."""

from __future__ import annotations

from stepwire import App, Event, handler
from stepwire.errors import Reject, Signal


class Ask(Event, topic="found.asks"):
    n: int = 0


class Answer(Event, topic="found.answers", result=True):
    n: int


class Vendor:
    """A resource whose client library raises its own errors."""

    def provide(self, annotation: object, _name: str | None) -> object:
        return self if annotation is Vendor else None

    def classify(self, error: Exception) -> Signal | None:
        return Reject("the key is wrong: check VENDOR_KEY") if isinstance(error, KeyError) else None


async def test_a_dead_letter_carries_the_cure_that_the_resource_knows() -> None:
    """The reason of `classify` is what the dead letter says; the original exception stays as its cause."""

    @handler()
    async def step(ask: Ask, vendor: Vendor) -> Answer:
        raise KeyError("Error code: 401 - key sk-123")

    async with await App("found", [step], [Vendor()]).run(Ask()) as run:
        (dead,) = run.dead_letters
        assert "check VENDOR_KEY" in dead.message
        assert "KeyError" in dead.record.headers["kafka_dlt-exception-stacktrace"]
