"""`stepwire groups` on a file: who has which progress, and a step that gets another name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.cli.shell import APP, Shell, until

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.worker import Worker


def work(shell: Shell, app: str, *loads: int) -> None:
    """A worker of one of the yard's apps, and loads that come while it runs, until nothing is left to do."""

    async def run() -> None:
        import yard  # type: ignore[import-not-found]

        bus = LocalBus(str(shell.path))
        await bus.open()
        worker = Worker(getattr(yard, app), bus)
        await worker.start()
        await bus.publish([yard.before.record(yard.Load(n=n), now=0.0)[0] for n in loads])
        await worker.settle()
        await worker.stop()
        await bus.close()

    asyncio.run(run())


def load(shell: Shell, n: int, app: str = "before", id_: str = "") -> None:
    """Publish one load."""
    options = ("--id", id_, "--source", "test") if id_ else ()
    shell("publish", "Load", "--app", f"yard:{app}", "--json-data", f'{{"n": {n}}}', *options)


def packed(shell: Shell) -> list[bytes]:
    """What came out."""

    async def read() -> list[bytes]:
        bus = LocalBus(str(shell.path))
        await bus.open()
        found = [record.value for record in await bus.read(Partition("yard.packed", 0), 0, 100)]
        await bus.close()
        return found

    return asyncio.run(read())


def groups(shell: Shell, app: str) -> dict[str, dict[str, Any]]:
    """The groups of an app by handler."""
    return {row["handler"]: row for row in shell("groups", "list", f"yard:{app}", "--json", schema="groups-list").data}


def test_a_renamed_step_goes_on_where_it_was(shell: Shell) -> None:
    """What was done is not done again, what was left is; what `dedupe=` has seen is still known; twice is once."""
    load(shell, 1, id_="one")
    work(shell, "before")
    load(shell, 2)
    assert groups(shell, "after")["pack"] == {
        "group": "yard.pack", "handler": "pack", "in_app": False, "members": [], "started": True, "behind": 1,
    }  # fmt: skip
    shell("topics", "apply", "yard:after")  # as a release does before anybody thinks of the old group
    assert "moved the progress of 1 partitions and 1 remembered events" in move(shell, 0).out
    assert "nothing was left to do" in move(shell, 0).out
    assert set(groups(shell, "after")) == {"wrap"}
    load(shell, 1, "after", id_="one")
    work(shell, "after")
    assert packed(shell) == [b'{"n":1}', b'{"n":2}']


def test_a_rollback_moves_it_back(shell: Shell) -> None:
    """With the release of the old name; what the new one did is not done again, what it left is."""
    load(shell, 1)
    work(shell, "before")
    move(shell, 0)
    load(shell, 2, "after")
    work(shell, "after")
    load(shell, 3, "after")
    shell("groups", "move", "wrap", "pack", "--app", "yard:before")
    work(shell, "before")
    assert packed(shell) == [b'{"n":1}', b'{"n":2}', b'{"n":3}']


def move(shell: Shell, code: int, app: str = "after") -> Any:
    return shell("groups", "move", "pack", "wrap", "--app", f"yard:{app}", code=code)


def test_a_kill_in_the_middle_leaves_nothing_half_done(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one transaction: cut off right before its end, the old group has all, and the same command moves it."""
    from stepwire.bus.sqlite import Store

    load(shell, 1)
    work(shell, "before")
    load(shell, 2)

    def cut_off(_: Store) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", cut_off)
        move(shell, 130)
    assert groups(shell, "after")["pack"]["behind"] == 1
    assert not groups(shell, "after")["wrap"]["started"]
    move(shell, 0)
    work(shell, "after")
    assert packed(shell) == [b'{"n":1}', b'{"n":2}']


def test_nothing_is_moved_while_a_worker_is_in_a_group(shell: Shell) -> None:
    """Another process that holds the group's lock is seen, by `list` and by `move`."""
    load(shell, 1)
    worker = shell.begin("run", "yard:before")
    until(lambda: packed_or_none(shell), "the load is packed")
    assert groups(shell, "before")["pack"]["members"] == ["a worker"]
    assert "a worker is in group yard.pack" in move(shell, 2).err
    worker.terminate()
    worker.wait(20)
    move(shell, 0)


def packed_or_none(shell: Shell) -> list[bytes]:
    return packed(shell) if shell.path.exists() else []


def test_a_step_that_has_worked_keeps_its_own_progress(shell: Shell) -> None:
    """Both names have done something: nobody can say what is done, so nothing is moved."""
    load(shell, 1)
    work(shell, "before")
    work(shell, "after", 2)
    assert "has already worked" in move(shell, 2).err
    assert groups(shell, "after")["pack"]["started"]


def test_what_is_kept_under_a_name_is_not_moved(shell: Shell) -> None:
    """An open gate and an open dead letter are refused with their number; once answered, nothing is in the way."""
    load(shell, 1, "gate_before")
    work(shell, "gate_before")
    assert "entries of joins" in move(shell, 2, "gate_after").err
    gate = shell("gates", "list", "--app", "yard:gate_before", "--json").data[0]["id"]
    shell("gates", "decide", gate, "--approve", "--app", "yard:gate_before")
    assert "1 control records" in move(shell, 2, "gate_after").err
    work(shell, "gate_before")
    assert packed(shell) == [b'{"n":1}']


def test_a_dead_letter_is_answered_before_the_move(shell: Shell) -> None:
    """Its delivery has the old name in it: nobody could replay it under the new one."""
    load(shell, 13)
    work(shell, "before")
    assert "1 open dead letters" in move(shell, 2).err
    letter = shell("dlq", "list", "--app", "yard:before", "--json").data[0]["id"]
    shell("dlq", "drop", letter, "--app", "yard:before")
    work(shell, "before")
    move(shell, 0)


def test_names_that_make_no_sense_are_refused(shell: Shell) -> None:
    """The new one must be a handler, the old one none, and there must have been such a group."""
    load(shell, 1)
    work(shell, "before")
    for old, new, app, said in (
        ("pack", "wrapp", "after", "has no handler wrapp, it has wrap"),
        ("pack", "pack", "before", "pack is still a handler"),
        ("pakc", "wrap", "after", "there is no group yard.pakc"),
    ):
        assert said in shell("groups", "move", old, new, "--app", f"yard:{app}", code=2).err
    assert set(groups(shell, "after")) == {"wrap", "pack"}


def test_looking_makes_no_file(shell: Shell) -> None:
    """Neither `list` nor `move` makes a bus of a wrong path."""
    shell("groups", "list", APP, code=2)
    move(shell, 2)
    assert not shell.path.exists()
