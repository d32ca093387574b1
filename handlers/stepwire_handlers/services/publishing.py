"""Around a publish from outside a worker (`known`): the file before its event, and waiting for what comes of it.

In: a path, or a run. Out: an attachment, or the run at rest.
"""

from __future__ import annotations

import asyncio
import mimetypes
from pathlib import Path

from stepwire import App
from stepwire.bus.local import LocalBus
from stepwire_handlers.blobs import BlobStore
from stepwire_handlers.services.runs import Runs, RunView
from stepwire_topics.attachment import Attachment

LOOK = 0.05  #: seconds between two looks at a run


async def put(blobs: BlobStore, path: Path) -> Attachment:
    """A file into the blob store, before the event that names it is published."""
    media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return await blobs.put(path, media_type=media, name=path.name)


async def until_it_rests(app: App, bus: LocalBus, run: str, timeout: float) -> RunView:
    """Follow a run to its result, or until nothing is open but what a person owes, or until time is up."""
    runs = Runs(app, bus)
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while True:
        view = runs.view(run)
        if view.state == "completed" or (view.state != "running" and _rests(view)) or loop.time() >= end:
            return view
        await asyncio.sleep(LOOK)


def _rests(view: RunView) -> bool:
    """Is all that is open a person's business?"""
    return all(item.kind in ("gate", "unknown outcome", "dead letter", "join") for item in view.open) and bool(
        view.gates or view.dead
    )
