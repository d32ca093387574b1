"""What came of it: the table at the end, and the commands that go on from there."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stepwire import Event
from stepwire_handlers.configuration import load
from stepwire_handlers.services.runs import RunView


def report(flow: str, folder: Path, bus: str | None, views: dict[str, RunView]) -> None:
    """Print the table on stdout, what waits or failed below it; `bus` is None if nobody can go on there."""
    columns = ("file", "vendor", "number", "total", "account manager", "draft", "state")
    drawn = Table(
        *(columns if flow == "invoices" else ("input", "result", "steps", "state")), title=f"{flow}, {len(views)} runs"
    )
    for name, view in views.items():
        drawn.add_row(*(_invoice(name, view) if flow == "invoices" else _other(name, view)))
    console = Console()
    if not console.is_terminal:
        console.width = 180
    console.print(drawn)
    if flow == "invoices":
        console.print(f"drafts: {folder / 'drafts'}    messages: {folder / 'slack'}    log: {folder / 'worker.log'}")
    if bus is not None:
        _commands(console, flow, bus, views)
    elif waiting := [name for name, view in views.items() if view.gates or view.dead]:
        console.print(
            f"{len(waiting)} wait for you or could not be read. This broker ends with this command, and they with it; "
            f"to go on with them, use a broker of your own: {program()} demo {flow} --bus kafka://HOST:PORT",
            soft_wrap=True,
        )


def _commands(console: Console, flow: str, bus: str, views: dict[str, RunView]) -> None:
    """With which a person goes on."""
    prefix = load().prefix
    stepwire = f"STEPWIRE_PREFIX={shlex.quote(prefix)} {program()}" if prefix else program()
    target = f"--app stepwire_handlers.flows.{flow}:app --bus {shlex.quote(bus)}"
    for name, view in views.items():
        for waiting in view.gates:
            console.print(
                f"waits for you, {name}: {stepwire} gates decide {waiting.id[:12]} --approve {target}", soft_wrap=True
            )
        for letter in view.dead:
            console.print(f"dead letter, {name}: {stepwire} dlq show {letter.id[:12]} {target}", soft_wrap=True)
    if any(view.gates for view in views.values()):
        console.print("A decision is carried out by the next worker: run the demo again.")


def program() -> str:
    """The command as it can be typed in another shell; its environment may be active in this one only."""
    return "stepwire" if shutil.which("stepwire") else shlex.quote(os.path.relpath(sys.argv[0]))


def _invoice(name: str, view: RunView) -> tuple[str, ...]:
    facts: dict[str, Any] = {}
    for line in view.lines:
        invoice = getattr(line.event, "invoice", None)
        if invoice is not None:
            facts |= {
                "vendor": invoice.vendor,
                "number": invoice.number,
                "total": f"{invoice.total} {invoice.currency}",
            }
        customer = getattr(line.event, "customer", None)
        if customer is not None:
            facts["manager"] = customer.account_manager
    result = view.result
    draft = getattr(result, "draft", "")
    state = getattr(result, "reason", "") or (_why(view) if view.state != "completed" else "done")
    return name, *(str(facts.get(key, "")) for key in ("vendor", "number", "total", "manager")), str(draft), state


def _why(view: RunView) -> str:
    if view.gates:
        return f"waits for a person ({view.gates[0].handler})"
    return f"dead letter: {view.dead[0].message}" if view.dead else view.state


def _other(name: str, view: RunView) -> tuple[str, ...]:
    result = view.result
    steps = " → ".join(line.handler for line in view.lines if line.handler)
    return name, _shown(result) if result is not None else "", steps, view.state if result is not None else _why(view)


def brief(text: str, most: int) -> str:
    """So many characters of a text at most, on one line; what is left out shows."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _shown(event: Event) -> str:
    fields = [f"{name}: {brief(str(value), 160)}" for name, value in event if value]
    return f"{type(event).__name__}\n" + "\n".join(fields)
