"""What travels with an event, and where an event stands.

The envelope holds CloudEvents' attributes and ours (run, cause, scope, emitting handler). A scope is a path of
frames, one for each open scatter, `<fork>.<index>`, and for each loop, `<handler>@<visit>`; the loop frames of one
depth are sorted by handler name. What a foreign app put there is an opaque prefix, parted by a bar (DESIGN §2).
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from stepwire.event import digest, identity, prefixed

_FRAME = re.compile(r"[A-Za-z0-9_-]+[.@][0-9]{1,9}")


class Envelope(NamedTuple):
    """CloudEvents attributes plus run, cause and scope."""

    id: str
    source: str
    type: str
    time: float  #: seconds since the epoch
    run: str
    cause: str = ""  #: identity of the parent event, or a join id
    scope: str = ""
    handler: str = ""  #: who emitted it; empty: published from outside
    traceparent: str = ""
    correlation: str = ""  #: mirrored to ce_correlationid, never used as the run
    extensions: tuple[tuple[str, str], ...] = ()
    tracestate: str = ""

    @property
    def identity(self) -> str:
        """hash(source, id)."""
        return identity(self.source, self.id)


class Scope(NamedTuple):
    """Where an event stands: a foreign prefix and our own frames."""

    prefix: str = ""
    frames: tuple[str, ...] = ()

    def __str__(self) -> str:
        path = "/".join(self.frames)
        return f"{self.prefix}|{path}" if self.prefix else path

    def fits(self, depth: int) -> bool:
        """Is it written as here, and below as many scatters as `depth`?"""
        return all(map(_FRAME.fullmatch, self.frames)) and sum("@" not in frame for frame in self.frames) >= depth

    def visit(self, handler: str) -> int:
        """How often the loop of `handler` was gone round; 0 before its first time."""
        start = handler + "@"
        for frame in reversed(self.frames):
            if frame.startswith(start):
                return int(frame[len(start) :])
        return 0

    def narrow(self, depth: int, loops: frozenset[str]) -> Scope:
        """The first `depth` scatter frames, and of the loop frames beside them those of `loops`."""
        kept: list[str] = []
        for frame in self.frames:
            if "@" in frame:
                if frame.partition("@")[0] in loops:
                    kept.append(frame)
                continue
            if depth == 0:
                break
            depth -= 1
            kept.append(frame)
        return self if len(kept) == len(self.frames) else Scope(self.prefix, tuple(kept))

    def with_visit(self, handler: str, visit: int) -> Scope:
        """With the loop frame of `handler`, which stands at the deepest level, set to `visit`."""
        last = max((i for i, frame in enumerate(self.frames) if "@" not in frame), default=-1)
        level = [frame for frame in self.frames[last + 1 :] if not frame.startswith(handler + "@")]
        return Scope(self.prefix, (*self.frames[: last + 1], *sorted([*level, f"{handler}@{visit}"])))

    def item(self, fork: str, index: int) -> Scope:
        """One level deeper: item `index` of the scatter `fork`."""
        return Scope(self.prefix, (*self.frames, f"{fork}.{index}"))

    def innermost(self) -> tuple[str, int]:
        """The fork and index of the deepest scatter frame."""
        frame = next(frame for frame in reversed(self.frames) if "@" not in frame)
        fork, _, index = frame.rpartition(".")
        return fork, int(index)


ROOT = Scope()


def parse_scope(text: str, *, ours: bool) -> Scope:
    """Read a scope; of an event that another app emitted all of it is prefix."""
    if not text:
        return ROOT
    if not ours:
        return Scope(text)
    prefix, _, path = text.rpartition("|")
    return Scope(prefix, tuple(path.split("/")) if path else ())


_place = lru_cache(maxsize=16_384)(prefixed)  # a handler's outputs have the same numbers again and again


def child_id(parent: str, app: str, handler: str, index: int) -> str:
    """R2: the id of output `index`; the parent is an identity or, for a join, the join id."""
    return blake2b(prefixed(parent) + _place(app, handler, str(index)), digest_size=16).hexdigest()


def fork_id(parent: str, app: str, handler: str) -> str:
    """R2: the name of the scatter that this delivery opens."""
    return digest("fork", parent, app, handler)


@lru_cache(maxsize=256)  # the parts of one join come one after another
def join_id(app: str, handler: str, run: str, scope: Scope, fork: str = "") -> str:
    """R2: who a join is; its parts never enter, so it stays itself whatever parts it fires with."""
    return digest(app, handler, run, str(scope), fork)
