"""What a door says of itself: an OpenAPI document made from the wiring, and a page of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from openapi_spec_validator import validate
from tests.door.doors import Inside

from stepwire_handlers.services.door.access import Access, new_key


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
