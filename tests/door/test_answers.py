"""What services say that an app asked with `external(…)`: it reaches the run that asked, or is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.door.doors import Inside
from tests.door.shop import ASKING

STRUCTURED = {"content-type": "application/cloudevents+json"}
ANSWERED, FOUND = "asking.answered.Answered.v2", "asking.found.Found.v1"


async def send(inside: Inside, type_: str, data: dict[str, Any], **more: Any) -> Any:
    sent = {"specversion": "1.0", "id": "1", "source": "/service", "type": type_, "data": data, **more}
    return await inside.client.post("/events", json=sent, headers=STRUCTURED)


async def echoed(inside: Inside, run: str) -> dict[str, str]:
    """Our attributes, as the service was asked with them."""
    records = inside.door.places["asking"].history.of_run(run)
    (asked,) = [record for record in records if record.topic == "asking.asked"]
    return {name[3:]: text for name, text in asked.headers.items() if name.startswith("ce_sw")}


@pytest.mark.parametrize(("type_", "data"), [(ANSWERED, {"number": "7"}), (ANSWERED[:-1] + "1", {"no": "7"})])
async def test_both_kinds_of_answers_complete_the_run(inside: Inside, type_: str, data: dict[str, Any]) -> None:
    """One echoes our attributes, in the present version or in an older one; the other is found by its field."""
    run = (await inside.client.post("/apps/asking/Wish", json={"number": "7"})).json()["run"]
    await inside.work(ASKING)
    first = await send(inside, type_, data, **await echoed(inside, run))
    assert (first.status_code, first.json()["run"], first.headers["location"]) == (202, run, f"/runs/{run}")
    assert (await send(inside, FOUND, {"number": "7"})).status_code == 202
    await inside.work(ASKING)
    assert (await inside.get(f"/runs/{run}"))["result"] == {"type": "Told", "by": "7 7"}


async def test_an_answer_that_a_field_matches_has_no_address_yet(inside: Inside) -> None:
    """Nobody knows its run before a worker has matched it: no Location, and nothing to wait for."""
    sent = {"specversion": "1.0", "id": "1", "source": "/service", "type": FOUND, "data": {"number": "7"}}
    answer = await inside.client.post("/events", json=sent, headers={**STRUCTURED, "prefer": "wait=30"})
    assert (answer.status_code, answer.json()["run"], answer.json()["url"]) == (202, "", None)
    assert not {"location", "preference-applied"} & answer.headers.keys()


async def test_an_answer_that_says_not_whose_it_is_is_refused(inside: Inside) -> None:
    """422 to its sender, who can mend it, not a dead letter at the worker."""
    answer = await send(inside, ANSWERED, {"number": "7"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stepwire:problem:invalid")


@pytest.mark.parametrize("type_", ["asking.answered.Answered.v7", "asking.found.Found.v7", "asking.found.Found.vx"])
async def test_a_newer_version_of_an_answer_is_refused(inside: Inside, type_: str) -> None:
    """422, as for any event that only a later release can read."""
    answer = await send(inside, type_, {"number": "7"}, swrun="r")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stepwire:problem:unknown-type")


@pytest.mark.parametrize("run", ["é€", "a b?x#y%2f", "%2e%2e", "…"])
async def test_a_run_of_any_name_has_an_address_that_leads_to_it(inside: Inside, run: str) -> None:
    """Whoever follows Location, url or the links of the run itself finds it."""
    answer = await send(inside, ANSWERED, {"number": "7"}, swrun=run)
    assert answer.status_code == 202, answer.text
    found = await inside.get(answer.headers["location"])
    assert (found["run"], found["links"]["self"]) == (run, answer.json()["url"])


@pytest.mark.parametrize("run", ["a b/../?x#y", "/", ".", "..", "x" * 129])
async def test_a_run_that_could_have_no_address_is_refused_before_anything_is_written(inside: Inside, run: str) -> None:
    """422, and a batch with such an answer is refused whole."""
    answer = await send(inside, ANSWERED, {"number": "7"}, swrun=run)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stepwire:problem:invalid")
    assert inside.bus.store.find_run(run) is None


async def test_sources_of_our_own_are_nobody_else_s(inside: Inside) -> None:
    """Under them stand the events of other callers' idempotency keys, and what steps emit."""
    for source in ("stepwire:door/asking", "stepwire:asking/ask"):
        answer = await send(inside, ANSWERED, {"number": "7"}, swrun="r", source=source)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:stepwire:problem:invalid")
