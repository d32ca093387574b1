"""A run as people read it, at eighty columns too: a line for each step, and below it what the step made.

In: a run as `services.telling` tells it, at the bus or through a door. Out: lines of rich text. What a step stamped (a
prompt's version, the model, tokens, cost) stands beside its outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from stepwire_handlers.cli.output import moment, short
from stepwire_handlers.harmless import harmless
from stepwire_handlers.services.said import Said
from stepwire_handlers.services.telling import dollars

MOST = 3  #: events of one step that are shown
STYLES = {
    "emitted": "green", "ended": "green", "dead letter": "bold red", "gate": "bold yellow",
    "unknown outcome": "bold yellow", "timer": "yellow", "running": "cyan", "published": "dim",
}  # fmt: skip
Data = Mapping[str, Any]
STATES = {"completed": "bold green", "failed": "bold red", "waiting": "bold yellow", "running": "bold cyan"}


def lines(run: Data) -> list[Text]:
    """The run's steps, in the order in which they began."""
    steps, events = run["steps"], {each["identity"]: each for each in run["events"]}
    wide = max((len(step["handler"] or "published") for step in steps), default=0)
    found: list[Text] = []
    for step in steps:
        outputs = [events[each["identity"]] for each in step["outputs"] if each["identity"] in events]
        found.append(_step(step, run["started"], wide))
        indent = " " * 13
        if not step["handler"]:
            found[-1].append("".join(map(_event, outputs[:1])), style="dim")
            continue
        if step["last_error"]:
            found.append(Text(f"{indent}{short('after ' + ' '.join(step['last_error'].split()))}", style="yellow"))
        if step["stamps"]:
            found.append(Text(f"{indent}{_stamps(step['stamps'])}", style="dim italic"))
        answers = map(answer_of, step["said"])
        found += [Text(f"{indent}{line_of(said)}", style="yellow" if said.doubt else "bold") for said in answers]
        found += [Text(f"{indent}{_event(event)}", style="dim") for event in outputs[:MOST]]
        if len(outputs) > MOST:
            found.append(Text(f"{indent}and {len(outputs) - MOST} more", style="dim"))
    for line in found:
        line.plain = harmless(line.plain)
    return found


def headline(run: Data) -> Text:
    """Which run, and how it stands."""
    return Text(f"run {harmless(run['run'])}: ", style="bold").append(run["state"], style=STATES.get(run["state"], ""))


def total(run: Data) -> Text:
    """What all of it took: events, time, and cost where a step stamped one."""
    started = run["started"]
    ended = max((step["ended"] for step in run["steps"] if step["ended"] is not None), default=started)
    spent = dollars(step["stamps"] for step in run["steps"])
    count = f"{len(run['events'])} event{'' if len(run['events']) == 1 else 's'}"
    cost = "" if spent is None else f", ${spent:.4f}"
    return Text(f"{count} in {max(ended - started, 0.0):.3f} s{cost}, started {moment(started)}", style="dim")


def _step(step: Data, started: float, wide: int) -> Text:
    after = f"+{max(step['begun'] - started, 0.0):.3f} s"
    text = Text(f"{after:>9}  ", style="dim")
    text.append(f"{step['handler'] or 'published':<{wide}}  ", style="bold" if step["handler"] else "dim")
    if step["handler"]:
        text.append(step["outcome"], style=STYLES.get(step["outcome"], ""))
    if step["seconds"] is not None:
        text.append(f"  {step['seconds']:.3f} s", style="dim")
    if step["attempts"] is not None and step["attempts"] > 1:
        text.append(f"  {step['attempts']} attempts")
    if step["due"]:
        text.append(f"  due {moment(step['due'])}")
    if step["about"]:
        text.append(f"  {step['about']}")
    return text


def answer_of(data: Data) -> Said:
    """What a person did, from its form in `--json`."""
    return Said(**{name: data[name] for name in Said._fields if name in data})


def line_of(said: Said) -> str:
    """Who did what, what they changed, and their remark."""
    edited = said.edited if said.edited is not None else {}
    changes = f"edited {_changes(edited)}" if edited else "edited nothing" if said.edited is not None else ""
    why = '"' + " ".join(said.why.split()) + '"' if said.why else ""
    return short(", ".join(part for part in (said.words, changes, why) if part))


def _stamps(stamps: Mapping[str, str]) -> str:
    """Usage in words, and the rest by name."""
    rest = {name: text for name, text in stamps.items() if name != "usage"}
    return "  ".join(part for part in (_fields(rest), stamps.get("usage", "")) if part)


def _event(event: Data) -> str:
    return short(f"{event['type']} {_fields(event['event'])}".rstrip())


def _fields(data: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in data.items() if value not in (None, ""))


def _changes(data: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={'null' if value is None else _value(value)}" for name, value in data.items())


def _value(value: object) -> str:
    text = " ".join(str(value).split())
    return f'"{text}"' if isinstance(value, str) and (" " in text or not text) else text
