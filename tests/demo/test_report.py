"""What the demo prints at its end, for a bus that stays and for one that ends with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.cli.shell import HERE

from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.demo.report import report
from stepwire_handlers.services.publishing import until_it_rests


async def test_no_command_is_printed_that_needs_a_bus_which_ends_with_the_demo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a bus that stays, the command for the gate; on one that ends, that it does, and how to go on elsewhere."""
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])
    from market import Order, app  # type: ignore[import-not-found]  # as the commands import it

    bus = LocalBus(":memory:")
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    out, run = app.record(Order(n=500), id="a", source="demo", now=1.0)
    await bus.publish([out])
    views = {"big": await until_it_rests(app, bus, run, 10)}
    await worker.stop()
    await bus.close()

    report("market", tmp_path, "kafka://127.0.0.1:9", views)
    stays = capsys.readouterr().out
    assert f"gates decide {views['big'].gates[0].id[:12]} --approve" in stays
    assert "run the demo again" in stays

    report("market", tmp_path, None, views)
    ends = capsys.readouterr().out
    assert "gates decide" not in ends
    assert "run the demo again" not in ends
    assert "1 wait for you or could not be read. This broker ends with this command" in ends
    assert "demo market --bus kafka://HOST:PORT" in ends
