"""People log in to the console at an OIDC issuer, and only those who should."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from tests.console.conftest import ACCESS, KEYS, Desk
from tests.console.issuer import CLIENT, SECRET, STRANGE, Issuer

from stepwire.errors import SettingsError
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.console.process import signin_of
from stepwire_handlers.services.console.seal import Seal
from stepwire_handlers.services.console.session import Sessions
from stepwire_handlers.services.door.access import Access, load_access
from stepwire_handlers.services.door.limits import Limits
from stepwire_handlers.services.door.places import Places

Opened = Callable[..., Any]
UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to read the system's certificates takes long
BASE = "https://console"
SETTINGS = {"base": BASE, "console_oidc_secret": SECRET}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.close()


def access(issuer: Issuer, url: str = BASE, **more: Any) -> Access:
    """Ann may look, finance may approve; keys as elsewhere."""
    login = {"client": CLIENT, "url": url, **more}
    return Access.model_validate({
        "keys": ACCESS.model_dump()["keys"],
        "oidc": {"issuer": issuer.url, "audience": "stepwire", "login": login},
        "proxy": {"networks": ["127.0.0.0/8"]},
        "grants": {"user:ann": {"office": ["viewer"]}, "group:finance": {"office": ["approver"]},
                   "group:abroad": {"elsewhere": ["operator"]}},
    })  # fmt: skip


async def go(desk: Desk, then: str = "/") -> str:
    """Follow the login page's link to the issuer and agree there; the address that it sends the browser back to."""
    (link,) = re.findall(r'href="(/login/oidc[^"]*)"', await desk.get(f"/login?then={then}"))
    return await agree(desk, link)


async def agree(desk: Desk, link: str) -> str:
    """From a link of the console to the issuer, and the address that it sends the browser back to."""
    sent = await desk.client.get(link)
    assert sent.status_code == 303, sent.text
    async with httpx2.AsyncClient(verify=UNUSED) as browser:
        return str((await browser.get(sent.headers["location"])).headers["location"])


async def refused(desk: Desk, status: int, why: str, back: str | None = None) -> httpx2.Response:
    """The way back ends on a page that says why, and in no session."""
    answer = await desk.client.get(back or await go(desk))
    assert (answer.status_code, why in answer.text) == (status, True), (answer.status_code, answer.text)
    assert 'href="/login"' in answer.text and "www-authenticate" not in answer.headers
    assert not any("stepwire_console=" in cookie for cookie in answer.headers.get_list("set-cookie"))
    assert (await desk.client.get("/")).headers["location"].startswith("/login")
    return answer


async def test_a_person_logs_in_and_comes_to_the_page_they_wanted(opened: Opened, issuer: Issuer) -> None:
    """By a link that names the issuer, through it and back; groups give roles as at the door; cookies are strict."""
    issuer.person |= {"groups": ["finance", "unknown"]}
    async with opened(access(issuer), **SETTINGS) as desk:
        await desk.publish("Ada", 500)
        await desk.work()
        assert f"Sign in with {urlsplit(issuer.url).netloc}" in await desk.get("/login")
        answer = await desk.client.get(await go(desk, "/gates"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/gates")
        session, ended = answer.headers.get_list("set-cookie")
        assert session.startswith("stepwire_console=person.") and ended.startswith('stepwire_console_login=""')
        for word in ("HttpOnly", "SameSite=lax", "Secure", "Max-Age=43200"):
            assert word in session
        assert "user:ann" in await desk.get("/gates")
        gate = await desk.link("/gates", "/gates/office/")
        decided = await desk.post(gate, origin=BASE, decision="approve")
        assert decided.status_code == 303
        assert 'stepwire_console_logins_total{outcome="entered"} 1.0' in desk.console.measures.scrape().decode()
        assert (await desk.post("/logout", origin=BASE)).status_code == 303
        assert (await desk.client.get("/")).headers["location"].startswith("/login")


async def test_the_cookie_of_a_login_is_strict_and_short(opened: Opened, issuer: Issuer) -> None:
    """Out of reach of scripts and foreign pages, for ten minutes; and it passes for no session."""
    async with opened(access(issuer), **SETTINGS) as desk:
        sent = await desk.client.get("/login/oidc")
        cookie = sent.headers["set-cookie"]
        for word in ("HttpOnly", "SameSite=lax", "Secure", "Max-Age=600", "Path=/login"):
            assert word in cookie
        text = cookie.partition("=")[2].partition(";")[0].strip('"')
        forged = {"cookie": f"stepwire_console={text}"}
        assert (await desk.client.get("/", headers=forged)).status_code == 303
        as_person = "person." + text.partition(".")[2]
        assert (await desk.client.get("/", headers={"cookie": f"stepwire_console={as_person}"})).status_code == 303


def test_what_is_sealed_counts_until_its_end_and_as_its_kind() -> None:
    """Not a second longer, not as another kind, not changed, not under another secret; garbage is nothing."""
    clock = [100.0]
    seal = Seal(b"s" * 32, lambda: clock[0])
    text = seal.close("login", {"state": "ü"}, 10.0)
    assert seal.open("login", text) == {"state": "ü", "until": 110.0}
    assert Seal(b"t" * 32, lambda: clock[0]).open("login", text) is None
    for wrong in ("", ".", "login.", "login.x.y", "é.é.é", text[:-1], text + "0", "person" + text[5:]):
        assert seal.open("login", wrong) is None and seal.open("person", wrong) is None
    assert seal.open("person", text) is None
    clock[0] = 110.0
    assert seal.open("login", text) is None


async def test_nobody_is_led_outside(opened: Opened, issuer: Issuer) -> None:
    """Whatever page was asked for, the way back ends inside the console."""
    async with opened(access(issuer), **SETTINGS) as desk:
        for then in ("https://evil.example/", "//evil.example", "/\\evil.example", "/a%0d%0aset-cookie:x"):
            for way in (go(desk, then), agree(desk, f"/login/oidc?then={then}")):
                answer = await desk.client.get(await way)
                assert (answer.status_code, answer.headers["location"]) == (303, "/"), then
                desk.client.cookies.clear()


async def test_a_session_lasts_as_long_as_it_is_told_and_reads_grants_anew(opened: Opened, issuer: Issuer) -> None:
    """Beyond the id token's end and not beyond its own; without the grant or the issuer in the file it may nothing."""
    async with opened(access(issuer, session=3_600), **SETTINGS) as desk:
        await desk.client.get(await go(desk))
        clock, seal = [time.time() + 3_500], desk.console.sessions.seal
        seal.now = lambda: clock[0]
        assert "user:ann" in await desk.get("/")
        clock[0] += 200
        assert (await desk.client.get("/")).status_code == 303
        seal.now = time.time
        desk.console.sessions._access = access(issuer).model_copy(update={"grants": {}})
        await desk.get("/apps/office", 403)
        desk.console.sessions._access = ACCESS
        assert (await desk.client.get("/")).status_code == 303


# -- what goes wrong


async def test_a_code_of_another_browser_opens_nothing(opened: Opened, issuer: Issuer) -> None:
    """Without the cookie, with another state, with an older login of the same browser, or twice."""
    async with opened(access(issuer), **SETTINGS) as desk:
        why = "was not begun in this browser"
        first = await go(desk)
        desk.client.cookies.clear()
        await refused(desk, 400, why, first)
        second = await go(desk)
        await refused(desk, 400, why, first)
        await refused(desk, 400, why, second.replace("state=", "state=x"))
        await refused(desk, 400, why, second.partition("?")[0])
        assert "/token_endpoint" not in issuer.asked
        assert (await desk.client.get(second)).status_code == 303
        desk.client.cookies.delete("stepwire_console")
        await refused(desk, 400, why, second)


async def test_a_code_that_was_used_says_so(opened: Opened, issuer: Issuer) -> None:
    """The issuer takes it once."""
    async with opened(access(issuer), **SETTINGS) as desk:
        back = await go(desk)
        issuer.codes.clear()
        await refused(desk, 401, "takes the code no more", back)


async def test_who_is_denied_reads_it(opened: Opened, issuer: Issuer) -> None:
    """In our words: nothing of what the address says is repeated."""
    cases = [
        ("access_denied", 403, "did not let you in"), ("temporarily_unavailable", 503, "cannot log anybody in now"),
        ("login_required", 400, "ended this login"),
    ]  # fmt: skip
    async with opened(access(issuer), **SETTINGS) as desk:
        for issuer.denies, status, why in cases:
            answer = await refused(desk, status, why)
            assert "no</b>" not in answer.text and "&lt;b&gt;" not in answer.text


HOLDS_NOT: list[tuple[dict[str, Any], str]] = [
    ({"aud": "other"}, "meant for somebody else"),
    ({"aud": "stepwire"}, "meant for somebody else"),
    ({"aud": [CLIENT, "other"], "azp": "other"}, "made for another client"),
    ({"iss": "http://127.0.0.1:9"}, "from another issuer"),
    ({"exp": 1_000_000_000}, "has expired"),
    ({"exp": None}, "does not hold"),
    ({"nonce": "other"}, "belongs to another login"),
    ({"nonce": None}, "belongs to another login"),
    ({"nonce": 1}, "belongs to another login"),
    ({"sub": ""}, "has no claim sub"),
]


async def test_an_id_token_that_does_not_hold_is_refused(opened: Opened, issuer: Issuer) -> None:
    """For others, by others, too old, of another login, of nobody."""
    async with opened(access(issuer), **SETTINGS) as desk:
        for claims, why in HOLDS_NOT:
            issuer.person = {"sub": "ann", **claims}
            await refused(desk, 401, why)


async def test_a_token_signed_by_others_is_refused(opened: Opened, issuer: Issuer) -> None:
    """Even over the issuer's own connection."""
    issuer.signs = STRANGE
    async with opened(access(issuer), **SETTINGS) as desk:
        await refused(desk, 401, "its signature is wrong")


async def test_who_has_no_role_in_what_is_shown_gets_no_session(opened: Opened, issuer: Issuer) -> None:
    """The page says the name that a grant must have, as text."""
    for claims in ({"sub": "<b>eve"}, {"sub": "eve", "groups": ["abroad"]}, {"sub": "eve", "groups": {"finance": 1}}):
        issuer.person = claims
        async with opened(access(issuer), **SETTINGS) as desk:
            answer = await refused(desk, 403, "has no role here")
            assert "user:&lt;b&gt;eve" in answer.text or "user:eve" in answer.text


async def test_a_name_that_no_cookie_can_hold_is_refused(opened: Opened, issuer: Issuer) -> None:
    """Rather than a session that the browser drops without a word."""
    issuer.person = {"sub": "a" * 4_000, "groups": ["finance"]}
    async with opened(access(issuer), **SETTINGS) as desk:
        await refused(desk, 403, "too long for a session")


async def test_an_issuer_that_is_away_is_said_and_keys_still_open(opened: Opened, issuer: Issuer) -> None:
    """Before the login and in its middle; 503 with Retry-After, and whoever has a key works on."""
    async with opened(access(issuer), **SETTINGS) as desk:
        back = await go(desk)
        issuer.close()
        answer = await refused(desk, 503, "does not answer", back)
        assert answer.headers["retry-after"] == "2"
    async with opened(access(issuer), **SETTINGS) as desk:
        for _ in range(2):
            answer = await desk.client.get("/login/oidc")
            assert (answer.status_code, "does not answer" in answer.text) == (503, True)
        assert (await desk.post("/login", origin=BASE, key=KEYS["eye"][0])).status_code == 303


async def test_an_issuer_that_hangs_is_waited_for_once(
    opened: Opened, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten people at once wait as long as one; when it answers again, so does the login."""
    monkeypatch.setattr("stepwire_handlers.services.console.issuer.PATIENCE", 0.2)
    monkeypatch.setattr("stepwire_handlers.services.console.issuer.PAUSE", 60.0)
    issuer.hangs.clear()
    async with opened(access(issuer), **SETTINGS) as desk:
        answers = await asyncio.gather(*(desk.client.get("/login/oidc") for _ in range(10)))
        assert {answer.status_code for answer in answers} == {503}
        # Counted here, not at the issuer: on a busy machine the patience may end before the issuer's thread has read.
        assert capsys.readouterr().err.count("TimeoutError") == 1
        issuer.hangs.set()
        monkeypatch.setattr("stepwire_handlers.services.console.issuer.PATIENCE", 5.0)
        monkeypatch.setattr("stepwire_handlers.services.console.issuer.PAUSE", 0.0)
        assert (await desk.client.get(await go(desk))).status_code == 303


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ({"issuer": "https://other.example"}, "another name"),
        ({"token_endpoint": None}, "does not name"),
        ({"authorization_endpoint": "http://far.example/"}, "does not name"),
        ({"more": "x" * 1_100_000}, "larger than any"),
    ],
)
async def test_what_no_issuer_should_say_is_refused(
    opened: Opened, issuer: Issuer, description: dict[str, Any], why: str
) -> None:
    """502, with what to look at."""
    issuer.description = description
    async with opened(access(issuer), **SETTINGS) as desk:
        answer = await desk.client.get("/login/oidc")
        assert (answer.status_code, why in answer.text) == (502, True)


@pytest.mark.parametrize("ways", [["client_secret_basic"], ["client_secret_post"]])
async def test_the_secret_goes_as_the_issuer_takes_it(opened: Opened, issuer: Issuer, ways: list[str]) -> None:
    """In the header or in the form; a wrong one is said, and never shown."""
    issuer.description = {"token_endpoint_auth_methods_supported": ways}
    async with opened(access(issuer), **SETTINGS) as desk:
        assert (await desk.client.get(await go(desk))).status_code == 303
    async with opened(access(issuer), **{**SETTINGS, "console_oidc_secret": "wrong-secret"}) as desk:
        answer = await refused(desk, 502, "(invalid_client); compare client and secret")
        assert "wrong-secret" not in answer.text


async def test_a_public_client_needs_no_secret(opened: Opened, issuer: Issuer) -> None:
    """PKCE protects the code."""
    issuer.secret = ""
    async with opened(access(issuer), base=BASE) as desk:
        assert (await desk.client.get(await go(desk))).status_code == 303


async def test_who_brings_codes_too_often_is_slowed_down(opened: Opened, issuer: Issuer) -> None:
    """Before the issuer is asked; the code still counts afterwards, and keys have a share of their own."""
    async with opened(access(issuer), **SETTINGS) as desk:
        desk.console.logins = Limits(0.5, 1.0, lambda: 0.0)
        assert (await desk.client.get(await go(desk))).status_code == 303
        desk.client.cookies.clear()
        back = await go(desk)
        answer = await refused(desk, 429, "wait 2 s", back)
        assert answer.headers["retry-after"] == "2"
        desk.console.logins = Limits(0.5, 1.0, lambda: 0.0)
        assert (await desk.client.get(back)).status_code == 303


# -- TLS and settings


CAME: list[tuple[dict[str, str], bool]] = [  # a request's headers, and whether the browser came by HTTPS
    ({}, False),
    ({"host": "127.0.0.1:8081"}, False),
    ({"host": "console.example"}, True),
    ({"x-forwarded-proto": "https"}, True),
    ({"x-forwarded-proto": "http"}, False),
]


async def test_cookies_are_secure_behind_tls(opened: Opened, issuer: Issuer) -> None:
    """Called by its https:// address, or where the proxy of the access file says so; a login by key too."""
    near = access(issuer, "https://console.example")
    async with opened(near) as desk:
        for headers, secure in CAME:
            for file, expected in (
                (near, secure),
                (near.model_copy(update={"proxy": None}), secure and "host" in headers),
            ):
                desk.console.sessions._access = file
                own = {"sec-fetch-site": "same-origin", **headers}
                answer = await desk.client.post("/login", data={"key": KEYS["eye"][0]}, headers=own)
                assert ("Secure" in answer.headers["set-cookie"]) is expected, headers


async def test_without_keys_the_form_is_not_shown(opened: Opened, issuer: Issuer) -> None:
    """Nobody types what cannot be; without an issuer there is no link and no route."""
    async with opened(access(issuer).model_copy(update={"keys": ()}), **SETTINGS) as desk:
        assert "<form" not in await desk.get("/login")
    async with opened() as desk:
        assert "/login/oidc" not in await desk.get("/login")
        assert (await desk.client.get("/login/oidc")).status_code == 404


async def test_what_is_asked_of_the_issuer_is_complete(opened: Opened, issuer: Issuer) -> None:
    """Client, address, scopes and challenge; state, nonce and challenge differ each time, the verifier stays here."""
    async with opened(access(issuer, scopes=["openid", "groups"]), **SETTINGS) as desk:
        asked = [
            dict(parse_qsl(urlsplit((await desk.client.get("/login/oidc")).headers["location"]).query)) for _ in "ab"
        ]
        assert asked[0]["redirect_uri"] == f"{BASE}/login/callback" and asked[0]["scope"] == "openid groups"
        for name in ("state", "nonce", "code_challenge"):
            assert len(asked[0][name]) >= 43 and asked[0][name] != asked[1][name]
        assert not any("verifier" in name for name in asked[0])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("client=''\nurl='https://c'", "oidc.login.client"),
        ("client='c'\nurl='http://far.example'", "oidc.login.url: write https"),
        ("client='c'\nurl='https://c/path'", "oidc.login.url: write scheme and host alone"),
        ("client='c'\nurl='https://'", "oidc.login.url: write scheme and host alone"),
        ("client='c'\nurl='https://c'\nscopes=['email']", "oidc.login.scopes: openid must be"),
        ("client='c'\nurl='https://c'\nscopes=['openid email']", "oidc.login.scopes.0"),
        ("client='c'\nurl='https://c'\nsession=1e9", "oidc.login.session"),
        (
            "client='c'\nurl='https://c'\nsecret='s3cret'",
            "oidc.login.secret: there is no such setting here; there are client, url",
        ),
    ],
)
def test_settings_that_cannot_work_refuse_to_start(tmp_path: Path, text: str, why: str) -> None:
    """It says where and what, and shows no value; a secret does not belong into the file."""
    path = tmp_path / "access.toml"
    path.write_text(f"[oidc]\nissuer='https://a'\naudience='a'\n[oidc.login]\n{text}\n")
    with pytest.raises(SettingsError, match=re.escape(why)) as caught:
        load_access(path)
    assert "s3cret" not in str(caught.value)


def test_a_secret_for_nothing_refuses_to_start() -> None:
    """Whoever set it meant a login that the access file does not name."""
    values = Configuration(console_oidc_secret=SECRET)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"\[oidc.login\]"):
        signin_of(values, ACCESS, Sessions(ACCESS, b"s" * 32), Places([]))
