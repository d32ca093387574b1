"""The steps of a worker as they happen, one line each, on a terminal.

In: the worker's log lines, JSON; what is none (a traceback, a print) is shown as it came. Out: lines of time, run,
step, outcome and how long it took, with what a model call cost.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from stepwire_handlers.harmless import harmless
from stepwire_handlers.services.watching import STANDS_BY

ALARM = "bold black on yellow"
STYLES = {"ok": "green", "retry": "yellow", "dead_letter": "bold red", "unknown": "bold magenta"}
COLOURS = ("cyan", "blue", "magenta", "yellow", "green", "bright_cyan", "bright_blue", "bright_magenta")
KNOWN = frozenset({"event", "level", "time", "run", "handler", "key"})


class Timeline:
    """Shows lines. Each run has a colour of its own."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, soft_wrap=True, highlight=False)

    def say(self, message: str) -> None:
        """Something about the worker."""
        self._console.print(Text(f"• {message}", style="dim"))

    def alarm(self, message: str) -> None:
        """Something that must not be missed."""
        self._console.print(Text(f" !! {message} ", style=ALARM))

    def line(self, line: str) -> None:
        """A line of the worker."""
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or "event" not in found:
            self._console.print(Text(line))
        elif STANDS_BY in str(found["event"]):
            self.alarm(harmless(str(found["event"])))
        elif "outcome" in found:
            self._told(_step(found))
        else:
            self._told(_remark(found))

    def _told(self, text: Text) -> None:
        text.plain = harmless(text.plain)
        self._console.print(text)


def _step(line: Mapping[str, Any]) -> Text:
    outcome = str(line["outcome"])
    attempt = f" attempt {line['attempt']}" if line.get("attempt", 1) != 1 else ""
    text = _begin(line)
    text.append(f"{line['event']:<28} ")
    text.append(f"{outcome}{attempt}", style=STYLES.get(outcome, ""))
    text.append(f"  {line['seconds']:.3f} s", style="dim")
    for call in line.get("model", ()):
        text.append(f"  {_model(call)}", style="dim")
    for call in line.get("tool", ()):
        text.append(f"  {call.get('tool', '')}: {call.get('outcome', '')}", style="dim")
    if line.get("error"):
        again = f", again in {line['retry_in']:g} s" if line.get("retry_in") else ""
        text.append(f"\n          {line['error']}: {line.get('message', '')}{again}", style="red")
    return text


def _model(call: Mapping[str, Any]) -> str:
    tokens = f"{call.get('input_tokens', 0)}→{call.get('output_tokens', 0)} tokens"
    cost = f", ${call['cost_usd']:.4f}" if call.get("cost_usd") else ""
    return f"{call.get('model', '')}: {tokens}{cost}"


def _remark(line: Mapping[str, Any]) -> Text:
    """What a step, or the worker, said itself."""
    text = _begin(line)
    text.append(f"{line.get('handler', line.get('level', ''))}: {line['event']}")
    for name, value in line.items():
        if name not in KNOWN:
            text.append(f"\n          {name}: {value}" if "\n" in str(value) else f"  {name}={value}", style="dim")
    return text


def _begin(line: Mapping[str, Any]) -> Text:
    run = str(line.get("run", ""))
    text = Text(f"{_clock(line)} ", style="dim")
    return text.append(f"{run[:8]:<8}  ", style=COLOURS[sum(run.encode()) % len(COLOURS)])


def _clock(line: Mapping[str, Any]) -> str:
    try:
        return f"{datetime.fromisoformat(str(line['time'])).astimezone():%H:%M:%S}"
    except (KeyError, ValueError):
        return " " * 8
