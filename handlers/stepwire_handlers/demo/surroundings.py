"""What a flow needs around it, started for the demo and stopped after it: models, database, web APIs.

In: a folder. Out: environment variables of this process, as a deployment would set them. With a key or an address of a
model in the environment, that model is asked instead of the offline one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from stepwire.errors import SettingsError

PATIENCE = 20.0  #: seconds for the stand-ins to start


@asynccontextmanager
async def surroundings(flow: str, folder: Path) -> AsyncIterator[str]:
    """Everything that the flow needs; which model is asked, in words."""
    async with AsyncExitStack() as stack:
        model = "Claude"
        if not (os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_BASE_URL")):
            from stepwire_handlers.offline_model import serve  # noqa: PLC0415 - an extra

            url = await stack.enter_async_context(serve())
            os.environ |= {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "offline"}
            model = "the offline model (set ANTHROPIC_API_KEY to ask Claude)"
        if flow == "invoices":
            await stack.enter_async_context(_office(folder))
        yield model


@asynccontextmanager
async def _office(folder: Path) -> AsyncIterator[None]:
    """The customers' database and the stand-ins of Slack and Gmail."""
    try:
        from stepwire_handlers.flows.invoices.customers import customers_sql  # noqa: PLC0415 - brings the flow
        from stepwire_handlers.standins import database  # noqa: PLC0415 - an extra
        from stepwire_handlers.standins.web import GMAIL_TOKEN, SLACK_TOKEN  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise SettingsError(f"the demo needs {error.name}: install Stepwire's extra all") from None
    dsn = await asyncio.to_thread(database.start, folder / "postgres", customers_sql())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stepwire_handlers.standins", "--folder", str(folder), stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, who then end it
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        addresses = json.loads(line)
        os.environ |= {
            "DATABASE_URL": database.reader(dsn),
            "SLACK_BASE_URL": addresses["SLACK_BASE_URL"], "SLACK_TOKEN": SLACK_TOKEN,
            "GMAIL_BASE_URL": addresses["GMAIL_BASE_URL"], "GMAIL_TOKEN": GMAIL_TOKEN,
            "STEPWIRE_CLAIMS": str(folder / "claims.db"), "STEPWIRE_PYTHON": sys.executable,
        }  # fmt: skip
        yield
    except (ValueError, TimeoutError) as error:
        raise SettingsError("the stand-ins of Slack and Gmail did not start; their own error is above") from error
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
