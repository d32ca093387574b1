"""Two people who decide one gate at once, each by the command line: each is told whose decision counts."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.cli.shell import Said, Shell

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.gate import decision, signed
from stepwire.state import Entry
from stepwire_handlers.services.known import _shard
from stepwire_handlers.services.snapshot import COPY

Before = Callable[..., None]


def waiting(shell: Shell, *publish: str) -> tuple[str, str]:
    """Something that waits for a person; its run and its id."""
    run = shell("publish", *publish).out.strip()
    shell.work()
    (found,) = shell("gates", "list", "--json").data
    return run, found["id"]


def word(id_: str, approved: bool = True, by: str = "ann", key: str = "") -> Entry:
    return decision(id_, approved=approved, by=by, sent=1.0, key=key)


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Before:
    """Something is written to the control topic right before what a command writes, as from another machine."""
    publish = LocalBus.publish

    def let(entry: Entry, handler: str = "approve") -> None:
        first = [Out(f"market.{handler}.control", entry.meta["id"], {}, entry.encode())]

        async def both(self: LocalBus, outputs: Sequence[Out]) -> Any:
            while first:
                await publish(self, [first.pop()])
            return await publish(self, outputs)

        monkeypatch.setattr(LocalBus, "publish", both)

    return let


def test_people_on_one_file_take_turns(shell: Shell) -> None:
    """Whoever comes second finds that it does not wait any more, and writes nothing."""
    run, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    told: list[Said] = []
    with (shell.path.parent / f"{shell.path.name}.locks" / f"publish.{_shard(id_)}").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # somebody decides just now
        second = threading.Thread(target=lambda: told.append(shell("gates", "decide", id_, "--decline", code=1)))
        second.start()
        second.join(1.0)
        assert not told
        _write(shell, word(id_))
    second.join(20.0)
    (said,) = told
    assert "decided or expired?" in said.err and said.out == ""
    shell.work()
    assert shell.seen(run)["result"] == {"type": "Done", "n": 500}
    assert "decline" not in str(shell.seen(run))


def _write(shell: Shell, entry: Entry) -> None:
    import asyncio

    async def write() -> None:
        bus = LocalBus(str(shell.path))
        await bus.open()
        await bus.publish([Out("market.approve.control", entry.meta["id"], {}, entry.encode())])
        await bus.close()

    asyncio.run(write())


def test_who_is_overtaken_from_elsewhere_is_told_by_whom(shell: Shell, before: Before) -> None:
    """What lies first on the control topic counts, whether a worker has carried it out or not."""
    run, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    before(word(id_, by="ann"))
    said = shell("gates", "decide", id_[:8], "--decline", code=1)
    assert said.out == ""
    assert said.err == f"ann decided {id_[:12]} a moment before: approved. Yours does not count\n"
    shell.work()
    assert shell.seen(run)["result"] == {"type": "Done", "n": 500}


def test_an_unknown_outcome_may_be_overtaken_too(shell: Shell, before: Before) -> None:
    """By another word about the same attempt."""
    _, id_ = waiting(shell, "Charge", "--json-data", '{"amount": 7}')
    meta = {"kind": "resolve", "id": id_, "verdict": "drop", "by": "ann", "type": "", "of": "0.0"}
    before(signed(meta, b"null", ""), "charge")
    said = shell("gates", "decide", id_, "--redo", code=1)
    assert f"ann decided {id_[:12]} a moment before: give it up" in said.err


@pytest.mark.parametrize("key", ["", "guessed"])
def test_what_no_worker_takes_overtakes_nobody(
    shell: Shell, before: Before, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """A decision without the signature that is asked for, about another gate, or that is none."""
    _, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", "hunter2")
    before(word(id_, key=key))
    assert shell("gates", "decide", id_, "--decline").out.startswith("decided")


@pytest.mark.parametrize(("other", "less"), [(True, ()), (False, ("approved",)), (False, ("by",))])
def test_another_gate_s_decision_overtakes_nobody(
    shell: Shell, before: Before, other: bool, less: tuple[str, ...]
) -> None:
    """Nor does a record that lacks what a decision needs."""
    _, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    entry = word("another" if other else id_)
    before(Entry({name: value for name, value in entry.meta.items() if name not in less}))
    assert shell("gates", "decide", id_, "--decline").out.startswith("decided")


def test_what_is_not_known_is_not_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Kafka, where workers may have carried out and cleared what lay on the topic before anybody could look."""
    _, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    publish = LocalBus.publish

    async def cleared(self: LocalBus, outputs: Sequence[Out]) -> Any:
        places = await publish(self, outputs)
        place, offset = places[0]
        self.store.begin()
        self.store.group(COPY)  # as in the file that follows Kafka
        self.store.delete_before(self.log.topics[place.topic][0], place.number, offset + 1)
        self.store.commit()
        self.log.refresh()
        return places

    monkeypatch.setattr(LocalBus, "publish", cleared)
    said = shell("gates", "decide", id_, "--approve")
    assert said.out == f"sent {id_[:12]} of approve: approved\n"
    assert "is not known" in said.err
