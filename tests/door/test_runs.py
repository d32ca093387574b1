"""Runs over HTTP: as they are, as they happen, and never with what is sensitive."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
from starlette.requests import Request
from tests.door.doors import Inside
from tests.door.shop import APP

from stepwire_handlers.services.door import stream as streams
from stepwire_handlers.services.door.rest import SHARE, Rest

PLANTED = "4711-0815-hunter2"


class Message(NamedTuple):
    kind: str
    id: str
    data: Any


async def messages(inside: Inside, run: str, last: str = "") -> AsyncIterator[Message]:
    """The stream's own messages, without HTTP: httpx's transport hands a body over only when it is complete."""
    place = inside.door.places.all[0]

    headers = [(b"last-event-id", last.encode())]
    seen, _ = streams.cursor_of(Request({"type": "http", "headers": headers}))
    async for text in streams.stream(place, run.rpartition("/")[2], seen, inside.door.rest):
        lines = dict(line.split(": ", 1) for line in text.decode().strip().splitlines() if not line.startswith(":"))
        if "data" in lines:
            yield Message(lines["event"], lines.get("id", ""), json.loads(lines["data"]))


async def test_a_stream_tells_a_run_as_it_happens(inside: Inside) -> None:
    """Each event once and in order, each state, then the end; what came later follows without asking anew."""
    run = (await inside.order(7)).headers["location"]
    found = list[Message]()
    async with asyncio.timeout(10):
        async for message in messages(inside, run):
            found.append(message)
            if len(found) == 2:  # the order, running
                working = asyncio.create_task(inside.work(APP))
    await working
    kinds = [message.data.get("type") for message in found if message.kind == "event"]
    assert kinds == ["Order", "Checked", "Done"]
    assert (found[1].kind, found[1].data["state"]) == ("state", "running")
    assert (found[-1].kind, found[-1].data["result"]["n"]) == ("end", 7)


async def test_who_comes_back_gets_the_rest(inside: Inside) -> None:
    """From every message on, Last-Event-ID brings exactly what followed; after the end it brings 204."""
    run = (await inside.order(7)).headers["location"]
    await inside.work(APP)
    whole = [message async for message in messages(inside, run)]
    events = [message for message in whole if message.kind == "event"]
    for number, message in enumerate(events):
        rest = [each async for each in messages(inside, run, message.id)]
        assert [each.data for each in rest if each.kind == "event"] == [each.data for each in events[number + 1 :]]
    over = await inside.client.get(f"{run}/stream", headers={"last-event-id": whole[-1].id})
    assert over.status_code == 204


async def test_a_completed_run_streams_over_http(inside: Inside) -> None:
    """As text/event-stream, also at the run's own address for whoever accepts that."""
    run = (await inside.order(7)).headers["location"]
    await inside.work(APP)
    for path, headers in ((f"{run}/stream", {}), (run, {"accept": "text/event-stream"})):
        answer = await inside.client.get(path, headers=headers)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text.count("event: event") == 3 and answer.text.rstrip().splitlines()[-2] == "event: end"
    assert inside.door.measures.streams == 0


@pytest.mark.parametrize("cursor", ["x", "a:0", "a:0@x", "a:0@1;over", ",".join(["a:0@1"] * 5_000)])
async def test_a_cursor_that_is_none_is_refused(inside: Inside, cursor: str) -> None:
    """400, not a stream from the beginning that would look like the rest."""
    run = (await inside.order(7)).headers["location"]
    assert (await inside.client.get(f"{run}/stream", headers={"last-event-id": cursor})).status_code == 400


async def test_a_stopping_door_ends_its_streams_and_answers_who_waits(inside: Inside) -> None:
    """Nobody is left hanging: the stream just ends, the waiting request gets the run as it is."""
    run = (await inside.order(7)).headers["location"]

    async def read() -> None:
        async for _ in messages(inside, run):
            pass

    reading = asyncio.create_task(read())
    waiting = asyncio.create_task(inside.order(8, prefer="wait=60"))
    while inside.door.rest.shares.open < 1:
        await asyncio.sleep(0.01)
    inside.door.rest.stop(inside.door.places)
    async with asyncio.timeout(20):
        await reading
        answer = await waiting
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert (await inside.client.get("/readyz")).status_code == 503
    assert (await inside.client.get("/livez")).status_code == 200


async def test_what_is_sensitive_is_in_no_answer(opened: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    """In a result, a stream, a dead letter's message, a refusal or a log line it is masked."""
    sent = {"n": 7, "card": PLANTED}
    async with opened() as inside:
        good = await inside.client.post("/apps/shop/Order", json=sent)
        bad = await inside.client.post("/apps/shop/Order", json={**sent, "n": -1})
        wrong = await inside.client.post("/apps/shop/Order", json={"n": PLANTED, "slow": PLANTED, "card": [PLANTED]})
        await inside.work(APP)
        pages = [good.headers["location"], bad.headers["location"], good.headers["location"] + "/stream"]
        pages += ["/dead-letters", "/gates", "/metrics", "/openapi.json", "/docs"]
        texts = [(await inside.client.get(page)).text for page in pages]
    assert wrong.status_code == 422
    assert all("***" in text for text in texts[:4])
    assert not [text for text in (*texts, good.text, bad.text, wrong.text) if PLANTED in text]
    assert PLANTED not in "".join(capfd.readouterr())


@pytest.mark.parametrize("run", ["0" * 32, "x" * 500, "%00", "%F0%9F%92%A9", "..", "a%0Ab"])
async def test_a_run_that_is_not_there_is_404(inside: Inside, run: str) -> None:
    """Whatever stands in its place."""
    for tail in ("", "/stream"):
        assert (await inside.client.get(f"/runs/{run}{tail}")).status_code == 404


async def test_runs_are_listed_by_state_time_and_number(inside: Inside) -> None:
    """Newest first, as the command line lists them; what is sensitive is masked; what makes no sense is refused."""
    runs = {n: (await inside.order(n)).json()["run"] for n in (1, 500, -1)}
    await inside.work(APP)
    runs[2] = (await inside.client.post("/apps/shop/Order", json={"n": 2, "card": PLANTED})).json()["run"]
    found = await inside.get("/runs?app=shop")
    states = [(run["run"], run["state"], run["app"], run["url"]) for run in found["runs"]]
    assert states == [
        (runs[n], state, "shop", f"/runs/{runs[n]}")
        for n, state in ((2, "running"), (-1, "failed"), (500, "waiting"), (1, "completed"))
    ]
    assert found["whole"] is True
    assert found["runs"][3]["result"] == {"type": "Done", "n": 1, "card": "***"}
    assert found["runs"][1]["dead_letter"]["error"] == "Reject"
    for query, n in (("state=failed", -1), ("state=waiting&since=1h", 500), ("limit=1", 2)):
        found = await inside.get(f"/runs?{query}")
        assert [run["run"] for run in found["runs"]] == [runs[n]]
        assert found["whole"] is (query != "limit=1")
    assert (await inside.get("/runs?since=2999-01-01T00:00Z"))["runs"] == []
    await inside.work(APP)
    assert PLANTED not in json.dumps(await inside.get("/runs"))
    for wrong in ("state=odd", "state=", "limit=0", "limit=101", "limit=1.0", "limit=+1", "since=yesterday",
                  "since=2026-99-01", "limit=1&limit=2"):  # fmt: skip
        assert (await inside.get(f"/runs?{wrong}", 422))["type"] == "urn:stepwire:problem:invalid"
    await inside.get("/runs?app=nobody", 404)


async def test_a_run_tells_what_was_tried_again(inside: Inside) -> None:
    """The step, how often it was called, and what failed last, without the secret that the error quotes."""
    run = (await inside.client.post("/apps/shop/Order", json={"n": 3, "fails": 2, "card": PLANTED})).json()["run"]
    await inside.work(APP)
    (told,) = (await inside.get(f"/runs/{run}"))["retried"]
    assert (told["handler"], told["attempts"]) == ("check", 3)
    assert told["last_error"] == "ConnectionError: no line for ***"
    other = (await inside.order(4)).json()["run"]
    await inside.work(APP)
    assert (await inside.get(f"/runs/{other}"))["retried"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_goes_away_is_not_waited_for(inside: Inside, method: str) -> None:
    """A client that vanishes frees its place among those who wait, long before its time is up."""
    run = (await inside.order(1)).headers["location"]
    gone, body = asyncio.Event(), [b'{"n": 1}' if method == "POST" else b""]
    headers = [(b"prefer", b"wait=60"), (b"content-type", b"application/json")]
    path = run if method == "GET" else "/apps/shop/Order"
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"", "client": None}

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        """Nobody listens."""

    asking = asyncio.create_task(inside.door.application()(scope, receive, send))
    while inside.door.rest.shares.open < 1:
        await asyncio.sleep(0.001)
    gone.set()
    async with asyncio.timeout(20):
        await asking
    assert inside.door.rest.shares.open == 0


async def test_those_who_follow_leave_time_for_others() -> None:
    """However many look at runs, and however long a look takes: together they have their share, each gets its turn."""
    rest, spent, looks = Rest(), 0.0, [0] * 50
    loop = asyncio.get_running_loop()

    async def follow(number: int) -> None:
        nonlocal spent
        while True:
            async with rest.turn():
                begun = loop.time()
                time.sleep(0.002)  # noqa: ASYNC251 - what a look at the bus does to the loop
                spent += loop.time() - begun
                looks[number] += 1

    begun, following = loop.time(), [asyncio.create_task(follow(number)) for number in range(50)]
    while min(looks) < 2:
        await asyncio.sleep(0.01)
    share = spent / (loop.time() - begun)
    for each in following:
        each.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    assert share < 2 * SHARE


async def test_one_very_slow_look_makes_nobody_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a look of ten minutes the next one comes a moment later."""
    rest = Rest()
    await _slow_look(rest, 600.0, monkeypatch)
    async with asyncio.timeout(10):
        for _ in range(2):
            async with rest.turn():
                pass


async def test_a_stopping_door_pauses_between_no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a turn has it at once, also who began to wait before."""
    monkeypatch.setattr("stepwire_handlers.services.door.rest.PAUSE", 600.0)
    rest, turned = Rest(), asyncio.Event()
    await _slow_look(rest, 600.0, monkeypatch)

    async def look() -> None:
        async with rest.turn():
            turned.set()

    looking = [asyncio.create_task(look()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not turned.is_set()
    rest.stopping.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*looking)


async def _slow_look(rest: Rest, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes so long by the loop's clock."""
    loop = asyncio.get_running_loop()
    now = loop.time
    async with rest.turn():
        monkeypatch.setattr(loop, "time", lambda: now() + seconds)
