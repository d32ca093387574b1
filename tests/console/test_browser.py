"""The console in a real Chromium: a gate decided with an edit, a dead letter replayed, axe-core, a phone's width.

`STEPWIRE_WRITE_IMAGES=1` writes the pictures of docs/console.md.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from tests.console.browser import axe, chromium
from tests.console.conftest import KEYS, Desk
from tests.console.issuer import CLIENT, SECRET, Issuer
from tests.helm.tools import NotHere

from stepwire_handlers.services.door.access import Access, new_key
from stepwire_handlers.services.health import listen, serving

pytestmark = [pytest.mark.slow, pytest.mark.service("chromium"), pytest.mark.timeout(300)]
IMAGES = Path(__file__).parents[2] / "docs" / "images"
IBAN = "DE02120300000000202051"
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
GROUND = "getComputedStyle(document.body).backgroundColor"
FOCUS = f"""() => {{
  const seen = getComputedStyle(document.activeElement);
  return [seen.outlineStyle === "none" ? 0 : parseFloat(seen.outlineWidth), seen.outlineColor, {GROUND}];
}}"""


@contextmanager
def _fetched(service: Callable[..., None]) -> Iterator[None]:
    try:
        yield
    except NotHere as why:
        service("chromium", found=False, why=str(why))


@asynccontextmanager
async def _browser(service: Callable[..., None]) -> AsyncIterator[Browser]:
    with _fetched(service):
        program, more = chromium()
    async with async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=program, env={**os.environ, **more}, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def _served(desk: Desk) -> AsyncIterator[str]:
    with listen("127.0.0.1", 0) as listening:
        async with serving(desk.console.application(), listening):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def _page(browser: Browser, url: str, scheme: Scheme, width: int) -> tuple[Page, list[str]]:
    """A page of somebody who logged in by keyboard alone; and what the browser complains about."""
    page = await (await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 760})).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(f"{url}/gates")
    await page.keyboard.type(KEYS["boss"][0])  # the field has the focus
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{url}/gates")
    return page, said


async def _tab(page: Page, wanted: str) -> int:
    """Press Tab until what is wanted has the focus; how often. Each stop is seen: a line around it, in both schemes."""
    for pressed in range(40):
        if pressed:
            await page.keyboard.press("Tab")
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                width, line, ground = await page.evaluate(FOCUS)
                stop = await page.evaluate("document.activeElement.outerHTML")
                assert width >= 2 and _contrast(line, ground) >= 3, (scheme, stop)
        if await page.evaluate(f"document.activeElement.matches({wanted!r})"):
            return pressed
    raise AssertionError(f"Tab does not come to {wanted}")


def _brightness(colour: str) -> float:
    """WCAG's relative luminance of an rgb(…), 0 to 1."""
    parts = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, bright = sorted((_brightness(one), _brightness(other)))
    return (bright + 0.05) / (dark + 0.05)


async def _picture(page: Page, name: str) -> None:
    if os.environ.get("STEPWIRE_WRITE_IMAGES"):
        await page.screenshot(path=IMAGES / f"console-{name}.png")


async def test_a_gate_is_decided_with_an_edit_and_a_dead_letter_replayed(
    opened: Callable[..., Any], service: Callable[..., None]
) -> None:
    """By keyboard and mouse, as a person does it, in a browser that enforces the content policy without a complaint."""
    async with opened() as desk, _browser(service) as browser, _served(desk) as url:
        asked, failed = await desk.publish("Ada Lovelace Ltd", 500, IBAN), await desk.publish("Bob & Sons", -90, IBAN)
        await desk.work()
        page, said = await _page(browser, url, "light", 1_200)
        await page.get_by_role("link", name="approve").click()
        await page.get_by_label("amount").fill("450")
        await page.get_by_label("Why").fill("a discount was agreed")
        await _picture(page, "gate")
        await page.get_by_role("button", name="Approve").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{url}/runs/{asked}*")
        await page.get_by_role("link", name="Dead letters").click()
        await page.get_by_role("link", name="check").click()
        await page.get_by_label("amount").fill("90")
        await _picture(page, "dead-letter")
        await page.get_by_role("button", name="Replay").click()
        await page.wait_for_url(f"{url}/runs/{failed}*")
        await desk.work()
        await page.goto(f"{url}/runs/{asked}")
        assert '"amount": 450' in await page.inner_text("#main")
        await _picture(page, "run")
        found = desk.console.places["office"].runs
        amounts = [found.view(run).result.model_dump() for run in (asked, failed)]
        assert [(each["amount"], each["iban"]) for each in amounts] == [(450, IBAN), (90, IBAN)]
        assert said == []


async def test_a_gate_is_decided_by_keyboard_alone(opened: Callable[..., Any], service: Callable[..., None]) -> None:
    """From the login to a decision with an edit by Tab, letters and Enter; one sees where one is, in either scheme."""
    async with opened() as desk, _browser(service) as browser, _served(desk) as url:
        run = await desk.publish("Ada Lovelace Ltd", 500, IBAN)
        await desk.work()
        page = await (await browser.new_context(viewport={"width": 1_200, "height": 760})).new_page()
        await page.goto(f"{url}/gates")
        await _tab(page, "#key")  # past the link that skips
        await page.keyboard.type(KEYS["boss"][0])
        await _tab(page, "form button")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{url}/gates")
        await _tab(page, ".skip")
        await page.keyboard.press("Enter")
        assert await _tab(page, "td a[href*='/gates/office/']") == 2, "the link that skips leads into the list"
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{url}/gates/office/*")
        for field, text in (("[name='field.amount']", "450"), ("#why", "a discount was agreed")):
            await _tab(page, field)
            await page.keyboard.type(text)  # a field that is tabbed into is selected, so this takes its place
        await _tab(page, "button[value=approve]")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{url}/runs/{run}*")
        await desk.work()
        view = desk.console.places["office"].runs.view(run)
        assert (view.result.model_dump()["amount"], view.said[0].why) == (450, "a discount was agreed")


async def test_what_is_open_is_looked_at_again(opened: Callable[..., Any], service: Callable[..., None]) -> None:
    """Counts of a graph, and a run that waits, change where they stand: within seconds, later ever more seldom."""
    async with opened() as desk, _browser(service) as browser, _served(desk) as url:
        page, said = await _page(browser, url, "light", 1_200)
        looks: list[str] = []
        page.on("request", lambda request: looks.append(request.url))
        await page.clock.install(time=0)
        await page.clock.pause_at(1_000)
        await page.goto(f"{url}/apps/office")
        await page.evaluate("document.body.append('not loaded anew')")
        await expect(page.locator("svg")).to_contain_text("0 done")
        run = await desk.publish("Ada", 500)
        await desk.work()
        await page.clock.run_for(3_000)
        await expect(page.locator("svg")).to_contain_text("1 done")
        await expect(page.locator("svg")).to_contain_text("1 waiting")
        await expect(page.locator("body")).to_contain_text("not loaded anew")
        await page.goto(f"{url}/runs/{run}")
        await page.evaluate("document.body.append('not loaded anew')")
        for pause in (3_000, 4_500, 6_750, 10_125, 15_188, 22_782, 30_000, 30_000):
            await page.evaluate("document.querySelector('main > div').dataset.old = ''")
            looks.clear()
            await page.clock.run_for(pause - 100)
            assert looks == [], pause
            await page.clock.run_for(100)
            await expect(page.locator("[data-old]")).to_have_count(0)
        await desk.login("boss")
        await desk.post(await desk.link("/gates", "/gates/office/"), decision="approve")
        await desk.work()
        await page.clock.run_for(30_000)
        await expect(page.locator("h1 .state")).to_have_text("completed")
        await expect(page.locator("body")).to_contain_text("not loaded anew")
        looks.clear()
        await page.clock.run_for(120_000)
        assert looks == said == []  # of a run that is over nobody asks any more


async def test_what_nobody_touched_is_no_edit(opened: Callable[..., Any], service: Callable[..., None]) -> None:
    """Whatever characters a field has: a browser sends some of them otherwise, and the event goes on as it was."""
    async with opened() as desk, _browser(service) as browser, _served(desk) as url:
        texts = ("a\rb", "a\0b", "\r\r", "a\n\rb", "a\r\nb", "\n a", 70 * "a" + "\rb", "a\tb\x0b\x7f\x85\u2028")
        asked = {await desk.publish(text, 500): text for text in texts}
        await desk.work()
        page, _ = await _page(browser, url, "light", 1_200)
        for _ in texts:
            await page.goto(f"{url}/gates")
            await page.get_by_role("link", name="approve").first.click()
            await page.get_by_role("button", name="Approve").click()
            await page.wait_for_url("**/runs/*said=approve")
        await desk.work()
        for run, text in asked.items():
            view = desk.console.places["office"].runs.view(run)
            assert [said.edited for said in view.said] == [None], text
            assert view.result is not None and view.result.model_dump()["customer"] == text


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_page_is_accessible_and_fits_a_phone(
    opened: Callable[..., Any], service: Callable[..., None], scheme: Scheme
) -> None:
    """axe-core finds nothing serious or critical, no page is wider than a phone, and dark is dark."""
    with _fetched(service):
        script = axe()
    async with opened() as desk, _browser(service) as browser, _served(desk) as url:
        for customer, amount in (("Ada Lovelace Ltd", 80), ("Grace & Co", 500), ("Bob & Sons", -90)):
            run = await desk.publish(customer, amount, IBAN)
        await desk.work()
        await desk.login("boss")
        gate, letter = (
            await desk.link("/gates", "/gates/office/"), await desk.link("/dead-letters", "/dead-letters/office/")
        )  # fmt: skip
        page, said = await _page(browser, url, scheme, 390)
        paths = ("/", "/?q=nothing", f"/runs/{run}", "/gates", gate, "/dead-letters", letter, "/apps/office", "/apps/x")
        for path in paths:
            await page.goto(url + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path
            assert (_brightness(await page.evaluate(GROUND)) < 0.05) == (scheme == "dark"), path
            await _sound(page, script, path)
        await page.set_viewport_size({"width": 1_200, "height": 760})
        for path, name in (("/", "runs"), ("/apps/office", "graph")):
            await page.goto(url + path)
            await _picture(page, f"{name}-{scheme}")
        await page.context.clear_cookies()
        await page.goto(f"{url}/")
        await _sound(page, script, "/login")
        assert [text for text in said if "404" not in text] == []


async def test_a_long_name_widens_no_page(opened: Callable[..., Any], service: Callable[..., None]) -> None:
    """Whoever is logged in, by the longest name that a key may have: the page fits a phone, and they can log out."""
    key, hash_ = new_key()
    roles = {"office": ["approver", "operator"]}
    access = Access.model_validate({"keys": [{"name": "W" * 100, "hash": hash_, "roles": roles}]})
    async with opened(access) as desk, _browser(service) as browser, _served(desk) as url:
        run = await desk.publish("Ada", 500)
        await desk.work()
        page = await (await browser.new_context(viewport={"width": 390, "height": 760})).new_page()
        await page.goto(f"{url}/gates")
        await page.keyboard.type(key)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{url}/gates")
        await page.get_by_role("link", name="approve").click()
        await page.get_by_role("button", name="Approve").click()
        await page.wait_for_url(f"{url}/runs/{run}*")  # which says who approved
        await desk.work()
        for path in ("/", f"/runs/{run}"):
            await page.goto(url + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path


async def test_a_person_signs_in_at_the_issuer(opened: Callable[..., Any], service: Callable[..., None]) -> None:
    """By the link alone: the browser follows it out and back under the strict policy, and comes where it wanted to."""
    with _fetched(service):
        script = axe()
    issuer = Issuer()
    with contextlib.closing(issuer), listen("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        login = {"client": CLIENT, "url": url}
        access = Access.model_validate({
            "oidc": {"issuer": issuer.url, "audience": "stepwire", "login": login},
            "grants": {"user:ann": {"office": ["viewer"]}},
        })  # fmt: skip
        async with (
            opened(access, url, console_oidc_secret=SECRET) as desk,
            _browser(service) as browser,
            serving(desk.console.application(), listening),
        ):
            page = await browser.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            await page.goto(f"{url}/gates")
            await _sound(page, script, "/login")
            await page.keyboard.press("Enter")  # the link has the focus
            await page.wait_for_url(f"{url}/gates")
            assert "user:ann" in await page.inner_text("header")
            assert said == []


async def _sound(page: Page, script: str, path: str) -> None:
    await page.evaluate(script)  # by the debugger, which the page's own policy does not bind
    found = await page.evaluate("axe.run()")
    assert len(found["passes"]) > 5
    bad = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert [(path, each["id"], each["nodes"][0]["html"]) for each in bad] == []
