"""A handler made ready to run: its names on the bus, its limits resolved, its resources bound.

In: handler, wiring, settings, resources. Out: a `Step`, which every file of `dispatch` reads and none changes.
"""

from __future__ import annotations

import dis
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any

from stepwire.clock import Clock
from stepwire.codec import Codec
from stepwire.errors import DecodeError
from stepwire.event import Event
from stepwire.join import Rules
from stepwire.outcome import Classify
from stepwire.settings import Settings
from stepwire.signature import EventType
from stepwire.telemetry import Telemetry, guarded
from stepwire.wiring.graph import AnyHandler
from stepwire.wiring.wiring import Wiring

#: how Pythons compile an await; and who asks for the task to cancel it must have one of its own
WAITS = frozenset({"SEND", "YIELD_VALUE", "YIELD_FROM", "GET_AWAITABLE", "current_task"})


def group_name(app: str, handler: str) -> str:
    """The consumer group of a handler."""
    return f"{app}.{handler}"


def control_topic(app: str, handler: str) -> str:
    """The mailbox of a handler."""
    return f"{app}.{handler}.control"


def dead_letter_topic(app: str, handler: str) -> str:
    """Where a handler's unfinished deliveries lie."""
    return f"{app}.{handler}.dlt"


def runs_topic(app: str) -> str:
    """Where deliveries say that they ended without emitting."""
    return f"{app}.runs"


@dataclass(slots=True)
class Step:
    """One handler of one app, as the dispatcher runs it."""

    handler: AnyHandler
    wiring: Wiring
    settings: Settings
    clock: Clock
    telemetry: Telemetry
    resources: Mapping[str, Any] = field(default_factory=dict)
    classifiers: Sequence[Classify] = ()
    context_parameters: tuple[str, ...] = ()
    decision_key: str = ""
    match: str | None = None  #: of an external step: the field by which answers find their ask
    partition: Callable[[str, int], int] = lambda _key, _n: 0
    jitter: random.Random = field(default_factory=random.Random)
    name: str = field(init=False)
    app: str = field(init=False)
    rules: Rules = field(init=False)
    codecs: Mapping[str, Codec] = field(init=False)
    slots: Mapping[EventType, str] = field(init=False)  #: event type -> the slot it fills; ITEM for items
    timeout: float = field(init=False)
    concurrency: int = field(init=False)
    is_join: bool = field(init=False)  #: does it wait for more than one thing?
    instant: bool = field(init=False)  #: is its code without any await, so that a call never waits?
    once: bool = field(init=False)  #: R13: at most once?
    group: str = field(init=False)
    control: str = field(init=False)
    begin: Any = field(init=False)  #: the tracer's call before a handler's; None: nobody traces
    keeps_first: bool = field(init=False)  #: must an event be stored before it is called (order, once, dedupe)?

    def __post_init__(self) -> None:
        handler, options = self.handler, self.handler.options
        self.begin = getattr(self.telemetry, "begin", None)
        self.telemetry = guarded(self.telemetry)
        self.name, self.app = handler.name, self.wiring.app
        self.rules = join_rules(handler, self.settings, self.wiring)
        taken = [event for event in handler.signature.taken if event in self.wiring.depth]
        topics = dict.fromkeys(event.spec.topic for event in taken)
        self.codecs = {topic: Codec(topic, [e for e in taken if e.spec.topic == topic]) for topic in topics}
        self.slots = {event: slot for event in taken for name, slot in self.wiring.takers[event] if name == self.name}
        if self.match is not None:
            self.slots = {part.types[0]: part.name for part in handler.signature.parts}
        self.timeout = options.timeout or self.settings.timeout
        self.concurrency = options.concurrency or self.settings.concurrency
        self.is_join, self.keeps_first = handler.signature.is_join, keeps_first(handler)
        self.instant = never_waits(handler.function)
        self.once = options.effect == "once"
        self.group, self.control = group_name(self.app, self.name), control_topic(self.app, self.name)

    def codec(self, topic: str) -> Codec:
        """For what was stored. Raises DecodeError: an older release took this topic, and this one does not."""
        if topic not in self.codecs:
            raise DecodeError(f"an event of {topic}", f"{self.name} does not take it in this release; replay it in one")
        return self.codecs[topic]

    def slot_of(self, event: Event) -> str:
        """The slot that an event fills: a parameter's name, or ITEM."""
        return self.slots[type(event)]

    def order_of(self, event: Event) -> str | None:
        """The value by which events are handled one after another."""
        field_name = self.handler.options.order
        return None if field_name is None else str(getattr(event, field_name))


def never_waits(function: Callable[..., Any]) -> bool:
    """Is this a coroutine function whose code has no place to wait at: no await, async for, async with?"""
    code = function.__code__ if iscoroutinefunction(function) and hasattr(function, "__code__") else None
    return code is not None and WAITS.isdisjoint(
        n for each in dis.get_instructions(code) for n in (each.opname, each.argval)
    )


def keeps_first(handler: AnyHandler) -> bool:
    """Must an event be stored before the handler is called?"""
    options = handler.options
    return bool(options.order or options.dedupe or options.effect == "once")


def join_rules(handler: AnyHandler, settings: Settings, wiring: Wiring) -> Rules:
    """What signature, options and wiring say about a handler's joins."""
    signature, join = handler.signature, handler.options.join
    decided = next((part for part in signature.parts if part.decision), None)
    return Rules(
        parts=tuple(part.name for part in signature.parts),
        optional=frozenset(part.name for part in signature.parts if part.optional and not part.decision),
        brought=wiring.brought(handler.name),
        items=signature.items is not None,
        decision=decided is not None,
        decision_optional=decided is not None and decided.optional,
        take=join.take if join else None,
        until=join is not None and join.until is not None,
        timeout=(join.timeout if join and join.timeout is not None else settings.join_deadline),
        partial=join is not None and join.on_timeout == "partial",
        go_without=join is not None and join.on_missing == "partial",
        keep=settings.keep,
    )
