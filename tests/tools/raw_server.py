"""An MCP server over stdio, written by hand on the standard library: it starts at once and does what it is told.

It speaks the protocol of 2025-06-18. RAW_LOG: a file that gets one line for each call. RAW_GARBAGE: text written
to stdout before anything else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
SECONDS = {"type": "object", "properties": {"seconds": {"type": "number"}}, "required": ["seconds"]}
TOOLS: dict[str, dict[str, Any]] = {
    "echo": {"inputSchema": TEXT},
    "key": {"inputSchema": NOTHING},
    "wait": {"inputSchema": SECONDS},
    "die": {"inputSchema": NOTHING},
    "broken": {"inputSchema": NOTHING, "outputSchema": TEXT},
    "teach": {"inputSchema": NOTHING},
    "protest": {"inputSchema": {"type": "object", "properties": {"code": {"type": "integer"}}}},
    "afar": {"inputSchema": {"type": "object", "$ref": "http://127.0.0.1:9/schema.json"}},
    "odd": {"inputSchema": {"type": "object", "properties": {"text": {"type": "wrong"}}}},
}
_writing = threading.Lock()


def say(message: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        sys.stdout.flush()


def result_of(name: str, arguments: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    match name:
        case "echo":
            return {"text": arguments["text"], "pid": os.getpid(), "got": sorted(arguments)}
        case "key":
            return {"key": meta.get("stepwire/delivery-key")}
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "broken":
            return {"text": 7}
        case "teach":
            TOOLS["fresh"] = {"inputSchema": TEXT}
    return {"pid": os.getpid()}


def call(number: int, params: dict[str, Any]) -> None:
    if path := os.environ.get("RAW_LOG"):
        with Path(path).open("a") as log:
            log.write(params["name"] + "\n")
    content = result_of(params["name"], params.get("arguments", {}), params.get("_meta", {}))
    text = {"type": "text", "text": json.dumps(content)}
    answer = {"id": number, "result": {"content": [text], "structuredContent": content, "isError": False}}
    if params["name"] == "protest":
        say({"id": number, "error": {"code": params["arguments"]["code"], "message": "no such luck"}})
    elif params["name"] == "wait":
        late = threading.Timer(params["arguments"]["seconds"], say, [answer])
        late.daemon = True
        late.start()
    else:
        say(answer)


def main() -> None:
    if garbage := os.environ.get("RAW_GARBAGE"):
        sys.stdout.write(garbage + "\n")
    for line in sys.stdin:
        message = json.loads(line)
        number, params = message.get("id"), message.get("params", {})
        match message.get("method"):
            case "initialize":
                info = {"name": "raw", "version": "1"}
                known = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
                say({"id": number, "result": known})
            case "tools/list":
                say({"id": number, "result": {"tools": [{"name": name} | tool for name, tool in TOOLS.items()]}})
            case "tools/call":
                call(number, params)
            case _ if number is not None:
                say({"id": number, "error": {"code": -32601, "message": "no such method"}})


if __name__ == "__main__":
    main()
