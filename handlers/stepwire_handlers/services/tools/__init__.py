"""Flows as tools: an MCP server that offers what begins runs, and answers with what they come to.

`offered` makes the tools of an app, `calls` serves them, `answers` says what a run came to, `files` takes what a call
carries; `entrance` stands before them on HTTP, `process` runs either transport. The road in is the door's own.
"""
