"""What a publisher says of its trace reaches whatever comes of its event, whether or not anybody here traces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.telemetry import Called, Fact
from stepwire.worker import Worker

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "vendor=t61rcWkgMzE"
OWN = "00-0af7651916cd43dd8448eb211c80319c-00000000000000aa-01"


class Asked(Event, topic="asked"):
    n: int


class Half(Event, topic="half"):
    n: int


class Told(Event, topic="told"):
    n: int


class Both(Event, topic="both", terminal=True):
    n: int


@handler()
async def halve(asked: Asked) -> Half:
    return Half(n=asked.n)


@handler()
async def tell(asked: Asked) -> Told:
    return Told(n=asked.n)


@handler()
async def meet(half: Half, told: Told) -> Both:
    return Both(n=half.n + told.n)


APP = App("traced", [halve, tell, meet])


async def through(extra: dict[str, str], telemetry: Any = lambda _: None, value: bytes | None = None) -> dict[str, Any]:
    """Publish one event with these headers; topic -> the headers of what came of it."""
    bus = LocalBus()
    await bus.open()
    worker = Worker(APP, bus, telemetry=telemetry)
    await worker.start()
    out, _ = APP.record(Asked(n=1), now=1.0)
    headers = extra if value is not None else {**out.headers, **extra}
    await bus.publish([out._replace(headers=headers, value=value or out.value)])
    await worker.settle()
    found = {name: (await bus.read(Partition(name, 0), 0, 9))[0].headers for name in ("half", "told", "both")}
    await worker.stop()
    await bus.close()
    return found


@pytest.mark.parametrize("prefix", ["", "ce_"])
async def test_a_trace_context_is_passed_on(prefix: str) -> None:
    """Plain headers, or CloudEvents' distributed tracing extension; through a join too, and with the vendor's state."""
    found = await through({f"{prefix}traceparent": PARENT, f"{prefix}tracestate": STATE})
    for headers in found.values():
        assert (headers["traceparent"], headers["tracestate"]) == (PARENT, STATE)


async def test_a_structured_event_carries_its_trace_context_inside() -> None:
    """As the CloudEvents SDK writes the extension in structured mode."""
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": Asked.spec.type, "data": {"n": 1},
             "traceparent": PARENT, "tracestate": STATE}  # fmt: skip
    found = await through({"content-type": "application/cloudevents+json"}, value=json.dumps(event).encode())
    assert {headers["traceparent"] for headers in found.values()} == {PARENT}


async def test_without_a_trace_context_none_is_made_up() -> None:
    """Nobody traces, nobody sent one: no header; a state without a parent says nothing and is dropped."""
    found = await through({"tracestate": STATE})
    assert not any({"traceparent", "tracestate"} & headers.keys() for headers in found.values())


async def test_a_tracer_names_itself_to_the_outputs() -> None:
    """`begin` is called once before each call, and what it leaves on the delivery is told with the fact."""

    class Tracer:
        def __init__(self) -> None:
            self.begun: list[tuple[str, str]] = []
            self.told: list[object] = []

        def begin(self, step: Any, delivery: Any) -> None:
            self.begun.append((step.name, delivery.traceparent))
            delivery.trace, delivery.traceparent = f"span of {step.name}", OWN

        def __call__(self, fact: Fact) -> None:
            if isinstance(fact, Called):
                self.told.append(fact.trace)

    tracer = Tracer()
    found = await through({"traceparent": PARENT}, tracer)
    assert {headers["traceparent"] for headers in found.values()} == {OWN}
    assert sorted(tracer.begun) == [("halve", PARENT), ("meet", OWN), ("tell", PARENT)]
    assert sorted(map(str, tracer.told)) == ["span of halve", "span of meet", "span of tell"]
