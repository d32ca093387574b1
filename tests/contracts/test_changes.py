"""What a new release breaks that no schema holds: versions, conventions, other services."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

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


def test_a_step_that_retires_still_takes_what_is_in_flight() -> None:
    """Nobody emits its event any more, and nobody has to mend anything for that; who published it from outside has."""

    class Order(Event, topic="shop.orders"):
        n: int

    class Weighed(Event, topic="shop.weighed"):
        n: int

    @handler(name="take")
    async def before(order: Order) -> Weighed | None: ...

    @handler(name="take")
    async def after(order: Order) -> None: ...

    @handler(name="weigh")
    async def weigh(weighed: Weighed) -> None: ...

    @handler(name="weigh", retired=True)
    async def retiring(weighed: Weighed) -> None: ...

    old = document_of(App("shop", [before, weigh]), Surroundings())
    direct = document_of(App("shop", [after, weigh]), Surroundings())
    assert said(direct, document_of(App("shop", [after, retiring]), Surroundings())) == [
        "Weighed: breaks producers: it is not taken from outside any more"
    ]
    assert said(old, document_of(App("shop", [after, retiring]), Surroundings())) == []
    assert said(old, document_of(App("shop", [after]), Surroundings())) == [
        "Weighed: breaks events in flight: nobody takes what lies on its topic"
    ]


def test_a_break_says_event_field_and_whom() -> None:
    """The line that a pipeline's log shows."""
    assert said(order(), order(fresh=str)) == ["Order.fresh: breaks producers: is new and required"]
    assert said(order(fresh=int), order(fresh=list[int])) == [
        "Order.fresh: breaks producers: integer where array is read"
    ]


def test_a_second_name_for_a_field_breaks_nobody_and_to_take_it_away_does() -> None:
    """With an alias a field is read under both names, at any depth; whoever writes the alias needs it."""

    class Line(BaseModel):
        model_config = ConfigDict(validate_by_name=True)
        sku: str = Field(alias="article")

    class Plain(BaseModel):
        sku: str

    plain, aliased = order(skus=list[Plain]), order(skus=Annotated[list[Line], Field(alias="items")])
    assert said(plain, aliased) == []
    assert said(aliased, plain) == ["Order.skus: breaks producers: is new and required"]
    assert said(aliased, order(skus=Annotated[list[Line], Field(alias="things")])) == [
        "Order.things: breaks producers: is new and required"
    ]
    two, one = (order(n=Annotated[int, Field(validation_alias=AliasChoices(*names))]) for names in (("a", "b"), ("a",)))
    assert said(one, two) == []
    assert said(two, one) == ["Order.a: breaks producers: is not read as b any more"]
    inside = order(n=Annotated[int, Field(validation_alias=AliasChoices("n", AliasPath("wrap", 0)))], wrap=str)
    assert said(order(wrap=str), inside) == []
    assert said(order(skus=int), order(skus=Annotated[str, Field(alias="items")])) == [
        "Order.items: breaks producers: integer where string is read"
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


def asked(*results: str, long: bool = True) -> dict[str, Any]:
    """The document of an app whose runs go from a question to an answer, and, if `long`, to a short one."""

    class Question(Event, topic="desk.questions"):
        body: str

    class Answered(Event, topic="desk.answers", result="Answered" in results):
        text: str

    class Shortened(Event, topic="desk.shortened", result="Shortened" in results, terminal="Shortened" not in results):
        text: str

    @handler()
    async def answer(question: Question) -> Answered: ...

    @handler()
    async def shorten(answered: Answered) -> Shortened: ...

    return document_of(App("desk", [answer, shorten] if long else [answer]), Surroundings())


def test_another_result_breaks_who_waits_for_one() -> None:
    """The door, tools and `publish --wait` answer with another class, though no event changed and none went."""
    before, after = asked("Answered", long=False), asked("Shortened")
    assert said(before, asked("Answered")) == said(after, after) == []
    (change,) = breaking(before, after)
    assert str(change) == (
        "Question: breaks who waits for the result: its run's result was Answered and is Shortened; give such runs an "
        "entry of their own, or leave result=True where it was"
    )
    (gone,) = breaking(before, asked())
    assert "was Answered and is nothing" in gone.what
    assert said(asked(), after) == []  # nobody waited for one
    assert [change.event for change in breaking(after, before)] == ["Question", "Shortened"]


def test_an_export_that_does_not_tell_results_is_compared_as_before() -> None:
    """Those of earlier releases; the next export tells."""
    before = asked("Answered")
    for message in before["components"]["messages"].values():
        message["x-stepwire"].pop("results", None)
    assert said(before, asked("Shortened")) == []


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
