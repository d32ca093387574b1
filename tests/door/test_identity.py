"""Who may come in: keys, tokens, a trusted proxy; and what each of them may do where."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.requests import Request
from tests.door.doors import Inside
from tests.door.shop import APP

from stepwire.errors import SettingsError
from stepwire_handlers.services.door import stream as streams
from stepwire_handlers.services.door.access import Access, load_access, new_key
from stepwire_handlers.services.door.problems import Problem
from stepwire_handlers.services.door.tokens import Tokens

KEYS = {name: new_key() for name in ("crm", "eye", "boss", "files")}
ROLES = {
    "crm": {"shop": ["operator"]}, "eye": {"shop": ["viewer"]}, "boss": {"*": ["approver"]},
    "files": {"files": ["operator"]},
}  # fmt: skip
ACCESS: dict[str, Any] = {"keys": [{"name": n, "hash": KEYS[n][1], "roles": ROLES[n]} for n in KEYS]}


def by(name: str) -> dict[str, str]:
    return {"x-api-key": KEYS[name][0]}


@pytest.fixture
async def guarded(opened: Callable[..., Any]) -> Any:
    async with opened(Access.model_validate(ACCESS)) as found:
        yield found


async def test_nothing_is_told_to_strangers(guarded: Inside) -> None:
    """Every route but the two probes is 401 with a challenge, whatever is asked; the probes say ok and no more."""
    document = [
        ("POST", "/events"), ("POST", "/apps/shop/Order"), ("POST", "/apps/no/No"), ("GET", "/runs"),
        ("GET", "/runs/x"), ("GET", "/runs/x/steps"), ("GET", "/runs/x/stream"), ("GET", "/gates"),
        ("GET", "/gates/x"), ("POST", "/gates/x"),
        ("GET", "/dead-letters"), ("POST", "/dead-letters/x/replay"), ("POST", "/dead-letters/x/drop"),
        ("GET", "/dead-letters/x"), ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/metrics"),
    ]  # fmt: skip
    told = {path.replace("/x", "/{}") for _, path in document} | {"/livez", "/readyz"}
    routes = {re.sub(r"{\w+}", "{}", route.path) for route in guarded.door.application().routes}  # type: ignore[attr-defined]
    assert routes == {path.replace("/shop/Order", "/{}/{}").replace("/no/No", "/{}/{}") for path in told}
    for method, path in document:
        for headers in (
            {},
            {"x-api-key": "sw_guess"},
            {"authorization": "Bearer nope"},
            {"authorization": "Basic eDp5"},
        ):
            answer = await guarded.client.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await guarded.client.get("/livez")).json() == {"status": "ok"}
    assert (await guarded.client.get("/readyz")).json() == {"status": "ok"}


@pytest.mark.parametrize("form", ["x-api-key", "bearer"])
async def test_a_key_comes_in_either_way(guarded: Inside, form: str) -> None:
    """In X-API-Key or as a bearer token."""
    key = KEYS["crm"][0]
    headers = {"x-api-key": key} if form == "x-api-key" else {"authorization": f"Bearer {key}"}
    assert (await guarded.order(1, **headers)).status_code == 202


async def test_roles_hold_for_each_app(guarded: Inside) -> None:
    """A viewer does not publish, an operator of one app not into another, nobody sees an app that is not theirs."""
    assert (await guarded.order(1, **by("eye"))).status_code == 403
    assert (await guarded.order(1, **by("files"))).status_code == 404
    assert (await guarded.order(1, **by("boss"))).status_code == 403
    taken = await guarded.order(1, **by("crm"))
    run = taken.headers["location"]
    for name, status in (("crm", 200), ("eye", 200), ("boss", 200), ("files", 404)):
        assert (await guarded.client.get(run, headers=by(name))).status_code == status, name
    sent = {"id": "1", "source": "/s", "type": "shop.orders.Order.v1", "specversion": "1.0", "data": {"n": 1}}
    structured = {"content-type": "application/cloudevents+json"}
    assert (await guarded.client.post("/events", json=sent, headers=by("eye") | structured)).status_code == 403
    assert (await guarded.client.post("/events", json=sent, headers=by("crm") | structured)).status_code == 202


async def test_a_publisher_only_publishes(opened: Callable[..., Any]) -> None:
    """A key for a system upstream: its events are taken, and it reads, replays, drops and decides nothing."""
    key, hash_ = new_key()
    mine = {"x-api-key": key}
    access = {"keys": [{"name": "crm", "hash": hash_, "roles": {"shop": ["publisher"]}}]}
    async with opened(Access.model_validate(access)) as door:
        answer = await door.order(-1, prefer="wait=30", **mine)
        assert (answer.status_code, "result" in answer.json()) == (202, False)  # at once: waiting would be reading
        event = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "shop.orders.Order.v1", "data": {"n": 1}}
        media = {"content-type": "application/cloudevents+json"}
        sent = await door.client.post("/events", json=event, headers={**mine, **media})
        assert sent.status_code == 202
        await door.work(APP)
        run, letter = answer.headers["location"], answer.json()["run"]
        for path in (run, run + "/stream", "/runs", "/gates", "/dead-letters", f"/gates/{letter}"):
            told = await door.get(path, 403, **mine)
            assert told["detail"] == "key:crm is no viewer of shop; the door's access file gives roles"
        for path in (f"/dead-letters/{letter}/drop", f"/dead-letters/{letter}/replay", f"/gates/{letter}"):
            refused = await door.client.post(
                path, json={"decision": "approve"} if "gates" in path else {}, headers=mine
            )
            assert refused.status_code == 403
        assert (await door.client.get("/runs?app=files", headers=mine)).status_code == 404
        assert "/apps/shop/Order" in (await door.get("/openapi.json", **mine))["paths"]


async def test_strangers_do_not_learn_which_apps_there_are(guarded: Inside) -> None:
    """A caller without a role in an app gets the same answer as for one that is not there."""
    mine = {"x-api-key": KEYS["crm"][0]}

    async def told(path: str, **sent: Any) -> tuple[int, str, str]:
        found = (await guarded.client.post(path, **sent)).json()
        return found["status"], found["type"], found["detail"]

    hidden = await told("/apps/files/Scan", json={}, headers=mine)
    assert hidden == await told("/apps/none/Scan", json={}, headers=mine) and hidden[0] == 404
    events = {**mine, "content-type": "application/cloudevents+json"}
    types = ("files.scans.Scan.v1", "none.scans.Scan.v1")
    sent = ({"specversion": "1.0", "id": "1", "source": "/crm", "type": type_, "data": {}} for type_ in types)
    one, other = [await told("/events", json=each, headers=events) for each in sent]
    assert one == other and one[:2] == (422, "urn:stepwire:problem:unknown-type")


async def test_an_idempotency_key_is_its_caller_s_own(opened: Callable[..., Any]) -> None:
    """Two callers with one key have two runs: nobody can guess into another's."""
    both = {"keys": [{**key, "roles": {"*": ["operator"]}} for key in ACCESS["keys"]]}
    async with opened(Access.model_validate(both)) as door:
        runs = {(await door.order(1, **by(n), **{"idempotency-key": "k"})).headers["location"] for n in ("crm", "eye")}
    assert len(runs) == 2


async def test_a_caller_has_a_rate(opened: Callable[..., Any]) -> None:
    """429 with Retry-After once the bucket is empty, for this caller alone; a batch counts as its events."""
    slow = {"keys": [{**key, "rate": 2.0, "roles": {"*": ["operator"]}} for key in ACCESS["keys"]]}
    async with opened(Access.model_validate(slow)) as door:
        said = [(await door.order(n, **by("crm"))) for n in range(6)]
        refused = [answer for answer in said if answer.status_code == 429]
        assert refused and all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert refused[0].json()["type"] == "urn:stepwire:problem:too-many-requests"
        assert (await door.order(1, **by("eye"))).status_code == 202


# -- tokens


RSA = [rsa.generate_private_key(65537, 2048) for _ in range(2)]


class Issuer:
    """An OIDC issuer on this machine."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.keys = {"one": RSA[0]}
        self.asked = 0
        self.moved = ""  #: where its keys are said to be now
        self.dripping = threading.Event()  #: an answer comes byte by byte and has no end
        outer = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = outer.jwks() if "jwks" in self.path else json.dumps({"jwks_uri": f"{outer.url}/jwks"})
                if outer.moved and "jwks" in self.path:
                    self.send_response(302)
                    self.send_header("location", outer.moved)
                    self.end_headers()
                    return
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked may have lost patience
                    while outer.dripping.is_set():
                        self.wfile.write(b" ")
                        time.sleep(0.05)
                    self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer((host, 0), Page)
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def jwks(self) -> str:
        found = [
            {
                **jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
                "kid": kid,
                "use": "sig",
                "alg": "RS256",
            }
            for kid, key in self.keys.items()
        ]
        return json.dumps({"keys": found})

    def token(self, kid: str = "one", key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        said = {"iss": self.url, "aud": "stepwire", "sub": "ann", "exp": time.time() + 60, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, key or self.keys[kid], algorithm=algorithm, headers={"kid": kid})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.close()


def oidc(issuer: Issuer, **more: Any) -> Access:
    grants = {"user:ann": {"shop": ["viewer"]}, "group:sales": {"shop": ["operator"]}}
    return Access.model_validate({"oidc": {"issuer": issuer.url, "audience": "stepwire", **more}, "grants": grants})


async def test_a_token_brings_name_and_groups(opened: Callable[..., Any], issuer: Issuer) -> None:
    """The issuer's keys are found by discovery and fetched once; grants go by user and by group."""
    async with opened(oidc(issuer)) as door:
        bearer = {"authorization": f"Bearer {issuer.token(groups=['sales'])}"}
        assert (await door.order(1, **bearer)).status_code == 202
        assert (await door.order(1, authorization=f"Bearer {issuer.token()}")).status_code == 403
        assert (await door.client.get("/gates", headers=bearer)).status_code == 200
    assert issuer.asked == 2  # discovery, keys


async def test_a_stream_lasts_no_longer_than_the_token_that_opened_it(
    opened: Callable[..., Any], issuer: Issuer
) -> None:
    """It just ends, without `end`: whoever comes back is asked anew who they are."""
    ends = int(time.time()) + 60
    async with opened(oidc(issuer)) as door:
        bearer = {"authorization": f"Bearer {issuer.token(groups=['sales'], exp=ends)}"}
        raw = [(name.encode(), text.encode()) for name, text in bearer.items()]
        caller = await door.door.identity.of(Request({"type": "http", "headers": raw}))
        assert streams.life(caller, ends) == 30.0  # two clocks may differ by so much
        assert streams.life(caller, ends + 31.0) == 0.0
        run = (await door.order(1, **bearer)).json()["run"]
        place, rest = door.door.places["shop"], door.door.rest
        sent = b"".join([each async for each in streams.stream(place, run, {}, rest, seconds=0.05)])
        assert b"event: state" in sent and b"event: end" not in sent


async def test_a_token_that_does_not_hold_is_refused(opened: Callable[..., Any], issuer: Issuer) -> None:
    """Expired, for others, by others, unsigned, signed with a wrong or an unknown key, or by a shared secret."""
    public = issuer.keys["one"].public_key()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    stranger = RSA[1]
    confused = jwt.api_jws.PyJWS()
    with pytest.MonkeyPatch.context() as patch:  # an attacker's library does not refuse to
        patch.setattr(jwt.algorithms.HMACAlgorithm, "prepare_key", lambda _, key: key)
        claims = {"iss": issuer.url, "aud": "stepwire", "sub": "ann", "exp": time.time() + 60}
        shared = confused.encode(json.dumps(claims).encode(), pem, algorithm="HS256", headers={"kid": "one"})
    bad = [
        issuer.token(exp=time.time() - 31), issuer.token(exp=None), issuer.token(aud="other"), issuer.token(aud=None),
        issuer.token(iss="http://evil"), issuer.token(key=stranger), issuer.token(nbf=time.time() + 90),
        jwt.encode(claims, None, algorithm="none"), shared, "a.b.c", "e30.e30.e30", issuer.token()[:-4] + "AAAA",
        jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": "two"}), issuer.token(sub=""),
        jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "one"}),
    ]  # fmt: skip
    async with opened(oidc(issuer)) as door:
        assert (await door.order(1, authorization=f"Bearer {issuer.token(exp=time.time() - 5)}")).status_code == 403
        for number, token in enumerate(bad):
            answer = await door.order(1, authorization=f"Bearer {token}")
            assert answer.status_code == 401, number
            assert token not in answer.text
    assert issuer.asked == 2, "made-up key ids must not make the issuer work"


async def test_a_new_key_of_the_issuer_is_found(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the pause is over; and an issuer that went away harms nobody whose key is known."""
    config = oidc(issuer).oidc
    assert config is not None
    tokens = Tokens(config)
    assert (await tokens.claims(issuer.token()))["sub"] == "ann"
    issuer.keys["two"] = RSA[1]
    with pytest.raises(Problem, match="does not publish"):
        await tokens.claims(issuer.token(kid="two"))
    monkeypatch.setattr("stepwire_handlers.services.door.tokens.PAUSE", 0.0)
    assert (await tokens.claims(issuer.token(kid="two")))["sub"] == "ann"
    issuer.close()
    monkeypatch.setattr("stepwire_handlers.services.door.tokens.LIFE", 0.0)
    assert (await tokens.claims(issuer.token()))["sub"] == "ann"


async def test_an_issuer_that_was_never_reached_is_503(opened: Callable[..., Any], issuer: Issuer) -> None:
    """Not 401: the token may be good."""
    issuer.close()
    async with opened(oidc(issuer)) as door:
        answer = await door.order(1, authorization=f"Bearer {issuer.token()}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_keys_are_not_fetched_over_the_plain_wire(issuer: Issuer) -> None:
    """A redirection leads only where the access file might: else whoever is on the way could give keys of their own."""
    far = Issuer("127.0.0.2")
    issuer.moved = f"{far.url}/jwks"
    config = oidc(issuer).oidc
    assert config is not None
    with pytest.raises(Problem) as refused:
        await Tokens(config).claims(issuer.token())
    assert (refused.value.status, far.asked) == (503, 0)
    far.close()


async def test_an_issuer_that_hangs_harms_nobody_whose_key_is_known(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request waits for it, no longer than its patience however the answer drips; the others for none."""
    config = oidc(issuer).oidc
    assert config is not None
    tokens, page = Tokens(config), "stepwire_handlers.services.door.tokens"
    await tokens.claims(issuer.token())
    for name, value in (("LIFE", 0.0), ("PAUSE", 0.0), ("PATIENCE", 0.2)):
        monkeypatch.setattr(f"{page}.{name}", value)
    issuer.dripping.set()
    try:
        async with asyncio.timeout(20):
            assert (await tokens.claims(issuer.token()))["sub"] == "ann"
        asked = issuer.asked
        monkeypatch.setattr(f"{page}.PATIENCE", 60.0)  # whoever waited for the next answer would wait so long
        async with asyncio.timeout(20):
            for _ in range(20):
                assert (await tokens.claims(issuer.token()))["sub"] == "ann"
        assert tokens._asking is not None and not tokens._asking.done(), "an answer came, and nobody could have waited"
        assert issuer.asked <= asked + 2
    finally:
        issuer.dripping.clear()
        if (asking := tokens._asking) is not None:
            await asking


# -- a proxy


async def test_a_proxy_s_word_counts_from_its_own_address_only(opened: Callable[..., Any]) -> None:
    """From its network the header names the caller; from elsewhere, or sent twice, it counts for nothing."""
    grants = {"user:ann": {"shop": ["viewer"]}, "group:ops": {"shop": ["operator"]}}
    table = {"networks": ["127.0.0.0/8"], "groups": "x-forwarded-groups"}
    said = {"x-forwarded-user": "ann", "x-forwarded-groups": "a, ops"}
    async with opened(Access.model_validate({"proxy": table, "grants": grants})) as door:
        assert (await door.order(1, **said)).status_code == 202
        assert (await door.order(1)).status_code == 401
        twice = await door.client.get("/gates", headers=[("x-forwarded-user", "ann"), ("x-forwarded-user", "root")])
        assert twice.status_code == 401
        own = [("x-forwarded-user", "ann"), ("x-forwarded-groups", "ops"), ("x-forwarded-groups", "a")]
        assert (await door.client.post("/apps/shop/Order", json={"n": 1}, headers=own)).status_code == 401
    far = {**table, "networks": ["10.0.0.0/8"]}
    async with opened(Access.model_validate({"proxy": far, "grants": grants})) as door:
        assert (await door.order(1, **said)).status_code == 401


async def test_a_proxy_that_is_not_configured_is_nobody(guarded: Inside) -> None:
    """The header alone opens nothing."""
    assert (await guarded.order(1, **{"x-forwarded-user": "ann"})).status_code == 401


# -- the file


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nobody could come in"),
        ("x = 1", "x: there is no such setting here; there are keys, oidc, proxy, grants, rate, burst"),
        (
            f"[[keys]]\nname='a'\nhash='{new_key()[1]}'\nroles={{}}\nburst=1",
            'key "a" burst: .* there are name, hash, roles',
        ),
        ("[[keys]]\nname='a'\nhash='secret'\nroles={}", 'key "a" hash: .*stepwire door --new-key'),
        ("[[keys]]\nname='a'\nhash='secret'\nroles={shop=['boss']}", 'key "a" hash: .*key "a" roles.shop: '),
        (2 * f"[[keys]]\nname='crm'\nhash='{new_key()[1]}'\nroles={{}}\n", "several keys are named crm"),
        ("[oidc]\nissuer='http://far.example'\naudience='a'", "oidc.issuer: write https"),
        ("[oidc]\nissuer='https://a'\naudience='a'\nalgorithms=['HS256']", "oidc.algorithms.0"),
        ("[oidc]\nissuer='https://a'\naudience='a'\nalgorithms=['none']", "oidc.algorithms.0"),
        ("[proxy]\nnetworks=[]", "proxy.networks"),
        ("[proxy]\nnetworks=['127.0.0.1']\n[grants.ann]\nshop=['viewer']", "grants are for user"),
        ("[proxy]\nnetworks=['127.0.0.1']\n[grants.'user:ann']\nshop=['owner']", "grants.user:ann.shop"),
        ("[[keys", "cannot be read"),
    ],
)
def test_a_wrong_access_file_refuses_to_start(tmp_path: Path, text: str, why: str) -> None:
    """It says where and what, and shows no value."""
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=why) as caught:
        load_access(path)
    assert "secret" not in str(caught.value)


def test_a_key_without_a_name_is_counted(tmp_path: Path) -> None:
    """From one, as people count; a name that no terminal should show is none."""
    path = tmp_path / "access.toml"
    good = f"[[keys]]\nname='a'\nhash='{new_key()[1]}'\nroles={{}}\n"
    for spoilt in ("hash='x'", "name=5\nhash='x'", "name=\"\\u001b[2J\"\nhash='x'"):
        path.write_text(f"{good}[[keys]]\n{spoilt}\n")
        with pytest.raises(SettingsError, match="key 2 hash: this is no hash"):
            load_access(path)
    for strange in ("keys = 5", "keys = [5]", "keys = {a = 1}"):
        path.write_text(strange)
        with pytest.raises(SettingsError, match=r"keys|key 1"):
            load_access(path)
