"""Which rights a worker of an app needs on a Kafka cluster: all of them, and no more.

In: an app and the prefix of the environment. Out: rights as data; `strimzi` and `acls` write them down. Each has its
reason beside it. No cluster right is among them: every write is part of a transaction, for which the broker asks the
right to the transactional id, and never `IdempotentWrite`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from stepwire import App
from stepwire.dispatch.step import control_topic, dead_letter_topic, group_name, runs_topic

Resource = Literal["topic", "group", "transactionalId"]
Pattern = Literal["literal", "prefix"]
Operation = Literal["Describe", "Read", "Write", "Delete"]


class Right(NamedTuple):
    """What may be done with one resource, or with all whose names begin so."""

    resource: Resource
    name: str
    pattern: Pattern
    operations: tuple[Operation, ...]


def rights(app: App, prefix: str) -> list[Right]:
    """Every right that a worker needs: topics, groups, transactional ids."""
    found = [*_business(app, prefix), *_own(app, prefix)]
    for handler in app.runnable:
        group = prefix + group_name(app.name, handler.name)
        # its seat in the group, and the offsets in its transactions
        found.append(Right("group", group, "literal", ("Describe", "Read")))
        # a member writes under `<group>-<random>`
        found.append(Right("transactionalId", f"{group}-", "prefix", ("Describe", "Write")))
    # what a release leaves for the next one is published, as everything outside of a group, under `publish-<random>`
    found.append(Right("transactionalId", f"{prefix}publish-", "prefix", ("Describe", "Write")))
    # a handler that is gone must not leave work behind: the worker looks at the app's former groups and their state
    found.append(Right("group", f"{prefix}{app.name}.", "prefix", ("Describe",)))
    found.append(Right("topic", f"{prefix}{app.name}.", "prefix", ("Describe", "Read")))
    return found


def taken_topics(app: App) -> set[str]:
    """Business topics that its groups read."""
    return {event.spec.topic for handler in app.runnable for event in handler.signature.taken}


def written_topics(app: App) -> set[str]:
    """Business topics that its handlers emit to."""
    terms = [term for handler in app.runnable for term in handler.signature.returns]
    terms += [handler.limit_term for handler in app.runnable if handler.limit_term is not None]
    return {event.spec.topic for term in terms for event in (*term.events, *(term.items or ()))}


def _business(app: App, prefix: str) -> Iterable[Right]:
    taken, written = taken_topics(app), written_topics(app)
    for topic in sorted(taken | written):
        reads: tuple[Operation, ...] = ("Read",) if topic in taken else ()
        writes: tuple[Operation, ...] = ("Write",) if topic in written else ()
        yield Right("topic", prefix + topic, "literal", ("Describe", *reads, *writes))


def _own(app: App, prefix: str) -> Iterable[Right]:
    for handler in app.runnable:
        control = prefix + control_topic(app.name, handler.name)
        # finished records are deleted below the watermark; without this right the topic just grows
        yield Right("topic", control, "literal", ("Describe", "Read", "Write", "Delete"))
        state = control.removesuffix(".control") + ".state"
        yield Right("topic", state, "literal", ("Describe", "Read", "Write"))
        yield Right("topic", prefix + dead_letter_topic(app.name, handler.name), "literal", ("Describe", "Write"))
    yield Right("topic", prefix + runs_topic(app.name), "literal", ("Describe", "Write"))
    yield Right("topic", f"{prefix}{app.name}.wiring", "literal", ("Describe", "Read", "Write"))
