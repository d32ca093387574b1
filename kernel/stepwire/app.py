"""An app: a named set of handlers, wired and checked; a value.

In: handlers, externals, resources. Out: an App, or WiringError with every refusal found; and from it a worker's steps,
published events, and, for scripts and tests, whole runs in process and in memory.
"""

from __future__ import annotations

import types
import uuid
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from stepwire.bus.protocol import Bus, Out
from stepwire.clock import Clock
from stepwire.codec import derived_run, encode
from stepwire.context import Context
from stepwire.dispatch.step import Step
from stepwire.envelope import Envelope
from stepwire.errors import PublishError, Refusal, WiringError
from stepwire.event import Event
from stepwire.handler import NAME, External, Handler, correlator
from stepwire.memory import Run, start
from stepwire.settings import Settings
from stepwire.signature import Resource
from stepwire.telemetry import Telemetry
from stepwire.wiring.graph import AnyHandler
from stepwire.wiring.wiring import Wiring


class App:
    """A named set of handlers.

    Args:
        name: durable; groups, control topics and ids are derived from it.
        handlers: decorated functions, and `external(…)` steps.
        resources: what is injected by type; see `provide` and `classify` in the docs.
        settings: how a worker runs it, where the handlers do not say.

    Raises WiringError with all refusals that were found.
    """

    def __init__(
        self, name: str, handlers: Sequence[AnyHandler | External], resources: Sequence[Any] = (),
        settings: Settings | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.handlers: tuple[AnyHandler, ...] = tuple(h for h in handlers if isinstance(h, Handler))
        self.externals = tuple(h for h in handlers if isinstance(h, External))
        self.resources = tuple(resources)
        self.settings = settings or Settings()
        if not NAME.fullmatch(name):
            problem = "the app's name is not usable in topics and paths"
            raise WiringError(
                [Refusal("SW120", name, problem, "Use up to 64 letters, digits, _ and -, first a letter.")]
            )
        if strays := [h for h in handlers if not isinstance(h, (Handler, External))]:
            raise WiringError([_stray(stray) for stray in strays])
        found: list[Refusal] = []
        self._injected = {handler.name: self._inject(handler, found) for handler in self.handlers}
        found += [refusal for handler in self.handlers for refusal in self._time_refusals(handler)]
        try:
            self.wiring = Wiring(name, self.handlers, self.externals)
        except WiringError as error:
            raise WiringError([*found, *error.refusals]) from None
        if found:
            raise WiringError(found)

    @property
    def runnable(self) -> tuple[AnyHandler, ...]:
        """Every handler that a worker runs: the author's, and one for each external step that matches by a field."""
        return (*self.handlers, *(correlator(step) for step in self.externals if step.match is not None))

    def __repr__(self) -> str:
        return f"<App {self.name}: {', '.join(handler.name for handler in self.handlers)}>"

    # -- resources

    def _inject(self, handler: AnyHandler, found: list[Refusal]) -> dict[str, Any]:
        injected: dict[str, Any] = {}
        for wanted in handler.signature.resources:
            if wanted.annotation is Context:
                continue
            resource = self._find(wanted)
            if resource is None:
                name = getattr(wanted.annotation, "__name__", str(wanted.annotation))
                label = f"{name} {wanted.qualifier!r}" if wanted.qualifier else name
                found.append(
                    Refusal("SW133", handler.name, f"no resource for parameter {wanted.name!r} ({label})",
                            f"Pass one: App({self.name!r}, …, resources=[…]).")
                )  # fmt: skip
            injected[wanted.name] = resource
        return injected

    def _find(self, wanted: Resource) -> Any:
        for resource in self.resources:
            provide = getattr(resource, "provide", None)
            if provide is not None and (provided := provide(wanted.annotation, wanted.qualifier)) is not None:
                return provided
            union = isinstance(wanted.annotation, types.UnionType)
            kinds = get_args(wanted.annotation) if union else (wanted.annotation,)
            classes = tuple(found for kind in kinds if isinstance(found := get_origin(kind) or kind, type))
            if isinstance(resource, classes):
                return resource
        return None

    def _time_refusals(self, handler: AnyHandler) -> list[Refusal]:
        timeout = handler.options.timeout or self.settings.timeout
        if handler.options.effect == "once" and timeout > self.settings.drain:
            return [
                Refusal("SW120", handler.name, f'effect="once" with a timeout of {timeout:g} s, above the drain time',
                        f"Lower timeout= to at most {self.settings.drain:g}, or raise the drain time.")
            ]  # fmt: skip
        return []

    def step(
        self, handler: AnyHandler, settings: Settings, clock: Clock, telemetry: Telemetry, bus: Bus,
        decision_key: str = "",
    ) -> Step:  # fmt: skip
        """A handler made ready to run."""
        step = self.wiring.externals.get(handler.name)
        return Step(
            handler, self.wiring, settings, clock, telemetry, self._injected.get(handler.name, {}),
            tuple(r.classify for r in self.resources if hasattr(r, "classify")),
            tuple(r.name for r in handler.signature.resources if r.annotation is Context), decision_key,
            None if step is None else step.match, bus.partition,
        )  # fmt: skip

    # -- publishing

    def record(self, event: Event, *, id: str | None = None, source: str | None = None, now: float) -> tuple[Out, str]:  # noqa: A002
        """An event as a record to publish, and its run. Raises PublishError if runs do not begin with it."""
        kind = type(event)
        if kind not in self.wiring.depth or not self.wiring.entry(kind):
            entries = ", ".join(sorted(entry.__name__ for entry in self.wiring.graph.entries))
            raise PublishError(
                f"runs of {self.name} do not begin with {kind.__name__}; publish one of {entries}, "
                f"or mark it: class {kind.__name__}(Event, …, entry=True)"
            )
        envelope = Envelope(id or uuid.uuid4().hex, source or f"stepwire:publish/{self.name}", kind.spec.type, now, "")
        run = derived_run(envelope, event, self.name)
        try:
            headers, value = encode(event, envelope._replace(run=run))
        except ValueError as error:  # half a surrogate pair, or whatever else no JSON can hold
            raise PublishError(f"{kind.__name__} cannot be written as JSON: {error}") from error
        if len(value) > self.settings.max_bytes:
            raise PublishError(
                f"{kind.__name__} has {len(value)} bytes, the limit is {self.settings.max_bytes}; "
                f"put large content into an attachment"
            )
        for empty in ("ce_swcause", "ce_swscope", "ce_swhandler"):
            del headers[empty]
        key = str(getattr(event, kind.spec.key)) if kind.spec.key else run
        return Out(kind.spec.topic, key, headers, value), run

    # -- in process

    async def run(self, *events: Event, id: str | None = None, resources: Sequence[Any] | None = None) -> Run:  # noqa: A002
        """Publish events and run the app in this process, in memory, until nothing is left to do.

        Time stands still but for short waits before a retry; `await run.advance(seconds)` turns it. Use it as
        `async with await app.run(…) as run` or call `await run.close()`; a run left to itself closes with the loop.

        Args:
            events: published together, in order.
            id: the id of the first one.
            resources: used instead of the app's, as fakes in a test.
        """
        app = self if resources is None else App(self.name, [*self.handlers, *self.externals], resources, self.settings)
        return await start(app, events, id)


def _stray(stray: object) -> Refusal:
    name = getattr(stray, "__name__", repr(stray))
    return Refusal("SW101", name, "it is in handlers= but is no handler", "Decorate it with @handler().")
