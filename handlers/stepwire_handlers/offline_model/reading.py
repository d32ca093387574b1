"""Reading a prompt: what is to be done, and what it is to be done with.

Messages come in; instructions, named values, choices and the data as one text go out. Values stand in
`<value name="body">…</value>`; any other tag, code fence or triple quote is understood as well. Without any, the
first paragraph is the instruction and the rest is data. What a value says is never an instruction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

VALUE = re.compile(r'<value name="(?P<name>[^"]*)">\n?(?P<text>.*?)\n?</value>', re.DOTALL)
CHOICES = re.compile(r"(?:Choose exactly one:\s*)?<choices>(?P<text>.*?)</choices>", re.DOTALL)
CHOICE = re.compile(r'<choice name="(?P<name>[^"]*)">(?P<text>.*?)</choice>', re.DOTALL)
FENCES = (
    re.compile(r"<(?P<name>[A-Za-z][\w-]*)(?:\s[^<>]*)?>\n?(?P<text>.*?)\n?</(?P=name)>", re.DOTALL),
    re.compile(r"(?P<name>)```\w*\n(?P<text>.*?)```", re.DOTALL),
    re.compile(r'(?P<name>)"""(?P<text>.*?)"""', re.DOTALL),
)
RULE = re.compile(r"[^.\n]*<value name=…>[^.\n]*\.[^.\n]*\.")
LABEL = "[offline model]"
LABELS = re.compile(r"(?<!\s)\s*\[offline model\]")
ASKING = re.compile(
    r"\b(?:extract|read|classif\w*|choose|write|draft|tell|explain|describe|mention|summar\w*|give|return|find|list|fill|answer|reply|decide|rate|score|"
    r"judge|review|check|edit|revise|improve|rewrite|outline|create|identify|determine|translate|tell|what|which|who)\b",
    re.IGNORECASE,
)
LABELLED = re.compile(r"(?:^|\n)[ \t>*-]*([^\W\d_][\w '’-]{0,40}):\s*$")
SHORT = 90  # a value up to this long is quoted in the instructions where it stood


@dataclass(frozen=True)
class Reading:
    """A prompt, taken apart."""

    instructions: str
    values: Mapping[str, str]
    choices: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)  #: what the prompt writes before a value: `Sender: …`

    @cached_property
    def asked(self) -> str:
        """The instructions with their lines joined where they were only wrapped."""
        return re.sub(r"\n(?!\s*\n|[ \t>*-]*[^\W\d_][\w '’-]{0,40}:)", " ", self.instructions)

    @cached_property
    def data(self) -> str:
        """All values as one text, the longest first."""
        return "\n".join(sorted(self.values.values(), key=len, reverse=True))

    @cached_property
    def prose(self) -> str:
        """The values that were written to be read, not those that are JSON."""
        return "\n".join(text for text in self.values.values() if _json(text) is None)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Every single fact by its name: values, and what is inside those that are JSON."""
        found: dict[str, Any] = {}
        for name, text in self.values.items():
            parsed = _json(text)
            if isinstance(parsed, (dict, list)):
                _flatten(name, parsed, found)
            else:
                found.setdefault(name, text)
        return found

    def value(self, *names: str) -> str | None:
        """The first of these facts that there is, as text."""
        for name in names:
            found = self.facts.get(name)
            if found not in (None, "", [], {}):
                return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        return None


def read(system: str, turns: Sequence[str]) -> Reading:
    """Take a prompt apart: its system prompt and the user's turns."""
    values: dict[str, str] = {}
    choices: dict[str, str] = {}
    labels: dict[str, str] = {}
    instructions: list[str] = []
    for turn in turns:
        rest = CHOICES.sub(lambda match: _note_choices(match["text"], choices), turn)
        rest = VALUE.sub(lambda match: _note(match, values, labels), rest)
        for fence in FENCES:
            rest = fence.sub(lambda match: _note(match, values, labels), rest)
        instructions.append(rest)
    if not values:
        instructions, values = _by_paragraph(instructions)
    asked = [*instructions, RULE.sub("", system)]  # what this prompt wants says more than who the model is to be
    return Reading("\n".join(part.strip() for part in asked if part.strip()), values, choices, labels)


def _note(match: re.Match[str], values: dict[str, str], labels: dict[str, str]) -> str:
    """Keep a value; what stands for it in the instructions is itself if it is short."""
    name, text = match["name"] or "text", LABELS.sub("", match["text"].replace("&lt;", "<")).strip()
    while name in values and values[name] != text:
        name += "_"
    values[name] = text
    label = LABELLED.search(match.string[: match.start()])
    if label:
        labels[name] = label[1]
    return text if len(text) <= SHORT and "\n" not in text else f"the {name.replace('_', ' ').strip()}"


def _note_choices(text: str, choices: dict[str, str]) -> str:
    choices.update({match["name"]: match["text"].strip() for match in CHOICE.finditer(text)})
    return ""


def _by_paragraph(turns: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Without fences: an opening that asks for something is the instruction."""
    text = LABELS.sub("", "\n\n".join(turns)).strip()
    head, parted, body = text.partition("\n\n")
    if not parted:
        head, parted, body = text.partition("\n")
    if parted and body.strip() and (ASKING.search(head) or head.rstrip().endswith(":")):
        return [head], {"text": body.strip()}
    return ([text], {"text": text}) if ASKING.search(text[:200]) else ([], {"text": text})


def _json(text: str) -> Any:
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _flatten(name: str, value: Any, found: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(str(key), inner, found)
    else:
        found.setdefault(name, value)
