"""The page docs/benchmarks.md, made from results.json and from nothing else.

`python -m bench.page` makes it again from the stored results, without measuring.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.bars import FIELDS

RESULTS = Path("bench/results.json")
PAGE = Path("docs/benchmarks.md")
SHOWN = (
    "stepwire",
    "pydantic",
    "pydantic-graph",
    "langgraph",
    "langgraph-checkpoint",
    "langgraph-checkpoint-sqlite",
    "aiosqlite",
)

INTRODUCTION = """\
# Benchmarks

Made by `make bench` from `bench/results.json`; do not edit. What is measured, and every bar with its reason,
is the table in `bench/bars.py`; the scripts beside it are what was run, ours and the peers'.

How: a worker as `stepwire run` starts it, with validation, metrics and the log line on; the outputs are
counted in the file afterwards, and one too many or too few makes the measurement void. Every figure comes
from a fresh process, after a warm-up. The scripts of a line take turns in each round; each round gives one
ratio, and the median over the rounds is judged. In brackets: the lowest and the highest.
"""


def page(results: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    parts = [INTRODUCTION, *_machine(results), *_verdicts(results["bars"])]
    for line in results["lines"]:
        parts += _line(line)
    return "\n".join(parts).rstrip() + "\n"


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _spread(found: Mapping[str, float]) -> str:
    return f"{number(found['median'])} ({number(found['low'])} to {number(found['high'])})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:" if cell != "why" else "---" for cell in head[1:]]]
    return [*[f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)], ""]


def _machine(results: Mapping[str, Any]) -> list[str]:
    machine, versions = results["machine"], results["versions"]
    known = {**versions["peers"], **versions["ours"]}
    packages = ", ".join(f"{name} {known[name]}" for name in SHOWN if name in known)
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}"
    return [
        f"- When: {results['date']}, {results['rounds']} rounds, `{results['command']}`",
        f"- Where: {where}, files on {machine['file_system']}; load before {machine['load_before']}",
        f"- With: Python {machine['python']}, SQLite {machine['sqlite']}, {packages}",
        "- All versions and the figures of every round are in `bench/results.json`",
        "",
    ]


def _verdicts(bars: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [
            bar["claim"], _spread(bar["ratio"]), f"{bar['relation']} {bar['factor']:g}",
            "PASS" if bar["passed"] else "**FAIL**", bar["reason"],
        ]
        for bar in bars
    ]  # fmt: skip
    return ["## Bars", "", *_table(("claim", "ratio", "bar", "verdict", "why"), rows)]


def _line(line: Mapping[str, Any]) -> list[str]:
    fields = line["fields"]
    rows = [
        [measure["name"], *[_spread(measure["figures"][field]) for field in fields], measure["keeps"]]
        for measure in line["measures"]
    ]
    head = ("measure", *[FIELDS[field] for field in fields], "what a kill leaves")
    return [f"## {line['title']}", "", *_table(head, rows)]


def main() -> None:
    """Write the page from the stored results."""
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
