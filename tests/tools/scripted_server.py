"""An MCP server on the SDK: called within the tests' process as `server`, or run over HTTP on a port.

SCRIPTED_LOG: a file that gets a line for each call of `wait`. SCRIPTED_LEGACY: only the protocol of 2025, whose
sessions a restart forgets. SCRIPTED_STATUS: a file with a status, and perhaps a retry-after, that is
the answer to everything while it exists.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

server = MCPServer("scripted", log_level="CRITICAL")


class Echo(BaseModel):
    text: str
    number: int
    pid: int


@server.tool()
async def echo(text: str, number: int = 0) -> Echo:
    """Give back what came in."""
    return Echo(text=text, number=number, pid=os.getpid())


@server.tool()
async def fail(text: str) -> Echo:
    """Say that it failed, in these words."""
    raise ToolError(text)


@server.tool(structured_output=False)
async def words(text: str) -> str:
    """Give back a text, with no structured content."""
    return text


@server.tool()
async def wait(seconds: float) -> Echo:
    """Answer late."""
    if path := os.environ.get("SCRIPTED_LOG"):
        Path(path).write_text("wait\n")
    await asyncio.sleep(seconds)
    return Echo(text="late", number=0, pid=os.getpid())


def app() -> Any:
    inner = server.streamable_http_app()
    legacy, status = os.environ.get("SCRIPTED_LEGACY"), Path(os.environ.get("SCRIPTED_STATUS", ""))

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and status.is_file():
            code, *wait = status.read_text().split()
            headers = {"retry-after": wait[0]} if wait else {}
            await Response(status_code=int(code), headers=headers)(scope, receive, send)
        elif scope["type"] == "http" and legacy and (b"mcp-method", b"server/discover") in scope["headers"]:
            refusal = {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "no such method"}}
            await JSONResponse(refusal, 404)(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return outer


if __name__ == "__main__":
    uvicorn.run(app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
