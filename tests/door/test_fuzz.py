"""Whatever is sent, the door answers: never 500, every error a problem detail, every 202 a run that is there.

Requests are drawn from the door's own description (methods, addresses, media types, schemas) and then spoiled; a
fourth of them is noise.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.door.doors import Inside
from tests.door.shop import APP

TYPES = ["shop.orders.Order.v1", "shop.renamed.Renamed.v1", "shop.renamed.Renamed.v9", "files.scans.Scan.v1", "x",
         "asking.answered.Answered.v2", "asking.answered.Answered.v1", "asking.found.Found.v1",
         "asking.found.Found.v7"]  # fmt: skip
RUNS = st.sampled_from(["é€", "a b/../?x#y", "a b?x#y%", "..", ".", "%2e%2e", "0" * 129]) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "n": JSON | st.integers(),
        "slow": JSON,
        "card": JSON,
        "number": JSON | st.text(max_size=3),
        "no": JSON | st.text(max_size=3),
        "pdf": JSON,
        "pictures": JSON,
    },
)
MEDIA = st.sampled_from([
    "application/json", "application/json; charset=utf-16", "application/cloudevents+json", "text/plain", "",
    "application/cloudevents-batch+json", "application/cloudevents+xml", "multipart/form-data", "application/pdf",
    "multipart/form-data; boundary=b", "multipart/form-data; boundary=", "application/x-www-form-urlencoded", "a/b;c",
])  # fmt: skip
EVENT = st.fixed_dictionaries(
    {"specversion": st.just("1.0") | JSON, "id": st.text(max_size=9) | JSON, "source": st.text(max_size=9) | JSON,
     "type": st.sampled_from(TYPES)},
    optional={"data": FIELDS | JSON, "data_base64": st.text(max_size=9) | JSON, "time": JSON, "subject": JSON,
              "datacontenttype": st.sampled_from(["application/json", "text/xml", ""]), "swrun": RUNS},
)  # fmt: skip
PART = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n--b--\r\n'
FORMS = st.builds(
    PART.format, st.sampled_from(["pdf", "title", "pictures", "n"]), st.sampled_from(["", '; filename="../a"', "; x"]),
    st.text(max_size=9),
)  # fmt: skip
BODY = st.one_of(
    st.binary(max_size=64),
    FORMS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.one_of(FIELDS, EVENT, st.lists(EVENT, max_size=3), JSON).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"", b"[" * 5_000, b'{"n": 1' + b"0" * 5_000 + b"}", b'{"n":"\\ud800"}', b"\xff\xfe{}"]),
)
RAW = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
HEADERS = st.fixed_dictionaries(
    {"content-type": MEDIA},
    optional={
        "idempotency-key": RAW | st.sampled_from(["k", '"k"', '"', '"\\"']), "prefer": RAW | st.just("wait=0"),
        "last-event-id": RAW | st.sampled_from(["a:1@1", ";end", "a:1@1;end", ":@"]), "ce-specversion": st.just("1.0"),
        "ce-id": RAW, "ce-source": RAW | st.just("%C0%A0"), "ce-type": st.sampled_from(TYPES), "ce-x": RAW,
        "content-disposition": RAW | st.just('attachment; filename="a\\"/../b"'), "accept": RAW, "traceparent": RAW,
        "content-length": st.sampled_from(["-1", "x", "9" * 30, "٣"]), "sec-fetch-site": RAW, "x-api-key": RAW,
    },
)  # fmt: skip
SEGMENT = st.sampled_from(["shop", "files", "Order", "Scan", "Album", "Renamed", "x", "%00", "%FF", "..", "%2e"])
PATH = st.one_of(
    st.sampled_from(["/events", "/apps/shop/Order", "/apps/shop/Renamed", "/apps/files/Scan", "/apps/files/Album"]),
    st.builds("/{}/{}".format, st.sampled_from(["runs", "gates", "dead-letters", "apps"]), SEGMENT),
    st.builds("/{}/{}/{}".format, st.sampled_from(["runs", "dead-letters", "apps"]), SEGMENT, SEGMENT),
    st.builds("/{}/{}/{}".format, st.sampled_from(["runs", "dead-letters"]), SEGMENT,
              st.sampled_from(["stream", "replay", "drop"])),
    st.sampled_from(["/", "/gates", "/dead-letters", "/openapi.json", "/docs", "/metrics", "/livez", "/readyz", "//"]),
)  # fmt: skip
METHOD = st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "X"])


@pytest.fixture
async def real(inside: Inside) -> tuple[str, str]:
    """The ids of a gate and of a dead letter that are there."""
    await inside.order(500)
    await inside.order(-1)
    await inside.work(APP)
    gates, letters = await inside.get("/gates"), await inside.get("/dead-letters")
    return gates["gates"][0]["id"], letters["dead_letters"][0]["id"]


async def ask(inside: Inside, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
    """One request, and what must hold of its answer."""
    raw = [(name.encode(), text.encode("latin-1", "replace")) for name, text in headers.items()]
    answer = await inside.client.request(method, path, headers=raw, content=body)
    sent = f"{method} {path} {headers} {body!r} -> {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, sent
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json", sent
        assert answer.json()["status"] == answer.status_code
    if answer.status_code == 202 and "location" in answer.headers:
        assert (await inside.client.get(answer.headers["location"])).status_code == 200, sent


def fuzz(inside: Inside, real: tuple[str, str], examples: int, loop: asyncio.AbstractEventLoop) -> None:
    """Many requests, one after another, drawn in a thread and asked in the loop of the door."""
    gate, letter = real
    paths = PATH | st.sampled_from([f"/gates/{gate}", f"/dead-letters/{letter}/replay", f"/dead-letters/{letter}/drop"])
    decisions = st.fixed_dictionaries(
        {"decision": st.sampled_from(["approve", "decline", "done", "redo", "drop"]) | JSON},
        optional={"edited": FIELDS | JSON, "why": JSON, "type": JSON, "event": JSON},
    ).map(lambda value: json.dumps(value).encode())

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(method=METHOD, path=paths, headers=HEADERS, body=BODY | decisions)
    def one(method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        asyncio.run_coroutine_threadsafe(ask(inside, method, path, headers, body), loop).result(20)

    one()


async def test_no_request_breaks_the_door(inside: Inside, real: tuple[str, str]) -> None:
    """Fifty of them."""
    await asyncio.to_thread(fuzz, inside, real, 50, asyncio.get_running_loop())


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_thousands_of_requests_do_not_either(inside: Inside, real: tuple[str, str]) -> None:
    """The same, longer."""
    await asyncio.to_thread(fuzz, inside, real, 2_000, asyncio.get_running_loop())
