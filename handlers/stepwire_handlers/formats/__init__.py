"""Topics on Kafka whose values are Avro, Protobuf or JSON Schema, with a Confluent-compatible schema registry.

In: a format for each topic and the registry's properties, under its client's own names. Out: what the Kafka bus
translates with; None where every topic is JSON. Raises SettingsError at construction, before anything is consumed.
The client itself is loaded only where a format is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import SecretStr

from stepwire.errors import SettingsError

if TYPE_CHECKING:
    from stepwire_handlers.formats.topics import TopicFormats

FormatName = Literal["json", "json-schema", "avro", "protobuf"]
SECRET = frozenset({"basic.auth.user.info", "ssl.key.password"})
KNOWN = SECRET | {"url", "ssl.ca.location", "ssl.certificate.location", "ssl.key.location"}


def topic_of(name: str, where: str) -> str:
    """The topic of `<topic>.format`. Raises SettingsError for any other setting of a topic."""
    topic, _, setting = name.rpartition(".")
    if topic and setting == "format":
        return topic
    raise SettingsError(f'{where}: a topic has one setting, format; write [topics."{topic or name}"] format = "avro"')


def configured(topics: Mapping[str, FormatName], registry: Mapping[str, SecretStr], prefix: str) -> TopicFormats | None:
    """What translates the values of these topics; None: all of them are JSON. Raises SettingsError."""
    framed = {topic: name for topic, name in topics.items() if name != "json"}
    if not framed:
        return None
    if "url" not in registry:
        topic, name = next(iter(framed.items()))
        raise SettingsError(f"topic {topic} is {name}, which needs a schema registry; set STEPWIRE_REGISTRY__URL")
    try:
        from stepwire_handlers.formats.topics import TopicFormats  # noqa: PLC0415 - an extra, and slow to import
    except ModuleNotFoundError as error:
        raise SettingsError(f"formats need the package {error.name}: install Stepwire's extra registry") from None
    return TopicFormats(framed, {name: value.get_secret_value() for name, value in registry.items()}, prefix)


__all__ = ["KNOWN", "SECRET", "FormatName", "configured", "topic_of"]
