"""Run an MCP server as a program: over stdio, or over HTTP where a port is given."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping

from mcp.server.mcpserver import MCPServer


def run(make: Callable[[Mapping[str, str]], MCPServer]) -> None:
    """Make the server from the environment and run it until stdin ends, or a signal comes.

    Args:
        make: builds the server; it is given the environment, and raises ValueError for a setting that is wrong.
    """
    parser = argparse.ArgumentParser(description=make.__doc__)
    parser.add_argument("--port", type=int, help="serve Streamable HTTP at this port under /mcp, not stdio")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    options = parser.parse_args()
    try:
        server = make(os.environ)
    except ValueError as error:
        parser.error(str(error))  # ends the program, with exit code 2
    if options.port is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host=options.host, port=options.port)
