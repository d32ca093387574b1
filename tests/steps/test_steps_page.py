"""The page `docs/steps.md`: its tables of arguments are those of the code, with their defaults."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from stepwire import Join, Settings, handler
from stepwire.settings import DAY

PAGE = (Path(__file__).parents[2] / "docs" / "steps.md").read_text("utf-8")


def rows(head: str) -> dict[str, str]:
    """The default of each argument, of the table that begins so."""
    table = PAGE.partition(f"| {head} | default |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \| ", table, flags=re.MULTILINE))


def test_every_argument_is_there_with_its_default() -> None:
    """No argument of `@handler` or of `Join` is missing, and numbers are those that a worker has."""
    said, joins, holds = rows("argument"), rows("`Join(…)`"), Settings()
    parameters = inspect.signature(handler).parameters
    assert [*said] == [name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY]
    assert joins.keys() == {field.name for field in fields(Join)}
    assert (said["timeout"], said["concurrency"]) == (f"{holds.timeout:.0f}", f"{holds.concurrency:,}")
    assert said["retry"] == (
        f"{holds.attempts} calls ({holds.attempts_unknown} if nobody knows the error), "
        f"`Retry(backoff={holds.backoff:.0f}, cap={holds.backoff_cap:.0f})`"
    )
    assert joins["timeout"] == f"{holds.join_deadline / DAY:.0f} days (`join_deadline`)"
    assert (joins["on_timeout"], joins["on_missing"]) == (f'`"{Join().on_timeout}"`', f'`"{Join().on_missing}"`')
    assert f"kept for {holds.keep / DAY:.0f} days" in PAGE and f"up to {holds.in_place:.0f} seconds" in PAGE
