"""The process that is killed. CHAOS_BROKEN=1 commits outputs and progress apart: the judge must see it."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.chaos.flow import app

from stepwire.bus.local import LocalBus
from stepwire.bus.membership import Group
from stepwire.bus.protocol import Transaction
from stepwire.worker import Worker


class BrokenBus(LocalBus):
    """Writes outputs first, and what says that they are written a little later."""

    async def commit(self, group: Group, transaction: Transaction, generation: int) -> None:
        """Two transactions where one was asked for."""
        await super().commit(group, Transaction(outputs=transaction.outputs), generation)
        await asyncio.sleep(0.03)
        rest = Transaction(changes=transaction.changes, progress=transaction.progress)
        await super().commit(group, rest, generation)


async def main(path: str) -> None:
    """Work until killed."""
    bus = (BrokenBus if os.environ.get("CHAOS_BROKEN") else LocalBus)(path)
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
