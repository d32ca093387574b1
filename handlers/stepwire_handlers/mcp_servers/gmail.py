"""An MCP server for Gmail: `create_draft` puts a draft in the mailbox, once for each delivery key.

Nothing here sends mail. Environment: GMAIL_TOKEN or GMAIL_TOKEN_FILE (an OAuth access token with the scope
gmail.compose; it lasts an hour, so let something renew the file), GMAIL_BASE_URL (by default Gmail's own),
GMAIL_USER (by default `me`), STEPWIRE_CLAIMS (see `claims`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from typing import Annotated

import httpx2
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field

from stepwire_handlers.mcp_servers.claims import claims_path
from stepwire_handlers.mcp_servers.once import Once, key_of
from stepwire_handlers.mcp_servers.serve import run
from stepwire_handlers.mcp_servers.verdict import MaybeHappened, NotHappened
from stepwire_handlers.mcp_servers.web_api import WebApi

# Google says with 403, not only with 429, that it is asked too often.
_BUSY = {"rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded"}


class Draft(BaseModel):
    """A draft in the mailbox."""

    id: str
    message_id: str
    thread_id: str | None = None


class Drafts(BaseModel):
    """Drafts, newest first."""

    drafts: list[Draft]


def make(environ: Mapping[str, str]) -> MCPServer:
    """Write drafts into a Gmail mailbox, and list them."""
    base_url = environ.get("GMAIL_BASE_URL") or "https://gmail.googleapis.com"
    gmail = WebApi("Gmail", base_url, "GMAIL_TOKEN", environ, _busy)
    path = f"/gmail/v1/users/{environ.get('GMAIL_USER') or 'me'}/drafts"
    once = Once(claims_path(environ))
    server = MCPServer("gmail", log_level="WARNING")

    @server.tool()
    async def create_draft(
        to: Annotated[list[str], Field(description="addresses", min_length=1)],
        subject: str,
        body: Annotated[str, Field(description="plain text")],
        ctx: Context,
        cc: list[str] | None = None,
        html: Annotated[str | None, Field(description="the same as HTML")] = None,
    ) -> Draft:
        """Put a draft in the mailbox."""
        raw = base64.urlsafe_b64encode(_mime(to, cc or [], subject, body, html)).decode()
        return await once("gmail.create_draft", key_of(ctx), lambda: _create(gmail, path, raw), Draft)

    @server.tool()
    async def list_drafts(limit: Annotated[int, Field(ge=1, le=500)] = 20) -> Drafts:
        """List the drafts in the mailbox, newest first."""
        response = await gmail.get(path, {"maxResults": limit})
        try:
            return Drafts(drafts=[_draft(draft) for draft in response.json().get("drafts", [])])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NotHappened("not-done", "Gmail's answer cannot be read") from None

    return server


async def _create(gmail: WebApi, path: str, raw: str) -> Draft:
    response = await gmail.post(path, {"message": {"raw": raw}})
    try:
        return _draft(response.json())
    except (ValueError, KeyError, TypeError):
        raise MaybeHappened("Gmail's answer cannot be read") from None


def _busy(response: httpx2.Response) -> bool:
    if response.status_code != 403:
        return bool(response.status_code == 429)
    try:
        return any(error["reason"] in _BUSY for error in response.json()["error"]["errors"])
    except (ValueError, KeyError, TypeError):
        return False


def _draft(draft: Mapping[str, dict[str, str]]) -> Draft:
    message = draft["message"]
    return Draft(id=str(draft["id"]), message_id=message["id"], thread_id=message.get("threadId"))


def _mime(to: Sequence[str], cc: Sequence[str], subject: str, body: str, html: str | None) -> bytes:
    message = EmailMessage(policy=SMTP)
    try:
        message["To"] = ", ".join(to)
        if cc:
            message["Cc"] = ", ".join(cc)
        message["Subject"] = subject
        message.set_content(body)
        if html is not None:
            message.add_alternative(html, subtype="html")
        return message.as_bytes()
    except (ValueError, AttributeError, IndexError) as error:
        # A line break in a header would begin another one, such as Bcc. The other two are how Python's parser
        # of addresses fails on some texts that are none.
        reason = f"the addresses, the subject or the text make no mail ({type(error).__name__})"
        raise NotHappened("rejected", reason) from None


if __name__ == "__main__":
    run(make)
