"""What is sent twice, by whoever: in one batch, under one key in two runs, or under a name that is not the sender's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.door.doors import Inside

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.event import digest, identity
from stepwire.worker import prepare
from stepwire_handlers.services.door.intake import publish_fields
from stepwire_handlers.services.door.places import Place, Watch
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.history import History
from stepwire_handlers.services.known import Turns

BATCH = {"content-type": "application/cloudevents-batch+json"}
ORDER, RENAMED = "shop.orders.Order.v1", "shop.renamed.Renamed.v2"


def _event(id_: str, data: dict[str, object], kind: str = ORDER, source: str = "urn:crm") -> dict[str, object]:
    return {"specversion": "1.0", "id": id_, "source": source, "type": kind, "data": data}


async def _batch(inside: Inside, *events: dict[str, object]) -> list[dict[str, Any]]:
    answer = await inside.client.post("/events", content=json.dumps(events), headers=BATCH)
    assert answer.status_code == 202, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


async def test_of_two_events_with_one_identity_in_a_batch_the_first_counts(inside: Inside) -> None:
    """As with two requests: what came first is published, what came second is told as a repeat."""
    first, second, other = await _batch(inside, _event("a", {"n": 1}), _event("a", {"n": 1}), _event("b", {"n": 3}))
    assert (first["repeated"], second["repeated"], other["repeated"]) == (False, True, False)
    (record,) = History(inside.bus.store).of_run(first["run"])
    assert first["run"] == second["run"] and json.loads(record.value)["n"] == 1


async def test_an_event_with_other_data_is_no_repeat(inside: Inside) -> None:
    """422, and what was sent first counts; by its value: another order, spacing or mode is the same event."""

    async def send(body: str, **headers: str) -> tuple[int, bool | str]:
        answer = await inside.client.post("/events", content=body, headers=headers)
        said = answer.json()
        return answer.status_code, said["type"] if "type" in said else said["repeated"]

    structured = {"content-type": "application/cloudevents+json"}
    whole = _event("a", {"n": 1, "slow": 0.5})
    assert await send(json.dumps(whole), **structured) == (202, False)
    turned = _event("a", {"slow": 0.5, "n": 1})
    assert await send(json.dumps(turned, indent=2), **structured) == (202, True)
    named = {f"ce-{name}": str(text) for name, text in whole.items() if name != "data"}
    assert await send('{"slow": 0.5, "n": 1}', **named, **{"content-type": "application/json"}) == (202, True)
    reused = (422, "urn:stepwire:problem:key-reused")
    assert await send(json.dumps(_event("a", {"n": 2, "slow": 0.5})), **structured) == reused
    assert await send('{"n": 2}', **named, **{"content-type": "application/json"}) == reused
    (record,) = History(inside.bus.store).of_run(identity("urn:crm", "a"))
    assert json.loads(record.value)["n"] == 1


async def test_a_batch_with_other_data_under_a_known_identity_is_refused_whole(inside: Inside) -> None:
    """422 that says which, whether the first one lies there or is in the batch; nothing of it is written."""
    await _batch(inside, _event("a", {"n": 1}))
    for events, wrong in (
        ([_event("new", {"n": 5}), _event("a", {"n": 2})], ["/1"]),
        ([_event("new", {"n": 5}), _event("new", {"n": 6}), _event("a", {"n": 1})], ["/1"]),
    ):
        answer = await inside.client.post("/events", content=json.dumps(events), headers=BATCH)
        assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, wrong)
        assert "none was taken" in answer.json()["detail"]
        assert inside.bus.store.find_run(identity("urn:crm", "new")) is None


async def test_an_event_that_came_another_way_is_followed(inside: Inside) -> None:
    """Its producer wrote it to the bus, or an older door did: nobody knows what was sent, so nobody is refused."""
    place = inside.door.places["shop"]
    out, _ = place.app.record(place.entries["Order"](n=1), id="a", source="urn:crm", now=1.0)
    await place.bus.publish([out])
    (again,) = await _batch(inside, _event("a", {"n": 2}))
    assert again["repeated"] is True


async def test_a_run_is_read_once_for_a_batch(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that meet in one run cost the door one look at it, not one for each of them."""
    looks, read = [], History.of_run

    def counted(self: History, run: str) -> Any:
        looks.append(run)
        return read(self, run)

    events = [_event(f"{n}", {"number": "4711"}, RENAMED) for n in range(50)]
    await _batch(inside, *events[:20])
    monkeypatch.setattr(History, "of_run", counted)
    told = await _batch(inside, *events)
    assert [each["repeated"] for each in told] == [True] * 20 + [False] * 30
    assert len(looks) <= 1


async def test_one_key_in_two_runs_is_two_identities(inside: Inside) -> None:
    """Where a field names the run, what follows of the second event must not pass for what followed of the first."""
    key = {"idempotency-key": "k"}
    sent = [await inside.client.post("/apps/shop/Renamed", json={"number": n}, headers=key) for n in ("a", "b", "a")]
    a, b, again = (answer.json() for answer in sent)
    assert a["run"] != b["run"] and a["id"] != b["id"]
    assert (again["run"], again["id"], again["repeated"]) == (a["run"], a["id"], True)


async def test_nobody_takes_another_caller_s_key_away(inside: Inside) -> None:
    """An event under the identity that somebody's key will have must not pass for what they send."""
    taken = digest("idempotency", "anybody", "invoice-4711")
    event = _event(taken, {"n": 99}, source="stepwire:door/shop")
    answer = await inside.client.post("/events", content=json.dumps([event]), headers=BATCH)
    assert answer.status_code == 422 and "stepwire:door/" in answer.text
    mine = (await inside.order(7, **{"idempotency-key": "invoice-4711"})).json()
    assert mine["repeated"] is False


async def test_an_event_without_a_digest_is_nobody_s_first_request(inside: Inside) -> None:
    """Whatever lies there under a key's identity, and was not sent with that key, answers nobody's request."""
    place = inside.door.places["shop"]
    taken = digest("idempotency", "anybody", "k")
    out, _ = place.app.record(place.entries["Order"](n=99), id=taken, source="stepwire:door/shop", now=1.0)
    await place.bus.publish([out])
    answer = await inside.order(7, **{"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stepwire:problem:key-reused")


def sales(version: int) -> App:
    """An app whose entry asks for more since its second version."""

    class Sale(Event, topic="sales", version=version):
        n: int
        note: str = ""
        if version == 2:
            currency: str

    if version == 2:
        Sale.upcast(1)(lambda data: {**data, "currency": "EUR"})

    @handler(name="sell")
    async def sell(sale: Sale) -> None: ...

    return App("sales", [sell])


async def test_a_repeat_is_followed_by_a_door_of_the_next_release(tmp_path: Path) -> None:
    """Whoever got no answer asks again, and what they send need not fit the new version; other data is refused."""
    bus = LocalBus(str(tmp_path / "bus.db"))
    await bus.open()
    old, new = (Place(sales(version), bus, Watch(bus), Turns(bus)) for version in (1, 2))
    await prepare(old.app, bus, old.app.settings)
    first = await publish_fields(old, old.entries["Sale"], {"n": 1}, "k", {})
    again = await publish_fields(new, new.entries["Sale"], {"n": 1}, "k", {})
    assert (again.known, again.run, again.id) == (True, first.run, first.id)
    for fields, key in (({"n": 2}, "k"), ({"n": 1}, "other"), ({"n": 1, "currency": "USD"}, "k")):
        with pytest.raises(Problem) as refused:
            await publish_fields(new, new.entries["Sale"], fields, key, {})
        assert refused.value.status == 422
    assert sum((await bus.ends(["sales"])).values()) == 1
    await bus.close()
