"""The process that is killed: `stepwire run`. CHAOS_BROKEN=1: it commits in a wrong order, which the judge must see."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction
from stepwire_handlers.cli.main import cli

LATER = 0.25  #: seconds between the two halves; a file says that it is now, so that the kill falls between them
whole = LocalBus.commit
numbers = itertools.count()


async def in_two(bus: LocalBus, group: Group, transaction: Transaction, generation: int) -> None:
    """Outputs first, and what says that they are written a little later."""
    await whole(bus, group, Transaction(outputs=transaction.outputs), generation)
    if transaction.outputs:
        between = Path(os.environ["CHAOS_FOLDER"]) / f"between-{os.getpid()}-{next(numbers)}"
        between.touch()
        await asyncio.sleep(LATER)
        between.unlink()
    await whole(bus, group, Transaction(changes=transaction.changes, progress=transaction.progress), generation)


if __name__ == "__main__":
    if os.environ.get("CHAOS_BROKEN"):
        LocalBus.commit = in_two  # type: ignore[method-assign]
    cli()
