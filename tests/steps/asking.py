"""A Claude resource on a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stepwire_handlers.steps.claude import Claude

KEY = "sk-not-a-real-key-0123456789"


@asynccontextmanager
async def asked(url: str, prompts: Path, *models: str, **options: Any) -> AsyncIterator[Claude]:
    chain = models or ("cheap", "strong")
    async with Claude(chain, api_key=KEY, base_url=url, prompts=prompts, **options) as llm:
        yield llm
