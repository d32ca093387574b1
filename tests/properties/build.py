"""From plain data to a real app: event classes, handlers that behave as `behaviour` says, and a log of their calls."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from types import NoneType
from typing import Annotated, Any, Union, cast

from pydantic import AfterValidator
from tests.properties import behaviour as b
from tests.properties.interpreter import Call, Observed, Where
from tests.properties.wirings import Plan, Step

from stepwire import App, Context, Decision, Event, Handler, Join, Reject, Retry, RetryLater, Settings, external
from stepwire.handler import External, Options

SETTINGS = Settings(max_outputs=b.MANY - 1, attempts=2, attempts_unknown=2)


class Surprise(Exception):
    """What nobody can explain."""


def _whole(state: str) -> str:
    if state != "whole":
        raise ValueError("broken")
    return state


class Payload(Event):
    """The fields of every event of a random app."""

    path: str
    lane: str = "0"
    po: str = ""  #: the run that published events name
    ticket: str = ""  #: by which an answer finds its ask
    state: Annotated[str, AfterValidator(_whole)] = "whole"


class Stranger(Payload, topic="stranger", terminal=True):
    """An event that no handler declares."""


@lru_cache(maxsize=1_000)
def event_class(number: int, topic: str, **marks: Any) -> type[Payload]:
    namespace = {"__module__": __name__, "__qualname__": f"E{number}"}
    made: Any = type(Payload)
    return cast("type[Payload]", made(f"E{number}", (Payload,), namespace, topic=topic, **marks))


def topic_of(plan: Plan, event: int) -> str:
    return f"t{event % plan.topics}" if plan.topics else f"t{event}"


def classes_of(plan: Plan) -> list[type[Payload]]:
    meet = plan.entries if len(plan.entries) > 1 else ()
    return [
        event_class(
            e, topic_of(plan, e), terminal=e in plan.terminal, key="lane" if e in plan.keyed else None,
            entry=e in plan.inner, run="po" if e in meet else None,
        )
        for e in range(plan.events)
    ]  # fmt: skip


@dataclass(frozen=True)
class Called:
    """A call."""

    delivery: str  #: its key
    path: str
    spot: b.Spot
    call: Call
    lane: tuple[str, str]
    again: bool


@dataclass
class World:
    """A random app with everything its handlers share."""

    plan: Plan
    seed: int
    odds: b.Odds
    healed: set[str] = field(default_factory=set)  #: delivery keys that were replayed: they go well now
    started: Counter[tuple[str, int, bool]] = field(default_factory=Counter)  #: (key, attempt, replayed?)
    finished: Counter[str] = field(default_factory=Counter)  #: delivery keys
    paths: dict[str, str] = field(default_factory=dict)  #: delivery key -> path
    wheres: dict[str, Where] = field(default_factory=dict)  #: delivery key of a join -> where it stands
    observed: Observed = field(default_factory=Observed)
    wrong: list[str] = field(default_factory=list)  #: calls that overlap despite order=, or repeat an effect
    doubt: set[str] = field(default_factory=set)  #: delivery keys whose effect may have happened (effect="once")
    latest: dict[str, Called] = field(default_factory=dict)  #: delivery key -> its last call
    hanging: int = 0
    running: dict[tuple[str, str], str] = field(default_factory=dict)  #: step and order value -> delivery key
    replayed: set[str] = field(default_factory=set)  #: delivery keys of replays that stand in no order's queue
    labels: dict[str, str] = field(default_factory=dict)  #: run -> what the plan calls it

    def __post_init__(self) -> None:
        self.events = classes_of(self.plan)
        steps = [self._external(step) if step.external else self._handler(step) for step in self.plan.steps]
        self.app = App("p", steps, settings=SETTINGS)

    def event(self, emit: b.Emit, run: str = "") -> Payload:
        return self.events[emit.type].model_construct(
            path=emit.path, lane=str(b.lane(emit.path)), state="broken" if emit.broken else "whole", po=run,
            ticket=emit.path,
        )  # fmt: skip

    def spot(self, run: str, scope: str) -> b.Spot:
        """Where a delivery stands, as the interpreter says it."""
        return b.Spot(self.labels.get(run, ""), *place(scope))

    def _external(self, step: Step) -> External:
        ask, answer = (self.events[event] for event in (step.taken[0], step.emitted[0]))
        return external(ask, answer, name=step.name, match="ticket" if step.external == "match" else None)

    # -- handlers

    def _handler(self, step: Step) -> Handler[..., Any]:
        async def call(ctx: Context, **given: Any) -> Any:
            return await self._called(step, ctx, given)

        async def at_once(ctx: Context, **given: Any) -> Any:
            return self._at_once(step, ctx, given)

        def on_limit(event: Payload) -> Payload:
            assert step.on_limit is not None
            return self.event(b.Emit(step.on_limit, b.limit_path(step, event.path)))

        function: Any = at_once if step.instant else call
        function.__annotations__ = annotations = self._annotations(step)
        kinds = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in annotations if name != "return"]
        function.__signature__ = inspect.Signature(kinds)
        if step.on_limit is not None:
            on_limit.__annotations__ = {"event": self.events[step.taken[0]], "return": self.events[step.on_limit]}
        timing = step.timing
        join = None
        if timing is not None:
            join = Join(
                take=timing.take, until=None if timing.until is None else lambda items: self._agrees(step, items),
                timeout=timing.timeout, on_timeout="partial" if timing.partial else "dead-letter",
                on_missing="partial" if timing.go_without else "wait",
            )  # fmt: skip
        options = Options(
            retry=Retry(), join=join, max_visits=step.max_visits,
            on_limit=on_limit if step.on_limit is not None else None, order="lane" if step.order else None,
            effect="once" if step.once else "at-least-once", dedupe=step.dedupe, concurrency=step.concurrency,
        )  # fmt: skip
        return Handler(function, step.name, options)

    def _annotations(self, step: Step) -> dict[str, Any]:
        annotations: dict[str, Any] = {"ctx": Context}
        for part in step.parts:
            kind: Any = Union[tuple(self.events[e] for e in part.types)]  # noqa: UP007 - made at run time
            kind = Decision[kind] if part.decision else kind
            annotations[part.name] = kind | None if part.optional else kind
        if step.items is not None:
            annotations["items"] = list[Union[tuple(self.events[e] for e in step.items)]]  # type: ignore[misc] # noqa: UP007
        terms = [self._term(term.events, term.items) for term in step.terms]
        annotations["return"] = Union[tuple(terms)]  # noqa: UP007 - made at run time
        return annotations

    def _term(self, events: tuple[int, ...], items: tuple[int, ...] | None) -> Any:
        members: list[Any] = [self.events[event] for event in events]
        if items is not None:
            members.append(list[Union[tuple(self.events[e] for e in items)]])  # type: ignore[misc] # noqa: UP007
        if not members:
            return NoneType
        return members[0] if len(members) == 1 else tuple.__class_getitem__(tuple(members))

    @staticmethod
    def _agrees(step: Step, items: list[Payload]) -> bool:
        assert step.timing is not None
        return b.agrees(step.timing, [item.path for item in items])

    # -- calls

    async def _called(self, step: Step, ctx: Context, given: dict[str, Any]) -> Any:
        called = self._begin(step, ctx, given)
        try:
            await asyncio.sleep(0)
            for _ in range(b.dice(self.seed, "pace", called.path).randrange(4)):
                await asyncio.sleep(0)
            if not called.again and b.trouble(self.seed, self.odds, step, called.path) == "hang":
                await self._hang()
            return self._come(step, ctx, called)
        finally:
            self.running.pop(called.lane, None)

    def _at_once(self, step: Step, ctx: Context, given: dict[str, Any]) -> Any:
        called = self._begin(step, ctx, given)
        try:
            return self._come(step, ctx, called)
        finally:
            self.running.pop(called.lane, None)

    def _begin(self, step: Step, ctx: Context, given: dict[str, Any]) -> Called:
        spot = self.spot(ctx.run, ctx.scope)
        parts = {part.name: _seen(given[part.name]) for part in step.parts}
        items = tuple(item.path for item in given.get("items", ()))
        path = b.path_of(step, spot, ctx.visit, [part or "-" for part in parts.values()], items)
        delivery = ctx.key.partition("#")[0]
        again = delivery in self.healed
        self.started[ctx.key, ctx.attempt, again] += 1
        self.paths[delivery] = path
        if step.is_join:
            self.wheres[delivery] = (step.name, spot)
        lane = (step.name, str(getattr(given.get("a"), "lane", ""))) if step.order else ("", "")
        if step.order and lane in self.running and self.replayed.isdisjoint((delivery, self.running[lane])):
            self.wrong.append(f"{step.name}: two calls at once for {lane}")
        self.running[lane] = delivery
        if step.once and delivery in self.doubt:
            self.wrong.append(f"{step.name}: {delivery} is called again, and nobody said so")
        self.doubt |= {delivery} if step.once else set()
        self.latest[delivery] = called = Called(delivery, path, spot, Call(parts, items), lane, again)
        return called

    async def _hang(self) -> None:
        self.hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1

    def _come(self, step: Step, ctx: Context, called: Called) -> Any:
        """What a call comes to, when it comes to something."""
        nonsense = None if called.again else self._trouble(step, ctx, called)
        if nonsense is not None:
            return nonsense
        self.returned(step, called)
        return self._value(b.returned(self.seed, self.odds, step, called.path, self.plan.spared))

    def returned(self, step: Step, called: Called) -> None:
        """It went well."""
        self.finished[called.delivery] += 1
        if step.is_join:
            self.observed.calls.setdefault((step.name, called.spot), []).append(called.call)

    def _trouble(self, step: Step, ctx: Context, called: Called) -> Any:
        """Raise, or say what to return in place of the right thing."""
        trouble = b.trouble(self.seed, self.odds, step, called.path)
        if trouble in ("later", "reject", "many", "hang"):  # it says that nothing was done
            self.doubt.discard(called.delivery)
        match trouble:
            case "transient" if ctx.attempt == 1:
                raise ConnectionError("once")
            case "later" if ctx.attempt == 1:
                raise RetryLater(100.0, "later")
            case "raise":
                raise Surprise("what is that?")
            case "wrong":
                return Stranger(path=called.path)
            case "many" if any(term.items for term in step.terms):
                item = next(term.items[0] for term in step.terms if term.items)
                return [self.event(b.Emit(item, called.path)) for _ in range(b.MANY)]
            case "reject" | "many" | "hang":
                raise Reject("no")
        return None

    def _value(self, value: b.Returned) -> Any:
        events = [self.event(emit) for emit in value.events]
        members: list[Any] = list(events)
        if value.items is not None:
            members.append([self.event(emit) for emit in value.items])
        if not members:
            return None
        return members[0] if len(members) == 1 else tuple(members)


def _seen(value: Payload | Decision[Any] | None) -> str | None:
    if isinstance(value, Decision):
        return b.decided_path(value.event.path, (value.approved, value.final.path != value.event.path))
    return None if value is None else value.path


def place(scope: str) -> tuple[tuple[int, ...], tuple[tuple[str, int], ...]]:
    """Indexes of the scatters around, and laps, as a scope says them."""
    frames, laps = [], []
    _, _, own = scope.rpartition("|")
    for frame in own.split("/") if own else ():
        name, at, visit = frame.partition("@")
        if at:
            laps.append((name, int(visit)))
        else:
            frames.append(int(frame.rpartition(".")[2]))
    return tuple(frames), tuple(sorted(laps))
