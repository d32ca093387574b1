"""What lies in the mailboxes and may be called now: joins that are complete, items that are due (R6).

In: mailboxes. Out: deliveries that are started, joins that end uncalled, expire or are forgotten, parked calls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stepwire.bus.protocol import Bus, Change, Partition, Record
from stepwire.codec import Decoded
from stepwire.dispatch.build import newer
from stepwire.dispatch.call import fact
from stepwire.dispatch.delivery import Delivery, Finished
from stepwire.dispatch.intake import NEWER_WAIT
from stepwire.dispatch.step import Step
from stepwire.envelope import parse_scope
from stepwire.errors import BusError, DecodeError
from stepwire.event import Event
from stepwire.join import STUB, JoinState, deadline, judge
from stepwire.outcome import DeadLetter, Done, JoinExpired, NewerType, RetryAt, VisitLimit, WrongReturn, brief
from stepwire.state import ITEM, JOIN, Entry, Mailbox, decode_entry, decode_meta, keep, kept, settled_late

if TYPE_CHECKING:
    from stepwire.dispatch.loop import Dispatcher

PATIENCE = 1.0  #: seconds that a message which is being written may take, and still count as said in time
DIED = "the worker died during the call"  #: why nobody knows what became of a claim


def _unknown(claimed: Entry) -> Entry:
    """A claim of a worker that died: nobody knows what became of it."""
    meta = {name: value for name, value in claimed.meta.items() if name != "claim"} | {"unknown": DIED}
    return Entry(meta, claimed.headers, claimed.value)


class Pump:
    """Starts what state says is ready, for one dispatcher."""

    def __init__(self, step: Step, dispatcher: Dispatcher) -> None:
        self._step, self._dispatcher = step, dispatcher
        self._pumping = False
        self._asking: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Start whatever is ready, as far as there is room."""
        dispatcher = self._dispatcher
        if self._pumping or dispatcher.stopping or not dispatcher.joined:  # no call in the middle of a takeover
            return
        self._pumping = True
        try:
            for mailbox in dispatcher.committer.mailboxes.values():
                if mailbox.overdue:
                    mailbox.hear(dispatcher.committer.ledgers[Partition(self._step.control, mailbox.partition)].next)
                while mailbox.touched and dispatcher.slots > 0:
                    self._look(mailbox, mailbox.touched.popitem(last=False)[0])
                while mailbox.ready and dispatcher.slots > 0:
                    self._take(mailbox, mailbox.ready.popleft())
        finally:
            self._pumping = False
        dispatcher.remind()

    def expire(self) -> None:
        """A timer rang: bring what is due forward, and forget what was kept long enough."""
        now = self._step.clock.now()
        for mailbox in self._dispatcher.committer.mailboxes.values():
            over = mailbox.expire(now)
            if over:
                changes = [Change(mailbox.partition, key, None) for key in over]
                self._dispatcher.committer.add(Finished(changes=changes))

    def listen(self, bus: Bus) -> None:
        """Where joins are past their deadline: what was said in time is read before any of them expires."""
        boxes = self._dispatcher.committer.mailboxes.values()
        if self._asking is None and any(mailbox.overdue and not mailbox.asked for mailbox in boxes):
            self._asking = asyncio.get_running_loop().create_task(self._ask(bus))

    async def _ask(self, bus: Bus) -> None:
        """Where do messages end? Beside all else: while brokers are away calls go on, and no deadline counts."""
        control, now, committer = self._step.control, self._step.clock.now(), self._dispatcher.committer
        try:
            ends = await bus.ends([control], patience=PATIENCE)
            for number, mailbox in committer.mailboxes.items():
                place = Partition(control, number)
                if place in ends:
                    mailbox.hear(committer.ledgers[place].next, ends[place], now)
        except BusError:
            await asyncio.sleep(PATIENCE)
        finally:
            self._asking = None
        self.run()
        self._dispatcher.wake()

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    @property
    def listening(self) -> bool:
        """Is there a join past its deadline that may still hear of something?"""
        return any(mailbox.overdue for mailbox in self._dispatcher.committer.mailboxes.values())

    def arrive(self, numbers: set[int]) -> None:
        """R13: a claim of somebody else, at takeover: the call may or may not have been made."""
        if not self._step.once:
            return
        for number in numbers:
            mailbox = self._dispatcher.committer.mailboxes[number]
            claims = [(ITEM + id_, raw) for id_, raw in mailbox.items.items() if "claim" in decode_meta(raw)]
            claimed = [(key, decode_entry(raw)) for key, raw in claims]
            calls = ((f"{JOIN}{join.id}/#call", Entry(join.call or {})) for join in mailbox.joins.values())
            claimed += [(key, entry) for key, entry in calls if "claim" in entry.meta]
            changes = [self._dispatcher.intake.mail.put(mailbox, key, _unknown(entry)) for key, entry in claimed]
            if changes:
                self._dispatcher.committer.add(Finished(changes=changes, applied=True))

    # -- joins

    def _look(self, mailbox: Mailbox, id_: str) -> None:
        join = mailbox.joins.get(id_)
        if join is None or id_ in mailbox.calling:
            return
        if join.stub is not None and len(join.stored) > 1:
            self._tidy(mailbox, join)
            return
        if self._step.rules.until and not join.agreed and join.stub is None and not join.called:
            join.agreed = self._agreed(mailbox, join)
        waits = not join.called and join.stub is None  # for what may have been said in time, and lies unread
        verdict = judge(join, self._step.rules, mailbox.heard if waits else self._step.clock.now())
        if self._step.handler.options.retired and verdict in ("wait", "call", "expired") and join.stub is None:
            verdict = "end"
        if verdict == "wait":
            self._remind(mailbox, join)
        elif verdict == "forget":
            changes = [Change(mailbox.partition, f"{JOIN}{id_}/{slot}", None) for slot in join.stored]
            self._dispatcher.committer.add(Finished(changes=changes))
        else:
            mailbox.calling.add(id_)
            self._conclude_join(mailbox, join, verdict)

    def _tidy(self, mailbox: Mailbox, join: JoinState) -> None:
        """Parts that were stored while the call's close was on its way: they settle slots of the stub."""
        assert join.stub is not None
        late = [slot for slot in join.stored if slot != STUB]
        outstanding = join.stub["outstanding"]
        left = None if outstanding is None else [slot for slot in outstanding if not join.settled(slot)]
        put = self._dispatcher.intake.mail.put
        outside = any(decode_entry(raw).from_outside for raw in join.slots.values())  # before they are forgotten
        changes = [put(mailbox, f"{JOIN}{join.id}/{slot}", None) for slot in late]
        if left is not None and left != outstanding:
            stub = settled_late(join.stub, left, outside=outside)
            changes.append(put(mailbox, f"{JOIN}{join.id}/{STUB}", stub))
        self._dispatcher.committer.add(Finished(changes=changes, applied=True))

    def _remind(self, mailbox: Mailbox, join: JoinState) -> None:
        if join.stub is not None:
            when = join.stub["until"]
        elif join.call is not None and join.called:
            when = join.call.get("due") or join.call.get("until") or 0.0
        elif join.opened:
            when = deadline(join, self._step.rules)
        else:
            when = join.decided + self._step.rules.keep
        if when and when <= self._step.clock.now():
            mailbox.overdue.add(join.id)
            self._dispatcher.wake()
        elif when and when != join.reminded:
            join.reminded = when
            mailbox.remind(when, JOIN + join.id)

    def _agreed(self, mailbox: Mailbox, join: JoinState) -> bool:
        options, signature = self._step.handler.options, self._step.handler.signature
        if options.join is None or options.join.until is None or signature.items is None:
            return False
        try:
            delivery = self._dispatcher.intake.builder.from_join(mailbox, join)
            return bool(options.join.until(delivery.args[signature.items.name]))
        except Exception:  # noqa: BLE001 - the predicate is the author's; the call itself will show what is wrong
            return False

    def _conclude_join(self, mailbox: Mailbox, join: JoinState, verdict: str) -> None:
        bare = Delivery(
            join.id, join.run, parse_scope(join.scope, ours=True), topic=self._step.control, mailbox=mailbox,
            entry=join.id, is_join=True, meta=join.call or {}, replay=(join.call or {}).get("replay", 0),
        )  # fmt: skip
        if verdict == "end" or bare.meta.get("drop") or bare.meta.get("resolved") == "drop":
            dropped = bare.meta.get("drop") or bare.meta.get("resolved")
            self._settled(bare, "retired" if self._step.handler.options.retired else "dropped" if dropped else "absent")
            return
        try:
            delivery = self._dispatcher.intake.builder.from_join(mailbox, join)
        except (DecodeError, ValueError) as error:
            self._dead(bare, error)
            return
        except NewerType as error:
            self._newer_part(bare, join, verdict, error)
            return
        if verdict == "expired":
            missing = ", ".join(delivery.missing) or "a decision"
            text = f"{self._step.name} waited {self._step.rules.timeout:g} s; missing: {missing}"
            self._dead(delivery, JoinExpired(text))
        else:
            self._begin(delivery)

    def _newer_part(self, delivery: Delivery, join: JoinState, verdict: str, error: NewerType) -> None:
        """A part has a version that this worker does not know yet: its join waits, as an event does."""
        dispatcher, now = self._dispatcher, self._step.clock.now()
        until = delivery.meta.get("newer_until") or now + self._step.settings.newer_type_wait
        if verdict == "expired":
            self._dead(delivery, JoinExpired(f"{self._step.name} waited {self._step.rules.timeout:g} s; {error}"))
        elif now >= until:
            self._dead(delivery, error)
        else:
            meta = {"newer_until": until, "error": brief(error), "frozen": delivery.meta.get("frozen") or [*join.slots]}
            change = self._changed(delivery, due=now + NEWER_WAIT, **meta)
            dispatcher.active += 1
            dispatcher.committer.conclude(Finished(changes=[change], delivery=delivery))
            if "newer_until" not in delivery.meta:
                self._step.telemetry(fact(self._step, delivery, RetryAt(NEWER_WAIT, error), None))

    def _dead(self, delivery: Delivery, error: Exception) -> None:
        """A dead letter without a call."""
        self._dispatcher.active += 1
        self._dispatcher.finish(self._dispatcher.intake.emitter.dead(delivery, error), delivery, DeadLetter(error))

    def _settled(self, delivery: Delivery, why: str) -> None:
        """Uncalled: only its settlements are written, and a retired step says what is not asked or called any more."""
        if why == "retired":
            self._dispatcher.intake.say_skipped("retired", delivery.run)
        self._dispatcher.active += 1
        self._dispatcher.committer.conclude(self._dispatcher.intake.emitter.settled(delivery, why))

    # -- items

    def _take(self, mailbox: Mailbox, id_: str) -> None:
        raw = mailbox.items.get(id_)
        if raw is None or id_ in mailbox.calling:
            return
        entry = decode_entry(raw)
        meta, record = entry.meta, kept(entry)
        now = self._step.clock.now()
        if meta.get("unknown") or not mailbox.is_head(id_, meta) or (meta.get("due") or 0.0) > now:
            return
        mailbox.calling.add(id_)
        intake = self._dispatcher.intake
        unread = intake.builder.unreadable(record, meta.get("run", ""))
        unread.mailbox, unread.entry, unread.meta, unread.offset = mailbox, id_, meta, None
        unread.replay = meta.get("replay", 0)
        try:
            decoded = intake.builder.decode(self._step.codec(record.topic), record)
        except DecodeError as error:
            if meta.get("drop"):
                self._settled(unread, "dropped")
            else:
                intake.unreadable(record, unread, error)
            return
        if not isinstance(decoded, Decoded):
            self._newer(unread, entry, now)
            return
        if self._step.is_join or ("newer_until" in meta and self._step.keeps_first):
            self._known_now(mailbox, id_, record, decoded)
            return
        delivery = intake.builder.from_item(mailbox, id_, meta, record, decoded)
        if meta.get("drop") or meta.get("resolved") == "drop":
            self._settled(delivery, "dropped")
        else:
            self._begin(delivery)

    def _known_now(self, mailbox: Mailbox, id_: str, record: Record, decoded: Decoded) -> None:
        """An event that waited for a worker that knows its version comes as if it came just now."""
        intake = self._dispatcher.intake
        mailbox.calling.discard(id_)
        mailbox.put(ITEM + id_, None)
        finished = intake.forwarded(decoded, intake.builder.from_record(record, decoded))
        finished.changes.insert(0, Change(mailbox.partition, ITEM + id_, None))
        finished.applied = True
        self._dispatcher.committer.add(finished)

    def _newer(self, delivery: Delivery, entry: Entry, now: float) -> None:
        """Still nobody knows this version."""
        dispatcher = self._dispatcher
        since = "newer_until" if "newer_until" in entry.meta else "known_until"  # the latter was here before: it stays
        until = entry.meta.get(since) or now + self._step.settings.newer_type_wait
        if now >= until:
            self._dead(delivery, newer(kept(entry)))
            return
        dispatcher.active += 1
        again = Entry({**entry.meta, "due": now + NEWER_WAIT, since: until}, entry.headers, entry.value)
        changes = [dispatcher.intake.emitter.change(delivery, ITEM + delivery.entry, again)]
        dispatcher.committer.conclude(Finished(changes=changes, delivery=delivery))

    # -- begin, from state or directly

    def _begin(self, delivery: Delivery) -> None:
        """Limits first, then a claim where effects must not repeat, then the call."""
        if delivery.meta.get("resolved") == "done":
            meta = delivery.meta  # R13: a person said what the call returned
            self._returned(delivery, lambda: self._declared(meta["done_type"], json.loads(meta["done"])))
        elif not self.at_limit(delivery):
            if self._step.once:
                self._claim(delivery)
            else:
                self._dispatcher.start(delivery)

    def at_limit(self, delivery: Delivery) -> bool:
        """Visit limits and retirement: concluded here without a call; True if it was."""
        options = self._step.handler.options
        if options.retired:
            self._settled(delivery, "retired")
            return True
        if options.max_visits is None or delivery.visit <= options.max_visits or delivery.meta.get("grant"):
            return False

        def limited() -> Event:
            if options.on_limit is None:
                reached = f"{self._step.name} was visited {options.max_visits} times in this run"
                raise VisitLimit(f"{reached}; a replay grants one more visit")
            return options.on_limit(next(iter(delivery.args.values())))

        self._returned(delivery, limited)
        return True

    def _returned(self, delivery: Delivery, value: Callable[[], Event | None]) -> None:
        """It comes to a value without a call; whatever fails at that is a dead letter."""
        dispatcher, emitter = self._dispatcher, self._dispatcher.intake.emitter
        dispatcher.active += 1
        try:
            done = Done(value())
            dispatcher.finish(emitter.done(delivery, done.value), delivery, done)
        except Exception as error:  # noqa: BLE001 - the author's function, or what a person says
            dispatcher.finish(emitter.dead(delivery, error), delivery, DeadLetter(error))

    def _claim(self, delivery: Delivery) -> None:
        """R13: transaction 1. The call is made only right after its commit, under the same assignment."""
        dispatcher = self._dispatcher
        claimed = self._changed(delivery, claim=dispatcher.nonce, unknown=None, due=None)
        loop = asyncio.get_running_loop()  # its own time, which no test turns, is what a claim's age is measured by
        begun = loop.time()
        dispatcher.active += 1

        def call_if_in_time() -> None:
            dispatcher.active -= 1
            if loop.time() - begun < self._step.settings.session / 3:
                dispatcher.start(delivery)
                return
            # The commit took so long that somebody may own the partition by now: give the claim back, try again.
            assert delivery.mailbox is not None
            delivery.mailbox.calling.discard(delivery.entry)
            dispatcher.committer.add(Finished(changes=[self._changed(delivery, claim=None)]))

        dispatcher.committer.add(Finished(changes=[claimed], then=call_if_in_time, holds=True))

    def _declared(self, name: str, data: Any) -> Event | None:
        if not name:
            return None
        events = [event for term in self._step.handler.signature.returns for event in term.events]
        for event in events:
            if name in (event.__name__, event.spec.type):
                return event.model_validate(data)
        raise WrongReturn(f"{self._step.name} never returns {name}")

    # -- park

    def park(self, delivery: Delivery, outcome: RetryAt) -> Finished:
        """Step 6, a long wait: keep the delivery whole, with a timer, and free the slot."""
        due = self._step.clock.now() + outcome.wait
        waits: dict[str, Any] = {"attempt": delivery.attempt + 1, "due": due, "error": brief(outcome.error)}
        if delivery.mailbox is not None:
            waits |= {"claim": None, "newer_until": None, "known_until": None, "frozen": list(delivery.frozen)}
            return Finished(changes=[self._changed(delivery, **waits)])
        assert delivery.record is not None
        entry = keep(delivery.record, kind="item", id=delivery.id, run=delivery.run, **waits)
        return self._dispatcher.intake.posted(entry, delivery.offset)

    def unknown(self, delivery: Delivery, error: BaseException) -> Finished:
        """R13: nobody knows whether the effect happened; it waits for a person and still owes its slots."""
        why = brief(error)
        return Finished(changes=[self._changed(delivery, unknown=why, claim=None, frozen=list(delivery.frozen))])

    def _changed(self, delivery: Delivery, **meta: Any) -> Change:
        """The delivery's entry with other meta; None removes a field."""
        mailbox = delivery.mailbox
        assert mailbox is not None
        if delivery.is_join:
            join = mailbox.joins[delivery.entry]
            merged = {"kind": "call", **(join.call or {}), **meta}
            key, headers, value = f"{JOIN}{delivery.entry}/#call", {}, b""
        else:
            entry = decode_entry(mailbox.items[delivery.entry])
            merged = {**entry.meta, **meta}
            merged.pop("frozen", None)
            key, headers, value = ITEM + delivery.entry, dict(entry.headers), entry.value
        kept_meta = {name: field for name, field in merged.items() if field is not None}
        return self._dispatcher.intake.emitter.change(delivery, key, Entry(kept_meta, headers, value))
