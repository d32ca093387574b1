"""What a call is answered with: the run's result, why it failed, or where it waits.

In: a run as it is. Out: a tool's result, structured and as text, sensitive fields masked. A run that failed is an error
of the tool, with the dead letter's cause; one that waits for a person, or is not done when time is up, is an answer
with its address: nobody hangs.
"""

from __future__ import annotations

import json
from typing import Any

from mcp_types import CallToolResult, TextContent

from stepwire_handlers.services.door.places import Place
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.runs import address
from stepwire_handlers.services.runs import RunView
from stepwire_handlers.services.written import written
from stepwire_handlers.telemetry.mask import masked_json


def answer(place: Place, view: RunView, door: str, *, repeated: bool = False) -> CallToolResult:
    """What a run came to; an empty one could not be looked at. `door` is put before its address."""
    where, result = door + address(view.id), view.result
    state = view.state if view.lines or view.open else "running"
    shown: dict[str, Any] = {
        "run": view.id, "app": place.app.name, "address": where, "state": state, "repeated": repeated,
        "result_type": None if result is None else type(result).__name__,
        "result": None if result is None else masked_json(result),
        "waits_for": [{"handler": item.handler, "kind": item.kind, "about": item.about} for item in view.open],
        "dead_letters": [
            {"handler": letter.handler, "error": letter.error, "message": letter.message, "id": letter.id}
            for letter in view.dead
        ],
    }  # fmt: skip
    shown = json.loads(written(shown))  # the protocol takes no half surrogate pair
    failed = result is None and bool(view.dead) and view.rests
    return CallToolResult(content=[_text(_said(view, where, shown))], structured_content=shown, is_error=failed)


def _said(view: RunView, where: str, shown: dict[str, Any]) -> str:
    if view.result is not None:
        return json.dumps(shown["result"], ensure_ascii=False)
    if view.rests and view.dead:
        causes = "; ".join(f"{dead['handler']}: {dead['error']}: {dead['message']}" for dead in shown["dead_letters"])
        return f"The run failed. {causes}. It can be replayed or dropped: {where}"
    if view.rests:
        people = ", ".join(f"{item.handler} ({item.kind})" for item in view.open)
        return f"The run waits for a person: {people}. It is written and goes on by itself then; see {where}"
    if shown["state"] == "completed":
        return f"The run is completed; it has no result. See {where}"
    return f"The run is {shown['state']} still. It is written and goes on by itself; look again, or see {where}"


def refusal(problem: Problem) -> CallToolResult:
    """Nothing was begun, and why; what is wrong with the arguments is said by place, never by value."""
    lines = [f"{fault.get('pointer') or '/'}: {fault.get('reason', '')}" for fault in problem.extra.get("errors", ())]
    return CallToolResult(content=[_text("\n".join([problem.detail, *lines]))], is_error=True)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
