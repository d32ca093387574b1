"""The offline model, where an app asks a model and nobody gave a key.

In: an app. Out: the address, and the environment in which a worker finds it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stepwire import App
from stepwire_handlers.configuration import export, load
from stepwire_handlers.offline_model import serve
from stepwire_handlers.steps.claude import Claude


@asynccontextmanager
async def offline_if_needed(app: App) -> AsyncIterator[str]:
    """Run the offline model while the context is open; its address, or "" if the app needs none."""
    export(load())
    given = os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_BASE_URL")
    if given or not any(isinstance(resource, Claude) for resource in app.resources):
        yield ""
        return
    async with serve() as url:
        os.environ |= {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "offline"}
        yield url
