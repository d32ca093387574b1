"""The process that is killed: `stepwire run`. CHAOS_BROKEN=1: it commits in a wrong order, which the judge must see."""

from __future__ import annotations

import asyncio
import os

from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction
from stepwire_handlers.cli.main import cli

LATER = 0.25  #: seconds; so long that a kill at any moment of work falls into it more often than not
whole = LocalBus.commit


async def in_two(bus: LocalBus, group: Group, transaction: Transaction, generation: int) -> None:
    """Outputs first, and what says that they are written a little later."""
    await whole(bus, group, Transaction(outputs=transaction.outputs), generation)
    await asyncio.sleep(LATER)
    await whole(bus, group, Transaction(changes=transaction.changes, progress=transaction.progress), generation)


if __name__ == "__main__":
    if os.environ.get("CHAOS_BROKEN"):
        LocalBus.commit = in_two  # type: ignore[method-assign]
    cli()
