"""The headers of a record: CloudEvents 1.0 on Kafka in binary mode, and ours.

In: an event class and its roles. Out: a JSON Schema of the record's headers. What others publish needs four of them;
what we emit has all but two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepwire import Event
from stepwire_handlers.contracts.roles import Role

NEEDED = ("ce_specversion", "ce_id", "ce_source", "ce_type")
ALWAYS = (*NEEDED, "ce_time", "content-type", "ce_swrun", "ce_swcause", "ce_swscope", "ce_swhandler")
ABOUT = {
    "ce_id": "Source and id together say which event this is; publish a repeat under the same ones.",
    "ce_source": "Who says so: a URI reference; of what the app emits, stepwire:<app>/<handler>.",
    "ce_time": "When it happened (RFC 3339).",
    "ce_swrun": "The run it belongs to. An answer to an event of ours echoes all headers that begin with ce_sw.",
    "ce_swcause": "What caused it: the identity of an event, or of a join.",
    "ce_swscope": "Where in its run it stands.",
    "ce_swhandler": "The step that emitted it.",
    "ce_correlationid": "Whatever its publisher calls it by; carried along, never used as the run.",
    "traceparent": "W3C trace context.",
    "tracestate": "W3C trace context: what vendors add.",
}


def headers_of(kind: type[Event], roles: Sequence[Role], content_type: str) -> dict[str, Any]:
    """The schema."""
    ours = not {"entry", "answer"} & set(roles)
    properties: dict[str, Any] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_type": {"type": "string", "const": kind.spec.type},
        "content-type": {"type": "string", "const": content_type},
    }
    for name, about in ABOUT.items():
        properties[name] = {"type": "string", "description": about}
    properties["ce_id"]["minLength"] = properties["ce_source"]["minLength"] = 1
    properties["ce_time"]["format"] = "date-time"
    return {
        "type": "object",
        "properties": dict(sorted(properties.items())),
        "required": [*(ALWAYS if ours else NEEDED)],
    }
