"""The `mcpServers` file: which MCP servers there are, as Claude, editors and other clients write it too.

In: JSON like this.  Out: `StdioServer` and `HttpServer` values, with the environment's values put in.

    {"mcpServers": {
        "postgres": {"command": "${STEPWIRE_PYTHON}",
                     "args": ["-m", "stepwire_handlers.mcp_servers.postgres"],
                     "env": {"DATABASE_URL": "${DATABASE_URL}"}},
        "crm": {"type": "http", "url": "${CRM_URL:-http://127.0.0.1:8901/mcp}",
                "headers": {"Authorization": "Bearer ${CRM_TOKEN}"}}},
     "tools": {…}}

`${NAME}` is the environment's value, `${NAME:-default}` has a default, and `STEPWIRE_PYTHON` is this Python's
own path if the environment does not set it. A server started as a command gets only PATH, HOME and the like,
and what stands in its `env`. `tools` is Stepwire's own: see `tool_map`; other programs leave it alone.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from stepwire.errors import SettingsError
from stepwire_handlers.steps.tool_map import ToolRoute

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}")


class _Entry(BaseModel):
    # Unknown keys are other programs' business (`disabled`, `autoApprove` …); near misses of ours are not.
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _no_near_miss(cls, entry: Any) -> Any:
        for key in entry if isinstance(entry, dict) else ():
            close = difflib.get_close_matches(key, cls.model_fields, n=1, cutoff=0.75)
            if close and key not in cls.model_fields:
                raise ValueError(f"{key!r} is not a key of a server: is {close[0]!r} meant?")
        return entry

    def expanded(self, environ: Mapping[str, str]) -> Self:
        """The entry with the environment's values put in. Raises KeyError with a variable's name."""
        return type(self).model_validate(_expand(self.model_dump(), environ))


class StdioServer(_Entry):
    """A server that runs as a child process and talks over stdin and stdout."""

    type: Literal["stdio"] = "stdio"
    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None


class HttpServer(_Entry):
    """A server that is reached by Streamable HTTP."""

    type: Literal["http", "streamable-http"] = "http"
    url: str
    headers: dict[str, str] = Field(default_factory=dict)


Server = StdioServer | HttpServer


def _kind(entry: Any) -> str:
    if isinstance(entry, dict):
        kind = entry.get("type", "http" if "url" in entry else "stdio")
        return "http" if kind == "streamable-http" else str(kind)
    return entry.type if isinstance(entry, StdioServer | HttpServer) else ""


class ServersFile(BaseModel):
    """The whole file; `tools` is optional."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    servers: dict[
        str,
        Annotated[Annotated[StdioServer, Tag("stdio")] | Annotated[HttpServer, Tag("http")], Discriminator(_kind)],
    ] = Field(alias="mcpServers")
    tools: dict[str, ToolRoute] = Field(default_factory=dict)


def load(source: Path | Mapping[str, Any]) -> ServersFile:
    """Read a file, or take what one would say as a mapping (with or without the outer `mcpServers`).

    Raises:
        SettingsError: the file is missing, is not JSON, or says something that is not understood.
    """
    where = str(source) if isinstance(source, Path) else "Tools(servers=…)"
    try:
        content = json.loads(source.read_text("utf-8")) if isinstance(source, Path) else dict(source)
        if "mcpServers" not in content and not isinstance(source, Path):
            content = {"mcpServers": content}
        return ServersFile.model_validate(content)
    except OSError as error:
        raise SettingsError(
            f"{where}: cannot be read ({error.strerror}). Give the path of an mcpServers file"
        ) from None
    except json.JSONDecodeError as error:
        raise SettingsError(f"{where}: is not JSON: {error}") from None
    except ValidationError as error:
        raise SettingsError(f"{where}: {_first_complaint(error)}") from None


def with_environment(name: str, server: Server, environ: Mapping[str, str] = os.environ) -> Server:
    """The server with the environment's values in place of `${…}`.

    Raises:
        SettingsError: a variable is not set and has no default.
    """
    try:
        return server.expanded({"STEPWIRE_PYTHON": sys.executable, **environ})
    except KeyError as missing:
        raise SettingsError(
            f"mcpServers.{name} uses ${{{missing.args[0]}}}, and the environment has no such variable. "
            f"Set it, or write a default: ${{{missing.args[0]}:-…}}"
        ) from None


def _expand(value: Any, environ: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda variable: _value_of(variable, environ), value)
        case list() | tuple():
            return [_expand(item, environ) for item in value]
        case dict():
            return {key: _expand(item, environ) for key, item in value.items()}
        case _:
            return value


def _value_of(variable: re.Match[str], environ: Mapping[str, str]) -> str:
    # As in a shell, `:-` also stands in for a variable that is set and empty.
    if variable["default"] is not None:
        return environ.get(variable["name"]) or variable["default"]
    return environ[variable["name"]]


def _first_complaint(error: ValidationError) -> str:
    complaint = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in complaint["loc"])
    return f"{place}: {complaint['msg']}"
