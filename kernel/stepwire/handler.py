"""The @handler decorator: from an async function to a `Handler`, checked, and still callable as a plain function."""

from __future__ import annotations

import functools
import inspect
import math
import re
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, ParamSpec, TypeVar, get_type_hints

from stepwire.event import Event
from stepwire.outcome import Retry
from stepwire.signature import EventType, Signature, Term, read_signature, refuse

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
WORDS = {
    "effect": ("at-least-once", "once"), "on_timeout": ("partial", "dead-letter"), "on_missing": ("wait", "partial"),
    "retired": ("True", "False"),
}  # fmt: skip
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """When a join fires, and what happens if it does not.

    Without `take` and `until` it waits for all. If neither comes true it fires with all parts.
    """

    timeout: float | None = None  #: seconds from its first part (a gate: from the event); None: 7 days
    take: int | None = None  #: a gather fires with the first n items
    until: Callable[[list[Any]], bool] | None = None  #: a gather fires when this holds of the items so far
    on_timeout: Literal["partial", "dead-letter"] = "dead-letter"
    on_missing: Literal["wait", "partial"] = "wait"  #: a part in a dead letter: wait for its replay, or go without


def agreed(n: int, by: Callable[[Any], Any] = lambda item: item) -> Callable[[list[Any]], bool]:
    """For `Join(until=…)`: true once `n` items agree, compared by `by(item)`."""

    def until(items: list[Any]) -> bool:
        values = [by(item) for item in items]
        return any(values.count(value) >= n for value in values)

    return until


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an author said in the decorator."""

    timeout: float | None = None
    retry: Retry = field(default_factory=Retry)
    concurrency: int | None = None
    join: Join | None = None
    order: str | None = None
    dedupe: float | None = None
    effect: Literal["at-least-once", "once"] = "at-least-once"
    max_visits: int | None = None
    on_limit: Callable[[Any], Event] | None = None
    retired: bool = False


class Handler(Generic[P, R_co]):
    """A step: an async function from event(s) to event(s), and how it wants to be run. Its name is durable."""

    def __init__(
        self, function: Callable[P, Coroutine[Any, Any, R_co]], name: str, options: Options,
        names: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        if not NAME.fullmatch(name):
            raise refuse(
                "SW120",
                name,
                "the name is not usable in topics and paths",
                "Use up to 64 letters, digits, _ and -, first a letter.",
            )
        self.function, self.name, self.options = function, name, options
        self.signature: Signature = read_signature(function, name, names)
        self.limit_term: Term | None = _limit_term(name, options, names)
        for problem, cure in _option_problems(self.signature, options):
            raise refuse("SW120", name, problem, cure)
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the plain function, as in a unit test."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<handler {self.name}>"


@dataclass(frozen=True, slots=True)
class External:
    """A step that somebody else's service does: it takes `ask` and publishes `answer`."""

    name: str
    ask: EventType
    answer: EventType
    match: str | None = None  #: a field of both, for services that do not echo our headers


def external(ask: EventType, answer: EventType, *, name: str | None = None, match: str | None = None) -> External:
    """Declare that another service answers `ask` with `answer`.

    It echoes the `ce_sw*` headers, or both events carry the field `match`. Raises WiringError for an unknown field.
    """
    for event in (ask, answer):
        if match is not None and match not in event.model_fields:
            raise refuse("SW120", event.__name__, f"it has no field {match!r}", "match= names a field of both events.")
    return External(name or f"external-{ask.__name__}", ask, answer, match)


def correlator(step: External) -> Handler[[Any, Any], Any]:
    """The handler that gives an answer without our headers the run and scope of the ask with the same field."""

    async def correlate(ask: Any, answer: Any) -> Any:  # noqa: ARG001 - the ask says where the answer belongs
        return answer

    correlate.__annotations__ = {"ask": step.ask, "answer": step.answer, "return": step.answer}
    return Handler(correlate, step.name, Options())


def handler(
    function: None = None, /, *, name: str | None = None, timeout: float | None = None, retry: Retry | None = None,
    concurrency: int | None = None, join: Join | None = None, order: str | None = None, dedupe: float | None = None,
    effect: Literal["at-least-once", "once"] = "at-least-once", max_visits: int | None = None,
    on_limit: Callable[[Any], Event] | None = None, retired: bool = False,
) -> Callable[[Callable[P, Coroutine[Any, Any, R_co]]], Handler[P, R_co]]:  # fmt: skip
    """Make an async function a step: `@handler()`.

    Args:
        function: nothing; `@handler` without the parentheses would put the step there, and is refused.
        name: durable: groups, control topics and ids are derived from it; default the function's name.
        timeout: seconds for one call; default 60.
        retry: attempts and backoff.
        concurrency: calls at once in one worker; default 1000.
        join: when a merge, gather or gate fires.
        order: a field of the event; events with one value of it are handled one after another.
        dedupe: seconds for which a second event with the same source and id is dropped.
        effect: "once" = at most once; an unknown outcome waits for a person and is never repeated.
        max_visits: how often an event may come here going round a loop.
        on_limit: pure, `(E) -> F`: what is emitted instead when the limit is reached.
        retired: call nothing, settle all it owes as absent, until nothing is left.

    Raises WiringError (SW101 to SW120) when the signature or the options make no sense.
    """
    if function is not None:
        where = getattr(function, "__name__", repr(function))
        raise refuse("SW101", where, "@handler stands without ()", "Write @handler(), or @handler(name=…).")
    options = Options(
        timeout=timeout, retry=retry or Retry(), concurrency=concurrency, join=join, order=order, dedupe=dedupe,
        effect=effect, max_visits=max_visits, on_limit=on_limit, retired=retired,
    )  # fmt: skip

    def decorate(function: Callable[P, Coroutine[Any, Any, R_co]]) -> Handler[P, R_co]:
        # Annotations may name classes that are local to a test or a notebook cell, so its names are looked up too.
        names = sys._getframe(1).f_locals  # noqa: SLF001 - there is no public way to them
        return Handler(function, name or str(getattr(function, "__name__", "handler")), options, names)

    return decorate


def _limit_term(name: str, options: Options, names: Mapping[str, Any] | None) -> Term | None:
    if options.on_limit is None:
        return None
    function = options.on_limit
    hints = get_type_hints(inspect.unwrap(getattr(function, "__func__", function)), localns=dict(names or {}))
    owner = getattr(function, "__self__", None)  # the event, of a classmethod annotated `-> Self`
    for returned in (hints.get("return"), owner):
        if isinstance(returned, type) and issubclass(returned, Event):
            return Term((returned,))
    raise refuse("SW120", name, "on_limit has no event as its return type", "Write def f(event: E) -> F.")


def _option_problems(signature: Signature, options: Options) -> list[tuple[str, str]]:
    join = Join() if options.join is None else options.join
    numbers = {label: getattr(options, label) for label in ("timeout", "dedupe", "max_visits", "concurrency")}
    numbers["timeout of the join"] = getattr(join, "timeout", None)
    given = {label: value for label, value in numbers.items() if value is not None}
    for value, kind, example in ((options.retry, Retry, "attempts=3"), (join, Join, "timeout=3600")):
        if not isinstance(value, kind):
            option, label = kind.__name__.lower(), kind.__name__
            return [(f"{option}={value!r} is no {label}", f"Write {option}={label}({example}).")]
    tries = [(name, v) for name, v in asdict(options.retry).items() if v or (v == 0 and name == "attempts")]
    given |= {f"{name} of the retry": v for name, v in tries}
    odd = [x for x, v in given.items() if isinstance(v, bool) or not isinstance(v, int | float) or not 0 < v < math.inf]
    whole = ("max_visits", "concurrency", "attempts of the retry")
    odd += [label for label in whole if label not in odd and int(given.get(label, 1)) != given.get(label, 1)]
    found = [(f"{label}={given[label]!r} is no number above 0", f"Give a positive {label}.") for label in odd]
    words = {"effect": options.effect, "on_timeout": join.on_timeout, "retired": str(options.retired)}
    words["on_missing"] = join.on_missing
    unknown = ((label, word) for label, word in words.items() if word not in WORDS[label])
    found += [(f"{label}={word!r} is not known", f"Write {' or '.join(WORDS[label])}.") for label, word in unknown]
    return [*_join_problems(signature, options), *_single_problems(signature, options), *found]


def _join_problems(signature: Signature, options: Options) -> list[tuple[str, str]]:
    join, found = options.join, []
    if signature.is_join and (options.max_visits or options.order or options.dedupe):
        found.append(("max_visits=, order= and dedupe= are for handlers of one event", "Put it on the step before."))
    if join is None:
        return found
    if not signature.is_join:
        found.append(("join= on a handler that takes one event", "Remove it, or take several events."))
    if (join.take or join.until) and signature.items is None:
        found.append(("take= and until= are for a gather", "Take list[E]."))
    if join.until is not None and not callable(join.until):
        found.append(("until= is no function of the list", "Write until=agreed(3, by=…), or lambda items: …."))
    if join.take is not None and join.take < 1:
        found.append(("take= must be at least 1", "Write take=1 or more."))
    if join.on_timeout == "partial" and signature.items is None and not any(p.optional for p in signature.parts):
        # A required part that is missing at the deadline still makes a dead letter.
        found.append(('on_timeout="partial" and no part is optional', "Make what it can do without `X | None`."))
    return found


def _single_problems(signature: Signature, options: Options) -> list[tuple[str, str]]:
    found = []
    if options.on_limit is not None and options.max_visits is None:
        found.append(("on_limit= without max_visits=", "Add max_visits=n."))
    if not signature.is_join and signature.parts[0].optional:
        found.append(("its only parameter is optional", "Remove `| None`."))
    for event in signature.taken:
        if options.order is not None and options.order not in event.model_fields:
            found.append((f"order={options.order!r} is no field of {event.__name__}", "Name a field of the event."))
    return found
