"""The metrics of the MCP server: names and labels, frozen like those of a worker.

It is no door: it counts no requests and no runs, and whoever watches doors must not take it for one.
"""

from __future__ import annotations

from stepwire_handlers.telemetry.series import Family

MCP_BUILD = Family("stepwire_mcp_build", "gauge", ("version",), "The release of the MCP server")
MCP_EVENTS = Family(
    "stepwire_mcp_events",
    "counter",
    ("app", "outcome"),
    "Events that calls of tools published, or repeated and followed",
)

FAMILIES = (MCP_BUILD, MCP_EVENTS)
