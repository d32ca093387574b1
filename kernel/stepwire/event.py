"""Events: facts that happened, and who they are.

In: classes that authors write. Out: for each class a `Spec` (topic, type, version, marks), for each event an identity.
An event is a frozen pydantic model and lives on exactly one topic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, PlainSerializer, SecretBytes, SecretStr, WrapSerializer
from pydantic_core import PydanticSerializationError

_LENGTHS = tuple(n.to_bytes(4, "big") for n in range(256))  # two ids a delivery: worth a table
TOPIC = re.compile(
    r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,200}"
)  #: what Kafka takes (249), with room for an environment's prefix
MASKED = "use Annotated[str, Sensitive()], which is masked wherever it is shown"
BOTH = "give its class model_config = ConfigDict(validate_by_name=True)"
Upcast = Callable[[dict[str, Any]], dict[str, Any]]


def prefixed(*parts: str) -> bytes:
    """Length-prefixed UTF-8 parts, one after another: what a digest is made over."""
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode(errors="surrogatepass")  # bytes of a foreign header may be no UTF-8
        pieces += ((_LENGTHS[len(data)] if len(data) < 256 else len(data).to_bytes(4, "big")), data)
    return b"".join(pieces)


def digest(*parts: str) -> str:
    """BLAKE2b-128, hex, over length-prefixed UTF-8 parts; a golden file pins it (DESIGN §3)."""
    return blake2b(prefixed(*parts), digest_size=16).hexdigest()


_source = lru_cache(maxsize=1_024)(prefixed)  # the same few sources again and again
_ID = _LENGTHS[32]


def identity(source: str, id_: str) -> str:
    """What CloudEvents makes unique: source and id together, not the id."""
    data = id_.encode(errors="surrogatepass")
    length = _ID if len(data) == 32 else len(data).to_bytes(4, "big")
    return blake2b(_source(source) + length + data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Spec:
    """What an author said of an event class."""

    topic: str
    type: str  #: ce_type, with the version
    base: str  #: ce_type without the version; `type` itself when the author gave one
    version: int
    key: str | None  #: the field that is the record's key
    run: str | None  #: the field that names the run
    entry: bool  #: published from outside although a handler also emits it
    terminal: bool  #: nobody here needs to handle it
    result: bool  #: in root scope it is the run's result
    upcasts: dict[int, Upcast] = field(default_factory=dict)  #: version -> to the next one


class Event(BaseModel):
    """A fact that happened.

    Class arguments: `topic` (required; inherited classes need their own), `type` (default
    `<topic>.<Class>.v<version>`), `version` (default 1), `key` and `run` (names of fields), and the marks `entry`,
    `terminal`, `result`. A field with an alias is written by its name and read by both. Raises TypeError for a class
    with a mark, field or version that there is none of, and for a field whose value would not come back.
    """

    model_config = ConfigDict(  # what is wrong with a payload is told by field; the payload enters no message
        frozen=True, extra="ignore", ser_json_inf_nan="strings", validate_by_name=True, hide_input_in_errors=True
    )
    spec: ClassVar[Spec]

    def __init_subclass__(
        cls, *, topic: str | None = None, type: str | None = None, version: int = 1,  # noqa: A002 - CloudEvents' word
        key: str | None = None, run: str | None = None, entry: bool = False, terminal: bool = False,
        result: bool = False, **config: Any,
    ) -> None:  # fmt: skip
        try:
            super().__init_subclass__(**config)
        except TypeError as error:
            marks = "topic, type, version, key, run, entry, terminal, result, or what pydantic's ConfigDict has"
            raise TypeError(f"{cls.__name__}: there is no mark {', '.join(config)}; known are {marks}") from error
        if topic is None:
            return
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise TypeError(f"{cls.__name__}: version={version!r}: give a whole number, from 1")
        if not TOPIC.fullmatch(topic):
            raise TypeError(f"{cls.__name__}: topic {topic[:50]!r}: give up to 200 letters, digits, `.`, `_` and `-`")
        base = type or f"{topic}.{cls.__name__}"
        cls.spec = Spec(topic, type or f"{base}.v{version}", base, version, key, run, entry, terminal, result)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        spec = cls.__dict__.get("spec")
        for name in (spec.key, spec.run) if spec else ():
            if name is not None and name not in cls.model_fields:
                raise TypeError(f"{cls.__name__} has no field {name!r}; key= and run= name fields of the event")
        if lost := next(_lost(cls, {cls}), ""):
            raise TypeError(f"{cls.__name__}.{lost}")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but what is updated must be fields, of their types. Raises TypeError."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            named, said = ", ".join(update), f"{type(self).__name__}.model_copy(update=…)"
            if not (update.keys() <= type(self).model_fields.keys() or self.model_config.get("extra") == "allow"):
                raise TypeError(f"{said} of {named}: it has {', '.join(type(self).model_fields)}")
            try:
                copy.__pydantic_serializer__.to_json(copy, warnings="error")
            except PydanticSerializationError:
                raise TypeError(f"{said} of {named}: a value has another type than its field") from None
        return copy

    @classmethod
    def upcast(cls, version: int) -> Callable[[Upcast], Upcast]:
        """Register how the data of `version` becomes that of the next: a pure function, dict to dict."""
        if not isinstance(version, int) or not 0 < version < cls.spec.version or version in cls.spec.upcasts:
            raise TypeError(f"{cls.__name__}.upcast({version!r}): one for each version below {cls.spec.version}")

        def register(function: Upcast) -> Upcast:
            cls.spec.upcasts[version] = function
            return function

        return register


def _lost(kind: Any, seen: set[Any]) -> Iterator[str]:
    """Fields whose value the next step would not get, at any depth, each with the cure."""
    custom = {name for each in kind.__pydantic_decorators__.field_serializers.values() for name in each.info.fields}
    for name, info in kind.model_fields.items():
        alias, config = info.validation_alias, kind.model_config
        for each in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            if isinstance(each, str) and each != name and each in kind.model_fields:
                yield f"{name}: its alias {each!r} is the name of another field; give it one that is not"
        by_name = config.get("validate_by_name") or config.get("populate_by_name") or config.get("serialize_by_alias")
        if alias is not None and not by_name:
            yield f"{name}: it is written by its name and read by its alias alone; {BOTH}"
        found: list[Any] = [] if {name, "*"} & custom else [Annotated[(info.annotation, None, *info.metadata)]]
        for each in found:  # grows
            inner = get_args(each)
            found += () if any(isinstance(one, PlainSerializer | WrapSerializer) for one in inner) else inner
            if isinstance(each, type) and issubclass(each, (SecretStr, SecretBytes)):
                yield f"{name}: pydantic writes a secret as asterisks, and the next step would get those; {MASKED}"
            elif isinstance(each, type) and issubclass(each, BaseModel) and each not in seen:
                seen.add(each)
                yield from (f"{name}.{deeper}" for deeper in _lost(each, seen))


E = TypeVar("E", bound=Event)


class Decision(BaseModel, Generic[E]):
    """What a person decided about an event; the parameter type that makes a handler a gate."""

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: str
    why: str = ""
    event: E  #: the event as it was asked about
    edited: E | None = None  #: the event as the person wants it, if they changed it

    @property
    def final(self) -> E:
        """The edited event if there is one, else the original."""
        return self.event if self.edited is None else self.edited


class Sensitive:
    """Marks a field, `Annotated[str, Sensitive()]`: its value is masked in every log, page and metric."""
