"""The stand-ins as one web application: both APIs, `/faults`, and `/` with what was received so far."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stepwire_handlers.standins.faults import Fault, Faults
from stepwire_handlers.standins.gmail_api import GmailApi
from stepwire_handlers.standins.kept import Kept
from stepwire_handlers.standins.slack_api import SlackApi

SLACK_TOKEN = "xoxb-stand-in"  # noqa: S105 - valid here only
GMAIL_TOKEN = "ya29.stand-in"  # noqa: S105 - valid here only


def application(
    folder: Path,
    slack_token: str = SLACK_TOKEN,
    gmail_token: str = GMAIL_TOKEN,
    ready: Callable[[], None] = lambda: None,
) -> Starlette:
    """Both stand-ins.

    Args:
        folder: messages go to `slack` in it, drafts to `drafts`.
        slack_token: the bot token that is valid.
        gmail_token: the access token that is valid.
        ready: called when requests are taken.
    """
    faults = Faults()
    slack, drafts = Kept(folder / "slack", ".md"), Kept(folder / "drafts", ".eml")

    async def add_fault(request: Request) -> Response:
        try:
            faults.add(Fault.model_validate(dict(request.query_params)))
        except ValidationError as error:
            return JSONResponse(error.errors(include_url=False), 400)
        return Response(status_code=204)

    async def counts(_: Request) -> Response:
        return JSONResponse({"slack": len(slack.files()), "drafts": len(drafts.files())})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ready()
        yield

    routes = [
        Route("/", counts),
        Route("/faults", add_fault, methods=["POST"]),
        *SlackApi(slack, slack_token, faults).routes(),
        *GmailApi(drafts, gmail_token, faults).routes(),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
