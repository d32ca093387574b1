"""The AsyncAPI 3.0 document of an app: its topics, its messages, and what each handler reads and writes.

In: an app and where it stands (prefix, partitions, servers, formats). Out: the document as plain data; the same wiring
gives the same bytes. It holds everything that `changes` compares, under `x-stepwire`, and no secret: of a Kafka cluster
its addresses, of a sensitive field that it is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepwire import App, Event
from stepwire.dispatch.step import group_name
from stepwire.event import digest
from stepwire.wiring.graph import AnyHandler
from stepwire.worker import topics_of
from stepwire_handlers.contracts.draft import hoisted
from stepwire_handlers.contracts.headers import headers_of
from stepwire_handlers.contracts.roles import Role, emits, results_of, roles_of
from stepwire_handlers.contracts.schema import Side, schema_of

OURS = "x-stepwire"
FORM = 1  #: of what stands under `x-stepwire`
KAFKA = "0.5.0"  #: version of AsyncAPI's Kafka bindings
CONTENT = {"avro": "application/avro", "protobuf": "application/protobuf"}
JSON = "application/json"


@dataclass(frozen=True)
class Surroundings:
    """Where the app stands."""

    release: str = "unreleased"  #: the document's version
    prefix: str = ""  #: of topics and groups
    servers: Sequence[str] = ()  #: host:port of brokers
    secure: bool = False  #: are they reached by TLS?
    formats: Mapping[str, str] = field(default_factory=dict)  #: topic -> avro, protobuf, json-schema


def document_of(app: App, around: Surroundings) -> dict[str, Any]:
    """The document. Raises SettingsError for an event without a schema."""
    return _Document(app, around).made()


def written(document: Mapping[str, Any]) -> str:
    """The document as text."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


class _Document:
    def __init__(self, app: App, around: Surroundings) -> None:
        self._app, self._around = app, around
        self._roles = roles_of(app)
        self._keys = _keys(self._roles)
        self._partitions = topics_of(app, app.settings)

    def made(self) -> dict[str, Any]:
        schemas: dict[str, Any] = {}
        messages = {self._keys[kind]: self._message(kind, schemas) for kind in self._roles}
        found: dict[str, Any] = {"asyncapi": "3.0.0", "id": f"urn:stepwire:{self._app.name}", "info": self._info()}
        if self._around.servers:
            found["servers"] = self._servers()
        return found | {
            "defaultContentType": JSON,
            "channels": self._channels(),
            "operations": self._operations(),
            "components": {"messages": messages, "schemas": schemas},
            OURS: {
                "form": FORM, "app": self._app.name, "prefix": self._around.prefix,
                "externals": {step.name: {"ask": step.ask.spec.base, "answer": step.answer.spec.base,
                                          "match": step.match} for step in self._app.externals},
            },
        }  # fmt: skip

    def _info(self) -> dict[str, Any]:
        about = (
            f"Events of the app {self._app.name}, described from the app's side: it receives what its handlers read, "
            f"and sends what they emit. Records are CloudEvents 1.0 in Kafka's binary mode. Made from the wiring."
        )
        return {"title": self._app.name, "version": self._around.release, "description": about}

    def _servers(self) -> dict[str, Any]:
        protocol = "kafka-secure" if self._around.secure else "kafka"
        return {f"kafka-{n}": {"host": host, "protocol": protocol} for n, host in enumerate(self._around.servers, 1)}

    # -- channels and messages

    def _channels(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for kind in self._roles:
            topic = kind.spec.topic
            address = self._around.prefix + topic
            channel = found.setdefault(topic, {
                "address": address, "messages": {},
                "bindings": {"kafka": {"topic": address, "partitions": self._partitions[topic],
                                       "bindingVersion": KAFKA}},
                OURS: {"topic": topic},
            })  # fmt: skip
            key = self._keys[kind]
            channel["messages"][key] = {"$ref": f"#/components/messages/{key}"}
        return dict(sorted(found.items()))

    def _message(self, kind: type[Event], schemas: dict[str, Any]) -> dict[str, Any]:
        spec, roles, key = kind.spec, self._roles[kind], self._keys[kind]
        begins = {"results": sorted(each.__name__ for each in results_of(self._app, kind))} if "entry" in roles else {}
        form = self._around.formats.get(spec.topic, "json")
        sides: dict[Side, dict[str, str]] = {}
        for side in sides_of(roles):
            schemas |= hoisted(schema_of(kind, side), f"{side}.{key}")
            sides[side] = {"$ref": f"#/components/schemas/{side}.{key}"}
        binding: dict[str, Any] = {"key": {"type": "string", "description": _key(kind)}, "bindingVersion": KAFKA}
        if form != "json":
            binding |= {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
        return {
            "name": spec.type, "title": kind.__name__, "summary": _summary(kind),
            "contentType": CONTENT.get(form, JSON),
            "headers": headers_of(kind, roles, CONTENT.get(form, JSON)),
            "payload": next(iter(sides.values())),
            "correlationId": {"location": "$message.header#/ce_swrun", "description": "The run."},
            "bindings": {"kafka": binding},
            OURS: {
                "event": kind.__name__, "type": spec.type, "base": spec.base, "version": spec.version,
                "upcasts": sorted(spec.upcasts), "topic": spec.topic, "roles": [*roles], "key": spec.key,
                "run": spec.run, **begins, **sides,
            },
        }  # fmt: skip

    # -- operations

    def _operations(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for handler in self._app.runnable:
            for topic, kinds in _by_topic(handler.signature.taken).items():
                found[f"{handler.name}.receive.{topic}"] = self._operation(handler, "receive", topic, kinds)
            for topic, kinds in _by_topic(emits(handler)).items():
                found[f"{handler.name}.send.{topic}"] = self._operation(handler, "send", topic, kinds)
        for step in self._app.externals:
            ask, answer = step.ask.spec.topic, step.answer.spec.topic
            found[f"{step.name}.ask"] = {
                "action": "send", "channel": _channel(ask), "messages": [self._in(ask, step.ask)],
                "summary": f"Another service answers it ({step.name})",
                "reply": {"channel": _channel(answer), "messages": [self._in(answer, step.answer)]},
                OURS: {"external": step.name, "match": step.match},
            }  # fmt: skip
        return found

    def _operation(self, handler: AnyHandler, action: str, topic: str, kinds: Sequence[type[Event]]) -> dict[str, Any]:
        group = self._around.prefix + group_name(self._app.name, handler.name)
        binding: dict[str, Any] = {"bindingVersion": KAFKA}
        if action == "receive":
            binding["groupId"] = {"type": "string", "enum": [group]}
        about = (handler.function.__doc__ or "").strip().partition("\n")[0]
        return {
            "action": action, "channel": _channel(topic), "messages": [self._in(topic, kind) for kind in kinds],
            "summary": about or f"{handler.name} {'reads' if action == 'receive' else 'emits'}",
            "bindings": {"kafka": binding}, OURS: {"handler": handler.name, "gate": handler.signature.is_gate},
        }  # fmt: skip

    def _in(self, topic: str, kind: type[Event]) -> dict[str, str]:
        return {"$ref": f"#/channels/{topic}/messages/{self._keys[kind]}"}


def sides_of(roles: Sequence[Role]) -> tuple[Side, ...]:
    """Which schemas an event of these roles has; the first one is what the message's payload is described by."""
    found: list[Side] = []
    if {"entry", "answer", "internal"} & set(roles):
        found.append("accepts")
    if {"output", "internal"} & set(roles):
        found.append("emits")
    return tuple(found) if {"entry", "answer"} & set(roles) else tuple(reversed(found))


def file_name(kind: type[Event]) -> str:
    """How an event's schema is called as a file, and its message in the document."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", kind.spec.type)


def _keys(kinds: Mapping[type[Event], object]) -> dict[type[Event], str]:
    """A name for each event that every tool takes; two types that differ only in odd characters stay apart."""
    found, seen = dict[type[Event], str](), set[str]()
    for kind in kinds:
        name = file_name(kind)
        if name != kind.spec.type or name in seen:
            name = f"{name}-{digest(kind.spec.type)[:8]}"
        seen.add(name)
        found[kind] = name
    return found


def schemas_of(app: App) -> dict[str, dict[str, Any]]:
    """A JSON Schema that stands alone for each event, by name of its file. Raises SettingsError."""
    roles = roles_of(app)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        f"{name}.json": {**head, "$id": f"urn:stepwire:{app.name}:{name}", **schema_of(kind, sides_of(roles[kind])[0])}
        for kind, name in _keys(roles).items()
    }


def _by_topic(kinds: Sequence[type[Event]]) -> dict[str, list[type[Event]]]:
    found: dict[str, list[type[Event]]] = {}
    for kind in kinds:
        found.setdefault(kind.spec.topic, []).append(kind)
    return found


def _channel(topic: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{topic}"}


def _key(kind: type[Event]) -> str:
    return f"The field {kind.spec.key}." if kind.spec.key else "Run and scope; of what others publish, anything."


def _summary(kind: type[Event]) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0] or kind.__name__
