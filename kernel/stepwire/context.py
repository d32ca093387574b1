"""What a running handler may know and do beside its events: the Context, and how a step finds it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from stepwire.errors import Reject

_CURRENT: ContextVar[Context] = ContextVar("stepwire_context")


def current() -> Context:
    """The context of the delivery that runs in this task. Raises LookupError outside of one."""
    return _CURRENT.get()


class Context:
    """One delivery, seen from inside its handler. Injected where a parameter is annotated `Context`."""

    __slots__ = (
        "_active", "_calls", "_now", "app", "attempt", "deadline", "handler", "inputs", "key", "last_visit", "missing",
        "notes", "run", "scope", "stamps", "visit",
    )  # fmt: skip

    def __init__(
        self, *, app: str, handler: str, run: str, scope: str, key: str, attempt: int, visit: int, last_visit: bool,
        missing: tuple[str, ...], deadline: float, now: Callable[[], float], inputs: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.app, self.handler, self.run, self.scope = app, handler, run, scope
        self.key = key  #: the delivery key: stable over attempts, crashes and workers
        self.attempt = attempt  #: 1 for the first call
        self.visit, self.last_visit = visit, last_visit  #: which time round the loop; is it the last allowed
        self.missing = missing  #: names of parts that a join was called without
        self.deadline = deadline  #: when the call is cut off, in seconds of now()
        self.inputs, self._now = inputs, now  #: what it was called with, by the handler's parameters
        self.notes: list[tuple[str, Mapping[str, Any]]] = []
        self.stamps: dict[str, str] = {}
        self._calls: dict[str, int] = {}
        self._active: set[str] = set()

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that names the run, the handler and the delivery on every line."""
        about = {"run": self.run, "handler": self.handler, "key": self.key, "context": self}
        return logging.LoggerAdapter(logging.getLogger(f"stepwire.{self.app}.{self.handler}"), about)

    def now(self) -> float:
        """Seconds since the epoch, by the worker's clock (tests turn it by hand)."""
        return self._now()

    def note(self, name: str, /, **fields: Any) -> None:
        """Add a fact to the delivery's line in the log, such as what a model call cost."""
        self.notes.append((name, fields))

    def stamp(self, name: str, value: str) -> None:
        """Add the header `ce_sw<name>` to whatever this delivery emits."""
        self.stamps[name] = value

    @contextmanager
    def call(self, tool: str, key: str | None = None) -> Iterator[str]:
        """The stable key of one outside call: delivery key, tool, and the n-th call of it in program order.

        Two intentions never share a key and one intention never has two, so concurrent calls of one tool must
        name theirs. Raises Reject if they do not.
        """
        if key is not None:
            yield f"{self.key}/{tool}/{key}"
            return
        if tool in self._active:
            raise Reject(
                f"{self.handler} calls {tool} twice at once without a key: their order, and so their keys, would "
                f"differ from attempt to attempt. Pass key=… to each"
            )
        count = self._calls[tool] = self._calls.get(tool, 0) + 1
        self._active.add(tool)
        try:
            yield f"{self.key}/{tool}/{count}"
        finally:
            self._active.discard(tool)

    def enter(self) -> None:
        """Make this the current context of the running task (each delivery has a task of its own)."""
        _CURRENT.set(self)
