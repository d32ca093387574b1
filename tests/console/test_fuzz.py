"""Whatever is sent, the console answers: never 5xx, always under its policy, never with the markup of others.

Requests are drawn from the console's own routes, forms and cookies, with ids that are there, and then spoiled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.console.conftest import ACCESS, KEYS, Desk

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}\u202e\x00"
ODD = st.sampled_from(
    [MARKUP, "", "..", "%", "%00", "%ff", "javascript:alert(1)", "//evil", "\ufffe", "9" * 400, "[", "é"]
)
TEXT = ODD | st.text(max_size=9)
BITS = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=12)
JSON = st.sampled_from(['"\\ud800"', "NaN", "1e999", "[" * 900, "[" * 400 + "]" * 400, "9" * 5_000, '{"a":"\\udc00"}'])
EVENT = st.sampled_from(
    ['{"customer":"a","amount":1}', '{"customer":"\\ud800","amount":1}', '{"customer":"a","amount":1e400}', "{}", "[]"]
)
QUERY = st.dictionaries(
    st.sampled_from(["handler", "app", "state", "since", "q", "page", "then", "said", "code", "x"]),
    TEXT | st.sampled_from(["approve", "check", "once", "office", "failed", "7d", "2", "0", "-1", "٣"]), max_size=4,
)  # fmt: skip
FORM = st.dictionaries(
    st.sampled_from(["decision", "why", "type", "event", "sure", "key", "then", "field.customer", "field.amount",
                     "field.iban", "field.x"]),
    TEXT | JSON | EVENT
    | st.sampled_from(["approve", "decline", "done", "redo", "drop", "yes", "Booked", "500", "a\r\nb"]),
    max_size=5,
)  # fmt: skip
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "origin": st.just("http://console") | BITS | st.sampled_from(["null", "http://[", "http://console:x", "//["]),
        "sec-fetch-site": st.sampled_from(["same-origin", "same-origin", "same-origin", "cross-site", ""]) | BITS,
        "host": st.sampled_from(["console", "console", "console", "[", "[::1", "a]b", "console:99999", "", "é@b:x"])
        | BITS,
        "x-api-key": BITS | st.just(KEYS["boss"][0]), "authorization": BITS | st.just("Bearer"),
        "x-forwarded-proto": BITS, "x-forwarded-user": BITS,
        "content-length": st.sampled_from(["-1", "x", "9" * 30, "٣"]),
        "content-type": st.sampled_from(["application/x-www-form-urlencoded"] * 4 + ["multipart/form-data", ""]) | BITS,
    },
)  # fmt: skip
COOKIE = st.sampled_from([
    None, "stepwire_console=", "stepwire_console=person.", "stepwire_console=person.e30.9.x", "stepwire_console=..",
    "stepwire_console=a.٣.b", "stepwire_console=" + "x" * 5_000, "=;=;;", 'stepwire_console="\\777"',
    "stepwire_signin=a.b",
]) | BITS.map("stepwire_console={}".format)  # fmt: skip
METHOD = st.sampled_from(["GET"] * 4 + ["POST"] * 5 + ["HEAD", "PUT", "OPTIONS", "X"])


async def _there(desk: Desk, *, login: bool) -> list[str]:
    """Something of everything is there; the addresses of it."""
    runs = [await desk.publish(MARKUP, amount, MARKUP) for amount in (1, 500, 501, -1, -2)]
    await desk.work()
    if login:
        await desk.login("boss")
    gate = (await desk.get("/gates")).split('href="/gates/office/')[1].partition("?")[0]
    letter = (await desk.get("/dead-letters")).split('href="/dead-letters/office/')[1].partition("?")[0]
    return [
        *(f"/runs/{run}" for run in runs), "/", "/gates", "/dead-letters", "/apps/office", f"/gates/office/{gate}",
        f"/dead-letters/office/{letter}", f"/dead-letters/office/{letter}/replay",
        f"/dead-letters/office/{letter}/drop",
        f"/gates/office/{letter}", "/login", "/logout", "/static/console.css",
        "/static/..%2fsession.py", "/livez", "/readyz",
    ]  # fmt: skip


async def _ask(desk: Desk, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
    raw = [
        (name.encode(), text.encode("utf-8" if name == "cookie" else "latin-1", "replace"))
        for name, text in headers.items()
    ]
    answer = await desk.client.request(method, path, headers=raw, content=body)
    sent = f"{method} {path} {headers} {body!r} -> {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, sent
    assert answer.headers["content-security-policy"].startswith("default-src 'none'"), sent
    for markup in ("<script>alert", "<img", 'href="javascript'):
        assert markup not in answer.text, sent
    then = answer.headers.get("location", "/")
    assert then.startswith("/") and then[1:2] not in ("/", "\\"), sent


def _fuzz(desk: Desk, there: list[str], examples: int, loop: asyncio.AbstractEventLoop) -> None:
    """One after another, drawn in a thread and asked in the loop of the console."""
    session = f"stepwire_console={desk.client.cookies.get('stepwire_console', '')}"
    desk.client.cookies.clear()
    part = TEXT.map(lambda text: quote(text, safe=""))
    made = st.builds(
        "/{}/{}/{}".format, st.sampled_from(["runs", "gates", "dead-letters", "apps"]), part | st.just("office"), part
    )
    acts = [path for path in there if path.count("/") > 2]
    paths = (
        st.sampled_from(there)
        | st.sampled_from(acts)
        | made
        | st.builds("/runs/{}".format, part)
        | BITS.map(lambda text: "/" + quote(text))
    )

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(method=METHOD, path=paths, query=QUERY, headers=HEADERS, form=FORM, own=st.booleans() | st.just(value=True),
           cookie=COOKIE, noise=st.none() | st.none() | st.binary(max_size=40))  # fmt: skip
    def one(
        method: str, path: str, query: dict[str, str], headers: dict[str, str], form: dict[str, str], own: bool,
        cookie: str | None, noise: bytes | None,
    ) -> None:  # fmt: skip
        mine = {"origin": "http://console", "content-type": "application/x-www-form-urlencoded"} if own else {}
        kept = {"cookie": session} if own else {} if cookie is None else {"cookie": cookie}
        body = noise if noise is not None else urlencode(form, errors="surrogatepass").encode()
        where = path + ("?" + urlencode(query, errors="surrogatepass") if query else "")
        asyncio.run_coroutine_threadsafe(_ask(desk, method, where, {**headers, **mine, **kept}, body), loop).result(20)

    one()


@pytest.mark.parametrize("login", [True, False])
async def test_no_request_breaks_the_console(opened: Callable[..., Any], login: bool) -> None:
    """Sixty of them, with a login and without."""
    await _console(opened, 60, login=login)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("login", [True, False])
async def test_hundreds_of_requests_do_not_either(opened: Callable[..., Any], login: bool) -> None:
    """The same, longer."""
    await _console(opened, 800, login=login)


async def _console(opened: Callable[..., Any], examples: int, *, login: bool) -> None:
    access = ACCESS.model_copy(update={"rate": 1e6, "burst": 1e6}) if login else None
    async with opened(access) as desk:
        await asyncio.to_thread(_fuzz, desk, await _there(desk, login=login), examples, asyncio.get_running_loop())
