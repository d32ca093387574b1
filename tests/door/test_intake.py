"""Plain JSON and files through the door: what is taken, under which run, and what is refused with which problem."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, field_validator
from tests.door.doors import Inside
from tests.door.shop import APP, FILES

from stepwire_handlers.services.door import bodies
from stepwire_handlers.services.door.problems import reasons

PDF = b"%PDF-1.7 " + bytes(range(256)) * 100
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_an_event_becomes_a_run(inside: Inside) -> None:
    """202 with the run's address; there it is running, and after a worker came by, it has its result."""
    answer = await inside.order(7)
    assert answer.status_code == 202
    run = answer.headers["location"]
    assert run == f"/runs/{answer.json()['run']}"
    assert (await inside.get(run))["state"] == "running"
    await inside.work(APP)
    found = await inside.get(run)
    assert (found["state"], found["result"]["n"], found["app"]) == ("completed", 7, "shop")


@pytest.mark.parametrize("name", ["Order", "shop.orders.Order.v1", "shop.orders.Order"])
async def test_a_type_has_three_names(inside: Inside, name: str) -> None:
    """Its class, its ce_type, and that without the version."""
    assert (await inside.client.post(f"/apps/shop/{name}", json={"n": 1})).status_code == 202


@pytest.mark.parametrize("prefer", ["wait", "wait=", "wait=soon", "wait=-1", "respond-async"])
async def test_a_wait_without_seconds_is_no_preference(inside: Inside, prefer: str) -> None:
    """RFC 7240 has none without a number: it is answered at once, and nothing is said to be applied."""
    answer = await inside.order(7, prefer=prefer)
    assert (answer.status_code, "preference-applied" in answer.headers) == (202, False)


async def test_who_prefers_to_wait_gets_the_result(inside: Inside) -> None:
    """200 with the result and Preference-Applied; a wish above the limit is cut to it, and that is said."""
    async with inside.working(APP):
        answer = await inside.order(7, prefer="respond-async, wait=5")
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=5")
        assert answer.json()["result"]["n"] == 7
        assert answer.headers["location"] == f"/runs/{answer.json()['run']}"
        long = await inside.order(8, prefer="wait=9999")
        assert (long.status_code, long.headers["preference-applied"]) == (200, "wait=60")


async def test_who_waits_in_vain_gets_the_address(inside: Inside) -> None:
    """No worker, a short wait: 202 as if nobody had waited, with the run as it is."""
    answer = await inside.order(7, prefer="wait=0")
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=0")
    assert answer.json()["state"] == "running"


async def test_waiting_ends_where_a_person_must_answer(inside: Inside) -> None:
    """A gate is rest: 200 with the gate in the answer, long before time is up."""
    async with inside.working(APP):
        answer = await inside.order(500, prefer="wait=30")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["gates"][0]["handler"]) == ("waiting", "approve")


# -- idempotency keys


async def test_a_repeated_key_follows_the_first_run(inside: Inside) -> None:
    """Quoted or not, with fields in another order: one event, one run, and the second answer says so."""
    first = await inside.order(7, **{"idempotency-key": "abc"})
    again = await inside.client.post(
        "/apps/shop/Order", content=b' {"n" : 7} ',
        headers={"idempotency-key": '"abc"', "content-type": "application/json"},
    )  # fmt: skip
    assert again.headers["location"] == first.headers["location"]
    assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
    await inside.work(APP)
    assert len(inside.door.places.all[0].history.of_run(first.json()["run"])) == 3  # order, checked, done


async def test_a_sender_of_an_older_version_goes_on_under_its_type(inside: Inside) -> None:
    """The door brings it up; a repeat is followed, what does not fit is refused, and so is a version nobody reads."""
    path, again = "/apps/shop/shop.renamed.Renamed.v1", {"idempotency-key": "k1"}
    first = await inside.client.post(path, json={"no": "N7"}, headers=again)
    assert first.status_code == 202
    (record,) = inside.door.places.all[0].history.of_run(first.json()["run"])
    assert (record.headers["ce_type"], record.value) == ("shop.renamed.Renamed.v2", b'{"number":"N7"}')
    repeat = await inside.client.post(path, json={"no": "N7"}, headers=again)
    assert (repeat.json()["run"], repeat.json()["repeated"]) == (first.json()["run"], True)
    assert (await inside.client.post(path, json={"no": "N7", "x": 1}, headers=again)).status_code == 422
    assert (await inside.client.post(path, json={"number": "N7"})).status_code == 422
    assert (await inside.client.post(path.replace("v1", "v3"), json={"no": "N7"})).status_code == 404


async def test_a_key_reused_for_another_body_is_refused(inside: Inside) -> None:
    """422 key-reused; the first run is untouched, and nothing else was written."""
    first = await inside.order(7, **{"idempotency-key": "abc"})
    other = await inside.order(8, **{"idempotency-key": "abc"})
    assert (other.status_code, other.json()["type"]) == (422, "urn:stepwire:problem:key-reused")
    assert len(inside.door.places.all[0].history.of_run(first.json()["run"])) == 1


async def test_concurrent_repeats_make_one_event(inside: Inside) -> None:
    """Twenty at once under one key: one is new, all name one run."""
    answers = await asyncio.gather(*(inside.order(7, **{"idempotency-key": "abc"}) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert sorted(answer.json()["repeated"] for answer in answers) == [False, *[True] * 19]


async def test_two_doors_on_one_file_agree(opened: Callable[..., Any]) -> None:
    """The same key through both at once: one of them is first, both name one run with one event."""
    async with opened() as one, opened() as other:
        for number in range(10):
            key = {"idempotency-key": str(number)}
            answers = await asyncio.gather(*(door.order(7, **key) for door in (one, other, one, other)))
            assert len({answer.headers["location"] for answer in answers}) == 1
            assert sorted(answer.json()["repeated"] for answer in answers) == [False, True, True, True]
            assert len(one.door.places.all[0].history.of_run(answers[0].json()["run"])) == 1


@pytest.mark.parametrize("key", ["", '""', '"', '"a', "a b", "x" * 256, "ä".encode().decode("latin-1")])
async def test_a_key_that_is_none_is_refused(inside: Inside, key: str) -> None:
    """400, not a new run: whoever sends a broken key believes to be protected."""
    answer = await inside.client.post(
        "/apps/shop/Order", json={"n": 1}, headers=[(b"idempotency-key", key.encode("latin-1"))]
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:stepwire:problem:bad-request")


# -- files


@pytest.mark.parametrize(
    ("path", "media"), [("/apps/files/Scan", "application/pdf"), ("/apps/shop/Order", "application/json")]
)
async def test_a_packed_body_is_refused(inside: Inside, path: str, media: str) -> None:
    """Not stored as the file that it is not: the door does not unpack."""
    headers = {"content-type": media, "content-encoding": "gzip"}
    answer = await inside.client.post(path, content=gzip.compress(b'{"n": 1}'), headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    plain = {**headers, "content-encoding": "identity"}
    assert (await inside.client.post(path, content=b'{"n": 1}', headers=plain)).status_code == 202


async def test_a_file_as_the_body(inside: Inside) -> None:
    """The bytes, the media type and the name arrive in the event; the run counts the bytes."""
    answer = await inside.client.post(
        "/apps/files/Scan", content=PDF,
        headers={"content-type": "application/pdf", "content-disposition": 'attachment; filename="../a b.pdf"'},
    )  # fmt: skip
    assert answer.status_code == 202
    await inside.work(FILES)
    found = await inside.get(answer.headers["location"])
    assert found["result"]["size"] == len(PDF)
    (record, _) = inside.door.places.all[1].history.of_run(found["run"])
    assert b'"name":"a b.pdf"' in record.value and b'"media_type":"application/pdf"' in record.value


async def test_a_form_with_files_and_fields(inside: Inside) -> None:
    """Files go into attachments, several into a list of them, texts into the other fields; the store has the bytes."""
    answer = await inside.client.post(
        "/apps/files/Scan", files={"pdf": ("a.pdf", PDF, "application/pdf")}, data={"title": "A"}
    )
    assert answer.status_code == 202
    many = [("pictures", (f"{n}.png", bytes([n]) * 10, "image/png")) for n in range(3)]
    album = await inside.client.post("/apps/files/Album", files=many)
    assert album.status_code == 202
    await inside.work(FILES)
    assert (await inside.get(album.headers["location"]))["result"]["size"] == 30


async def test_a_repeated_upload_follows_the_first_run(inside: Inside) -> None:
    """The same file under the same key is the same request; another file is not."""
    key = {"idempotency-key": "k1", "content-type": "application/pdf"}
    first = await inside.client.post("/apps/files/Scan", content=PDF, headers=key)
    again = await inside.client.post("/apps/files/Scan", content=PDF, headers=key)
    other = await inside.client.post("/apps/files/Scan", content=PDF + b".", headers=key)
    assert (first.headers["location"], again.status_code) == (again.headers["location"], 202)
    assert other.status_code == 422


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(8192)


async def _dripping() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0.01)


async def test_a_body_that_drips_has_an_end(inside: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A byte now and then is no upload: it would hold a connection and a draft until the limit is reached, in weeks."""
    monkeypatch.setattr(bodies, "IDLE", 0.2)
    for path, media in (("files/Scan", "application/pdf"), ("shop/Order", "application/json")):
        async with asyncio.timeout(20):
            answer = await inside.client.post(f"/apps/{path}", content=_dripping(), headers={"content-type": media})
        assert (answer.status_code, answer.json()["type"]) == (408, "urn:stepwire:problem:too-slow")
    assert list((tmp_path / "blobs").glob(".draft*")) == []


async def test_what_is_too_large_is_refused_before_it_is_read(inside: Inside) -> None:
    """413 with the limit: by Content-Length, and of an endless body without one; nothing stays in the store."""
    said = {"content-type": "application/pdf", "content-length": str(10**12)}
    answer = await inside.client.post("/apps/files/Scan", content=b"x", headers=said)
    assert (answer.status_code, answer.json()["limit"]) == (413, 64 * 1024)
    endless = await inside.client.post(
        "/apps/files/Scan", content=_endless(), headers={"content-type": "application/pdf"}
    )
    assert endless.status_code == 413
    form = await inside.client.post("/apps/files/Scan", files={"pdf": ("a", bytes(65 * 1024), "application/pdf")})
    assert form.status_code == 413
    plain = await inside.client.post("/apps/shop/Order", json={"n": 1, "x": "y" * 1_100_000})
    assert plain.status_code == 413


# -- what is refused


async def test_an_empty_file_is_no_upload(inside: Inside) -> None:
    """422 that names it, as the body and in a form; a browser's field in which no file was chosen is left out."""
    pdf = {"content-type": "application/pdf"}
    body = await inside.client.post("/apps/files/Scan", content=b"", headers=pdf)
    form = await inside.client.post("/apps/files/Scan", files={"pdf": ("a.pdf", b"", "application/pdf")})
    for answer in (body, form):
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"] == [{"pointer": "/pdf", "reason": "the file is empty"}]
    chosen = [("pictures", ("a.png", b"x", "image/png")), ("cover", ("", b"", "application/octet-stream"))]
    raw = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%b"; filename="%b"\r\ncontent-type: %b\r\n\r\n%b\r\n'
        % (field.encode(), name.encode(), media.encode(), content)
        for field, (name, content, media) in chosen
    )
    sent = {"content-type": "multipart/form-data; boundary=b"}
    answer = await inside.client.post("/apps/files/Album", content=raw + b"--b--\r\n", headers=sent)
    assert answer.status_code == 202, answer.text
    (record,) = inside.door.places.all[1].history.of_run(answer.json()["run"])
    assert json.loads(record.value)["cover"] is None


async def test_a_refusal_says_what_would_be_taken(inside: Inside) -> None:
    """A file under the type that curl gives it, a file that is too large, and JSON that is: each has its own cure."""
    curl = {"content-type": "application/x-www-form-urlencoded"}
    answer = await inside.client.post("/apps/files/Scan", content=PDF, headers=curl)
    detail = answer.json()["detail"]
    assert answer.headers["accept-post"] == "application/json, multipart/form-data, */*"
    assert "*/*" not in detail and "under its own type, such as application/pdf" in detail
    large = await inside.client.post("/apps/files/Scan", content=bytes(65 * 1024), headers={"content-type": "x/y"})
    assert "--max-upload" in large.json()["detail"] and "as a file" not in large.json()["detail"]
    text = {"pdf": {}, "title": "x" * 1_100_000}
    assert "goes into pdf, as a file" in (await inside.client.post("/apps/files/Scan", json=text)).json()["detail"]
    plain = await inside.client.post("/apps/shop/Order", json={"n": 1, "x": "y" * 1_100_000})
    assert plain.json()["detail"].endswith("send less at once")


async def test_a_query_that_nobody_reads_is_refused(inside: Inside) -> None:
    """A misspelt filter would answer with everything; the names that there are are told, and what was sent is not."""
    for path, known in (
        ("/runs?stat=failed", "app, id, state, since, limit"), ("/runs/x?stat=1", "takes app"),
        ("/gates?error=x", "takes app, id, limit, cursor"), ("/dead-letters/x?id=1", "takes app, handler"),
        ("/runs/x/stream?x", "app"), ("/runs/x/steps?x", "app"), ("/gates/x?app=shop&hunter2=1", "app, handler"),
        ("/dead-letters?Limit=2", "app, id, limit, cursor, handler, error, run, every"),
    ):  # fmt: skip
        answer = await inside.client.get(path)
        assert (answer.status_code, known in answer.json()["detail"]) == (400, True), answer.text
        assert "hunter2" not in answer.text
    assert "takes none" in (await inside.client.post("/apps/shop/Order?wait=5", json={"n": 1})).json()["detail"]
    for path in ("/docs?v=1", "/openapi.json?v=1", "/metrics?name[]=up"):
        assert (await inside.client.get(path)).status_code == 200
    event = {"specversion": "1.0", "id": "q", "source": "/crm", "type": "shop.orders.Order.v1", "data": {"n": 1}}
    sent = {"content-type": "application/cloudevents+json"}
    assert (await inside.client.post("/events?code=x", json=event, headers=sent)).status_code == 202


CASES: list[tuple[str, dict[str, Any], int, str]] = [
    ("/apps/shop/Order", {"json": {"n": "x"}}, 422, "invalid"),
    ("/apps/shop/Order", {"json": {}}, 422, "invalid"),
    ("/apps/shop/Order", {"json": [1]}, 422, "invalid"),
    ("/apps/shop/Order", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "bad-json"),
    ("/apps/shop/Order", {"content": b"[" * 99_999, "headers": {"content-type": "application/json"}}, 400, "bad-json"),
    ("/apps/shop/Order", {"content": b'{"n": NaN}', "headers": {"content-type": "application/json"}}, 400, "bad-json"),
    ("/apps/shop/Order", {"content": b"n=1", "headers": {"content-type": "text/plain"}}, 415, "unsupported-media-type"),
    ("/apps/files/Scan", {"data": {"title": "x"}}, 415, "unsupported-media-type"),
    ("/apps/files/Album", {"content": b"x", "headers": {"content-type": "image/png"}}, 415, "unsupported-media-type"),
    ("/apps/files/Scan", {"files": {"nope": ("a", b"x", "image/png")}}, 422, "invalid"),
    ("/apps/files/Scan", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad-form"),
    ("/apps/shop/Checked", {"json": {"n": 1}}, 404, "not-found"),
    ("/apps/nope/Order", {"json": {"n": 1}}, 404, "not-found"),
    ("/nowhere", {"json": {}}, 404, "not-found"),
    ("/livez", {"json": {}}, 405, "method-not-allowed"),
]


@pytest.mark.parametrize(("path", "sent", "status", "kind"), CASES)
async def test_every_refusal_is_a_problem(inside: Inside, path: str, sent: Any, status: int, kind: str) -> None:
    """RFC 9457: media type, type, title, status, detail, instance."""
    answer = await inside.client.post(path, **sent)
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (answer.status_code, body["status"], body["type"]) == (status, status, f"urn:stepwire:problem:{kind}")
    assert body["title"] and body["detail"] and body["instance"]


async def test_a_wrong_field_is_named_without_its_value(inside: Inside) -> None:
    """Where and why, as pydantic says it; what was sent does not come back."""
    answer = await inside.client.post("/apps/shop/Order", json={"n": "hunter2hunter2", "slow": 99})
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/n", "/slow"]
    assert "hunter2" not in answer.text


async def test_every_mistake_is_told_at_once(inside: Inside) -> None:
    """A misspelt field is refused, not dropped, together with wrong types; the detail says which fields there are."""
    sent = {"n": "hunter2hunter2", "slwo": "hunter2hunter2", "a/b": 1}
    answer = await inside.client.post("/apps/shop/Order", json=sent)
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "this is no Order; its fields are n, slow, card, fails",
    )
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/slwo", "/a~1b", "/n"]
    assert "hunter2" not in answer.text
    assert (await inside.client.post("/apps/shop/Order", json={"n": 1, "slwo": 1})).status_code == 422
    assert (await inside.client.post("/apps/shop/Order", json={f"x{n}": n for n in range(999)})).text.count("/x") == 20
    run = (await inside.order(1)).json()["run"]
    assert inside.door.places.all[0].history.run_named("") == run  # nothing before it was published


async def test_a_form_has_no_other_fields(inside: Inside, tmp_path: Path) -> None:
    """Texts and files under names that the event does not have are refused together; such a file is not stored."""
    files = {"pdf": ("a.pdf", PDF, "application/pdf"), "pfd": ("b.pdf", b"other", "application/pdf")}
    answer = await inside.client.post("/apps/files/Scan", files=files, data={"tilte": "A"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "this is no Scan; its fields are pdf, title")
    assert {each["pointer"] for each in answer.json()["errors"]} == {"/pfd", "/tilte"}
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.read_bytes() == b"other"]


async def test_a_cloudevent_may_say_more(inside: Inside) -> None:
    """A producer of a newer version sends fields that this release does not know: its event is taken."""
    headers = {"content-type": "application/cloudevents+json"}
    sent = {
        "specversion": "1.0",
        "id": "1",
        "source": "/crm",
        "type": "shop.orders.Order.v1",
        "data": {"n": 1, "new": 2},
    }
    assert (await inside.client.post("/events", json=sent, headers=headers)).status_code == 202


def test_a_check_of_the_author_does_not_quote_the_value() -> None:
    """Whatever a validator says of a value, the value is masked in it."""

    class Login(BaseModel):
        password: str

        @field_validator("password")
        @classmethod
        def _good(cls, value: str) -> str:
            raise ValueError(f"{value} is too weak")

    with pytest.raises(ValidationError) as caught:
        Login(password="hunter2hunter2")  # noqa: S106 - the point
    assert reasons(caught.value) == [{"pointer": "/password", "reason": "Value error, *** is too weak"}]


async def test_a_page_of_another_site_cannot_act(inside: Inside) -> None:
    """A browser says where a request comes from; what changes something is refused."""
    answer = await inside.order(1, **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert (await inside.order(1, **{"sec-fetch-site": "same-origin"})).status_code == 202


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"traceparent": TRACE, "tracestate": "v=1"}, {"traceparent": TRACE, "tracestate": "v=1"}),
        ({"traceparent": TRACE, "tracestate": "v" * 600}, {"traceparent": TRACE}),
        ({"traceparent": "no trace", "tracestate": "v=1"}, {}),
    ],
)
async def test_the_caller_s_trace_goes_on(inside: Inside, sent: dict[str, str], kept: dict[str, str]) -> None:
    """W3C's two headers reach the record if they are well formed; a state without a parent says nothing."""
    answer = await inside.client.post("/apps/shop/Order", json={"n": 1}, headers=sent)
    (record,) = inside.door.places.all[0].history.of_run(answer.json()["run"])
    assert {name: text for name, text in record.headers.items() if name.startswith("trace")} == kept
