"""docs/settings.md: every setting with its names, default and meaning, made from the code (`make docs`)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic_core import PydanticUndefined

from stepwire import Settings
from stepwire_handlers.configuration import CLIENT, REGISTRY, TOPICS, WORKER, Configuration, _variable

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"
FIELD = re.compile(r"^    (\w+): .*?(?:  #: (.*))?$", re.MULTILINE)
TABLES = (CLIENT, REGISTRY, TOPICS, WORKER)
HEAD = """<!-- made from the code: make docs -->
# Settings

A flag goes before an environment variable, that before `stepwire.toml` in the folder where the command starts; else
the default holds. Each secret may also lie in a file that `…_FILE` names (`STEPWIRE_DECISION_KEY_FILE`). `stepwire
config` prints what holds and where each value comes from. Times are seconds, sizes are bytes; a number is written
plainly: `STEPWIRE_RETENTION=604800` is a week.

On Kafka three defaults are others: `payload` is `off`, `worker.control_partitions` 8 and `worker.partitions` 6.

| in `stepwire.toml` | environment | default | it is |
|---|---|---|---|
"""
RETENTION = """
## How long a file keeps what happened

Without `retention` the file of the embedded bus grows for ever. With it a worker deletes once a minute what is
older than so many seconds, has been handled by every step that reads it, and is older than the oldest run that
still waits for something (a gate, a timer, a join, an unknown outcome, a step without a worker): that run's history
stays, and so does what came after its first event. Of what no step reads, such as results, the last record of each
topic stays. Dead letters stay, and so do the small records of how deliveries ended. Space is used again, the file
does not get smaller. On Kafka each topic's `retention.ms` says it ([kafka.md](kafka.md)).
"""


def documented(kind: type) -> Iterator[tuple[str, str]]:
    """The fields of a class, and what its source says of them."""
    for name, text in FIELD.findall(inspect.getsource(kind)):
        yield name, text.replace("|", "\\|")


def _shown(value: object) -> str:
    if value is None or value is PydanticUndefined or value == "":
        return ""
    return f"`{int(value)}`" if isinstance(value, float) and value.is_integer() else f"`{value}`"


def _choices(annotation: Any) -> str:
    """Of a setting that takes one of a few words."""
    return ", ".join(get_args(annotation)) + ": " if get_origin(annotation) is Literal else ""


def rows() -> Iterator[str]:
    """A line for each setting."""
    for name, text in documented(Configuration):
        if name not in Configuration.model_fields or name == WORKER:
            continue
        table = name in TABLES
        variable = f"{_variable(name)}{'__…' if table else ''}"
        default = "" if table else _shown(Configuration.model_fields[name].default)
        words = _choices(Configuration.model_fields[name].annotation)
        yield f"| {f'[{name}]' if table else name} | `{variable}` | {default} | {words}{text} |"
    for name, text in documented(Settings):
        if name in Settings.__dataclass_fields__:
            default = _shown(Settings.__dataclass_fields__[name].default)
            yield f"| [worker] {name} | `STEPWIRE_WORKER__{name.upper()}` | {default} | {text} |"


def page() -> str:
    """The page."""
    return HEAD + "\n".join(rows()) + "\n" + RETENTION


def test_the_page_is_the_code() -> None:
    """Run `make docs` when a setting changes."""
    assert DOCS.read_text() == page()


def test_every_setting_says_what_it_is() -> None:
    """Or its name and its values do."""
    told = {name for name, text in [*documented(Configuration), *documented(Settings)] if text}
    assert {*Configuration.model_fields, *Settings.__dataclass_fields__} == told


if __name__ == "__main__":
    DOCS.write_text(page())
