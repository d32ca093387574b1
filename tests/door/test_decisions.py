"""Gates and dead letters over HTTP: decided by whoever has the role, signed, written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.door.doors import Inside
from tests.door.shop import APP, ASKING, FILES

from stepwire.bus.protocol import Out
from stepwire.gate import decision
from stepwire_handlers.services.door.access import Access, new_key
from stepwire_handlers.services.timeline import REFUSED, timeline

KEYS = {name: new_key() for name in ("eye", "crm", "boss")}
ACCESS = Access.model_validate({
    "keys": [{"name": name, "hash": KEYS[name][1], "roles": {"shop": [role]}}
             for name, role in (("eye", "viewer"), ("crm", "operator"), ("boss", "approver"))]
})  # fmt: skip


def by(name: str) -> dict[str, str]:
    return {"x-api-key": KEYS[name][0]}


async def gate(inside: Inside, key: str = "") -> tuple[str, str]:
    """A run that waits for a person: its address and the gate's id."""
    answer = await inside.order(500, **by("crm"))
    await inside.work(APP, key)
    run = answer.headers["location"]
    listed = (await inside.client.get("/gates", headers=by("eye"))).json()["gates"]
    (found,) = [each for each in listed if run.endswith(each["run"])]
    assert (found["app"], found["handler"], found["event"]["n"]) == ("shop", "approve", 500)
    return run, found["id"]


async def letter(inside: Inside) -> tuple[str, str]:
    """A run with a dead letter: its address and the letter's id."""
    answer = await inside.order(-1, **by("crm"))
    await inside.work(APP)
    (found,) = (await inside.client.get("/dead-letters", headers=by("eye"))).json()["dead_letters"]
    return answer.headers["location"], found["id"]


async def test_a_gate_is_decided_with_an_edit_by_an_approver(
    opened: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither viewer nor operator may; the edit reaches the step; once decided there is nothing left to decide."""
    async with opened(ACCESS) as inside:
        run, id_ = await gate(inside)
        body = {"decision": "approve", "edited": {"n": 60}, "why": "fair"}
        for name in ("eye", "crm"):
            assert (await inside.client.post(f"/gates/{id_}", json=body, headers=by(name))).status_code == 403
        answer = await inside.client.post(f"/gates/{id_}", json=body, headers=by("boss"))
        assert (answer.status_code, answer.json()["by"], answer.headers["location"]) == (202, "key:boss", run)
        again = await inside.client.post(f"/gates/{id_}", json=body, headers=by("boss"))
        assert again.status_code == 404
        await inside.work(APP)
        seen = await inside.get(run, **by("eye"))
        assert seen["result"]["n"] == 60
        (told,) = seen["said"]
        assert (told["decision"], told["by"], told["why"], told["edited"]) == ("approve", "key:boss", "fair", {"n": 60})
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (said,) = [line for line in lines if line["event"] == "decided"]
    assert (said["by"], said["decision"], said["id"], said["edited"]) == ("key:boss", "approve", id_, True)


async def test_who_is_overtaken_on_another_machine_is_told_by_whom(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """409, not a decision that no worker takes."""
    async with opened() as inside:
        run = (await inside.order(500)).headers["location"]
        await inside.work(APP)
        ((id_, bus),) = [(each["id"], inside.door.places["shop"].bus) for each in (await inside.get("/gates"))["gates"]]
        publish = bus.publish

        async def late(outputs: Sequence[Out]) -> Any:
            other = decision(id_, approved=True, by="ann", sent=1.0)
            await publish([Out("shop.approve.control", id_, {}, other.encode())])
            return await publish(outputs)

        monkeypatch.setattr(bus, "publish", late)
        answer = await inside.client.post(f"/gates/{id_}", json={"decision": "decline"})
        assert (answer.status_code, "ann decided" in answer.json()["detail"]) == (409, True)
        await inside.work(APP)
        assert (await inside.get(run))["result"]["n"] == 500


async def test_a_remark_shows_nothing_that_is_sensitive_in_its_run(opened: Callable[..., Any]) -> None:
    """Whatever event holds it: the one that is decided about, or another one of the run."""
    card = "4711-0815-hunter2"
    async with opened() as inside:
        run = (await inside.client.post("/apps/shop/Order", json={"n": 500, "card": card})).headers["location"]
        await inside.work(APP)
        (asked,) = (await inside.get("/gates"))["gates"]
        assert "card" not in asked["event"]
        body = {"decision": "approve", "why": f"the bank knows {card}"}
        assert (await inside.client.post(f"/gates/{asked['id']}", json=body)).status_code == 202
        for _ in range(2):
            (told,) = (await inside.get(run))["said"]
            assert told["why"] == "the bank knows ***"
            await inside.work(APP)
        assert card not in (await inside.client.get(f"{run}/stream")).text


async def test_a_decision_is_signed_with_the_key_of_the_door(opened: Callable[..., Any]) -> None:
    """A worker with the same key carries it out; a door without the key decides nothing there."""
    async with opened(ACCESS) as unsigned:
        run, id_ = await gate(unsigned, "hunter2hunter2")
        body = {"decision": "approve"}
        assert (await unsigned.client.post(f"/gates/{id_}", json=body, headers=by("boss"))).status_code == 202
        await unsigned.work(APP, "hunter2hunter2")
        assert (await unsigned.get(run, **by("eye")))["state"] == "waiting"
        assert timeline(unsigned.door.places.all[0].runs.view(run.rpartition("/")[2]))[-1].about == REFUSED
    async with opened(ACCESS, decision_key="hunter2hunter2") as signed:
        assert (await signed.client.post(f"/gates/{id_}", json=body, headers=by("boss"))).status_code == 202
        await signed.work(APP, "hunter2hunter2")
        assert (await signed.get(run, **by("eye")))["result"]["n"] == 500


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"decision": "maybe"}, 422), ({}, 422), ([], 422), ({"decision": "redo"}, 422),
        ({"decision": "approve", "by": "the king"}, 422), ({"decision": "approve", "edited": {"m": 1}}, 422),
        ({"decision": "approve", "edited": {"n": "x"}}, 422),
    ],
)  # fmt: skip
async def test_a_decision_that_makes_no_sense_is_refused(opened: Callable[..., Any], body: Any, status: int) -> None:
    """422, to whoever may decide, and the gate still waits; nobody decides in another's name."""
    async with opened(ACCESS) as inside:
        _, id_ = await gate(inside)
        assert (await inside.client.post(f"/gates/{id_}", json=body, headers=by("eye"))).status_code == 403
        assert (await inside.client.post(f"/gates/{id_}", json=body, headers=by("boss"))).status_code == status
        plain = {**by("boss"), "content-type": "text/plain"}
        form = await inside.client.post(f"/gates/{id_}", content=b'{"decision":"approve"}', headers=plain)
        assert form.status_code == 415
        assert len((await inside.client.get("/gates", headers=by("eye"))).json()["gates"]) == 1


async def test_a_dead_letter_is_replayed_with_an_edit(opened: Callable[..., Any]) -> None:
    """By an operator; the run is healed; a payload that does not fit is refused and leaves it open."""
    async with opened(ACCESS) as inside:
        run, id_ = await letter(inside)
        path = f"/dead-letters/{id_}/replay"
        assert (await inside.client.post(path, headers=by("eye"))).status_code == 403
        assert (await inside.client.post(path, json={"edit": 1}, headers=by("eye"))).status_code == 403
        assert (await inside.client.post(path, json={"edited": {"n": "x"}}, headers=by("crm"))).status_code == 422
        assert (await inside.client.post(path, json={"edited": {"n": 3}}, headers=by("crm"))).status_code == 202
        assert (await inside.client.post(path, json={}, headers=by("crm"))).status_code == 404
        await inside.work(APP)
        found = await inside.get(run, **by("eye"))
        assert found["result"]["n"] == 3
        (told,) = found["retried"]
        assert (told["handler"], told["attempts"], told["last_error"][:24]) == ("check", 1, "Reject: a negative order")


async def test_a_dead_letter_is_dropped(opened: Callable[..., Any]) -> None:
    """The run is completed without a result."""
    async with opened(ACCESS) as inside:
        run, id_ = await letter(inside)
        answer = await inside.client.post(f"/dead-letters/{id_}/drop", headers=by("crm"))
        assert (answer.status_code, answer.json()["decision"]) == (202, "drop")
        await inside.work(APP)
        found = await inside.get(run, **by("eye"))
        assert (found["state"], found["result"]) == ("completed", None)
        scraped = (await inside.client.get("/metrics", headers=by("crm"))).status_code
        assert scraped == 403  # it shows every app
        assert b'decisions_total{app="shop",decision="drop"} 1.0' in inside.door.measures.scrape()[0]


async def test_who_may_see_every_app_of_the_door_may_see_its_metrics(opened: Callable[..., Any]) -> None:
    """A role for each is as good as one for all."""
    secret, hash_ = new_key()
    roles = {app.name: ["viewer"] for app in (APP, FILES, ASKING)}
    keys = [{"name": "prometheus", "hash": hash_, "roles": roles}]
    async with opened(Access.model_validate({"keys": keys})) as inside:
        assert (await inside.client.get("/metrics", headers={"x-api-key": secret})).status_code == 200


async def test_who_replays_and_who_drops_is_logged(
    opened: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """One line for each that was done, with who, what, where and whether it was edited; none for what was refused."""
    done = []
    async with opened(ACCESS) as inside:
        for what, body in (("drop", None), ("replay", {"edited": {"n": 3}}), ("replay", {})):
            run, id_ = await letter(inside)
            path = f"/dead-letters/{id_}/{what}"
            assert (await inside.client.post(path, json=body, headers=by("eye"))).status_code == 403
            assert (await inside.client.post(path, json=body, headers=by("crm"))).status_code == 202
            await inside.work(APP)
            done.append((what, id_, run.rpartition("/")[2], bool(body)))
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    said = [line for line in lines if line["event"] == "decided"]
    assert [(line["decision"], line["id"], line["run"], line["edited"]) for line in said] == done
    assert {(line["by"], line["app"], line["handler"]) for line in said} == {("key:crm", "shop", "check")}


async def test_of_two_who_decide_at_once_one_is_told(opened: Callable[..., Any]) -> None:
    """Through two doors on one file: one verdict stands, and nobody is told that theirs does when it does not."""
    async with opened(ACCESS) as one, opened(ACCESS) as other:
        for _ in range(5):
            run, id_ = await gate(one)
            asked = [
                door.client.post(f"/gates/{id_}", json={"decision": verdict}, headers=by("boss"))
                for door, verdict in ((one, "approve"), (other, "decline"), (one, "decline"), (other, "approve"))
            ]
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status_code for answer in answers) == [202, 404, 404, 404]
            (told,) = (await one.get(run, **by("eye")))["said"]
            (won,) = [answer.json() for answer in answers if answer.status_code == 202]
            assert told["decision"] == won["decision"]


async def test_of_two_who_answer_a_dead_letter_at_once_one_is_told(opened: Callable[..., Any]) -> None:
    """Replayed and dropped at once: it is one of the two."""
    async with opened(ACCESS) as one, opened(ACCESS) as other:
        run, id_ = await letter(one)
        asked = [
            door.client.post(f"/dead-letters/{id_}/{what}", headers=by("crm"))
            for door, what in ((one, "replay"), (other, "drop"), (one, "drop"), (other, "replay"))
        ]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [202, 404, 404, 404]
        assert len((await one.get(run, **by("eye")))["said"]) == 1
