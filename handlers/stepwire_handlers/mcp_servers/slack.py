"""An MCP server for Slack: `send` posts a message, once for each delivery key.

Environment: SLACK_TOKEN or SLACK_TOKEN_FILE (a bot token with the scope chat:write), SLACK_BASE_URL (by
default Slack's own), STEPWIRE_CLAIMS (see `claims`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field

from stepwire_handlers.mcp_servers.claims import claims_path
from stepwire_handlers.mcp_servers.once import Once, key_of
from stepwire_handlers.mcp_servers.serve import run
from stepwire_handlers.mcp_servers.verdict import MaybeHappened, NotHappened
from stepwire_handlers.mcp_servers.web_api import WebApi, retry_after

# Slack says of these that part of the work may have been done.
_HALF_DONE = {"fatal_error", "internal_error"}
_ASK_AGAIN = {"service_unavailable", "request_timeout", "org_login_required", "team_added_to_org"}
_CREDENTIALS = {
    "invalid_auth", "not_authed", "token_expired", "token_revoked", "account_inactive", "missing_scope",
    "no_permission", "access_denied", "ekm_access_denied",
}  # fmt: skip


class Sent(BaseModel):
    """A message that Slack has taken."""

    channel: str  #: the channel's id
    ts: str  #: the message's id within the channel


def make(environ: Mapping[str, str]) -> MCPServer:
    """Post messages to Slack."""
    base_url = environ.get("SLACK_BASE_URL") or "https://slack.com/api"
    slack = WebApi("Slack", base_url, "SLACK_TOKEN", environ)
    once = Once(claims_path(environ))
    server = MCPServer("slack", log_level="WARNING")

    @server.tool()
    async def send(
        channel: Annotated[str, Field(description="id or #name", min_length=1)],
        text: Annotated[str, Field(description="the message, in Slack's mrkdwn", min_length=1)],
        ctx: Context,
        thread_ts: Annotated[str | None, Field(description="ts of the message to answer")] = None,
    ) -> Sent:
        """Post a message to a channel."""
        body = {"channel": channel, "text": text} | ({"thread_ts": thread_ts} if thread_ts else {})
        return await once("slack.send", key_of(ctx), lambda: _post(slack, body), Sent)

    return server


async def _post(slack: WebApi, body: Mapping[str, Any]) -> Sent:
    response = await slack.post("/chat.postMessage", body)
    try:
        answer = response.json()
        if answer["ok"]:
            return Sent(channel=answer["channel"], ts=answer["ts"])
        error = str(answer["error"])
    except (ValueError, KeyError, TypeError):
        raise MaybeHappened("Slack's answer cannot be read") from None
    if error in _HALF_DONE:
        raise MaybeHappened(f"Slack says {error}")
    if error == "ratelimited":
        raise NotHappened("retry-later", "Slack is asked too often", retry_after(response))
    if error in _CREDENTIALS:
        raise NotHappened("not-done", f"Slack says {error}. Check SLACK_TOKEN and the scopes of its app")
    raise NotHappened("not-done" if error in _ASK_AGAIN else "rejected", f"Slack says {error}")


if __name__ == "__main__":
    run(make)
