"""The arguments of a call, before anything is done with them: a misspelt one is refused, never left out in silence.

In: arguments, and what the tool takes. Out: nothing. Raises Problem 422 that names each unknown argument and everything
else that is wrong, by place and kind. What a caller called an argument is told, cut and in printable characters; what
it held is not.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stepwire_handlers.services.door.problems import SHOWN, Problem, reasons
from stepwire_handlers.services.door.uploads import attachment_fields
from stepwire_handlers.services.fields import Unfit, event_of
from stepwire_handlers.services.tools.offered import Offered

LONGEST = 64  #: characters that are told of a name which nobody knows


def agree(one: Offered, given: Mapping[str, Any]) -> None:
    """The arguments of a tool that begins a run; what is wrong with a known one alone is for the event to say."""
    if not (strange := unknown(given, one.tool.input_schema)):
        return
    faults = _faults(strange, one.tool.input_schema)
    files = tuple(f"/{name}" for name in attachment_fields(one.kind) if name in given)  # not looked into yet
    try:
        event_of(one.kind, given)
    except Unfit as error:
        told = reasons(error.error) if error.error is not None else []
        faults += [fault for fault in told if not fault["pointer"].startswith(files)]
    except ValueError:  # half a surrogate pair
        faults.append({"pointer": "", "reason": "a field holds what is no text in UTF-8"})
    raise _refused(one.tool.input_schema, faults)


def agree_look(given: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The arguments of the tool that looks at a run; the run."""
    if strange := unknown(given, schema):
        raise _refused(schema, _faults(strange, schema))
    run = given.get("run")
    if not isinstance(run, str):
        raise wrong("run", "must be a text")
    return run


def unknown(given: Iterable[str], schema: Mapping[str, Any]) -> list[str]:
    """Names that the tool does not have; none if the event's author allows any."""
    if schema.get("additionalProperties") is not False:
        return []
    return [name for name in given if name not in schema["properties"]]


def wrong(name: str, why: str) -> Problem:
    """One argument cannot be taken."""
    return Problem(422, "invalid", "the call cannot be taken", errors=[{"pointer": f"/{name}", "reason": why}])


def _faults(strange: Sequence[str], schema: Mapping[str, Any]) -> list[dict[str, str]]:
    """Of as many as are told: to look for a near name takes long, and a call may have a million."""
    found = []
    for name in strange[:SHOWN]:
        near = difflib.get_close_matches(name[:LONGEST], schema["properties"], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        found.append({"pointer": f"/{_told(name)}", "reason": f"there is no such argument{hint}"})
    return found


def _refused(schema: Mapping[str, Any], faults: list[dict[str, str]]) -> Problem:
    names = ", ".join(sorted(schema["properties"]))
    return Problem(422, "invalid", f"the call cannot be taken; its arguments are {names}", errors=faults[:SHOWN])


def _told(name: str) -> str:
    cut = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    return "".join(letter if letter.isprintable() else "?" for letter in cut)
