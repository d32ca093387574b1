"""What the command line says was decided, where workers take signed decisions only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.cli.shell import Shell, ended, until
from tests.door.forgery import forged

from stepwire.bus.local import LocalBus
from stepwire_handlers.services.signing import UNCHECKED, UNSIGNED, tell

KEY = "0123456789abcdef" * 2


async def _forge(shell: Shell, run: str, id_: str) -> None:
    from market import app  # type: ignore[import-not-found]  # as the commands import it

    bus = LocalBus(str(shell.path))
    await bus.open()
    await tell(bus, app, KEY)
    await bus.publish(forged("market", "approve", run, id_))
    await bus.close()


def test_a_forged_decision_is_a_claim(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """In lines and in JSON, with the workers' key and without; the true one counts where it can be checked."""
    run = shell.order(500)
    shell.work(KEY)
    (gate,) = shell("gates", "list", "--json").data
    asyncio.run(_forge(shell, run, gate["id"]))
    shell.work(KEY)
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", KEY)
    for _ in range(2):
        drawn = shell("runs", "show", run).out
        assert f"{UNSIGNED}: approved by key:boss" in drawn and "  approved by" not in drawn
        (step,) = [step for step in shell.seen(run)["steps"] if step["handler"] == "approve"]
        assert [(said["counts"], said["doubt"]) for said in step["said"]] == [(False, UNSIGNED)]
        monkeypatch.delenv("STEPWIRE_DECISION_KEY", raising=False)
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", KEY)
    shell("gates", "decide", gate["id"], "--decline", "--by", "ann")
    shell.work(KEY)
    drawn = shell("runs", "show", run).out
    assert "  declined by ann" in drawn and f"{UNSIGNED}: approved by key:boss" in drawn
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", "another")
    assert f"{UNCHECKED}: declined by ann" in shell("runs", "show", run).out
    assert f"{UNCHECKED}: declined by ann" in shell("runs", "watch", run).out


def test_a_short_key_is_told_off_where_it_is_used(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the door, by the doctor and by whoever decides at the bus; it is taken all the same."""
    shell.order(500)
    shell.work("short")
    (gate,) = shell("gates", "list", "--json").data
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", "short")
    assert "has 5 characters" in shell("gates", "decide", gate["id"], "--approve").err
    assert "has 5 characters" in shell("doctor", "market:app").out


async def _tell(shell: Shell, key: str) -> None:
    """As a worker does when it starts."""
    from market import app  # type: ignore[import-not-found]  # as the commands import it

    bus = LocalBus(str(shell.path))
    await bus.open()
    await tell(bus, app, key)
    await bus.close()


def doctor(shell: Shell, code: int = 0) -> str:
    """What the doctor says of decisions."""
    found = shell("doctor", "market:app", "--json", code=code, schema="doctor").data
    return next(f"{line['state']}: {line['found']} → {line['cure']}" for line in found if line["what"] == "decisions")


def test_the_doctor_says_what_workers_take(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed decisions only, though the key is not here, or another one; before any had a key, that nobody signs."""
    asyncio.run(_tell(shell, ""))
    assert "note: gates take decisions that nobody signed" in doctor(shell)
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", KEY)
    assert doctor(shell).startswith("ok: with the key that is here gates take signed decisions only")
    asyncio.run(_tell(shell, KEY))
    assert doctor(shell).startswith("ok: gates take signed decisions only")
    monkeypatch.setenv("STEPWIRE_DECISION_KEY", KEY[::-1])
    assert "signed decisions only, and STEPWIRE_DECISION_KEY here is another key than theirs: what" in doctor(shell)
    monkeypatch.delenv("STEPWIRE_DECISION_KEY")
    said = doctor(shell)
    assert "note: the workers of market take signed decisions only, and there is no STEPWIRE_DECISION_KEY" in said
    assert "give theirs here too: STEPWIRE_DECISION_KEY_FILE" in said


def test_a_worker_tells_others_on_its_file_what_it_takes(shell: Shell) -> None:
    """From its start on: whoever has no key is refused before anything is written; a short key is complained of."""
    run = shell.order(500)
    shell.work(KEY)
    (gate,) = shell("gates", "list", "--json").data
    worker = shell.begin("run", "market:app", STEPWIRE_DECISION_KEY="short")
    until((Path(f"{shell.path}.locks") / "signed.market").exists, "the worker says what it takes")
    said = shell("gates", "decide", gate["id"], "--approve", code=2).err
    assert "the workers of market take signed decisions only, and there is no STEPWIRE_DECISION_KEY here" in said
    assert [step["said"] for step in shell.seen(run)["steps"] if step["handler"] == "approve"] == [[]]
    worker.terminate()
    assert "has 5 characters" in ended(worker).err
