"""`python -m stepwire_handlers.flows.invoices.samples --out DIR`: writes the samples and lists them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stepwire_handlers.flows.invoices.samples import generate


def main(arguments: Sequence[str] | None = None) -> None:
    """Write sample invoices into a folder and print what each of them is."""
    parser = argparse.ArgumentParser(prog="samples", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder; made if missing")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same bytes")
    parser.add_argument("--count", type=int, default=12, help="how many invoices; four other files come on top")
    asked = parser.parse_args(arguments)
    for sample in generate(asked.out, asked.seed, asked.count):
        facts = (sample.language, sample.vendor, sample.number, sample.printed_total)
        shown = "  ".join(fact for fact in facts if fact)
        sys.stdout.write(f"{sample.file:22} {sample.outcome:20} {shown}\n")


if __name__ == "__main__":
    main()
