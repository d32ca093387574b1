"""Write the table of values into the chart's README: `python -m helm.readme.parameters`, part of `make docs`.

In: values.yaml, where a value has its comment right above it. Out: README.md, between its two markers.
Promise: every value has a row with its default and a meaning; one that has none is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CHART = Path(__file__).parents[1] / "stepwire"
README = CHART / "README.md"
BEGIN, END = "<!-- values: made from values.yaml by make docs -->\n", "<!-- /values -->\n"
KEY = re.compile(r"(?P<indent> *)(?P<name>[\w-]+):(?: (?P<default>.+))?")
MODELS = ("defaults", "door")  #: parts that others are made like
PARTS = ("door", "console", "mcp", "topics.apply", "tests")  #: those others
WHOLE = "The whole release"  #: heading of the values that are in no table of their own


class Value(NamedTuple):
    """A line of values.yaml; `default` is empty where others stand below it."""

    name: str
    default: str
    meaning: str


class NoMeaning(Exception):
    """A value without a comment; names it."""


def values(text: str) -> Iterator[Value]:
    """Every value in the order of the file. A comment belongs to the line below it, a blank line ends it."""
    above: list[str] = []
    way: list[tuple[int, str]] = []
    for line in _joined(text.splitlines()):
        if found := KEY.fullmatch(line):
            indent = len(found["indent"])
            way = [*((at, name) for at, name in way if at < indent), (indent, found["name"])]
            yield Value(".".join(name for _, name in way), found["default"] or "", " ".join(above))
            above = []
        elif line.strip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
        elif not line:
            above = []
        else:
            raise ValueError(f"values.yaml: neither a value nor a comment of its own line: {line!r}")


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """A map in braces over several lines as one line."""
    begun = ""
    for line in lines:
        begun = f"{begun} {line.strip()}" if begun else line
        if line.strip().startswith("#") or begun.count("{") == begun.count("}"):
            yield begun
            begun = ""


def explained(found: Iterable[Value]) -> list[Value]:
    """Each with its meaning: its own, or, in a part that is made like another, a pointer to the same value there."""
    known: set[str] = set()
    told = []
    for value in found:
        known |= {value.name} if value.meaning else set()
        meaning = value.meaning
        if value.default and not meaning:
            alike = [f"{model}{_below(value.name)}" for model in MODELS if f"{model}{_below(value.name)}" in known]
            if not alike:
                raise NoMeaning(f"values.yaml: {value.name} has no comment right above it that says what it means")
            meaning = f"As `{alike[0]}`."
        told.append(value._replace(meaning=meaning))
    return told


def _below(name: str) -> str:
    """What follows the part: `.podLabels` of `topics.apply.podLabels`."""
    return next((name.removeprefix(part) for part in PARTS if name.startswith(f"{part}.")), f".{name}")


def tables(found: list[Value]) -> str:
    """One table for each part of the values, and one for those that are in no part."""
    parts: dict[str, list[str]] = {WHOLE: []}
    for value in found:
        head = value.name.partition(".")[0]
        if not value.default:
            parts.setdefault(f"`{head}`", []).extend([value.meaning] if value.name == head else [])
            continue
        rows = parts[f"`{head}`" if "." in value.name else WHOLE]
        if not rows or not rows[-1].startswith("|"):
            rows += ["", "| value | default | meaning |", "|---|---|---|"]
        rows.append(f"| `{value.name}` | {_code(value.default)} | {_cell(value.meaning)} |")
    return "\n".join(f"### {title}\n\n" + "\n".join(lines).strip() + "\n" for title, lines in parts.items())


def _code(default: str) -> str:
    return "`" + default.replace("|", "\\|") + "`"


def _cell(meaning: str) -> str:
    return meaning.replace("|", "\\|").replace("<", "&lt;")


def written(readme: str) -> str:
    """The README with the table of today."""
    before, _, rest = readme.partition(BEGIN)
    _, marked, after = rest.partition(END)
    if not marked:
        raise ValueError(f"{README}: the two markers are missing: {BEGIN.strip()} and {END.strip()}")
    table = tables(explained(values((CHART / "values.yaml").read_text("utf-8"))))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
