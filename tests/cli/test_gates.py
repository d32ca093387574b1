"""`stepwire gates`: what waits for a person, and their decision."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from tests.cli.shell import Shell

from stepwire import App, Event, Sensitive, SettingsError, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.services.gates import Gates, Waiting, _merged
from stepwire_handlers.services.runs import Runs


def waiting(shell: Shell, *publish: str) -> tuple[str, str]:
    """Publish something that comes to wait for a person; the run and the id of what waits."""
    run = shell("publish", *publish).out.strip()
    shell.work()
    (found,) = shell("gates", "list", "--json", schema="gates-list").data
    assert found["run"] == run
    return run, found["id"]


def test_a_gate_is_listed_shown_and_decided(shell: Shell) -> None:
    """A short id is enough; the edit reaches the step; what is decided is asked no more, by nobody."""
    run, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    shown = shell("gates", "show", id_[:6], "--json", schema="gates-show").data
    assert (shown["kind"], shown["handler"], shown["event"]["n"]) == ("gate", "approve", 500)
    assert shown["until"] - shown["since"] == pytest.approx(7 * 86_400, abs=5)
    assert "event: Big" in shell("gates", "show", id_[:6]).out
    said = shell("gates", "decide", id_[:6], "--approve", "--edit", '{"n": 60}', "--by", "ann", "--why", "fair")
    assert said.out == f"decided {id_[:12]} of approve: approved, edited\n"
    assert shell("gates", "list", "--json").data == []  # no worker has carried it out yet
    assert shell.seen(run)["state"] == "running"
    assert "decided or expired?" in shell("gates", "decide", id_[:6], "--decline", code=1).err
    shell.work()
    assert shell.seen(run)["result"] == {"type": "Done", "n": 60}


def test_a_list_says_what_is_asked_about(shell: Shell) -> None:
    """The event's short values, so that nobody opens each to find theirs; never what is sensitive."""
    waiting(shell, "Order", "--json-data", '{"n": 500, "card": "4111 1111"}')
    (line,) = [line for line in shell("gates", "list").out.splitlines() if "approve" in line]
    assert line.split()[-1] == "n=500"
    assert "4111" not in line and "***" not in line


def test_a_declined_gate_ends_the_run_without_a_result(shell: Shell) -> None:
    """Completed, result null."""
    run, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    said = shell("gates", "decide", id_, "--decline", "--why", "too much")
    assert said.out.endswith("of approve: declined\n")
    shell.work()
    assert (shell.seen(run)["state"], shell.seen(run)["result"]) == ("completed", None)


def test_a_decision_is_signed_with_the_configured_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with the key takes it."""
    from stepwire.gate import is_genuine
    from stepwire.state import decode_entry

    _, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", "hunter2")
    shell("gates", "decide", id_, "--approve")
    database = sqlite3.connect(shell.path)
    (raw,) = database.execute("SELECT value FROM events WHERE key = ?", (id_,)).fetchone()
    database.close()
    assert is_genuine(decode_entry(raw), "hunter2")
    assert not is_genuine(decode_entry(raw), "guessed")


@pytest.mark.parametrize(
    ("options", "verdict", "emitted"),
    [
        (["--done", '{"amount": 7}'], "done", ["Charged"]),
        (["--done", '{"reason": "no money"}', "--type", "Refused"], "done", ["Refused"]),
        (["--done", "null"], "done", []),
        (["--drop"], "drop", []),
    ],
)
def test_an_unknown_outcome_is_resolved(shell: Shell, options: list[str], verdict: str, emitted: list[str]) -> None:
    """What it returned, nothing, or given up: the run goes on as if the step had said so; the step is not called."""
    run, id_ = waiting(shell, "Charge", "--json-data", '{"amount": 7}')
    assert "RuntimeError: the line went dead" in shell("gates", "show", id_[:6]).out
    said = shell("gates", "decide", id_[:6], *options, "--by", "ann", "--why", "the bank says so")
    assert said.out.endswith(f"of charge: {verdict}\n")
    assert shell("gates", "list", "--json").data == []
    shell.work()
    assert shell.seen(run)["state"] == "completed"
    (told,) = [each for step in shell.seen(run)["steps"] for each in step["said"]]
    assert (told["decision"], told["by"], told["why"]) == (verdict, "ann", "the bank says so")
    assert [event["type"] for event in shell.seen(run)["events"][1:]] == emitted


class Spelled(Event, topic="spelled", entry=True):
    n: int


class Card(Event, topic="card"):
    number: Annotated[str, Sensitive()]


class Limit(Event, topic="limit"):
    cents: int


@handler()
async def spell(asked: Spelled) -> tuple[Card, Limit]:
    return Card(number="4111-1111"), Limit(cents=asked.n)


@handler(effect="once")
async def pay(card: Card, limit: Limit) -> None:
    raise RuntimeError("the line went dead")


async def test_a_remark_about_an_unknown_outcome_is_kept_without_what_is_sensitive(tmp_path: Path) -> None:
    """Of all that the step was called with, a merge's parts too; who looks at the run reads who said it and why."""
    app, bus = App("pays", [spell, pay]), LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    await bus.publish([app.record(Spelled(n=1), now=0.0)[0]])
    await worker.settle()
    (unknown,) = Gates(app, bus).open()
    await Gates(app, bus).resolve(unknown, "drop", by="ann", why="no charge for 4111-1111 there", key="")
    await worker.settle()
    (said,) = Runs(app, bus).view(unknown.run).said
    assert (said.decision, said.by, said.why) == ("drop", "ann", "no charge for *** there")
    await worker.stop()
    await bus.close()


@pytest.mark.parametrize("config", [{"serialize_by_alias": True}, {"serialize_by_alias": True, "extra": "forbid"}, {}])
def test_an_edit_of_a_field_with_an_alias_is_the_edit(config: dict[str, Any]) -> None:
    """However its author writes it down: what lay under the alias is not taken for the edit."""

    class Aliased(Event, topic="aliased"):
        model_config = ConfigDict(**config)  # type: ignore[typeddict-item]
        total: int = Field(alias="theTotal")
        other: int = Field(1, alias="theOther")

    merged = Aliased.model_validate(_merged(Aliased(theTotal=80), {"total": 90}))
    assert (merged.total, merged.other) == (90, 1)


def test_nobody_approves_what_they_cannot_see(shell: Shell) -> None:
    """The event of a gate that only a newer release can read is shown as none; it can be declined."""
    _, id_ = waiting(shell, "Order", "--json-data", '{"n": 500}')
    database = sqlite3.connect(shell.path)
    database.execute("UPDATE state SET value = CAST(replace(value, 'market.big.Big.v1', 'market.big.Big.v2') AS BLOB)")
    database.commit()
    database.close()
    assert shell("gates", "show", id_, "--json").data["event"] is None
    told = "this release cannot read its event; approve it with the release that wrote it, or decline it"
    assert [each["why"] for each in shell("gates", "list", "--json").data] == [told]
    said = shell("gates", "show", id_).out
    assert told in said and "NoneType" not in said and "null" not in said
    assert "cannot be read by this release" in shell("gates", "decide", id_, "--approve", code=2).err
    shell("gates", "decide", id_, "--decline")


def test_redo_calls_it_again(shell: Shell) -> None:
    """The step is called once more, and here fails once more."""
    _, id_ = waiting(shell, "Charge", "--json-data", '{"amount": 7}')
    shell("gates", "decide", id_, "--redo")
    shell.work()
    (again,) = shell("gates", "list", "--json").data
    assert again["id"] == id_


@pytest.mark.parametrize(
    ("order", "options", "code", "says"),
    [
        (True, [], 2, "exactly one"),
        (True, ["--approve", "--decline"], 2, "exactly one"),
        (True, ["--drop", "--edit", "{}"], 2, "--edit goes with"),
        (True, ["--approve", "--edit", "{"], 2, "--edit is no JSON"),
        (True, ["--approve", "--edit", '{"m": 1}'], 2, "Big has no field m"),
        (True, ["--approve", "--edit", '{"n": "x"}'], 2, "the edit is no Big: n:"),
        (True, ["--redo"], 2, "is a gate"),
        (False, ["--approve"], 2, "unknown outcome"),
        (False, ["--done", "{"], 2, "--done is no JSON"),
        (False, ["--done", '{"amount": 7, "zzz": 1}'], 2, "Charged has no field zzz; it has amount"),
        (False, ["--done", '{"amount": "x"}'], 2, "returns Charged, Refused"),
        (False, ["--done", '{"amount": 1}', "--type", "Done"], 2, "returns Charged, Refused"),
        (False, ["--done", '{"amount": 1, "reason": "x"}'], 2, "say which with --type"),
    ],
)
def test_a_mistake_decides_nothing(shell: Shell, order: bool, options: list[str], code: int, says: str) -> None:
    """One message with the cure, and it still waits."""
    event = ("Order", "--json-data", '{"n": 500}') if order else ("Charge", "--json-data", '{"amount": 7}')
    _, id_ = waiting(shell, *event)
    assert says in shell("gates", "decide", id_, *options, code=code).err
    assert len(shell("gates", "list", "--json").data) == 1


def test_an_empty_id_decides_nothing(shell: Shell) -> None:
    """A shell's variable that was never set does not approve the one thing that waits."""
    waiting(shell, "Order", "--json-data", '{"n": 500}')
    assert "the id is empty" in shell("gates", "decide", "", "--approve", code=2).err
    assert len(shell("gates", "list", "--json").data) == 1


def test_an_edit_takes_nested_fields_whole() -> None:
    """One that gives a part of them is refused, and says so; nothing is merged behind anybody's back."""

    class Bill(BaseModel):
        vendor: str
        total: int

    class Asked(Event, topic="gates.asked"):
        bill: Bill
        n: int

    event = Asked(bill=Bill(vendor="ACME", total=5), n=1)
    waiting = Waiting("a", "approve", "gate", "r", 0.0, None, event)
    with pytest.raises(SettingsError, match=r"bill.vendor: Field required; what is nested is given whole"):
        Gates._edited(waiting, {"bill": {"total": 6}})
    with pytest.raises(SettingsError) as flat:
        Gates._edited(waiting, {"n": "x"})
    assert "nested" not in str(flat.value)
    edited = Gates._edited(waiting, {"bill": {"vendor": "ACME", "total": 6}})
    assert edited == Asked(bill=Bill(vendor="ACME", total=6), n=1)
