"""Gates and dead letters in pages: bounded, filtered, read aside, and by id without a look at the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.door.doors import Inside
from tests.door.shop import APP

from stepwire import App, Event, Reject, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
from stepwire_handlers.services import gates as gates_module
from stepwire_handlers.services.dead_letters import DeadLetters
from stepwire_handlers.services.door import stream as streams
from stepwire_handlers.services.door.access import Access, new_key
from stepwire_handlers.services.door.limits import Shares
from stepwire_handlers.services.mark import Mark, mark_of


async def filled(inside: Inside, gates: int = 0, letters: int = 0) -> None:
    for n in range(gates):
        await inside.order(500 + n)
    for n in range(letters):
        await inside.order(-1 - n)
    await inside.work(APP)


@pytest.mark.parametrize(("path", "name"), [("/gates", "gates"), ("/dead-letters", "dead_letters")])
async def test_pages_hold_everything_once(inside: Inside, path: str, name: str) -> None:
    """Oldest first; what is answered between two pages moves nothing, and the last page has no next one."""
    await filled(inside, gates=5, letters=5)
    whole = (await inside.get(path))[name]
    assert len(whole) == 5
    first = await inside.get(f"{path}?limit=2")
    assert first[name] == whole[:2]
    gone = first[name][0]["id"]
    answer = await inside.client.post(
        f"/gates/{gone}" if name == "gates" else f"/dead-letters/{gone}/drop",
        json={"decision": "decline"} if name == "gates" else None,
    )
    assert answer.status_code == 202
    second = await inside.get(f"{path}?limit=2&cursor={first['next']}")
    third = await inside.get(f"{path}?limit=2&cursor={second['next']}")
    assert [each["id"] for each in second[name] + third[name]] == [each["id"] for each in whole[2:]]
    assert third["next"] is None


async def test_a_list_is_filtered(inside: Inside) -> None:
    """By app, handler, error, run and how an id begins; answered dead letters only if asked for."""
    await filled(inside, gates=2, letters=2)
    one, other = (await inside.get("/dead-letters"))["dead_letters"]
    for query in (f"run={one['run'][:9]}", f"id={one['id'][:9]}"):
        assert (await inside.get(f"/dead-letters?{query}"))["dead_letters"] == [one]
    assert (await inside.get("/dead-letters?error=Reject&handler=check&app=shop"))["dead_letters"] == [one, other]
    for query in ("error=ValueError", "handler=finish", "app=files", "run=none"):
        assert (await inside.get(f"/dead-letters?{query}"))["dead_letters"] == []
    await inside.client.post(f"/dead-letters/{one['id']}/drop")
    assert (await inside.get("/dead-letters"))["dead_letters"] == [other]
    every = (await inside.get("/dead-letters?every=true"))["dead_letters"]
    assert [each["status"] for each in every] == ["under way", "open"]
    gate = (await inside.get("/gates"))["gates"][1]
    assert (await inside.get(f"/gates?id={gate['id'][:9]}&app=shop"))["gates"] == [gate]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "cursor=1:" + "a" * 600, "cursor=x", "cursor=1:", "id=a&id=b"],
)
async def test_a_query_that_makes_no_sense_is_422(inside: Inside, query: str) -> None:
    """And an app that is not there is 404."""
    for path in ("/gates", "/dead-letters"):
        await inside.get(f"{path}?{query}", 422)
        await inside.get(f"{path}?app=none", 404)
    await inside.get("/dead-letters?every=1", 422)


@pytest.mark.parametrize("odd", ["%00", "%EE%80%80", "%EF%BF%BF", "%F0%9F%98%80", "%25", "_", "a" * 5_000])
async def test_an_id_that_nothing_has_finds_nothing(inside: Inside, odd: str) -> None:
    """Whatever its characters: those at the ends of the alphabet have no neighbour."""
    await filled(inside, gates=1, letters=1)
    assert (await inside.get(f"/gates?id={odd}"))["gates"] == []
    assert (await inside.get(f"/dead-letters?id={odd}"))["dead_letters"] == []
    for path, body in ((f"/gates/{odd}", {"decision": "approve"}), (f"/dead-letters/{odd}/replay", None)):
        assert (await inside.client.post(path, json=body)).status_code == 404
    await inside.get(f"/dead-letters/{odd}", 404)


async def test_a_gate_has_an_address(inside: Inside) -> None:
    """What a list says of it, to who may see it; 404 once it is decided; other methods are told which there are."""
    await filled(inside, gates=2)
    one, other = (await inside.get("/gates"))["gates"]
    for each in (one, other):
        assert await inside.get(f"/gates/{each['id']}?app=shop&handler=approve") == each
        assert await inside.get(f"/gates/{each['id']}") == each
    for query in ("?app=files", "?handler=check"):
        await inside.get(f"/gates/{one['id']}{query}", 404)
    answer = await inside.client.delete(f"/gates/{one['id']}")
    assert (answer.status_code, {*answer.headers["allow"].split(", ")}) == (405, {"GET", "HEAD", "POST"})
    await inside.client.post(f"/gates/{one['id']}", json={"decision": "decline"})
    await inside.get(f"/gates/{one['id']}", 404)


async def test_runs_are_found_by_how_their_ids_begin(inside: Inside) -> None:
    """With state and time, as in a list; each with its number of events and what it waits for."""
    runs = [(await inside.order(n)).json()["run"] for n in (1, 500)]
    await inside.work(APP)
    for run, state, events, waits in ((runs[0], "completed", 3, []), (runs[1], "waiting", 2, ["gate: approve"])):
        (found,) = (await inside.get(f"/runs?id={run[:12]}"))["runs"]
        assert (found["run"], found["state"], found["events"], found["waits"]) == (run, state, events, waits)
        assert (await inside.get(f"/runs?id={run[:12]}&state=failed"))["runs"] == []
        assert (await inside.get(f"/runs?id={run[:12]}&since=2999-01-01"))["runs"] == []
        assert (await inside.get(f"/runs?id={run[:12]}&app=files"))["runs"] == []
    assert await inside.get("/runs?id=none") == {"runs": [], "whole": True}


async def test_a_run_is_told_step_by_step(inside: Inside) -> None:
    """Every event and every step of it, what is sensitive masked; nobody else's run is found."""
    run = (await inside.client.post("/apps/shop/Order", json={"n": 1, "card": "4111 1111"})).json()["run"]
    await inside.work(APP)
    told = await inside.get(f"/runs/{run}/steps")
    assert [event["type"] for event in told["events"]] == ["Order", "Checked", "Done"]
    assert [step["handler"] for step in told["steps"]] == [None, "check", "finish"]
    named = {event["identity"] for event in told["events"]}
    assert all(each["identity"] in named for step in told["steps"] for each in step["inputs"] + step["outputs"])
    assert "4111" not in str(told) and told["events"][0]["event"]["card"] == "***"
    assert (await inside.get(f"/runs/{run}/steps?app=shop")) == told
    await inside.get(f"/runs/{run}/steps?app=files", 404)
    await inside.get("/runs/none/steps", 404)


async def test_a_dead_letter_is_shown_whole(inside: Inside) -> None:
    """With its cause, its payload, what it holds up and what people did; masked."""
    answer = await inside.client.post("/apps/shop/Order", json={"n": -1, "card": "4711-0815"})
    await inside.work(APP)
    (letter,) = (await inside.get("/dead-letters"))["dead_letters"]
    found = await inside.get(f"/dead-letters/{letter['id']}?handler=check")
    assert (found["run"], found["status"], found["payload"]["n"]) == (answer.json()["run"], "open", -1)
    assert "Reject" in found["headers"]["kafka_dlt-exception-stacktrace"]
    assert "4711-0815" not in str(found)
    await inside.client.post(f"/dead-letters/{letter['id']}/drop")
    found = await inside.get(f"/dead-letters/{letter['id']}")
    assert (found["status"], [said["decision"] for said in found["said"]]) == ("under way", ["drop"])
    await inside.get(f"/dead-letters/{letter['id']}?handler=finish", 404)
    await inside.get("/dead-letters/none", 404)


class Twice(Event, topic="twice.in"):
    n: int


@handler()
async def one(event: Twice) -> None:
    raise Reject("one")


@handler()
async def two(event: Twice) -> None:
    raise Reject("two")


async def test_one_event_that_failed_in_two_handlers_is_two_dead_letters() -> None:
    """Under one id; they stand at two places of the list, and a handler names one of them."""
    app, bus = App("twice", [one, two]), LocalBus()
    await bus.open()
    worker = Worker(app, bus)
    await worker.start()
    await bus.publish([app.record(Twice(n=1), now=1.0)[0]])
    await worker.settle()
    (first, letter, _), (second, other, _) = DeadLetters(app, bus).after(Mark(), 9)
    assert first < second and letter.id == other.id
    assert [letter.handler for _, letter, _ in DeadLetters(app, bus).after(first, 9)] == [other.handler]
    await worker.stop()
    await bus.close()


async def test_an_id_is_found_without_a_look_at_the_others(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deciding one of many gates decodes that one, and a page as many as it has."""
    await filled(inside, gates=12)
    listed = (await inside.get("/gates"))["gates"]
    decoded, decode = [], gates_module.decode_entry
    monkeypatch.setattr(gates_module, "decode_entry", lambda raw: decoded.append(raw) or decode(raw))
    answer = await inside.client.post(f"/gates/{listed[5]['id']}", json={"decision": "approve"})
    assert answer.status_code == 202 and len(decoded) <= 2  # looked at before the turn and within it
    decoded.clear()
    await inside.get("/gates?limit=3")
    assert len(decoded) <= 4


def test_a_mark_is_read_back() -> None:
    """Whatever the time and the handler's name."""
    for mark in (Mark(1764234567.1234567, "shop/prüfe/ab~0"), Mark(1.0, "a/b/c"), Mark()):
        assert mark_of(mark.text() if mark.id else "0:x").time == mark.time


KEYS = {name: new_key() for name in ("one", "two")}
ACCESS = Access.model_validate({
    "keys": [{"name": name, "hash": KEYS[name][1], "roles": {"shop": ["operator"]}} for name in KEYS]
})  # fmt: skip


async def test_nobody_takes_all_streams_and_waits(opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller whose share is open gets 429, or the run as it is at once; others still get theirs."""
    mine, theirs = ({"x-api-key": KEYS[name][0]} for name in ("one", "two"))
    async with opened(ACCESS) as inside:
        run = (await inside.order(1, **mine)).headers["location"]
        await inside.work(APP)
        inside.door.streams, inside.door.rest.shares = Shares(9, 1), Shares(9, 1)
        with inside.door.streams.taken("key:one"), inside.door.rest.shares.taken("key:one"):
            refused = await inside.client.get(f"{run}/stream", headers=mine)
            assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
            assert (await inside.client.get(f"{run}/stream", headers=theirs)).status_code == 200
            assert (await inside.order(500, prefer="wait=60", **mine)).status_code == 202  # no worker: it would wait
        assert (await inside.client.get(f"{run}/stream", headers=mine)).status_code == 200
        assert inside.door.streams.open == inside.door.rest.shares.open == 0
        assert streams.EACH < streams.STREAMS
