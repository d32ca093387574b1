"""Step 6, decide: from what a delivery came to, what must be written. Settlements are computed here and nowhere else.

In: a delivery and its outcome. Out: a `Finished`: outputs, the slots settled as absent (R4), the openings of scatters
(R7), the notices of dead letters (R8), and the record that says a delivery ended without emitting (DESIGN §8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stepwire.bus.protocol import Change, Out
from stepwire.codec import encode
from stepwire.dispatch.delivery import Delivery, Finished
from stepwire.dispatch.step import Step, control_topic, dead_letter_topic, runs_topic
from stepwire.envelope import Envelope, Scope, child_id, fork_id, join_id
from stepwire.event import Event
from stepwire.join import LIST as LIST_SLOT
from stepwire.join import STUB, JoinState
from stepwire.jsontext import dump
from stepwire.outcome import TooManyOutputs, VisitLimit, said, traced
from stepwire.state import ITEM as ITEM_KEY
from stepwire.state import JOIN, VERDICT, Entry, decode_entry
from stepwire.wiring.wiring import ITEM, LIST, Owed

STACK = 4_096  #: characters of a traceback in a dead letter


class Emitter:
    """Writes down what the deliveries of one step come to."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self._source = f"stepwire:{step.app}/{step.name}"
        self._plain = self._plain_events()

    # -- outcomes

    def done(self, delivery: Delivery, value: Any, stamps: Mapping[str, str] | None = None) -> Finished:
        """The handler returned `value`. Raises WrongReturn, TooManyOutputs."""
        if type(value) in self._plain and not delivery.visit and not stamps and delivery.attempt == 1:
            scope = self.step.wiring.scope_of(type(value), delivery.scope)
            outputs = [self._event(delivery, value, 0, scope, ())]
            self._check_size(outputs)
            return self._finished(delivery, outputs, "replayed")
        return self._done(delivery, value, stamps)

    def _plain_events(self) -> frozenset[type]:
        """The events that this step may return alone and that then settle nothing: the short way."""
        wiring, name = self.step.wiring, self.step.name
        shapes = [shape for shape in wiring.graph.nodes[name].shapes if len(shape.tokens) == 1 and shape.items is None]
        tokens = [shape.tokens[0] for shape in shapes if not wiring.settlement(name, shape)]
        return frozenset(token for token in tokens if isinstance(token, type))

    def _done(self, delivery: Delivery, value: Any, stamps: Mapping[str, str] | None) -> Finished:
        step, wiring = self.step, self.step.wiring
        shape, events, items = wiring.shape(step.name, value)
        base = self._base(delivery)
        extensions = tuple((f"sw{name}", text) for name, text in stamps.items()) if stamps else ()
        outputs = [
            self._event(delivery, event, index, wiring.scope_of(type(event), base), extensions)
            for index, event in enumerate(events)
        ]
        joins: list[str] = []
        if items is not None:
            outputs += self._scatter(delivery, items, len(events), base, extensions)
            joins += self._open(delivery, len(items), base, outputs)
            joins += self._settle_items(delivery, shape.items or (), items, base, outputs)
        settled = wiring.settlement(step.name, shape)
        if settled:
            joins += self.settle(delivery, settled, base, "absent", outputs)
        if joins or not outputs or delivery.attempt > 1:
            outputs.append(self.ended(delivery, "none" if value is None else "emitted", joins))
        self._check_size(outputs)
        return self._finished(delivery, outputs, "replayed")

    def settled(self, delivery: Delivery, why: str) -> Finished:
        """It ends as if the handler had returned None: uncalled, dropped, or retired."""
        outputs: list[Out] = []
        joins = self.settle(delivery, self.step.wiring.owes(self.step.name), self._base(delivery), "absent", outputs)
        outputs.append(self.ended(delivery, why, joins))
        return self._finished(delivery, outputs, "dropped" if why == "dropped" else "replayed")

    def dead(self, delivery: Delivery, error: BaseException) -> Finished:
        """R8: keep it whole; what it owes is blocked by it, not settled."""
        outputs = [self._dead_letter(delivery, error)]
        self.settle(delivery, self.step.wiring.owes(self.step.name), self._base(delivery), "blocked", outputs)
        finished = self._finished(delivery, outputs, "replayed")
        if delivery.is_join and delivery.mailbox is not None:
            until = self.step.clock.now() + self.step.settings.keep
            finished.closes = False
            call = {"kind": "call", "dead": True, "until": until, "replay": delivery.replay, "error": said(error)[:500]}
            changed = self.change(delivery, f"{JOIN}{delivery.entry}/#call", Entry(call))
            finished.changes = [changed, *self._verdict(delivery, "replayed")]
        return finished

    def dead_part(self, delivery: Delivery, slot: Owed | None, error: BaseException) -> Finished:
        """A record that could not be read, or a part: its own join's slot is blocked by it."""
        outputs = [self._dead_letter(delivery, error)]
        if slot is not None:
            self.settle(delivery, [slot], delivery.scope, "blocked", outputs)
        elif not self.step.is_join:
            self.settle(delivery, self.step.wiring.owes(self.step.name), self._base(delivery), "blocked", outputs)
        return self._finished(delivery, outputs, "replayed")

    # -- what is forgotten with it

    def _finished(self, delivery: Delivery, outputs: list[Out], verdict: str) -> Finished:
        done = [delivery.offset] if delivery.offset is not None else []
        finished = Finished(outputs, done=done, delivery=delivery)
        if delivery.mailbox is not None:
            if delivery.is_join:
                finished.changes = self.close(delivery, delivery.mailbox.joins[delivery.entry])
                finished.closes = True
            else:
                finished.changes = [self.change(delivery, ITEM_KEY + delivery.entry, None)]
            finished.changes += self._verdict(delivery, verdict)
        return finished

    def close(self, delivery: Delivery, join: JoinState) -> list[Change]:
        """Forget a join; while slots are outstanding, or a publisher may send a part again, a stub stays (R9)."""
        rules, changes = self.step.rules, [
            self.change(delivery, f"{JOIN}{join.id}/{slot}", None) for slot in join.stored
        ]  # fmt: skip
        outstanding = join.outstanding(rules)
        outside = any(decode_entry(raw).from_outside for slot, raw in join.slots.items() if not slot.isdigit())
        if outstanding != [] or outside:
            stub = {"kind": "stub", "outstanding": outstanding or None, "outside": outside}
            until = self.step.clock.now() + self.step.settings.keep
            changes.append(self.change(delivery, f"{JOIN}{join.id}/{STUB}", Entry({**stub, "until": until})))
        return changes

    def _verdict(self, delivery: Delivery, verdict: str) -> list[Change]:
        """R14: remember the number of the replay, in the transaction of its outcome."""
        if not delivery.replay:
            return []
        until = self.step.clock.now() + self.step.settings.keep + 86_400.0
        meta = {"kind": "verdict", "n": delivery.replay, "verdict": verdict, "until": until}
        return [self.change(delivery, VERDICT + delivery.address, Entry(meta))]

    def change(self, delivery: Delivery, key: str, entry: Entry | None) -> Change:
        """A change of the state that a delivery came from."""
        number = delivery.mailbox.partition if delivery.mailbox is not None else 0
        return Change(number, key, None if entry is None else entry.encode())

    # -- events

    def _base(self, delivery: Delivery) -> Scope:
        return delivery.scope.with_visit(self.step.name, delivery.visit) if delivery.visit else delivery.scope

    def _event(
        self, delivery: Delivery, event: Event, index: int, scope: Scope, extensions: tuple[tuple[str, str], ...]
    ) -> Out:
        step, spec = self.step, event.spec
        envelope = Envelope(
            child_id(delivery.id, step.app, step.name, index), self._source, spec.type, step.clock.now(),
            delivery.run, delivery.id, str(scope), step.name, delivery.traceparent, delivery.correlation, extensions,
            delivery.tracestate,
        )  # fmt: skip
        headers, value = encode(event, envelope)
        key = str(getattr(event, spec.key)) if spec.key else f"{delivery.run}{envelope.scope}"
        return Out(spec.topic, key, headers, value)

    def _scatter(
        self, delivery: Delivery, items: Sequence[Event], first: int, base: Scope,
        extensions: tuple[tuple[str, str], ...],
    ) -> list[Out]:  # fmt: skip
        if len(items) > self.step.settings.max_outputs:
            raise TooManyOutputs(
                f"{self.step.name} returned {len(items)} items, the limit is {self.step.settings.max_outputs}; "
                f"scatter in two levels"
            )
        fork = fork_id(delivery.id, self.step.app, self.step.name)
        scope_of = self.step.wiring.scope_of
        return [
            self._event(delivery, item, first + index, scope_of(type(item), base.item(fork, index)), extensions)
            for index, item in enumerate(items)
        ]

    def _check_size(self, outputs: list[Out]) -> None:
        size = sum([len(out.value) for out in outputs])
        if size > self.step.settings.max_bytes:
            raise TooManyOutputs(
                f"{self.step.name} returned {size} bytes, the limit is {self.step.settings.max_bytes}; "
                f"put large content into attachments, or scatter in two levels"
            )

    # -- joins

    def _open(self, delivery: Delivery, size: int, base: Scope, outputs: list[Out]) -> list[str]:
        """R7: the scatter announces itself to every gather that closes it."""
        fork = fork_id(delivery.id, self.step.app, self.step.name)
        joins = []
        for gather in self.step.wiring.gathers.get(self.step.name, ()):
            scope = self.step.wiring.join_scope(gather, base)
            id_ = self._join_id(gather, delivery.run, scope, fork)
            meta = {
                "kind": "open", "id": id_, "slot": "#open", "size": size, "fork": fork, "run": delivery.run,
                "scope": str(scope), "at": self.step.clock.now(), "trace": delivery.traceparent,
                "correlation": delivery.correlation,
            }  # fmt: skip
            outputs.append(Out(control_topic(self.step.app, gather), id_, {}, Entry(meta).encode()))
            joins.append(id_)
        return joins

    def _settle_items(
        self, delivery: Delivery, types: Any, items: Sequence[Event], base: Scope, outputs: list[Out]
    ) -> list[str]:
        fork = fork_id(delivery.id, self.step.app, self.step.name)
        joins: list[str] = []
        for index, item in enumerate(items):
            owed = self.step.wiring.item_settlement(types, type(item))
            if owed:
                joins += self.settle(delivery, owed, base.item(fork, index), "absent", outputs)
        return list(dict.fromkeys(joins))

    def settle(
        self, delivery: Delivery, owed: Iterable[Owed], scope: Scope, kind: str, outputs: list[Out], by: str = ""
    ) -> list[str]:
        """Tell the joins of these slots that no part comes: ever (absent), or until `by` is replayed (blocked, R8)."""
        joins = []
        for slot in owed if delivery.run else ():  # of no run, it stands nowhere
            said = {"kind": kind, "at": self.step.clock.now(), "by": by or delivery.key(self.step.app, self.step.name)}
            entry = Entry({**self.address(slot, delivery.run, scope), **said})
            joins.append(str(entry.meta["id"]))
            outputs.append(Out(control_topic(self.step.app, slot.handler), joins[-1], {}, entry.encode()))
        return joins

    def address(self, owed: Owed, run: str, scope: Scope) -> dict[str, Any]:
        """Which join, and which slot of it, stands for `owed` as seen from `scope`."""
        at = self.step.wiring.join_scope(owed.handler, scope)
        fork, slot = "", LIST_SLOT if owed.slot == LIST else owed.slot
        if owed.slot == ITEM:
            fork, index = scope.innermost()
            slot = str(index)
        id_ = self._join_id(owed.handler, run, at, fork)
        return {"id": id_, "slot": slot, "run": run, "scope": str(at), "fork": fork}

    def _join_id(self, handler: str, run: str, scope: Scope, fork: str) -> str:
        pure = not self.step.wiring.handlers[handler].signature.parts  # `E, list[F]`: one fork for each outer scope
        return join_id(self.step.app, handler, run, scope, fork if pure else "")

    # -- records of our own

    def ended(self, delivery: Delivery, why: str, joins: Sequence[str]) -> Out:
        """Says that a delivery came to its end, for those who follow runs; after retries also how many, and why."""
        name = self.step.name
        body = {"run": delivery.run, "delivery": delivery.id, "handler": name, "why": why, "joins": list(joins)}
        tried = {"attempts": delivery.attempt, "error": delivery.meta.get("error", "")} if delivery.attempt > 1 else {}
        headers = {"ce_swrun": delivery.run, "ce_swhandler": name, "ce_swcause": delivery.id}
        return Out(runs_topic(self.step.app), delivery.run, headers, dump({**body, **tried}))

    def _dead_letter(self, delivery: Delivery, error: BaseException) -> Out:
        step, record = self.step, delivery.record
        stack = traced(error)[-STACK:].encode(errors="replace").decode()
        headers = dict(record.headers) if record is not None else {"ce_swscope": str(delivery.scope)}
        ours = headers.get("ce_source", "").startswith(f"stepwire:{step.app}/")  # else its run is only what it claims
        headers |= {
            "ce_swrun": delivery.run or (headers.get("ce_swrun", "") if ours else ""),
            "kafka_dlt-original-topic": record.topic if record else step.control,
            "kafka_dlt-original-partition": str(record.partition if record else 0),
            "kafka_dlt-original-offset": str(record.offset if record else 0),
            "kafka_dlt-original-timestamp": str(int(delivery.time * 1000)),
            "kafka_dlt-original-consumer-group": step.group,
            "kafka_dlt-exception-fqcn": f"{type(error).__module__}.{type(error).__qualname__}",
            "kafka_dlt-exception-message": said(error)[:STACK],
            "kafka_dlt-exception-stacktrace": stack,
            "sw_delivery": f"{step.app}/{step.name}/{delivery.address}",
            "sw_kind": "join" if delivery.is_join else "part" if step.is_join else "event",
            "sw_attempts": str(delivery.attempt),
            "sw_replay": str(delivery.replay),
            "sw_grant": str(int(isinstance(error, VisitLimit) or delivery.meta.get("grant", False))),  # of a visit more
            "sw_key": record.key or "" if record else "",
            **({"sw_order": delivery.meta["order"]} if "order" in delivery.meta else {}),
        }
        value = record.value if record is not None else self._parts(delivery)
        return Out(dead_letter_topic(step.app, step.name), delivery.run or delivery.id, headers, value)

    def _parts(self, delivery: Delivery) -> bytes:
        """What a join had, for people to read; the parts themselves stay in state for `keep`."""
        shown = {
            name: [item.model_dump(mode="json") for item in value] if isinstance(value, list)
            else getattr(value, "event", value).model_dump(mode="json")
            for name, value in delivery.args.items()
            if value is not None
        }  # fmt: skip
        text = dump(shown)
        return text if len(text) <= self.step.settings.max_bytes else b"{}"
