"""Tables and facts of the command itself."""

from __future__ import annotations

import pytest
from tests.cli.shell import Shell

from stepwire_handlers.cli import output

COLUMNS = ("id", "handler", "run", "status", "error", "message", "since")
ROW = ("68ebee9b8192", "read", "68ebee9b", "open", "Reject", "the PDF is encrypted: ask the sender", "05:05:33")


def test_a_narrow_terminal_keeps_ids_whole_and_prose_readable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 60 columns the id is there to be copied, and the message takes a few lines, not one for each word."""
    monkeypatch.setattr(output, "WIDE", 0)
    monkeypatch.setenv("COLUMNS", "60")
    output.table("dead letters", COLUMNS, [ROW])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 6
    assert any(line.startswith(ROW[0]) for line in lines)


def test_the_release_is_said(shell: Shell) -> None:
    """Whoever reports a fault can say of which release."""
    assert shell("--version").out.startswith("stepwire ")


def test_a_mistake_in_the_author_s_module_is_placed_in_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where ours or pydantic noticed it."""
    lines = (
        "from stepwire import Event",
        'class Paid(Event, topic="paid"):',
        "    n: int",
        "@Paid.upcast(3)",
        "def up(d): ...",
    )
    (shell.folder / "mistaken.py").write_text("\n".join(lines))
    monkeypatch.chdir(shell.folder)
    said = shell("graph", "mistaken:app", code=2).err
    assert "mistaken.py, line 4: TypeError: Paid.upcast(3)" in said


def test_a_field_whose_type_is_nowhere_is_a_mistake(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything runs, in a line."""
    lines = (
        "from stepwire import App, Event, handler", 'class Odd(Event, topic="odd"):', '    f: "Undefined"',
        "@handler()", "async def take(odd: Odd) -> None: ...", 'app = App("odd", [take])',
    )  # fmt: skip
    (shell.folder / "oddly.py").write_text("\n".join(lines))
    monkeypatch.chdir(shell.folder)
    assert (
        "the fields of Odd cannot be read: name 'Undefined' is not defined" in shell("graph", "oddly:app", code=2).err
    )
