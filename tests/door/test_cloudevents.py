"""CloudEvents as the official SDK sends them, in all three modes, and what is no CloudEvent."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from tests.door.doors import Inside
from tests.door.shop import APP

from stepwire.event import digest, identity

TYPE = "shop.orders.Order.v1"
BATCH = {"content-type": "application/cloudevents-batch+json"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}


def event(id_: str = "1", n: int = 7, **more: Any) -> CloudEvent:
    named = {"id": id_, "source": "/crm", "type": TYPE, "specversion": "1.0", **more}
    return CloudEvent(attributes=named, data={"n": n})


def plain(**more: Any) -> dict[str, Any]:
    return {"id": "1", "source": "/crm", "type": TYPE, "specversion": "1.0", "data": {"n": 7}, **more}


@pytest.mark.parametrize("mode", [to_binary, to_structured])
async def test_the_sdk_s_events_become_runs(inside: Inside, mode: Any) -> None:
    """Source and id are kept and name the run; subject, time, extensions and trace context travel on."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    message = mode(event(subject="Grüße %", region="eu", traceparent=trace), JSONFormat())
    headers = {"content-type": "application/json", **message.headers}
    answer = await inside.client.post("/events", content=message.body, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["run"] == identity("/crm", "1")
    (record,) = inside.door.places.all[0].history.of_run(answer.json()["run"])
    assert (record.headers["ce_subject"], record.headers["ce_region"]) == ("Grüße %", "eu")
    assert record.headers["traceparent"] == trace
    assert record.headers["ce_time"].startswith("20")
    await inside.work(APP)
    assert (await inside.get(answer.headers["location"]))["result"]["n"] == 7


async def test_a_batch_is_taken_whole(inside: Inside) -> None:
    """Every event of it has its run; what is in it twice, and a repeat of all of it, begins none anew."""
    body = b"[" + b",".join(JSONFormat().write(event(str(n % 4), n % 4)) for n in range(5)) + b"]"
    first = await inside.client.post("/events", content=body, headers=BATCH)
    again = await inside.client.post("/events", content=body, headers=BATCH)
    assert (first.status_code, again.status_code) == (202, 202)
    assert {each["run"] for each in first.json()["events"]} == {identity("/crm", str(n)) for n in range(4)}
    assert all(each["repeated"] for each in again.json()["events"])
    for each in first.json()["events"]:
        assert len(inside.door.places.all[0].history.of_run(each["run"])) == 1


async def test_a_batch_with_a_wrong_event_is_refused_whole(inside: Inside) -> None:
    """422 that says which; the good ones in it were not written."""
    batch = [plain(id="good"), plain(id="bad", data={"n": "x"}), plain(id="worse", type="nobody.knows.v1")]
    answer = await inside.client.post("/events", json=batch, headers=BATCH)
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/1", "/2"]
    assert inside.bus.store.find_run(identity("/crm", "good")) is None


async def test_an_empty_batch_is_nothing(inside: Inside) -> None:
    """202 with an empty list, as the specification has it."""
    answer = await inside.client.post("/events", json=[], headers=BATCH)
    assert (answer.status_code, answer.json()) == (202, {"events": []})


async def test_data_in_base64_is_read(inside: Inside) -> None:
    """As JSON."""
    sent = {**plain(), "data_base64": base64.b64encode(b'{"n": 9}').decode()}
    del sent["data"]
    answer = await inside.client.post("/events", json=sent, headers=STRUCTURED)
    assert answer.status_code == 202
    (record,) = inside.door.places.all[0].history.of_run(answer.json()["run"])
    assert json.loads(record.value)["n"] == 9


async def test_an_old_version_is_brought_up_and_a_newer_one_refused(inside: Inside) -> None:
    """The stored event is of the present version, in the run that its field names."""
    old = plain(type="shop.renamed.Renamed.v1", data={"no": "N1"})
    answer = await inside.client.post("/events", json=old, headers=STRUCTURED)
    assert answer.status_code == 202, answer.text
    assert answer.json()["run"] == digest("shop", "N1")
    (record,) = inside.door.places.all[0].history.of_run(answer.json()["run"])
    assert record.headers["ce_type"] == "shop.renamed.Renamed.v2"
    newer = await inside.client.post("/events", json=plain(type="shop.renamed.Renamed.v3"), headers=STRUCTURED)
    assert newer.status_code == 422


async def test_what_only_the_kernel_writes_is_not_taken_over(inside: Inside) -> None:
    """A run, a cause or a scope that a caller names is left out: nobody steps into another run."""
    sent = plain(swrun="stolen", swcause="x", swscope="a.1", swhandler="check")
    answer = await inside.client.post("/events", json=sent, headers=STRUCTURED)
    (record,) = inside.door.places.all[0].history.of_run(answer.json()["run"])
    assert record.headers["ce_swrun"] == identity("/crm", "1")
    assert not {"ce_swcause", "ce_swscope", "ce_swhandler"} & record.headers.keys()


BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/crm",
    "ce-type": TYPE,
    "content-type": "application/json",
}


WRONG_TIMES = ("yesterday", "", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-02-30T12:00:00Z",
               "2026-01-31T24:00:01Z", "2026-01-31T12:00:00+99:00", "1769860800")  # fmt: skip


@pytest.mark.parametrize(
    "time",
    ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.123456789z", "1985-04-12T23:20:50.52+05:30", "2016-12-31T23:59:60Z"],
)
async def test_a_time_is_one_of_rfc_3339(inside: Inside, time: str) -> None:
    """And is kept as it was said; any other is refused by its name."""
    answer = await inside.client.post("/events", json=plain(time=time), headers=STRUCTURED)
    assert answer.status_code == 202, answer.text
    (record,) = inside.door.places.all[0].history.of_run(answer.json()["run"])
    assert record.headers["ce_time"] == time
    refused = await inside.client.post("/events", json=plain(time=f"{time} or so"), headers=STRUCTURED)
    assert "the attribute time is no time" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "body", "status", "kind"),
    [
        (STRUCTURED, plain(specversion="0.3"), 400, "bad-event"),
        (STRUCTURED, plain(id=""), 400, "bad-event"),
        (STRUCTURED, plain(source=None), 400, "bad-event"),
        (STRUCTURED, plain(UPPER="x"), 400, "bad-event"),
        (STRUCTURED, plain(extension={"a": 1}), 400, "bad-event"),
        (STRUCTURED, plain(extension="x" * 3_000), 400, "bad-event"),
        (STRUCTURED, plain(extension="a\nb"), 400, "bad-event"),
        (STRUCTURED, plain(data_base64="?"), 400, "bad-event"),
        *((STRUCTURED, plain(time=time), 400, "bad-event") for time in WRONG_TIMES),
        ({**BINARY, "ce-time": "yesterday"}, {"n": 1}, 400, "bad-event"),
        (STRUCTURED, [plain()], 400, "bad-event"),
        (STRUCTURED, plain(datacontenttype="text/xml"), 415, "unsupported-media-type"),
        (STRUCTURED, plain(type="nobody.knows.v1"), 422, "unknown-type"),
        (STRUCTURED, plain(type="shop.checked.Checked.v1"), 422, "unknown-type"),
        (STRUCTURED, plain(data={"n": "x"}), 422, "invalid"),
        ({"content-type": "application/cloudevents+avro"}, plain(), 415, "unsupported-media-type"),
        (BATCH, plain(), 400, "bad-event"),
        (BATCH, [plain()] * 1_001, 422, "invalid"),
        ({**BINARY, "ce-source": "%C0%A0"}, {"n": 1}, 400, "bad-event"),
        ({**BINARY, "content-type": "text/xml"}, {"n": 1}, 415, "unsupported-media-type"),
        ({"content-type": "application/json"}, {"n": 1}, 400, "bad-event"),
        ({"content-type": "text/plain"}, {"n": 1}, 415, "unsupported-media-type"),
    ],
)
async def test_what_is_no_event_is_a_problem(
    inside: Inside, headers: dict[str, str], body: Any, status: int, kind: str
) -> None:
    """400, 415 or 422 with a reason, never a run."""
    answer = await inside.client.post("/events", content=json.dumps(body), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:stepwire:problem:{kind}"), answer.text
