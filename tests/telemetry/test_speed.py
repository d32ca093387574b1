"""What the whole hook costs; ten thousand facts a second pass here. It prints, and asserts no time."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from stepwire import App, Event, handler
from stepwire.telemetry import Called
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.telemetry import build

FACTS, BATCH = 10_000, 50  #: a commit's deliveries are told one after the other, then the loop turns


class Asked(Event, topic="asked"):
    n: int
    text: str = "Why is the sky blue?"


class Told(Event, topic="told", terminal=True):
    n: int


@handler()
async def tell(asked: Asked) -> Told:
    return Told(n=asked.n)


@pytest.mark.parametrize("payload", ["off", "redacted", "full"])
async def test_the_cost_of_a_fact(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], payload: str
) -> None:
    """Metrics and the log line of one delivery, the line written to a file; the best of three rounds, `pytest -s`."""
    run = "0123456789abcdef" * 2
    fact = Called("shop", "tell", "asked", "ok", run, f"shop/tell/{run}", 1, 0.0123, 0.002,
                  inputs=(Asked(n=1),), outputs=(Told(n=1),))  # fmt: skip
    best = float("inf")
    with (tmp_path / "log").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        hook = build(Configuration(log="json", payload=payload), App("shop", [tell]))  # type: ignore[arg-type]
        for _ in range(3):
            begun = time.perf_counter()
            for _ in range(FACTS // BATCH):
                for _ in range(BATCH):
                    hook(fact)
                await asyncio.sleep(0)
            best = min(best, (time.perf_counter() - begun) / FACTS)
    with capsys.disabled():
        sys.stdout.write(f"\n  payload {payload}: {best * 1e6:.1f} us a fact")
    assert len((tmp_path / "log").read_text().splitlines()) == 3 * FACTS
