"""The console's pages: what they show, to whom, and what they refuse."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.console.conftest import ACCESS
from tests.console.office import Invoice, checked
from tests.door.doors import damage
from typer.testing import CliRunner

from stepwire_handlers.cli.main import cli
from stepwire_handlers.services.console import forms
from stepwire_handlers.services.door.limits import Limits
from stepwire_handlers.services.gates import Gates

XSS = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}"
IBAN = "DE02120300000000202051"
PAGES = ("/", "/gates", "/dead-letters", "/apps/office", "/runs/x", "/gates/office/x", "/dead-letters/office/x")
Opened = Callable[..., Any]


async def test_without_a_login_there_is_nothing(opened: Opened) -> None:
    """Every page leads to the login, every form is refused, and a wrong key or a forged cookie opens nothing."""
    async with opened() as desk:
        for page in PAGES:
            answer = await desk.client.get(page)
            assert (answer.status_code, answer.headers["location"][:12]) == (303, "/login?then="), page
        for form in ("/gates/office/x", "/dead-letters/office/x/replay", "/dead-letters/office/x/drop", "/logout"):
            assert (await desk.post(form)).status_code == 401
        assert (await desk.post("/login", key="sw_wrong")).status_code == 401
        for forged in ("a.9999999999.b", "..", "é", f"{'0' * 64}.9999999999.{'0' * 64}"):
            answer = await desk.client.get("/", headers={"cookie": f"stepwire_console={forged}".encode()})
            assert answer.status_code == 303


async def test_the_cookie_and_the_headers_are_strict(opened: Opened) -> None:
    """The cookie is out of reach of scripts and of foreign pages; no page allows inline code or a frame."""
    async with opened() as desk:
        answer = await desk.post("/login", key="sw_wrong")
        assert "unsafe" not in answer.headers["content-security-policy"]
        await desk.login("eye")
        answer = await desk.post("/login", key=(await _key("eye")), then="https://evil.example/")
        assert answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
        for page in (*PAGES, "/nowhere"):
            headers = (await desk.client.get(page)).headers
            assert headers["content-security-policy"].startswith("default-src 'none'"), page
            assert headers["x-frame-options"] == "DENY"


async def _key(name: str) -> str:
    from tests.console.conftest import KEYS

    return KEYS[name][0]


async def test_who_guesses_keys_is_slowed_down(opened: Opened) -> None:
    """After thirty wrong keys an address waits; a key that fits still opens, for a proxy is one address."""
    async with opened() as desk:
        desk.console.logins = Limits(0.5, 30.0, lambda: 0.0)
        for _ in range(30):
            assert (await desk.post("/login", key="sw_wrong")).status_code == 401
        answer = await desk.post("/login", key="sw_wrong")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        assert "wait 2 s" in answer.text
        await desk.login("boss")
        counted = desk.console.measures.scrape().decode()
        for outcome, count in (("entered", 1), ("refused", 30), ("slowed", 1)):
            assert f'stepwire_console_logins_total{{outcome="{outcome}"}} {count}.0' in counted


async def test_who_acts_too_often_is_slowed_down(opened: Opened) -> None:
    """A caller has as many actions at once as the access file gives; the next one is refused and nothing is done."""
    async with opened(ACCESS.model_copy(update={"rate": 0.1, "burst": 2.0})) as desk:
        await desk.login("boss")
        codes = [(await desk.post("/gates/office/x", choice="approve")).status_code for _ in range(3)]
        assert codes[-1] == 429
        assert 429 not in codes[:2]


async def test_a_form_of_a_foreign_page_is_refused(opened: Opened) -> None:
    """Neither another origin, nor another site, nor a request that does not say where it is from gets through."""
    async with opened() as desk:
        await desk.login("boss")
        assert (await desk.post("/logout", origin="http://evil.example")).status_code == 403
        assert (await desk.client.post("/logout")).status_code == 403
        cross = {"sec-fetch-site": "same-site", "origin": "http://console"}
        assert (await desk.client.post("/logout", headers=cross)).status_code == 403


async def test_empty_pages_say_what_to_do(opened: Opened) -> None:
    """Where nothing is listed, the page says how something comes to be there."""
    async with opened() as desk:
        await desk.login("eye")
        assert "stepwire publish" in await desk.get("/")
        assert "Nothing waits for a person" in await desk.get("/gates")
        assert "No dead letters" in await desk.get("/dead-letters")
        assert "No run fits" in await desk.get("/?q=nothing")


async def test_gates_are_listed_with_what_they_are_about(opened: Opened) -> None:
    """An approver sees which invoice it is without opening each; markup is text, and what is sensitive is not there."""
    async with opened() as desk:
        await desk.publish("Müller & Co", 500, IBAN)
        await desk.publish(XSS + "\u202e\x1b[2J", 600, IBAN)
        await desk.work()
        await desk.login("eye")
        page = await desk.get("/gates")
        assert "customer=&#34;Müller &amp; Co&#34; amount=500</td>" in page and "amount=600" in page
        assert not any(text in page for text in (IBAN, "***", "<script>alert", "\u202e", "\x1b"))


async def test_the_command_on_the_empty_page_works(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the app's module and the event's fields in their places it publishes, and the page lists the run."""
    monkeypatch.setenv("STEPWIRE_BUS", f"sqlite:///{tmp_path / 'bus.db'}")
    async with opened() as desk:
        await desk.login("eye")
        (command,) = re.findall(r"<pre[^>]*>(stepwire publish .*?)</pre>", await desk.get("/"))
        name, *arguments = shlex.split(html.unescape(command))
        at = arguments.index("MODULE:app"), arguments.index('{"field": "value"}')
        arguments[at[0]], arguments[at[1]] = "tests.console.office:OFFICE", '{"customer": "Ada", "amount": 1}'
        done = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
        assert (name, done.exit_code) == ("stepwire", 0), done.stderr
        assert done.stdout.strip()[:12] in await desk.get("/")


async def test_a_key_that_may_not_look_is_told_so(opened: Opened) -> None:
    """It is not shown an empty list, as if there were no runs."""
    async with opened() as desk:
        await desk.publish("Ada", 500)
        await desk.login("feed")
        for page in ("/", "/gates", "/dead-letters"):
            text = await desk.get(page, 403)
            assert "key:feed has no role here that may look" in text and "access file" in text
            assert "No runs yet" not in text and "Log out" in text


async def test_an_address_that_takes_a_form_says_so(opened: Opened) -> None:
    """Opened as a page, it is no page that is missing."""
    async with opened() as desk:
        await desk.login("boss")
        answer = await desk.client.get("/logout")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert "takes POST, not GET" in answer.text and "no such page" not in answer.text
        assert "no such page" in await desk.get("/nowhere", 404)


async def test_payloads_with_html_are_text_and_secrets_are_stars(opened: Opened) -> None:
    """On every page that shows a payload, its markup is escaped and its sensitive field masked, in errors too."""
    async with opened() as desk:
        for amount in (1, 500, -1):
            await desk.publish(XSS, amount, IBAN)
        await desk.work()
        await desk.login("boss")
        gate = await desk.link("/gates", "/gates/office/")
        letter = await desk.link("/dead-letters", "/dead-letters/office/")
        runs = {part.split('"')[0] for part in (await desk.get("/")).split('href="')[1:] if part.startswith("/runs/")}
        assert len(runs) == 3
        for page in (*runs, gate, letter, "/dead-letters"):
            text = await desk.get(page)
            assert "<script>alert" not in text and "<img" not in text and IBAN not in text, page
            assert "&lt;script&gt;alert(1)" in text and "***" in text, page
        assert "<script>alert" not in await desk.get("/?q=%3Cscript%3Ealert(1)%3C/script%3E")


async def test_runs_are_filtered_searched_and_paged(opened: Opened) -> None:
    """By state, by text that is shown but never by what is masked, by an id's beginning; 25 on a page."""
    async with opened() as desk:
        runs = [await desk.publish(f"customer-{n:02}", 500 if n == 7 else 1, IBAN) for n in range(30)]
        await desk.work()
        await desk.login("eye")
        first, second = await desk.get("/"), await desk.get("/?page=2")
        assert (first.count("/runs/"), second.count("/runs/")) == (25, 5)
        assert "Older" in first and "Newer" in second and "Older" not in second
        assert (await desk.get("/?state=waiting")).count("/runs/") == 1
        found = await desk.get("/?q=Customer-11")
        assert found.count("/runs/") == 1 and runs[11] in found
        assert "/runs/" not in await desk.get(f"/?q={IBAN}")
        answer = await desk.client.get(f"/?q={runs[3][:14]}")
        assert answer.headers["location"] == f"/runs/{runs[3]}"
        for odd in ("/?page=-1", "/?page=x", "/?page=99999999999", "/?state=odd", "/?since=odd", "/?app=odd"):
            await desk.get(odd)


async def test_nobody_is_offered_to_approve_what_cannot_be_read(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list and the page of a gate with an event of a newer release say so; it can be declined."""
    async with opened() as desk:
        await desk.publish("Ada", 500)
        await desk.work()
        await desk.login("boss")
        readable = await desk.get(await desk.link("/gates", "/gates/office/"))
        assert 'value="approve"' in readable and "cannot read its event" not in readable
        monkeypatch.setattr(Gates, "_event", lambda *_: None)
        assert "this release cannot read its event" in await desk.get("/gates")
        page = await desk.get(await desk.link("/gates", "/gates/office/"))
        assert "this release cannot read its event" in page and "NoneType" not in page
        assert 'value="approve"' not in page and 'value="decline"' in page


async def test_a_gate_is_decided_with_an_edit_by_an_approver(opened: Opened, capfd: pytest.CaptureFixture[str]) -> None:
    """Others may look but not decide; only what was changed is changed, the secret stays; it is logged."""
    async with opened() as desk:
        run = await desk.publish("Ada", 500, IBAN)
        await desk.work()
        for name in ("eye", "crm"):
            await desk.login(name)
            gate = await desk.link("/gates", "/gates/office/")
            assert "you need the role" in await desk.get(gate)
            assert (await desk.post(gate, decision="approve")).status_code == 403
        await desk.login("boss")
        wrong = await desk.post(gate, decision="approve", **{"field.amount": "much"})
        assert wrong.status_code == 422 and "amount is no JSON" in wrong.text
        form = {"field.customer": "Ada", "field.amount": "400", "field.iban": "***", "why": "fair"}
        answer = await desk.post(gate, decision="approve", **form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run}?said=approve")
        assert "Approved: the run goes on." in await desk.get(answer.headers["location"])
        assert 'role="status"' not in await desk.get(f"/runs/{run}?said=Your+account+is+locked")
        assert (await desk.post(gate, decision="approve")).status_code == 404
        await desk.work()
        view = desk.console.places["office"].runs.view(run)
        assert view.result.model_dump() == {"customer": "Ada", "amount": 400, "iban": IBAN}
        page = await desk.get(f"/runs/{run}")
        assert "approved by key:boss: “fair”" in page and "&#34;amount&#34;: 400" in page.split("approved by")[1]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (said,) = [line for line in lines if line["event"] == "decided"]
    assert (said["by"], said["decision"], said["edited"]) == ("key:boss", "approve", True)


async def test_a_dead_letter_is_replayed_with_an_edit_or_dropped_by_an_operator(
    opened: Opened, capfd: pytest.CaptureFixture[str]
) -> None:
    """A viewer may not; the edit keeps what is masked; a drop wants its tick; each is done once, and logged."""
    async with opened() as desk:
        run = await desk.publish("Ada", -1, IBAN)
        await desk.work()
        await desk.login("eye")
        letter = (await desk.link("/dead-letters", "/dead-letters/office/")).partition("?")[0]
        assert (await desk.post(f"{letter}/replay", plain="")).status_code == 403
        assert (await desk.post(f"{letter}/drop", sure="yes")).status_code == 403
        await desk.login("crm")
        assert (await desk.post(f"{letter}/drop", sure="")).status_code == 422
        assert (
            await desk.post(f"{letter}/replay", **{"field.amount": "5", "field.customer": "Ada"})
        ).status_code == 303
        await desk.work()
        view = desk.console.places["office"].runs.view(run)
        assert view.result.model_dump() == {"customer": "Ada", "amount": 5, "iban": IBAN}
        page = (await desk.get(f"/runs/{run}")).split("replayed with an edit by key:crm")[1]
        assert "&#34;amount&#34;: 5" in page and "&#34;amount&#34;: -1" not in page
        assert "answered already" in await desk.get(letter)
        assert (await desk.post(f"{letter}/replay", plain="")).status_code == 404
        await desk.publish("Bob", -1)
        await desk.work()
        other = (await desk.link("/dead-letters", "/dead-letters/office/")).partition("?")[0]
        assert (await desk.post(f"{other}/drop", sure="yes")).status_code == 303
        assert "No dead letters" in await desk.get("/dead-letters")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    said = [(line["by"], line["decision"], line["edited"]) for line in lines if line["event"] == "decided"]
    assert said == [("key:crm", "replay", True), ("key:crm", "drop", False)]


async def test_a_run_tells_what_was_tried_again_and_that_nobody_works(opened: Opened) -> None:
    """The attempts of a step and its last error, masked; while no worker runs and one is needed, both pages say so."""
    async with opened() as desk:
        run = await desk.publish("Busy", 1, IBAN)
        await desk.login("eye")
        for page in ("/", f"/runs/{run}"):
            assert "No worker runs check, so nothing goes on there" in await desk.get(page)
        await desk.work()
        text = await desk.get(f"/runs/{run}")
        assert "3 attempts" in text and "after ConnectionError: no line for ***" in text and IBAN not in text
        for page in ("/", f"/runs/{run}"):
            assert "No worker runs" not in await desk.get(page)


async def test_nobody_sees_an_app_without_a_role_in_it(opened: Opened) -> None:
    """Its runs, gates and dead letters are not listed and not found, whatever roles there are elsewhere."""
    async with opened() as desk:
        run = await desk.publish("Ada", 500)
        await desk.work()
        await desk.login("boss")
        gate = await desk.link("/gates", "/gates/office/")
        await desk.login("stranger")
        for page in (f"/runs/{run}", gate, "/apps/office", "/apps/none", "/", "/gates", "/dead-letters"):
            text = await desk.get(page, 403)
            assert "key:stranger has no role here that may look" in text and "Ada" not in text and run[:12] not in text
        assert (await desk.post(gate, decision="approve")).status_code == 404


async def test_the_graph_counts_what_the_steps_came_to(opened: Opened) -> None:
    """Done, waiting and dead, at each step."""
    async with opened() as desk:
        for amount in (1, 500, -1):
            await desk.publish("Ada", amount)
        await desk.work()
        await desk.login("eye")
        text = await desk.get("/apps/office")
        assert "2 done · 1 dead" in text and "0 done · 1 waiting" in text


async def test_without_a_login_only_its_own_name_is_answered(opened: Opened) -> None:
    """With --insecure a foreign name that leads here opens nothing, so no page of somebody else can read it."""
    async with opened(None) as desk:
        assert "everybody may do everything" in await desk.get("/")
        assert (await desk.client.get("/", headers={"host": "evil.example"})).status_code == 403


@pytest.mark.parametrize("page", ["9" * 5_000, "-1", "0", "x", "²"])
async def test_a_page_s_number_may_be_anything(opened: Opened, page: str) -> None:
    """A link that somebody spoiled leads to a page that is there."""
    async with opened() as desk:
        await desk.login("eye")
        assert (await desk.client.get("/", params={"page": page})).status_code == 200


async def test_a_form_that_cannot_be_read_is_no_fault_of_the_console(opened: Opened) -> None:
    """Too many fields, or bytes that are no text: 422, also for whoever is not logged in; a large one is 413."""
    async with opened() as desk:
        sent = {"origin": "http://console", "content-type": "application/x-www-form-urlencoded"}
        for body in ("&".join(f"a{n}=1" for n in range(20_000)), b"key=\xff\xfe"):
            assert (await desk.client.post("/login", content=body, headers=sent)).status_code == 422
        assert (await desk.client.post("/login", content=b"a" * 600_000, headers=sent)).status_code == 413
        nobody = {**sent, "host": "", "origin": ""}
        assert (await desk.client.post("/login", content=b"", headers=nobody)).status_code == 403


@pytest.mark.parametrize("usage", ["$boom", "$", "2 tokens $1e999", "$nan", "$²", "1 in, 2 out, $0.5"])
async def test_a_run_with_an_odd_stamp_is_shown(opened: Opened, usage: str) -> None:
    """A record's headers may come from anybody who writes to the topic; the page of its run stays."""
    async with opened() as desk:
        records, run = checked(usage, amount=1, booked=1)
        await desk.bus.publish(records)
        await desk.login("eye")
        page = await desk.get(f"/runs/{run}")
        assert ("$0.5000" in page) == usage.endswith("0.5")


async def test_lists_are_bounded_and_say_so(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest gates and the newest dead letters; where there are more, the page says where to find them."""
    from stepwire_handlers.services.console import look

    monkeypatch.setattr(look, "LISTED", 2)
    async with opened() as desk:
        for amount in (500, 501, -1, -2):
            await desk.publish("Ann", amount)
        await desk.work()
        await desk.login("eye")
        for page in ("/gates", "/dead-letters"):
            assert "there are more" not in await desk.get(page)
        for amount in (502, -3):
            await desk.publish("Ann", amount)
        await desk.work()
        for page in ("/gates", "/dead-letters"):
            text = await desk.get(page)
            assert "there are more" in text and text.count("?handler=") == 2


@pytest.mark.parametrize("given", ['"\\ud800"', '{"\\ud800": 1}', "[" * 250 + "]" * 250, "NaN", "[1e999, NaN]", "1 x"])
async def test_a_field_that_is_no_json_is_refused_where_it_stands(opened: Opened, given: str) -> None:
    """Half a surrogate pair, what is nested too deep and what is no number is no JSON, as at the door."""
    async with opened() as desk:
        await desk.publish("Bob", -1)
        await desk.work()
        await desk.login("boss")
        letter = await desk.link("/dead-letters", "/dead-letters/office/")
        path, _, handler = letter.partition("?")
        answer = await desk.post(f"{path}/replay?{handler}", **{"field.amount": given})
        assert answer.status_code == 422
        assert "amount is no JSON" in answer.text
        assert await desk.link("/dead-letters", "/dead-letters/office/") == letter


@pytest.mark.parametrize("login", [True, False])
async def test_a_host_or_origin_that_is_no_address_is_refused(opened: Opened, login: bool) -> None:
    """A bracket that is not closed is a foreign page's form, or a foreign name: 403, no failure of the console."""
    async with opened(ACCESS if login else None) as desk:
        answer = await desk.client.post("/login", headers={"origin": "http://["})
        assert answer.status_code == 403
        answer = await desk.client.get("/livez", headers={"host": "["})
        assert answer.status_code == (200 if login else 403)


async def test_a_damaged_bus_is_said_on_every_page(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    """503 and a page that says so, /readyz fails, and the log names the cure."""
    async with opened() as desk:
        await desk.publish("Bob", 1)
        await desk.login("boss")
        damage(Path(desk.bus.path))
        for page in ("/", "/gates", "/dead-letters", "/apps/office"):
            assert "Not reachable just now" in await desk.get(page, 503)
        await desk.get("/readyz", 503)
    assert ".recover" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["a\rb", "a\0b", "\r\r", "a\n\rb", "a\r\nb", "\n a", 70 * "a" + "\rb", "a\tb\x0b\x7f\x85\u2028"]
)
def test_what_a_browser_sends_of_an_untouched_field_is_no_edit(text: str) -> None:
    """A line end comes as CRLF, from a single line not at all, and a NUL as another character (HTML's own rules)."""
    event = Invoice(customer=text, amount=1)
    sent = {}
    for field in forms.fields_of(event):
        read = field.text.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
        line = field.kind == "text" or (field.kind == "json" and "\n" not in field.text)
        sent[f"field.{field.name}"] = read.replace("\n", "") if line else read.replace("\n", "\r\n")
    assert forms.changed(event, sent) == {}
    assert forms.changed(event, sent | {"field.customer": "x\r\ny"}) == {"customer": "x\ny"}
