"""What is easily broken without anybody noticing (DESIGN §11), as small changes of the kernel, each with the tests that notice."""

from __future__ import annotations

from typing import NamedTuple

EXITS = "tests/properties/test_exits.py::"
RESTARTS = "tests/properties/test_restarts.py::"


class Mutation(NamedTuple):
    """One change of one kernel file; under it every case of each named test must fail."""

    what: str
    file: str
    old: str  #: occurs exactly once
    new: str
    tests: tuple[str, ...]


ABORT = (
    Mutation(
        "after a confirmed abort everything is dropped, as after an unknown outcome",
        "dispatch/commit.py",
        "                await asyncio.sleep(pause)\n",
        "                raise OutcomeUnknown(str(error)) from error\n",
        (RESTARTS + "test_an_abort_without_a_rebalance_calls_no_neighbour_again",),
    ),
    Mutation(
        "what one refused record spoils is dead-lettered with it",
        "dispatch/commit.py",
        "        if len(batch) == 1:\n            self._culprit(batch[0], error)\n            return\n",
        "        for finished in batch:\n            self._culprit(finished, error)\n        return\n",
        (RESTARTS + "test_an_output_that_cannot_be_written_harms_no_neighbour",),
    ),
    Mutation(
        "a call's changes undo what a message wrote meanwhile",
        "dispatch/commit.py",
        "                if change.key not in fresh:",
        "                if change.key:",
        ("tests/properties/test_meanwhile.py::test_a_part_that_comes_while_the_join_closes_is_not_undone",),
    ),
    Mutation(
        "what reached a join while its close was on its way stays in memory",
        "dispatch/commit.py",
        "        if finished.closes and fresh:\n",
        "        if False:\n",
        ("tests/properties/test_meanwhile.py::test_a_decision_that_comes_while_its_gate_closes_is_not_kept",),
    ),
    Mutation(
        "R10: a transaction with state and no records carries no progress",
        "dispatch/commit.py",
        "                done.setdefault(Partition(self._step.control, change.partition), [])\n",
        "                pass\n",
        (RESTARTS + "test_whatever_is_stored_carries_progress",),
    ),
)

UNUSUAL = (
    Mutation("an event that nobody can read blocks nobody", "dispatch/emit.py",
        "        elif not self.step.is_join and delivery.run:\n", "        elif False:\n", (EXITS + "test_undecodable",)),
    Mutation("a part that nobody can read blocks nobody", "dispatch/emit.py",
        "        if slot is not None:\n            self._settle(delivery, [slot], delivery.scope, \"blocked\", outputs)\n",
        "        if slot is not None:\n            pass\n", (EXITS + "test_undecodable_part",)),
    Mutation("a part that nobody can read, dropped, is settled nowhere", "dispatch/intake.py",
        "                outputs.append(Out(self.step.control, str(address[\"id\"]), {}, gone.encode()))\n", "",
        (EXITS + "test_undecodable_part",)),
    Mutation("an event that nobody can read, dropped, comes again", "dispatch/pump.py",
        "            if meta.get(\"drop\"):\n                self._settled(unread, \"dropped\")\n            else:\n                intake",
        "            if True:\n                intake", (EXITS + "test_undecodable",)),
    Mutation("a call that is cut off settles what it owes at once", "dispatch/loop.py",
        "            else:\n                finished = emitter.dead(delivery, outcome.error)\n",
        "            elif type(outcome.error).__name__ == 'HandlerTimeout':\n                finished = emitter.settled(delivery, 'dropped')\n"
        "            else:\n                finished = emitter.dead(delivery, outcome.error)\n", (EXITS + "test_timeout",)),
    Mutation("a dead letter blocks nobody", "dispatch/emit.py",
        "        self._settle(delivery, owed, self._base(delivery), \"blocked\", outputs)\n        finished",
        "        finished", tuple(EXITS + t for t in ("test_rejected_and_dropped", "test_timeout", "test_too_many_outputs", "test_visit_limit", "test_crash_loop"))),
    Mutation("a dead letter settles what it owes as absent", "dispatch/emit.py",
        "        self._settle(delivery, owed, self._base(delivery), \"blocked\", outputs)\n        finished",
        "        self._settle(delivery, owed, self._base(delivery), \"absent\", outputs)\n        finished",
        (EXITS + "test_rejected_and_dropped", EXITS + "test_timeout", EXITS + "test_too_many_outputs", EXITS + "test_visit_limit")),
    Mutation("a delivery at its visit limit ends in silence", "dispatch/pump.py",
        "            dispatcher.finish(dispatcher.intake.emitter.dead(delivery, error), delivery, DeadLetter(error))\n            return True\n        try:",
        "            dispatcher.committer.conclude(Finished(done=[delivery.offset], delivery=delivery))\n            return True\n        try:",
        (EXITS + "test_visit_limit",)),
    Mutation("a result beyond the limit ends in silence", "dispatch/loop.py",
        "            outcome = DeadLetter(error)\n            finished = emitter.dead(delivery, error)\n",
        "            outcome = DeadLetter(error)\n            finished = Finished(done=[delivery.offset])\n",
        (EXITS + "test_too_many_outputs",)),
    Mutation("a delivery that kills its workers ends in silence", "dispatch/loop.py",
        "            self.finish(self.intake.emitter.dead(delivery, error), delivery, DeadLetter(error))\n            return\n        mark",
        "            self.finish(Finished(done=[delivery.offset]), delivery, DeadLetter(error))\n            return\n        mark",
        (EXITS + "test_crash_loop",)),
    Mutation("what is dropped, retired or absent settles nothing", "dispatch/emit.py",
        "        joins = self._settle(delivery, self.step.wiring.owes(self.step.name), self._base(delivery), \"absent\", outputs)\n",
        "        joins: list[str] = []\n",
        tuple(EXITS + t for t in ("test_undecodable", "test_rejected_and_dropped", "test_too_many_outputs", "test_timeout", "test_visit_limit", "test_crash_loop", "test_dropped_after_a_replay", "test_retired", "test_retired_with_a_dead_letter_left"))),
    Mutation("a retired step settles nothing", "dispatch/pump.py",
        "        if options.retired:\n            self._settled(delivery, \"retired\")\n",
        "        if options.retired:\n            dispatcher.active += 1\n            dispatcher.committer.conclude(Finished(done=[delivery.offset] if delivery.offset else [], delivery=delivery))\n",
        (EXITS + "test_retired",)),
    Mutation("a dropped unknown outcome settles nothing", "dispatch/pump.py",
        "        if meta.get(\"drop\") or meta.get(\"resolved\") == \"drop\":\n            self._settled(delivery, \"dropped\")\n",
        "        if meta.get(\"drop\"):\n            self._settled(delivery, \"dropped\")\n        elif meta.get(\"resolved\") == \"drop\":\n            dispatcher = self._dispatcher\n            dispatcher.active += 1\n            dispatcher.committer.conclude(Finished(changes=[intake.emitter.change(delivery, ITEM + id_, None)], delivery=delivery))\n",
        (EXITS + "test_decided_unknown[drop-merge]",)),
    Mutation("done without an event settles nothing", "dispatch/emit.py",
        "        if settled:\n            joins +=", "        if settled and value is not None:\n            joins +=",
        (EXITS + "test_decided_unknown[done with nothing-merge]",)),
    Mutation("what is settled inside a loop is settled outside of it", "dispatch/emit.py",
        "        return delivery.scope.with_visit(self.step.name, delivery.visit) if delivery.visit else delivery.scope\n",
        "        return delivery.scope\n", (EXITS + "test_visit_limit",)),
    Mutation("an item's slot is settled in the first place of its list", "dispatch/emit.py",
        "            slot = str(index)\n", "            slot = \"0\"\n", (EXITS + "test_rejected_and_dropped",)),
)

GATES = (
    Mutation("nobody looks at what was restored", "dispatch/loop.py",
        "        self.pump.arrive({p.number for p in gained if p.topic == control})\n        self.pump.run()\n",
        "        self.pump.arrive({p.number for p in gained if p.topic == control})\n",
        (RESTARTS + "test_a_hundred_gates_that_fell_due_while_nobody_was_there",)),
    Mutation("joins that were restored are not looked at", "dispatch/loop.py",
        "        mailbox.restore_order()\n        self.committer", "        mailbox.restore_order()\n        mailbox.touched.clear()\n        self.committer",
        (RESTARTS + "test_a_hundred_gates_that_fell_due_while_nobody_was_there",)),
    Mutation("parked calls that were restored have no timer", "state.py",
        "        else:\n            self.remind(due, ITEM + id_)\n", "",
        (RESTARTS + "test_a_hundred_parked_calls_that_fell_due_while_nobody_was_there",)),
    Mutation("a deadline is reckoned from when the worker came back", "join.py",
        "    return join.opened + (", "    return (join.reminded or join.opened + 1e6) + (",
        (RESTARTS + "test_a_hundred_gates_that_fell_due_while_nobody_was_there",)),
)

KEYS = (
    Mutation("a join's key holds what it is called with", "dispatch/build.py",
        "            join.id, join.run, parse_scope(", "            f\"{join.id}-{len(slots)}\", join.run, parse_scope(",
        (RESTARTS + "test_a_join_has_one_key_whatever_it_is_called_with",)),
    Mutation("a join that was ready before the crash is not called after it", "dispatch/loop.py",
        "        mailbox.restore_order()\n        self.committer", "        mailbox.restore_order()\n        mailbox.touched.clear()\n        self.committer",
        (RESTARTS + "test_a_join_has_one_key_whatever_it_is_called_with",)),
)

BYTES = (
    Mutation("each part stores what came before it", "dispatch/mail.py",
        "        return Applied([self.put(mailbox, f\"{JOIN}{id_}/{slot}\", entry)])\n",
        "        have = '.' * len(join.slots) if join else ''\n        entry = Entry({**entry.meta, 'have': have}, entry.headers, entry.value)\n        return Applied([self.put(mailbox, f\"{JOIN}{id_}/{slot}\", entry)])\n",
        (RESTARTS + "test_a_gather_costs_in_proportion_to_its_items",)),
)

REPLAYS = (
    Mutation("any number of a replay is taken", "dispatch/mail.py",
        "        return bool(n <= verdict[\"n\"] or verdict[\"verdict\"] == \"dropped\")\n", "        return False\n",
        (RESTARTS + "test_the_same_replay_from_two_shells_with_a_kill_between", RESTARTS + "test_a_replay_after_a_drop_is_refused")),
    Mutation("the number of a replay is not stored", "dispatch/emit.py",
        "        if not delivery.replay:\n            return []\n", "        return []\n",
        (RESTARTS + "test_the_same_replay_from_two_shells_with_a_kill_between",)),
    Mutation("a replay is taken while the first one runs", "dispatch/mail.py",
        "        if id_ in mailbox.items:\n            return Applied([], \"refused\")\n", "",
        (RESTARTS + "test_the_same_replay_from_two_shells_with_a_kill_between",)),
    Mutation("the number of a replay is stored when it is taken, in memory alone", "dispatch/mail.py",
        "        item = Entry({**meta, \"kind\": \"item\"}, entry.headers, entry.value)\n",
        "        mailbox.verdicts[id_] = {'n': n, 'verdict': 'replayed', 'until': 1e12}\n        item = Entry({**meta, \"kind\": \"item\"}, entry.headers, entry.value)\n",
        (RESTARTS + "test_the_same_replay_from_two_shells_with_a_kill_between",)),
    Mutation("a dropped dead letter may be replayed", "dispatch/mail.py",
        "        return bool(n <= verdict[\"n\"] or verdict[\"verdict\"] == \"dropped\")\n", "        return bool(n <= verdict[\"n\"])\n",
        (RESTARTS + "test_a_replay_after_a_drop_is_refused",)),
)

TABLE = {
    "an abort without a rebalance": ABORT,
    "settlement on unusual exits": UNUSUAL,
    "a stopped worker with due gates": GATES,
    "one key per join": KEYS,
    "bytes of a gather": BYTES,
    "the same replay twice": REPLAYS,
}
