"""Starting the offline model as a process of its own: nothing comes in, its address goes out.

The process runs in an empty folder, so that it has nothing to look answers up in; it gets no secrets from the
environment, and ends with whoever started it, even if that one is killed: its standard input closes then.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from stepwire.errors import SettingsError

PATIENCE = 30.0  # seconds to start on a machine under load; it takes less than one
PARTING = 5.0  # seconds to end before it is killed
PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR")


@asynccontextmanager
async def serve(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Run the offline model; its base URL.

    Args:
        host: where it listens.
        port: 0 takes a free one.

    Raises SettingsError if it does not start.
    """
    with TemporaryDirectory(prefix="stepwire-offline-model-") as empty:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stepwire_handlers.offline_model", "--host", host, "--port", str(port),
            "--until-eof", cwd=empty, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            start_new_session=True,  # Ctrl-C is for us, who then end it
        )  # fmt: skip
        try:
            yield await _address(process)
        finally:
            await _end(process)


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    except TimeoutError:
        line = b""
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError) as error:
        raise SettingsError(
            "the offline model did not start; its own error is above. It needs Stepwire's extra serve"
        ) from error


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PARTING)
    except TimeoutError:
        process.kill()
        await process.wait()
