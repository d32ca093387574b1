"""An MCP server that does what a test tells it: over stdio, or over HTTP with `--port`.

SCRIPTED_LOG: a file that gets one line for each call. SCRIPTED_GARBAGE: text written to stdout before anything
else. SCRIPTED_LEGACY: over HTTP, only the protocol of 2025, whose sessions a restart forgets.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult
from pydantic import BaseModel
from starlette.responses import JSONResponse

server = MCPServer("scripted", log_level="ERROR")


class Echo(BaseModel):
    text: str
    number: int
    pid: int


def note(line: str) -> None:
    if path := os.environ.get("SCRIPTED_LOG"):
        with Path(path).open("a") as log:
            log.write(line + "\n")


@server.tool()
async def echo(text: str, number: int = 0) -> Echo:
    """Give back what came in."""
    note(f"echo {text}")
    return Echo(text=text, number=number, pid=os.getpid())


@server.tool()
async def key(ctx: Context) -> dict[str, str | None]:
    """The key that came in `_meta`."""
    return {"key": (ctx.request_context.meta or {}).get("stepwire/delivery-key")}


@server.tool()
async def fail(text: str) -> Echo:
    """Say that it failed, in these words."""
    raise ToolError(text)


@server.tool()
async def wait(seconds: float) -> Echo:
    """Answer late."""
    note("wait")
    await asyncio.sleep(seconds)
    return Echo(text="late", number=0, pid=os.getpid())


@server.tool()
async def die() -> Echo:
    """End the process in the middle of the call."""
    note("die")
    os.kill(os.getpid(), signal.SIGKILL)
    return Echo(text="", number=0, pid=0)


@server.tool(structured_output=False)
async def words(text: str) -> str:
    """Give back a text, with no structured content."""
    return text


@server.tool(structured_output=False)
async def broken() -> CallToolResult:
    """Answer against its own schema, which is set below."""
    return CallToolResult(content=[], structured_content={"text": 7})


@server.tool()
async def teach() -> Echo:
    """From now on there is a tool `fresh`."""
    server.add_tool(words, name="fresh", structured_output=False)
    return Echo(text="", number=0, pid=os.getpid())


# Past the SDK, which would not let a server break its own schema.
broken_tool: Any = server._tool_manager.get_tool("broken")
broken_tool.fn_metadata.output_schema = {"type": "object", "properties": {"text": {"type": "string"}}}


def app() -> Any:
    inner = server.streamable_http_app()
    if not os.environ.get("SCRIPTED_LEGACY"):
        return inner

    async def legacy(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (b"mcp-method", b"server/discover") in scope["headers"]:
            refusal = {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "no such method"}}
            await JSONResponse(refusal, 404)(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return legacy


if __name__ == "__main__":
    if garbage := os.environ.get("SCRIPTED_GARBAGE"):
        sys.stdout.write(garbage + "\n")
        sys.stdout.flush()
    if "--port" in sys.argv:
        import uvicorn

        port = int(sys.argv[sys.argv.index("--port") + 1])
        uvicorn.run(app(), host="127.0.0.1", port=port, log_level="error")
    else:
        server.run("stdio")
