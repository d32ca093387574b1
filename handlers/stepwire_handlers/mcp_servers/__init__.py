"""MCP servers of Stepwire's own: `postgres`, `slack` and `gmail`, each on the real back end.

Each runs as `python -m stepwire_handlers.mcp_servers.NAME`, over stdio, or over HTTP with `--port`. They
stand alone: any MCP client can use them, and Stepwire can use any other server (see `steps.tool_map`). What
a client of theirs may rely on beyond MCP: errors begin with a code (`verdict`), and a call that carries a
`stepwire/delivery-key` in its `_meta` is done at most once (`once`).
"""
