"""Break the kernel in each way of `table.toml` and see that the tests notice. Started by `make mutations`.

In: the table. Out: a line for each change; exit 1 if a test passes on a broken kernel, or a change fits it no more.
The kernel that is broken is a copy; nothing of the checkout is touched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LONGEST = 60.0  #: seconds for the tests of one change; who hangs on a broken kernel has not noticed anything
PYTEST = ("-q", "--tb=no", "-o", "timeout=10", "-p", "no:cacheprovider", "-p", "no:xdist")


class Mutation(NamedTuple):
    """One change of one file of the kernel; under it every case of each of the tests fails."""

    breaks: str  #: what DESIGN §11 calls it
    by: str
    file: str  #: below kernel/stepwire
    old: str
    new: str
    tests: tuple[str, ...]  #: `<file>::<test>`, below tests/properties


def table() -> list[Mutation]:
    """What is in the table. Raises TypeError for a field too many or too few."""
    found = tomllib.loads((Path(__file__).parent / "table.toml").read_text())["mutation"]
    return [Mutation(**{**fields, "tests": tuple(fields["tests"])}) for fields in found]


def change(kernel: Path, mutation: Mutation) -> None:
    """Make the change. Raises ValueError if it does not fit."""
    path = kernel / "stepwire" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.file} holds the old text {text.count(mutation.old)} times; write the change anew")
    path.write_text(text.replace(mutation.old, mutation.new))


def judged(output: str) -> str:
    """What is wrong with the tests, by the last line of pytest; "" if all of them failed."""
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|error|skipped)", output)}
    if counts.keys() == {"failed"}:
        return ""
    return "nobody fails, nobody passes" if not counts else f"not all fail: {counts}"


def tried(mutation: Mutation) -> str:
    """Break a copy and run the tests on it; what is wrong, or ""."""
    with TemporaryDirectory() as folder:
        kernel = Path(folder, "kernel")
        shutil.copytree(ROOT / "kernel", kernel, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            change(kernel, mutation)
        except ValueError as error:
            return str(error)
        tests = [f"tests/properties/test_{test.replace('::', '.py::', 1)}" for test in mutation.tests]
        command = [sys.executable, "-m", "pytest", *PYTEST, *tests]
        environment = {**os.environ, "PYTHONPATH": str(kernel), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
            )
        except subprocess.TimeoutExpired:
            return f"the tests hang for {LONGEST:g} s"
        return judged((done.stdout.strip().splitlines() or [""])[-1])


def main() -> int:
    """Try all of them, or those that an argument occurs in."""
    wanted, bad = sys.argv[1:], 0
    for mutation in table():
        if wanted and not any(word in f"{mutation.breaks}: {mutation.by}" for word in wanted):
            continue
        begun = time.monotonic()
        wrong = tried(mutation)
        bad += bool(wrong)
        print(f"{wrong or 'noticed'}  [{time.monotonic() - begun:.0f} s] {mutation.breaks}: {mutation.by}", flush=True)  # noqa: T201
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
