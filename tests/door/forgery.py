"""What somebody writes who may write to the bus and has no decision key: an approval, and the record of it."""

from __future__ import annotations

from stepwire.bus.protocol import Out
from stepwire.gate import decision
from stepwire.jsontext import dump


def forged(app: str, handler: str, run: str, id_: str, by: str = "key:boss") -> list[Out]:
    """As a door without a key would write it, or anybody by hand."""
    entry = decision(id_, approved=True, by=by, why="trust me", sent=1.0)
    said = {"decision": "approve", "handler": handler, "id": id_, "by": by, "why": "trust me", "edited": None}
    body = {"run": run, "delivery": "", "handler": "", "why": "said", "joins": [], "said": said}
    told = Out(f"{app}.runs", run, {"ce_swrun": run}, dump(body))
    return [Out(f"{app}.{handler}.control", id_, {}, entry.encode()), told]
