"""What this process was told: flag > environment > stepwire.toml > default, checked once, before anything is consumed.

In: flags, variables (`STEPWIRE_*`; a secret also as `…_FILE`, the path of a file that holds it), a TOML file. Out: a
frozen `Configuration`, and for each value where it came from. Raises SettingsError with the nearest known name.
pydantic-settings merges the same sources but cannot tell which one a value came from, so they are gathered here.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from stepwire import Settings, SettingsError
from stepwire.bus.local import LocalBus
from stepwire.gate import keys
from stepwire_handlers import formats, kafka_client
from stepwire_handlers.formats import FormatName

if TYPE_CHECKING:
    from stepwire.bus.kafka.bus import KafkaBus

FILE = "stepwire.toml"
PREFIX = "STEPWIRE_"
WORKER, CLIENT, REGISTRY, TOPICS = "worker", "kafka", "registry", "topics"
KAFKA = "kafka://"
BESIDE = "default, beside the bus"  #: the source of `blobs`, where nobody named a place
KAFKA_DEFAULT = "default for Kafka"  #: the source of the values that follow
#: a control topic's partitions are fixed once made, so eight workers can share a join from the first day; a business
#: topic may grow at any time
KAFKA_SETTINGS: Mapping[str, int] = {"control_partitions": 8, "partitions": 6}
#: variables with our prefix that others read: commands, the shipped flows and servers, our own tests
OTHERS = frozenset(
    PREFIX + name
    for name in ("APP", "CLAIMS", "FAULT", "MCP", "PYTHON", "SOAK_FACTOR", "SOURCE", "TEST_ALL", "TEST_KAFKA")
)
#: what Kubernetes puts into every pod of a namespace that has a service named `stepwire` or `stepwire-…`
SERVICE_LINK = re.compile(r"STEPWIRE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


class Configuration(BaseModel):
    """Everything that may be set outside of an app's code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bus: str = "sqlite:///.stepwire/bus.db"  #: sqlite:///path, sqlite:////absolute/path, kafka://host:port,host:port
    prefix: str = ""  #: of every topic and group on Kafka: an environment's, such as `prod.`
    kafka: dict[str, SecretStr] = {}  #: client properties by Kafka's names: STEPWIRE_KAFKA__SASL_PASSWORD, or [kafka]
    registry: dict[str, SecretStr] = {}  #: of schemas, by its client's names: STEPWIRE_REGISTRY__URL, or [registry]
    topics: dict[str, FormatName] = {}  #: what lies on a topic of Kafka: [topics."support.tickets"] format = "avro"
    durability: Literal["process", "power"] = "process"  #: survive kill -9, or a power cut too (fsync every commit)
    retention: float | None = Field(None, gt=0)  #: seconds after which finished events are deleted; none: never
    blobs: str = ".stepwire/blobs"  #: a folder, or s3://bucket/prefix; not set: beside the bus, where that is a file
    decision_key: SecretStr | None = None  #: gates take only decisions signed with it; of several lines the first signs
    anthropic_api_key: SecretStr | None = None  #: ANTHROPIC_API_KEY, as every client of the provider calls it
    anthropic_base_url: str | None = None  #: ANTHROPIC_BASE_URL; any server that speaks the Messages API
    log: Literal["auto", "json", "console", "off"] = "auto"  #: auto: coloured text on a terminal, else JSON
    log_level: Literal["debug", "info", "warning", "error"] = "info"  #: of the lines that are written, and above
    payload: Literal["off", "redacted", "full"] = "redacted"  #: events in log lines; sensitive fields are always masked
    http_host: str = "127.0.0.1"  #: of /metrics and the probes
    http_port: int | None = Field(None, ge=0, le=65_535)  #: none: no server; 0: any free one
    door_access: str | None = None  #: a TOML file: who may come in by the HTTP door, and do what there
    door_key: SecretStr | None = None  #: a key of an access file, with which commands ask a door (--door URL)
    console_secret: SecretStr | None = None  #: signs the console's sessions; none: they end with its process
    console_oidc_secret: SecretStr | None = None  #: of the console as a client of the issuer; none: a public client
    worker: Settings = Settings()  #: the kernel's limits: STEPWIRE_WORKER__DRAIN, or [worker] in the file

    @field_validator("decision_key")
    @classmethod
    def _some_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not keys(key.get_secret_value()):
            raise ValueError("it is blank, which is no key; openssl rand -hex 32 makes one")
        return key

    @field_validator("prefix")
    @classmethod
    def _fits_topics(cls, prefix: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", prefix):
            raise ValueError("topics on Kafka begin with it: write up to 100 letters, digits, `.`, `_` and `-`")
        return prefix

    @field_validator("bus")
    @classmethod
    def _known_kind(cls, url: str) -> str:
        _servers_of(url) if url.startswith(KAFKA) else _path_of(url)
        return url


class Setting(NamedTuple):
    """One effective value as it may be shown: secrets are masked."""

    name: str
    value: str | float | int | None
    source: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where each of its values came from."""

    values: Configuration
    sources: Mapping[str, str]  #: name, or worker.<name> -> flag, environment NAME, or file:name

    def shown(self) -> list[Setting]:
        """Every value in order, masked, with its source."""
        flat = self.values.model_dump(exclude={WORKER, CLIENT, REGISTRY, TOPICS})
        flat |= {
            f"{CLIENT}.{name}": value if name in kafka_client.SECRET else value.get_secret_value()
            for name, value in self.values.kafka.items()
        }
        flat |= {
            f"{REGISTRY}.{name}": value if name in formats.SECRET else value.get_secret_value()
            for name, value in self.values.registry.items()
        }
        flat |= {f"{TOPICS}.{name}": value for name, value in self.values.topics.items()}
        flat |= {f"{WORKER}.{name}": value for name, value in asdict(self.values.worker).items()}
        return [Setting(name, shown(value), self.sources.get(name, "default")) for name, value in flat.items()]


def load(folder: Path | None = None, **flags: Any) -> Configuration:
    """The effective configuration; flags that are None were not given. Raises SettingsError."""
    return load_with_sources(folder, **flags).values


def load_with_sources(folder: Path | None = None, **flags: Any) -> Loaded:
    """The same, with the source of every value."""
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, value, source in (*_file(folder or Path()), *_environment(os.environ), *_flags(flags)):
        found[name], sources[name] = value, source
    worker = {name: found.pop(f"{WORKER}.{name}") for name in _inner() if f"{WORKER}.{name}" in found}
    tables = {table: _table(found, table) for table in (CLIENT, REGISTRY, TOPICS)}
    if str(found.get("bus", "")).startswith(KAFKA):
        _kafka_defaults(found, worker, sources)
    elif "blobs" not in found and (folder_of := _folder_of(found.get("bus"))) is not None:
        found["blobs"], sources["blobs"] = str(folder_of / "blobs"), BESIDE
    try:
        values = Configuration(**found, **tables, **({WORKER: worker} if worker else {}))
        return Loaded(values, sources)
    except ValidationError as error:
        raise SettingsError(_complaint(error, sources)) from None
    except SettingsError as error:  # the kernel's own checks: they name the setting, not where it was set
        raise SettingsError(f"{error} ({', '.join(sources[f'{WORKER}.{name}'] for name in worker)})") from None


def _table(found: dict[str, Any], table: str) -> dict[str, str]:
    """Take the names of one table out of all that was found."""
    return {name[len(table) + 1 :]: str(found.pop(name)) for name in [*found] if name.startswith(table + ".")}


def _kafka_defaults(found: dict[str, Any], worker: dict[str, Any], sources: dict[str, str]) -> None:
    """What is otherwise where many processes share the work, and where others read the logs."""
    if "payload" not in found:
        found["payload"], sources["payload"] = "off", KAFKA_DEFAULT
    for name, value in KAFKA_SETTINGS.items():
        if name not in worker:
            worker[name], sources[f"{WORKER}.{name}"] = value, KAFKA_DEFAULT


def _folder_of(bus: object) -> Path | None:
    """Where the bus's file lies: who publishes to it from another folder then means the same blobs as its worker."""
    path = str(bus or "").removeprefix("sqlite:///")
    return Path(path).parent if bus and path and path != bus else None


def export(values: Configuration, environment: MutableMapping[str, str] = os.environ) -> None:
    """Hand on what flows and clients read from the environment themselves; what stands there stays."""
    environment.setdefault("STEPWIRE_BLOBS", values.blobs)
    if values.anthropic_api_key is not None:
        environment.setdefault("ANTHROPIC_API_KEY", values.anthropic_api_key.get_secret_value())
    if values.anthropic_base_url is not None:
        environment.setdefault("ANTHROPIC_BASE_URL", values.anthropic_base_url)


def secrets(values: Configuration) -> tuple[str, ...]:
    """The secret values themselves, for those who must not show them."""
    given = [value.get_secret_value() for _, value in values if isinstance(value, SecretStr)]
    own = tuple(line for value in given for line in {value, *keys(value)})  # of several keys, each
    own += tuple(v.get_secret_value() for name, v in values.kafka.items() if name in kafka_client.SECRET)
    return own + tuple(v.get_secret_value() for name, v in values.registry.items() if name in formats.SECRET)


def local_bus(values: Configuration) -> LocalBus:
    """The local bus that the configuration names, not opened yet. Raises SettingsError if it names Kafka."""
    if values.bus.startswith(KAFKA):
        raise SettingsError(f"{shown(values.bus)} is no file; this needs sqlite:///path")
    return LocalBus(_path_of(values.bus), durability=values.durability)


def kafka_bus(values: Configuration) -> KafkaBus | None:
    """The Kafka bus that the configuration names, not opened yet; None if it names a file. Raises SettingsError."""
    if not values.bus.startswith(KAFKA):
        return None
    try:
        from stepwire.bus.kafka.bus import KafkaBus  # noqa: PLC0415 - its client is an extra, and slow to import
    except ModuleNotFoundError as error:
        raise SettingsError(f"Kafka needs the package {error.name}: install Stepwire's extra kafka") from None
    from stepwire_handlers.unreachable import Reason  # noqa: PLC0415 - the same

    properties = {name: value.get_secret_value() for name, value in values.kafka.items()}
    servers, options = _servers_of(values.bus), kafka_client.options(properties)
    return KafkaBus(
        servers, options=options, why=Reason(servers, options), prefix=values.prefix,
        session=values.worker.session, compression=kafka_client.compression(properties),
        formats=formats.configured(values.topics, values.registry, values.prefix),
    )  # fmt: skip


def _servers_of(url: str) -> str:
    """The bootstrap servers of a Kafka bus. Raises ValueError with the cure."""
    servers = url.removeprefix(KAFKA).rstrip("/")
    if not servers or not all(re.fullmatch(r"[^\s/@,]+:\d{1,5}", server) for server in servers.split(",")):
        raise ValueError(
            f"{shown(url)!r} names no brokers; write kafka://host:port,host:port (user and password are properties: "
            f"STEPWIRE_KAFKA__SASL_USERNAME)"
        )
    return servers


def _path_of(url: str) -> str:
    """The file of a bus. Raises ValueError with the cure."""
    if url == "sqlite://:memory:":
        return ":memory:"
    path = url.removeprefix("sqlite:///")
    if path in (url, ""):
        raise ValueError(
            f"{shown(url)!r} names no bus; write kafka://host:port,host:port, or sqlite:///path/to/file.db with three "
            f"slashes, four if absolute"
        )
    return path


# -- the sources: each gives (name, value, where it is set)

Found = Iterable[tuple[str, Any, str]]


def _flags(flags: Mapping[str, Any]) -> Found:
    for name, value in flags.items():
        if value is not None:
            yield _checked(name, "flag", _names()), value, "flag"


def _file(folder: Path) -> Found:
    path = folder / FILE
    if not path.exists():
        return
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', '') or error}") from None
    for table in (WORKER, CLIENT, REGISTRY, TOPICS):
        inner = data.pop(table, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"{path}: {table} is a table; write [{table}] and the names below it")
        data |= {f"{table}.{name}": value for name, value in _flat(inner)}
    for name, value in data.items():
        if name.startswith(TOPICS + "."):
            topic = formats.topic_of(name.removeprefix(TOPICS + "."), str(path))
            yield f"{TOPICS}.{topic}", value, f"{path}:{name}"
        else:
            yield _checked(name, str(path), _names()), value, f"{path}:{name}"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of a table: `security.protocol = "SSL"` is nested to TOML, and one name to Kafka."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _environment(environment: Mapping[str, str]) -> Found:
    variables = {_variable(name): name for name in _names()}
    files = {f"{_variable(name)}_FILE": name for name in _secret_names()}
    for variable, value in environment.items():
        if not value:
            continue  # set to nothing is not set: charts and compose files cannot leave a variable out
        if variable in variables:
            yield variables[variable], value, f"environment {variable}"
        elif variable in files:
            if environment.get(variable.removesuffix("_FILE")):
                raise SettingsError(f"{variable} and {variable.removesuffix('_FILE')} are both set; unset one of them")
            yield files[variable], _secret_in(variable, Path(value)), f"environment {variable}"
        elif variable.startswith(PREFIX) and variable not in OTHERS and not SERVICE_LINK.fullmatch(variable):
            _checked(variable, "environment", {*variables, *files})


def _checked(name: str, where: str, known: Iterable[str]) -> str:
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
    raise SettingsError(f"{where}: there is no setting {name}; {hint}")


def _secret_in(variable: str, path: Path) -> str:
    try:
        value = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", "") or error
        raise SettingsError(f"{variable}={path} cannot be read: {said}; name a file that holds the secret") from None
    if not value:
        raise SettingsError(f"{variable}={path}: the file is empty")
    return value


# -- names and words


def _inner() -> list[str]:
    return [field.name for field in fields(Settings)]


def _names() -> list[str]:
    own = [name for name in Configuration.model_fields if name not in (WORKER, CLIENT, REGISTRY, TOPICS)]
    own += [f"{REGISTRY}.{n}" for n in sorted(formats.KNOWN)]
    return own + [f"{WORKER}.{n}" for n in _inner()] + [f"{CLIENT}.{n}" for n in sorted(kafka_client.KNOWN)]


def _secret_names() -> list[str]:
    own = [name for name, field in Configuration.model_fields.items() if "SecretStr" in str(field.annotation)]
    own += [f"{REGISTRY}.{name}" for name in sorted(formats.SECRET)]
    return own + [f"{CLIENT}.{name}" for name in sorted(kafka_client.SECRET)]


def _variable(name: str) -> str:
    table, _, inner = name.partition(".")
    upper = f"{table}__{inner.replace('.', '_')}".upper() if inner else name.upper()
    return upper if upper.startswith("ANTHROPIC_") else PREFIX + upper


def _complaint(error: ValidationError, sources: Mapping[str, str]) -> str:
    """Where it is set and what is wrong with it; the value itself may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"{sources.get(name, 'default')}: {name}: {first['msg'].removeprefix('Value error, ')}"


def shown(value: Any) -> str | float | int | None:
    """A value as it may be shown: an address without its user and password."""
    if isinstance(value, str):
        return re.sub(r"(?<=://)[^/@]*@", "***@", value)  # an address may carry a user and a password
    return value if isinstance(value, int | float | None) else str(value)  # a SecretStr shows itself as stars
