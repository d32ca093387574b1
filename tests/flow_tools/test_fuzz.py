"""Whatever is sent to the tools over HTTP, the server answers: never 5xx, never a failure of its own.

Messages are drawn from the protocol's methods and the tools' schemas, and then spoiled; a part is noise.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.flow_tools.test_entrance import HASH, KEY, KEYS, LIST, OTHER, PLAIN, VIEWER, served

from stepwire_handlers.services.door.access import Access, Key

TEXT = st.text(max_size=9) | st.sampled_from(
    ["\x00", "x" * 5_000, "<script>", "\u202e", "..", "a/b", "", "é" * 300, "\ud800"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FILE = st.fixed_dictionaries(
    {"base64": st.sampled_from(["QQ==", "QQ==", "Q", "é", "QUFB" * 30_000]) | JSON},
    optional={"media_type": st.just("image/png") | TEXT | JSON, "name": TEXT | JSON, "x": JSON},
)
BUYER = st.just({"name": "a"})
ORDER = st.fixed_dictionaries(
    {"n": st.integers() | JSON},
    optional={"slow": st.just(0) | JSON, "buyer": BUYER | JSON, "idempotency_key": st.sampled_from("ab") | TEXT | JSON},
)
SCAN = st.fixed_dictionaries({"pdf": FILE | JSON}, optional={"title": TEXT | JSON})
ALBUM = st.fixed_dictionaries({"pictures": st.lists(FILE, max_size=2)}, optional={"cover": FILE | JSON})
RUN = st.fixed_dictionaries({"run": TEXT})
FITTING = {"till_Order": ORDER, "files_Scan": SCAN, "files_Album": ALBUM, "stepwire_run": RUN}
GOOD = st.one_of(
    *(st.fixed_dictionaries({"name": st.just(name), "arguments": of}) for name, of in FITTING.items()),
)
ARGUMENTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("n", "buyer", "idempotency_key", "run", "pdf"), JSON))
META = st.fixed_dictionaries(
    {},
    optional={
        "progressToken": st.sampled_from(["p", 1]) | JSON, "stepwire/idempotency-key": TEXT | JSON,
        "stepwire/delivery-key": TEXT | JSON, "traceparent": TEXT | JSON,
    },
)  # fmt: skip
TOOL = st.sampled_from([*FITTING, "till_Ping", "x"]) | TEXT
CALL = st.fixed_dictionaries({"name": TOOL}, optional={"arguments": ARGUMENTS | JSON, "_meta": META | JSON})
METHODS = [
    "initialize", "tools/list", "tools/call", "ping", "resources/list", "resources/read", "prompts/get", "sampling/x",
    "completion/complete", "logging/setLevel", "notifications/cancelled", "notifications/initialized",
]  # fmt: skip


def _call(params: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return LIST | {"method": "tools/call", "params": dict(params) | ({"_meta": meta} if meta else {})}


MESSAGE = st.one_of(
    GOOD.map(_call), st.builds(_call, GOOD, META), CALL.map(_call),
    st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "method": st.sampled_from(METHODS) | TEXT},
        optional={"id": st.integers() | TEXT | JSON, "params": CALL | META.map(lambda meta: {"_meta": meta}) | JSON},
    ),
    JSON,
)  # fmt: skip
NOISE = [b"", b"[" * 5_000, b'{"jsonrpc":"2.0","id":1', b"\xff\xfe{}", b'{"a":' * 5_000]
BODY = st.one_of(
    MESSAGE.map(lambda value: json.dumps(value).encode()),
    st.lists(MESSAGE, max_size=2).map(json.dumps).map(str.encode),
    st.binary(max_size=64) | st.sampled_from(NOISE),
)  # fmt: skip
RAW = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=16)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "accept": RAW | st.sampled_from(["", "*/*", "text/event-stream", "application/json"]),
        "content-type": RAW | st.sampled_from(["", "text/plain", "application/json; charset=x"]),
        "host": RAW | st.sampled_from(["[", "evil", "tools.example.org:1", "127.0.0.1:x"]),
        "origin": RAW | st.sampled_from(["null", "http://[", "https://evil", "https://tools.example.org"]),
        "mcp-session-id": RAW, "mcp-protocol-version": RAW | st.sampled_from(["2025-06-18", "1", "2026-07-28"]),
        "last-event-id": RAW, "mcp-method": RAW, "mcp-name": RAW, "content-length": st.sampled_from(["-1", "x", "٣"]),
        "x-api-key": st.sampled_from([VIEWER, OTHER, KEY]) | RAW, "authorization": RAW,
    },
)  # fmt: skip
PLAINLY: st.SearchStrategy[dict[str, str]] = st.just({})
METHOD = st.sampled_from(["POST"] * 30 + ["DELETE", "PUT", "OPTIONS", "HEAD", "X"])
FAILED = ("the door failed", "Internal server error", "Internal error", "Traceback")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody who may call every tool, as often as they like."""
    mine = Key(name="fuzz", hash=HASH, roles={"*": frozenset({"operator"})}, rate=1e6)
    async with served(tmp_path, Access(keys=(mine, *KEYS[1:]), burst=1e6)) as found:
        yield found


async def _ask(client: httpx2.AsyncClient, method: str, headers: Mapping[str, str], body: bytes) -> None:
    """One request, and what must hold of its answer."""
    raw = [(name.encode(), text.encode("latin-1", "replace")) for name, text in headers.items()]
    answer = await client.request(method, "/mcp", headers=raw, content=body)
    sent = f"{method} {headers} {body[:600]!r} -> {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, sent
    assert not any(words in answer.text for words in FAILED), sent


def _fuzz(client: httpx2.AsyncClient, examples: int, loop: asyncio.AbstractEventLoop) -> None:
    """One after another, drawn in a thread and asked in the loop of the server."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(method=METHOD, odd=st.integers(0, 3).flatmap(lambda n: PLAINLY if n else HEADERS), body=BODY)
    def one(method: str, odd: Mapping[str, str], body: bytes) -> None:
        headers = {**PLAIN, "x-api-key": KEY, **odd}
        asyncio.run_coroutine_threadsafe(_ask(client, method, headers, body), loop).result(20)

    one()


async def test_no_request_breaks_the_tools(client: httpx2.AsyncClient) -> None:
    """Eighty of them."""
    await asyncio.to_thread(_fuzz, client, 80, asyncio.get_running_loop())


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_hundreds_of_requests_do_not_either(client: httpx2.AsyncClient) -> None:
    """The same, longer."""
    await asyncio.to_thread(_fuzz, client, 1_200, asyncio.get_running_loop())
