"""What a person's edit leaves to be looked at: the run with what its step was called with, and the dead letter."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import to_json
from tests.door.test_stars import worked

from stepwire import App, Event, Reject, Sensitive, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire_handlers.cli.timeline import line_of
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.listing import newest
from stepwire_handlers.services.runs import Runs
from stepwire_handlers.services.said import Said
from stepwire_handlers.services.signing import Signing
from stepwire_handlers.services.tally import Teller
from stepwire_handlers.services.timeline import timeline
from stepwire_handlers.telemetry.mask import masked_json


class Holder(BaseModel):
    name: str
    ssn: Annotated[str, Sensitive()] = ""


class Claim(Event, topic="edited.claims", entry=True, key="iban"):
    n: int
    iban: Annotated[str, Sensitive()] = "DE00-1"
    due: date | None = None
    price: Decimal = Decimal(0)
    kind: Literal["x", "y"] = "x"
    holder: Holder | None = None
    codes: Annotated[list[str], Sensitive()] = Field(default_factory=list)


class Checked(Event, topic="edited.checked", result=True):
    n: int


@handler(order="iban")
async def check(claim: Claim) -> Checked:
    if claim.n < 0:
        raise Reject("no")
    return Checked(n=claim.n)


APP = App("edited", handlers=[check])
WHOLE = Claim(n=-1, due=date(2026, 1, 1), holder=Holder(name="Ann", ssn="S-1234"), codes=["C-1"])


@pytest.mark.parametrize(
    "edit",
    [
        {"due": "2026-02-02"}, {"price": "2.50", "kind": "y"}, {"holder": {"name": "Zoe", "ssn": "***"}},
        {"holder": {"name": "Zoe", "ssn": "S-5678"}}, {"holder": None, "due": None}, {"codes": ["C-2", "C-3"]}, {},
    ],
)  # fmt: skip
async def test_a_run_is_shown_with_what_its_step_was_called_with(tmp_path: Path, edit: dict[str, Any]) -> None:
    """Whatever the edit changed, of whatever type; what is hidden stays so."""
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    await worked(APP, bus, WHOLE)
    letters = DeadLetters(APP, bus)
    (letter,) = letters.open()
    await letters.resume([letter], to_json(masked_json(WHOLE) | edit | {"n": 3}), by="ann")
    await worked(APP, bus)
    (step,) = [step for step in timeline(Runs(APP, bus).view(letter.run)) if step.handler == "check"]
    wanted = masked_json(WHOLE) | edit | {"n": 3}
    if edit.get("holder"):
        wanted["holder"] = {**edit["holder"], "ssn": "***"}
    wanted["codes"] = "***"
    assert masked_json(step.inputs[0].event) == wanted
    (said,) = step.said
    assert said.edited is not None
    assert {*said.edited} == {*edit, "n"}
    await bus.close()


def test_what_was_set_to_nothing_is_told_too() -> None:
    """An edit that empties a field is an edit."""
    said = Said("check", "id", "replay", "ann", "", {"holder": None, "note": "", "n": 0})
    assert line_of(said) == 'replayed with an edit by ann, edited holder=null note="" n=0'


async def test_a_record_of_an_edit_that_fits_no_event_hides_no_run(tmp_path: Path) -> None:
    """Another release, or anybody, may have written it, and a check of the author may raise anything."""

    def check_(value: int) -> int:
        return {-1: -1}[value]

    class Odd(Event, topic="edited.odd", entry=True):
        n: Annotated[int, AfterValidator(check_)]  # raises KeyError

    @handler()
    async def look(odd: Odd) -> Checked:
        raise Reject("no")

    app = App("odd", handlers=[look])
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    await worked(app, bus, Odd(n=-1))
    letters = DeadLetters(app, bus)
    (letter,) = letters.open()
    for n in (3, "x"):
        view = Runs(app, bus).view(letter.run)
        view.said = [Said("look", letter.id, "replay", "ann", "", {"n": n})]
        (step,) = [step for step in timeline(view) if step.handler == "look"]
        assert masked_json(step.inputs[0].event) == {"n": -1}
    await bus.close()


@pytest.mark.parametrize("readable", [True, False])
async def test_a_key_or_an_order_that_is_sensitive_is_not_shown(tmp_path: Path, readable: bool) -> None:
    """Neither of an event, nor of one that cannot be read, of which nobody knows what its key is."""
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    out, _ = APP.record(WHOLE, now=0.0)
    await worked(APP, bus)
    await bus.publish([out if readable else out._replace(value=b'{"n": "x"}')])
    await worked(APP, bus)
    letters = DeadLetters(APP, bus)
    (letter,) = letters.open()
    headers = letters.shown(letter).record.headers
    assert letter.record.headers["sw_key"] == "DE00-1"
    assert headers["sw_key"] == "***"
    assert headers.get("sw_order", "***") == "***" and ("sw_order" in headers) is readable
    await bus.close()


@pytest.mark.parametrize("headers", [{}, {"ce_id": "7", "ce_source": "crm", "ce_type": "edited.claims.Claim.v1"}])
async def test_a_run_that_began_with_a_record_nobody_could_read_is_listed_and_says_who_mended_it(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    """From its first output on: before that nobody counts or lists a run of which nothing is there."""
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    await worked(APP, bus)
    await bus.publish([Out("edited.claims", None, headers, b'{"n": "x"}') for _ in range(2)][: 1 if headers else 2])
    await worked(APP, bus)
    letters, teller = DeadLetters(APP, bus), Teller(APP, bus)
    letter = letters.open()[-1]
    assert letter.run == "" and teller.look().started == 0
    await letters.resume([letter], b'{"n": 3}', by="ann")
    assert newest(APP, bus, 9).views == [] and teller.look()[:3] == (0, 0, 0)
    await worked(APP, bus)
    assert [teller.look()[:3] for _ in range(2)] == [(1, 0, 0), (0, 1, 0)]  # it counts once it is seen twice
    (view,) = newest(APP, bus, 9).views
    assert view.id == letter.id and view.state == "completed"
    (step,) = [step for step in timeline(view) if step.handler == "check"]
    assert [(said.decision, said.by) for said in step.said] == [("replay", "ann")]
    assert letters.said(letter, Signing(APP.name, bus)) == list(step.said)
    teller.close()
    await bus.close()
