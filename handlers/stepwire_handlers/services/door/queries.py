"""What an address asks for behind its question mark: names that it knows, each once.

In: a query, and the names that there are. Out: their values. Raises Problem: 400 for a name that there is not, as a
filter that nobody reads would answer with too much; 422 for a name given twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import QueryParams

from stepwire_handlers.services.door.problems import Problem


def given(query: QueryParams, names: Sequence[str]) -> dict[str, str]:
    """Those that the query has."""
    found: dict[str, str] = {}
    for name in names:
        values = query.getlist(name)
        if len(values) > 1:
            raise Problem(422, "invalid", f"{name} is given {len(values)} times; give it once")
        found |= {name: values[0]} if values else {}
    return found


def refuse_others(query: QueryParams, names: Sequence[str]) -> None:
    """Every name must be one of these; the others are not quoted, for a name may be a value in the wrong place."""
    if query.keys() - set(names):
        takes = f"takes {', '.join(names)}" if names else "takes none"
        raise Problem(400, "bad-request", f"there is no such query parameter; this address {takes}")
