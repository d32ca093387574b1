"""How PostgreSQL's values are read: as Python's where JSON will keep them, else as PostgreSQL writes them.

In: text of the database.  Out: `ADAPTERS`, for a connection. Without it one `infinity`, one year beyond 9999 or
one `24:00` would fail the whole query, `1 month` would become thirty days, and `NaN` would become null.
"""

from __future__ import annotations

import math
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Buffer, Loader
from psycopg.types import datetime as times
from psycopg.types.string import TextLoader

ADAPTERS = AdaptersMap(psycopg.adapters)


class _Float(Loader):
    def load(self, data: Buffer) -> float | str:
        number = float(bytes(data))
        return number if math.isfinite(number) else bytes(data).decode()


def _or_text(known: type[Loader]) -> type[Loader]:
    class OrText(known):  # type: ignore[misc, valid-type]
        def load(self, data: Buffer) -> Any:
            try:
                return super().load(data)
            except psycopg.DataError:
                return bytes(data).decode()

    return OrText


for _name in ("float4", "float8"):
    ADAPTERS.register_loader(_name, _Float)
ADAPTERS.register_loader("interval", TextLoader)
ADAPTERS.register_loader("date", _or_text(times.DateLoader))
ADAPTERS.register_loader("time", _or_text(times.TimeLoader))
ADAPTERS.register_loader("timetz", _or_text(times.TimetzLoader))
ADAPTERS.register_loader("timestamp", _or_text(times.TimestampLoader))
ADAPTERS.register_loader("timestamptz", _or_text(times.TimestamptzLoader))
