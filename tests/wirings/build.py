"""From plain data to a real App: events, handlers, and a run of it to its very end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.wirings.interpreter import FAIL, NONE
from tests.wirings.wirings import Step, Wiring, choice

from stepwire import App, Decision, Event, Reject, Settings, handler
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock
from stepwire.memory import Run
from stepwire.telemetry import Called, Fact, Skipped
from stepwire.worker import Worker


def app_of(wiring: Wiring, seed: int, calls: Counter[tuple[str, str]]) -> App:
    """The App of a wiring; `calls` counts what is called with what. Raises WiringError."""
    emitted = {event for step in wiring.steps for _, events in step.alternatives for event in events}
    taken = {event for step in wiring.steps for event in step.parts}
    kinds = [
        type(f"E{n}", (Event,), {"__annotations__": {"p": str}, "__module__": __name__}, topic=f"e{n}",
             terminal=n not in taken)
        for n in range(wiring.events)
    ]  # fmt: skip
    del emitted
    return App(
        "w", [_handler(step, kinds, seed, calls) for step in wiring.steps], settings=Settings(attempts_unknown=1)
    )


def _returns(step: Step, kinds: list[Any]) -> Any:
    terms = []
    for kind, events in step.alternatives:
        types = [kinds[event] for event in events]
        if kind == "none":
            terms.append(None)
        elif kind == "event":
            terms.append(types[0])
        elif kind == "tuple":
            terms.append(tuple[*types])
        elif kind == "list":
            terms.append(list[types[0]])
        else:
            terms.append(tuple[types[0], list[types[1]]])
    union = terms[0]
    for term in terms[1:]:
        union = union | term if union is not None else (term | None if term is not None else None)
    return union


def _handler(step: Step, kinds: list[Any], seed: int, calls: Counter[tuple[str, str]]) -> Any:
    def act(payload: str) -> Any:
        calls[step.name, payload] += 1
        if choice(seed, step.name + "!", payload, FAIL) == 0:
            if choice(seed, step.name + "?", payload, 2):
                raise Reject("it fails for good")
            return "not an event"
        kind, events = step.alternatives[choice(seed, step.name, payload, len(step.alternatives))]
        out = f"{step.name}({payload})"
        if kind == "none":
            return None
        if kind == "event":
            return kinds[events[0]](p=out)
        if kind == "tuple":
            return tuple(kinds[event](p=f"{out}.{event}") for event in events)
        items = [kinds[events[-1]](p=f"{out}.{i}") for i in range(choice(seed, step.name + "#", out, 4))]
        return items if kind == "list" else (kinds[events[0]](p=f"{out}.head"), items)

    function, annotations = _function(step, kinds, act)
    function.__annotations__ = {**annotations, "return": _returns(step, kinds)}
    function.__name__ = step.name
    options: dict[str, Any] = {"name": step.name}
    if step.limit:
        options["max_visits"] = step.limit
        if step.at_limit is not None:

            def give_up(event: Any) -> Any:
                return kinds[step.at_limit](p=event.p)

            give_up.__annotations__ = {"event": kinds[step.parts[0]], "return": kinds[step.at_limit]}
            options["on_limit"] = give_up
    return handler(**options)(function)


def _function(step: Step, kinds: list[Any], act: Callable[[str], Any]) -> tuple[Any, dict[str, Any]]:
    types = [kinds[event] for event in step.parts]

    async def single(a: Any) -> Any:
        return act(a.p)

    async def gate(a: Any) -> Any:
        return act(a.event.p)

    async def merge(a: Any, b: Any) -> Any:
        return act(f"{a.p}+{b.p if b is not None else NONE}")

    async def gather(items: Any) -> Any:
        return act(f"[{','.join(item.p for item in items)}]")

    async def around(a: Any, items: Any) -> Any:
        return act(f"{a.p}+[{','.join(item.p for item in items)}]")

    if step.kind == "merge":
        return merge, {"a": types[0], "b": types[1] | None if step.optional else types[1]}
    if step.kind == "gather":
        return gather, {"items": list[types[0]]}
    if step.kind == "around":
        return around, {"a": types[0], "items": list[types[1]]}
    return (gate, {"a": Decision[types[0]]}) if step.kind == "gate" else (single, {"a": types[0]})


class Trial:
    """One run of an app to its very end: gates approved, dead letters dropped, whatever order they come in."""

    def __init__(self, app: App, bus: LocalBus, clock: VirtualClock) -> None:
        self.facts: list[Fact] = []
        self._app, self._bus = app, bus
        self.worker = Worker(app, bus, settings=app.settings, clock=clock, telemetry=self.facts.append)
        self.run = Run(app, self.worker, bus, clock, "")

    async def to_the_end(self, event: Event) -> None:
        """Publish, then answer whatever a person owes until nothing is open."""
        await self._bus.open()
        await self.worker.start()
        await self.run.publish(event)
        for _ in range(500):
            if self.run.gates:
                await self.run.decide(self.run.gates[0])
            elif self.run.dead_letters:
                await self.run.drop(self.run.dead_letters[0])
            else:
                return
        raise AssertionError("it does not come to an end")

    @property
    def emitted(self) -> Counter[tuple[int, str]]:
        """(number of the event, payload) -> how often."""
        return Counter((int(type(event).__name__[1:]), event.p) for event in self.run.events)  # type: ignore[attr-defined]

    @property
    def duplicates(self) -> list[Skipped]:
        """Settlements or parts that came to a slot twice."""
        return [fact for fact in self.facts if isinstance(fact, Skipped) and fact.why in ("duplicate", "late")]

    @property
    def called(self) -> int:
        """Calls that ended."""
        return sum(isinstance(fact, Called) for fact in self.facts)

    def leftovers(self) -> list[str]:
        """What is still stored of joins and items, stubs and verdicts apart."""
        return [
            key
            for dispatcher in self.worker.dispatchers
            for mailbox in dispatcher.committer.mailboxes.values()
            for key in (*mailbox.items, *(j.id for j in mailbox.joins.values() if j.stub is None))
        ]
