"""What this process was told: flag > environment > stepwire.toml > default, checked once, before anything is consumed.

In: flags, `STEPWIRE_*` variables (a secret also as `…_FILE`, the path of a file that holds it), a TOML file. Out: a
frozen `Configuration`, and for each value where it came from. Raises SettingsError with the nearest known name.
pydantic-settings merges the same sources but cannot tell which one a value came from, so they are gathered here.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from stepwire import Settings, SettingsError
from stepwire.bus.local import LocalBus

FILE = "stepwire.toml"
PREFIX = "STEPWIRE_"
OTHERS = frozenset({"STEPWIRE_TEST_ALL", "STEPWIRE_MCP", "STEPWIRE_PYTHON", "STEPWIRE_CLAIMS", "STEPWIRE_SOURCE"})


class Configuration(BaseModel):
    """Everything that may be set outside of an app's code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bus: str = "sqlite:///.stepwire/bus.db"  #: sqlite:///path, sqlite://:memory:
    durability: Literal["process", "power"] = "process"  #: survive kill -9, or a power cut too (fsync every commit)
    retention: float | None = None  #: seconds after which finished events are deleted; none: never
    blobs: str = ".stepwire/blobs"  #: a folder, or s3://bucket/prefix
    decision_key: SecretStr | None = None  #: with it, gates take only decisions that are signed
    log: Literal["json", "console", "off"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    payload: Literal["off", "redacted", "full"] = "redacted"  #: events in log lines; sensitive fields are always masked
    http_host: str = "127.0.0.1"  #: of /metrics and the probes
    http_port: int | None = None  #: none: no server
    worker: Settings = Settings()  #: the kernel's limits: STEPWIRE_WORKER__DRAIN, or [worker] in the file


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where each of its values came from."""

    values: Configuration
    sources: Mapping[str, str]


def load(folder: Path | None = None, **flags: Any) -> Configuration:
    """The effective configuration; flags that are None were not given. Raises SettingsError."""
    return load_with_sources(folder, **flags).values


def load_with_sources(folder: Path | None = None, **flags: Any) -> Loaded:
    """The same, with the source of every value."""
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    path = (folder or Path.cwd()) / FILE
    for origin, values in ((str(path), _file(path)), ("environment", _environment()), ("flag", flags)):
        for name, value in values.items():
            if value is None:
                continue
            found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
            sources[name] = origin if origin != "environment" else f"environment {PREFIX}{name.upper()}"
    _check_names(found, sources)
    try:
        if isinstance(found.get("worker"), dict):
            found["worker"] = Settings(**{name: _number(value) for name, value in found["worker"].items()})
        return Loaded(Configuration(**found), sources)
    except (ValidationError, TypeError, ValueError) as error:
        raise SettingsError(_complaint(error, sources)) from None


def _file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in os.environ.items():
        if not variable.startswith(PREFIX) or variable in OTHERS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name.endswith("_file") and name.removesuffix("_file") in _secrets():
            found[name.removesuffix("_file")] = _secret_file(variable, Path(value))
        elif name.startswith("worker__"):
            found.setdefault("worker", {})[name.removeprefix("worker__")] = value
        else:
            found[name] = value
    return found


def _secrets() -> frozenset[str]:
    return frozenset(n for n, field in Configuration.model_fields.items() if "SecretStr" in str(field.annotation))


def _secret_file(variable: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"{variable}={path} cannot be read: {error.strerror}") from None


def _check_names(found: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    known = {*Configuration.model_fields}
    inner = {field.name for field in fields(Settings)}
    worker = found.get("worker")
    wrong = [(name, known, sources[name]) for name in found.keys() - known]
    wrong += [
        (name, inner, sources["worker"]) for name in (worker if isinstance(worker, dict) else {}) if name not in inner
    ]
    for name, names, source in wrong:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(names))}"
        raise SettingsError(f"{source}: there is no setting {name!r}{hint}")


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return int(value) if value.lstrip("-").isdigit() else float(value)


def _complaint(error: Exception, sources: Mapping[str, str]) -> str:
    if not isinstance(error, ValidationError):
        return f"the worker's settings do not fit: {error}"
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])
    return f"{sources.get(name, 'default')}: {name}: {first['msg']}"


def open_bus(values: Configuration) -> LocalBus:
    """The bus that the configuration names, not opened yet. Raises SettingsError."""
    kind, _, path = values.bus.partition("://")
    if kind != "sqlite" or not path:
        raise SettingsError(
            f"bus {values.bus!r} is of no kind that this release has; write sqlite:///path/to/file.db, three slashes"
            + (" (Kafka comes with a later release)" if kind == "kafka" else "")
        )
    path = path if path == ":memory:" else path.removeprefix("/") if not path.startswith("//") else path[1:]
    return LocalBus(path, durability=values.durability, retention=values.retention)
