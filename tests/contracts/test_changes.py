"""What a new release breaks that no schema holds: versions, conventions, other services."""

from __future__ import annotations

from typing import Any

import pytest

from stepwire import App, Event, SettingsError, external, handler
from stepwire_handlers.contracts.changes import breaking
from stepwire_handlers.contracts.document import Surroundings, document_of


def order(version: int = 1, upcasts: tuple[int, ...] = (), **fields: Any) -> dict[str, Any]:
    """The document of an app with one entry."""

    class Order(Event, topic="shop.orders", version=version):
        n: int
        __annotations__ |= fields

    for each in upcasts:
        Order.upcast(each)(lambda data: data)

    @handler()
    async def take(order: Order) -> None: ...

    return document_of(App("shop", [take]), Surroundings())


def said(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [str(change) for change in breaking(old, new)]


def test_a_version_needs_an_upcast_of_each_one_before_it() -> None:
    """Records of a version that nobody reads would be skipped in silence."""
    assert said(order(1), order(3, (1, 2), fresh=str)) == []
    assert said(order(1), order(3, (2,))) == [
        "Order: breaks producers: version 3 does not read 1; add @Order.upcast(1)"
    ]
    assert said(order(3, (1, 2)), order(3, (2,))) == ["Order: breaks producers: version 1 is not upcast any more"]
    assert said(order(2, (1,)), order(1)) == ["Order: breaks producers: version 2 went back to 1"]


def test_a_break_says_event_field_and_whom() -> None:
    """The line that a pipeline's log shows."""
    assert said(order(), order(fresh=str)) == ["Order.fresh: breaks producers: is new and required"]
    assert said(order(fresh=int), order(fresh=list[int])) == [
        "Order.fresh: breaks producers: integer where array is read"
    ]


class Begun(Event, topic="shop.begun"):
    number: str
    other: str = ""


class Ask(Event, topic="shop.asks"):
    number: str
    other: str = ""


class Answer(Event, topic="shop.answers"):
    number: str
    other: str = ""


@handler()
async def begin(begun: Begun) -> Ask: ...


@handler()
async def end(answer: Answer) -> None: ...


def asking(match: str | None) -> dict[str, Any]:
    return document_of(App("shop", [begin, end, external(Ask, Answer, match=match)]), Surroundings())


def test_the_service_behind_an_external_step_is_a_side_too() -> None:
    """By which field it answers is a convention between two services."""
    assert said(asking("number"), asking("number")) == []
    (change,) = breaking(asking("number"), asking("other"))
    assert (change.event, change.who) == ("external external-Ask", "the service that answers")


def test_prefix_partitions_and_release_are_no_contract() -> None:
    """One export serves all environments, and a topic may grow."""
    app = App("shop", [begin, end, external(Ask, Answer)])
    old = document_of(app, Surroundings("1", "test."))
    app.settings = app.settings.__class__(partitions=48)
    assert said(old, document_of(app, Surroundings("2", "prod.", ("a:1",)))) == []


def test_a_format_is_a_contract() -> None:
    """Who reads JSON does not read Avro."""
    app = App("shop", [begin, end, external(Ask, Answer)])
    found = breaking(document_of(app, Surroundings()), document_of(app, Surroundings(formats={"shop.asks": "avro"})))
    assert [(change.event, change.who) for change in found] == [("Ask", "consumers")]


@pytest.mark.parametrize("document", [{}, {"asyncapi": "3.0.0"}, {"components": []}, {"x-stepwire": {"app": "shop"}}])
def test_what_is_no_export_is_refused(document: dict[str, Any]) -> None:
    """Somebody else's AsyncAPI document says nothing of roles and versions."""
    with pytest.raises(SettingsError, match="not made by `stepwire contracts export`"):
        breaking(document, order())


def test_another_app_is_refused() -> None:
    """Two apps have no contract in common."""
    with pytest.raises(SettingsError, match="of the app shop, this one is office"):
        breaking(order(), document_of(App("office", [begin, end, external(Ask, Answer)]), Surroundings()))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("messages",), {"$ref": 5}),
        (("messages", "shop.orders.Order.v1", "headers", "properties"), 1),
    ],
)
def test_a_damaged_export_says_so(place: tuple[str, ...], value: object) -> None:
    """Whoever edited it, or merged it badly, reads what to do, not a traceback."""
    old = order()
    node = old["components"]
    for name in place[:-1]:
        node = node[name]
    node[place[-1]] = value
    with pytest.raises(SettingsError, match="is damaged"):
        breaking(old, order())
