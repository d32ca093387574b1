"""Everything that is stored keeps its form: what this release writes, and what it makes of a file of an older one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.stored.golden import RECORDS, RETRIED, restored
from tests.stored.office import (
    HOUR,
    START,
    Accepted,
    Answered,
    Billed,
    Closed,
    Filed,
    Office,
    Paid,
    Paper,
    Print,
    Sent,
    Total,
    at_work,
    closed_for_today,
    lying,
)
from tests.stored.shop import SHOP, retried

from stepwire.bus.protocol import Record
from stepwire.memory import Run
from stepwire_handlers.services.closing import Reader, fold


async def test_what_is_written_is_what_was_written_before(tmp_path: Path) -> None:
    """Ids, envelopes, control records, state, offset maps, ends of runs, dead letters and wirings: byte for byte."""
    await closed_for_today(tmp_path / "office.db")
    assert json.loads(json.dumps(await lying(tmp_path / "office.db"))) == json.loads(RECORDS.read_text("utf-8"))


async def test_a_file_of_the_first_release_is_worked_off(tmp_path: Path) -> None:
    """Every open gather, gate, merge, queue, loop, parked call, unknown outcome and dead letter in it is completed."""
    restored(tmp_path / "office.db")
    office = Office()
    office.opened = True
    async with at_work(tmp_path / "office.db", office, START + 2 * HOUR) as run:
        await run.advance(HOUR)
        (gate,), (dead,), (unknown,) = run.gates, run.dead_letters, run.unknown
        await run.decide(gate, by="Ann")
        await run.replay(dead)
        await run.resolve(unknown, "done", Paid(amount=5))
        await run.publish(Billed(order="o1"))
        await published_again(run)
        assert ended(run) == [
            Accepted(by="Ann", price=7), Answered(text="Dear"), Closed(order="o1"), Filed(title="Law"), Paid(amount=5),
            Print(text="dxxx!"), Sent(to="Ann", n=1), Sent(to="Ann", n=2), Total(grams=3_000),
        ]  # fmt: skip
        assert (run.gates, run.dead_letters, run.unknown) == ([], [], [])


async def test_what_a_step_leaves_that_was_tried_again() -> None:
    """The end of a delivery with the number of its attempts: byte for byte; and it is read back."""
    end = await retried()
    assert [end.key, dict(end.headers), end.value.decode()] == json.loads(RETRIED.read_text("utf-8"))
    key, headers, value = json.loads(RETRIED.read_text("utf-8"))
    read = fold([Record("shop.runs", 0, 0, START, key, headers, value.encode())], key, Reader(SHOP))
    (told,) = read.ends
    assert (told.handler, told.why, told.attempts) == ("ring", "emitted", 3)
    assert told.error == "ConnectionError: nobody answered, 2"


async def published_again(run: Run) -> None:
    """What the first release had seen is still known: the same identity is dropped."""
    out, _ = run._app.record(Paper(title="Law"), id="before-5", source="test", now=run._clock.now())
    await run._bus.publish([out])
    await run._settle()


def ended(run: Run) -> list[object]:
    """All last events, by type; those of one type as they were made."""
    last = [event for event in run.events if type(event).spec.terminal]
    return sorted(last, key=lambda event: type(event).__name__)
