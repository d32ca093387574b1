"""What a door says of itself: an OpenAPI document made from the wiring, and a page of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any

from openapi_spec_validator import validate
from pydantic import BaseModel, Field
from tests.contracts import odd
from tests.door.doors import Inside

from stepwire import App, Event, Sensitive, handler
from stepwire.bus.local import LocalBus
from stepwire_handlers.services.door import openapi, page
from stepwire_handlers.services.door.access import Access, new_key
from stepwire_handlers.services.door.places import Place, Watch
from stepwire_handlers.services.known import Turns
from stepwire_handlers.services.tools.offered import offered


async def test_the_document_is_valid_and_has_every_entry(inside: Inside) -> None:
    """OpenAPI 3.1 by an independent validator; each entry event with its own schema; how long a key holds."""
    document = await inside.get("/openapi.json")
    validate(document)
    assert document["openapi"] == "3.1.0"
    operation = document["paths"]["/apps/shop/Order"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Order")
    assert document["components"]["schemas"]["Order"]["required"] == ["n"]
    assert "for ever" in operation["parameters"][0]["description"]
    scan = document["paths"]["/apps/files/Scan"]["post"]
    assert ("Files up to" in scan["description"], "Files" in operation["description"]) == (True, False)
    assert "multipart/form-data" in document["paths"]["/apps/files/Scan"]["post"]["requestBody"]["content"]
    assert "/apps/shop/Checked" not in document["paths"]


async def test_every_route_is_described(inside: Inside) -> None:
    """No route without an operation, but the ones about the door itself."""
    document = await inside.get("/openapi.json")
    own = {"/openapi.json", "/docs", "/metrics", "/livez", "/readyz", "/apps/{app}/{type}"}
    routes = {route.path for route in inside.door.application().routes}  # type: ignore[attr-defined]
    assert routes - own == {path for path in document["paths"] if not path.startswith("/apps/")}


async def test_the_document_rules_out_other_fields(inside: Inside) -> None:
    """As the door does: in an event's JSON and in its form, where each field has a place."""
    found = await inside.get("/openapi.json")
    assert found["components"]["schemas"]["Order"]["additionalProperties"] is False
    form = found["paths"]["/apps/files/Scan"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert (form["additionalProperties"], sorted(form["properties"])) == (False, ["pdf", "title"])


async def test_the_page_loads_nothing_and_runs_nothing(inside: Inside) -> None:
    """No script, no address of elsewhere, and a policy that would refuse both."""
    answer = await inside.client.get("/docs")
    assert "POST /apps/shop/Order" in answer.text and "Somebody wants something." in answer.text
    assert not re.search(r"<script|https?://|\son\w+=|javascript:", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_each_caller_sees_their_own_apps(opened: Callable[..., Any]) -> None:
    """Neither document nor page tells of an app that the caller may not see."""
    key, hash_ = new_key()
    access = Access.model_validate({"keys": [{"name": "a", "hash": hash_, "roles": {"files": ["viewer"]}}]})
    async with opened(access) as inside:
        for page in ("/openapi.json", "/docs"):
            text = (await inside.client.get(page, headers={"x-api-key": key})).text
            assert "Scan" in text and "Order" not in text


class Account(BaseModel):
    owner: str = "nobody"
    iban: Annotated[str, Sensitive()] = "PLANTED-1"


class Claim(Event, topic="claims"):
    number: str = "n-7"
    pin: Annotated[int, Sensitive()] = 77777
    codes: Annotated[list[str], Sensitive(), Field(examples=[["PLANTED-2"]])] = ["PLANTED-3"]  # noqa: RUF012
    account: Account = Account(iban="PLANTED-4")
    others: list[Account] = [Account(iban="PLANTED-5")]  # noqa: RUF012


@handler()
async def check(claim: Claim) -> None: ...


def place_of(app: App) -> Place:
    bus = LocalBus(":memory:")
    return Place(app, bus, Watch(bus), Turns(bus))


def test_no_value_of_a_sensitive_field_is_shown() -> None:
    """Neither its default nor its examples, also of a model within: in the document, on the page, in a tool."""
    place = place_of(App("claims", [check]))
    document = openapi.document([place], "for ever", 0)
    tools = [one.tool.model_dump_json() for one in offered([place]).values()]
    for said in (json.dumps(document), page.html(document), *tools):
        assert re.findall("PLANTED-[0-9]|77777", said) == []
    validate(document)
    claim = document["components"]["schemas"]["Claim"]["properties"]
    assert (claim["pin"]["x-sensitive"], "default" in claim["pin"], claim["number"]["default"]) == (True, False, "n-7")
    assert document["components"]["schemas"]["Account"]["properties"]["iban"]["x-sensitive"] is True


def test_events_of_every_kind_are_described_in_json() -> None:
    """Below unions, generics and dataclasses nothing sensitive; a default that JSON has no number for is text."""
    said = json.dumps(openapi.document([place_of(odd.APP)], "for ever", 0), allow_nan=False)
    assert "hunter2" not in said and "+41" not in said
