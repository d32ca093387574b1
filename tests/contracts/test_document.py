"""The AsyncAPI document and the JSON Schemas: true to the wiring and to what the codec reads and writes."""

from __future__ import annotations

import importlib
import json
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.contracts import odd

from stepwire import App, Event, SettingsError, handler
from stepwire.codec import encode
from stepwire.envelope import Envelope
from stepwire_handlers.contracts.document import Surroundings, document_of, schemas_of, written
from stepwire_handlers.contracts.schema import schema_of

FLOWS = ("articles", "support", "review", "polish", "invoices")
WILD = {
    "name": "n", "animal": {"kind": "dog", "name": "Rex"}, "pair": [1, "a"], "numbers": {"inside": 3},
    "tree": {"name": "a", "children": [{"name": "b"}]}, "called": "c", "when": "2026-03-01", "many": [1.5],
    "limit": 1.5,
}  # fmt: skip


def app_of(flow: str) -> App:
    found: App = importlib.import_module(f"stepwire_handlers.flows.{flow}").app
    return found


def references(value: Any) -> list[str]:
    """Every $ref."""
    if isinstance(value, dict):
        mine = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return mine + [ref for item in value.values() for ref in references(item)]
    return [ref for item in value for ref in references(item)] if isinstance(value, list) else []


def at(document: Any, ref: str) -> Any:
    for part in ref.removeprefix("#/").split("/"):
        document = document[part]
    return document


@pytest.mark.parametrize("flow", FLOWS)
def test_a_document_is_whole_and_always_the_same(flow: str) -> None:
    """Every reference leads somewhere, every event and handler is there, and the same wiring gives the same bytes."""
    app = app_of(flow)
    document = document_of(app, Surroundings())
    for ref in references(document):
        at(document, ref)
    assert {m["name"] for m in document["components"]["messages"].values()} == {e.spec.type for e in app.wiring.events}
    assert {o["x-stepwire"].get("handler") for o in document["operations"].values()} == {h.name for h in app.handlers}
    assert written(document) == written(document_of(app, Surroundings()))


def test_an_environment_is_named_where_it_shows() -> None:
    """Prefix in addresses, topics and groups; brokers as servers; partitions and keys as bindings."""
    around = Surroundings("1.2", "prod.", ("a:9092", "b:9092"), secure=True, formats={"odd.things": "avro"})
    document = document_of(odd.APP, around)
    channel = document["channels"]["odd.things"]
    assert channel["address"] == channel["bindings"]["kafka"]["topic"] == "prod.odd.things"
    assert channel["bindings"]["kafka"]["partitions"] == odd.APP.settings.partitions
    receive = document["operations"]["either.receive.odd.things"]
    assert (receive["action"], len(receive["messages"])) == ("receive", 3)
    assert receive["bindings"]["kafka"]["groupId"]["enum"] == ["prod.odd.either"]
    wild = document["components"]["messages"]["odd.things.Wild.v1"]
    assert wild["bindings"]["kafka"]["key"]["description"] == "The field name."
    assert wild["contentType"] == "application/avro"
    assert document["servers"]["kafka-2"] == {"host": "b:9092", "protocol": "kafka-secure"}
    ask = document["operations"]["external-Ask.ask"]
    assert ask["reply"]["messages"] == [{"$ref": "#/channels/odd.answers/messages/odd.answers.Answer.v1"}]
    assert document["info"]["version"] == "1.2"


def test_headers_are_those_that_the_codec_writes() -> None:
    """What we emit has all of them; of others four are asked."""
    document = document_of(odd.APP, Surroundings())
    event = odd.Sum(n=1)
    headers, _ = encode(event, Envelope("1", "stepwire:odd/gather", odd.Sum.spec.type, 0.0, "r", handler="gather"))
    said = document["components"]["messages"]["odd.sums.Sum.v1"]["headers"]
    Draft202012Validator(said).validate(headers)
    assert set(said["required"]) == set(headers)
    entry = document["components"]["messages"]["odd.things.Wild.v1"]["headers"]
    assert entry["required"] == ["ce_specversion", "ce_id", "ce_source", "ce_type"]


def test_an_event_fits_its_schemas() -> None:
    """What is accepted is accepted by the schema too, and what the codec writes fits the other side's."""
    accepts, emits = (Draft202012Validator(schema_of(odd.Wild, side)) for side in ("accepts", "emits"))
    accepts.validate(WILD)
    event = odd.Wild.model_validate(WILD)
    _, value = encode(event, Envelope("1", "s", odd.Wild.spec.type, 0.0, ""))
    emits.validate(json.loads(value))
    assert "named" in emits.schema["required"] and "called" not in emits.schema["properties"]
    assert emits.schema["properties"]["limit"]["default"] == "Infinity"  # as the codec writes it
    for wrong in ({"pair": [1]}, {"animal": {"kind": "cow"}}, {"short": "much too long"}, {"tree": {"name": 1}}):
        assert not accepts.is_valid({**WILD, **wrong})


@pytest.mark.parametrize("flow", FLOWS)
def test_schemas_stand_alone(flow: str) -> None:
    """One valid schema for each event, without any reference out of its file."""
    for name, schema in schemas_of(app_of(flow)).items():
        Draft202012Validator.check_schema(schema)
        assert all(ref.startswith("#/$defs/") for ref in references(schema)), name


def test_what_is_sensitive_is_marked_and_shown_nowhere() -> None:
    """Below unions, models and dataclasses too; neither default nor example of it stands in the document."""
    text = written(document_of(odd.APP, Surroundings())) + "".join(map(written, schemas_of(odd.APP).values()))
    assert "hunter2" not in text and "+41" not in text
    schema = schema_of(odd.Wild, "accepts")
    assert schema["properties"]["token"]["x-sensitive"] is True
    assert schema["$defs"]["Person"]["properties"]["phone"]["x-sensitive"] is True
    assert "x-sensitive" not in schema["properties"]["name"]
    customer = document_of(app_of("invoices"), Surroundings())["components"]["schemas"]
    assert customer["emits.invoices.told.ManagerTold.v1.Customer"]["properties"]["email"]["x-sensitive"] is True


class Opaque:
    """Nothing that JSON knows."""


class Dark(Event, topic="dark", **{"arbitrary_types_allowed": True}):
    thing: Opaque
    amount: Decimal = Decimal(0)


@handler()
async def take(dark: Dark) -> None: ...


def test_an_event_without_a_schema_is_said_by_its_name() -> None:
    """An export that left it out would be a lie."""
    with pytest.raises(SettingsError, match=r"Dark \(dark\.Dark\.v1\) has no JSON Schema"):
        document_of(App("dark", [take]), Surroundings())
