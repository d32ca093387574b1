"""The harness: `python -m bench.run` measures all lines, ours and the peers' in turns, and judges the bars.

In: the table in `bench.bars`. Out: the page on the terminal; after a full run of at least five rounds also
bench/results.json and docs/benchmarks.md.
Exit code 0: every bar cleared; 1: one failed; 2: a script gave no figure, so nothing can be said.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from bench import process
from bench.bars import FIELDS, LINES, Environment, Line, Measure
from bench.machine import description
from bench.page import PAGE, RESULTS, page
from bench.verdicts import judge, spread

ROUNDS = 5  #: what a published median is taken of; fewer are for looking, and are never written
CLEARED, FAILED, NO_FIGURE = 0, 1, 2

Measuring = Callable[[Measure, Path], Mapping[str, Any]]
Versions = Callable[[Environment], Mapping[str, str]]
Found = dict[str, list[Mapping[str, Any]]]  #: measure -> one line of JSON per round


def main(argv: Sequence[str], measuring: Measuring = process.measured, versions: Versions = process.installed) -> int:
    """Measure, judge, write; the exit code."""
    options = _options(argv)
    lines = [line for line in LINES if not options.only or line.name in options.only]
    rounds = 1 if options.quick else options.rounds
    try:
        with tempfile.TemporaryDirectory(dir=options.scratch, prefix="bench-") as scratch:
            about = _about(rounds, options.only, Path(scratch), versions)
            found = _rounds(lines, rounds, Path(scratch), measuring)
    except process.MeasureFailed as failure:
        print(f"no figure: {failure}", file=sys.stderr)
        return NO_FIGURE
    results = {**about, **_judged(lines, found)}
    print(page(results))
    if rounds >= ROUNDS and not options.only:
        _write(results, options.into)
    return CLEARED if all(bar["passed"] for bar in results["bars"]) else FAILED


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=ROUNDS, help=f"below {ROUNDS} nothing is written")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[line.name for line in LINES],
        default=[],
        help="some lines; nothing is written",
    )
    parser.add_argument("--quick", action="store_true", help="one round; nothing is written")
    parser.add_argument("--scratch", type=Path, help="where the files lie; default: the system's temporary folder")
    parser.add_argument("--into", type=Path, default=process.ROOT, help="the folder that holds bench/ and docs/")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1 round")
    return value


def _about(rounds: int, only: Sequence[str], scratch: Path, versions: Versions) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": " ".join(["python -m bench.run", f"--rounds {rounds}", *(["--only", *only] if only else [])]),
        "rounds": rounds,
        "machine": description(scratch),
        "versions": {"ours": versions("ours"), "peers": versions("peers")},
    }


def _rounds(lines: Sequence[Line], rounds: int, scratch: Path, measuring: Measuring) -> Found:
    """Every measure once per round, those of a line one after another."""
    for line in lines:
        if line.prepare is not None:
            _say(f"prepare: {line.prepare.name}")
            measuring(line.prepare, scratch)
    found: Found = {measure.name: [] for line in lines for measure in line.measures}
    for number in range(1, rounds + 1):
        for line, measure in _turns(lines):
            printed = measuring(measure, scratch)
            found[measure.name].append(printed)
            shown = ", ".join(f"{printed[field]:g} {FIELDS[field]}" for field in line.fields)
            _say(f"round {number} of {rounds}: {line.name}: {measure.name}: {shown}")
    return found


def _turns(lines: Sequence[Line]) -> Iterator[tuple[Line, Measure]]:
    for line in lines:
        for measure in line.measures:
            yield line, measure


def _judged(lines: Sequence[Line], found: Found) -> dict[str, Any]:
    figures = {
        measure.name: {field: [float(printed[field]) for printed in found[measure.name]] for field in line.fields}
        for line, measure in _turns(lines)
    }
    return {
        "bars": [asdict(judge(bar, figures)) for line in lines for bar in line.bars],
        "lines": [
            {
                "name": line.name,
                "title": line.title,
                "fields": line.fields,
                "measures": [_summary(measure, found, figures[measure.name]) for measure in line.measures],
            }
            for line in lines
        ],
    }


def _summary(measure: Measure, found: Found, fields: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    printed = found[measure.name]
    return {
        "name": measure.name,
        "script": " ".join([measure.module, *measure.arguments]),
        "pattern": printed[0]["pattern"],
        "version": printed[0]["version"],
        "keeps": printed[0]["keeps"],
        "figures": {field: asdict(spread(values)) for field, values in fields.items()},
        "rounds": printed,
    }


def _write(results: Mapping[str, Any], into: Path) -> None:
    for path, text in ((RESULTS, json.dumps(results, indent=2) + "\n"), (PAGE, page(results))):
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _stop(signum: int, _: object) -> NoReturn:
    """Leave through the `finally` of whatever runs, so that no script is left behind."""
    sys.exit(128 + signum)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))
