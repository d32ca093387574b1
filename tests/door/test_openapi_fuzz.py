"""What the door says of itself is held against what it does: requests drawn from its OpenAPI document, by schemathesis.

For every operation: no 5xx, no status, media type or body that the document does not name, no method that it does not
offer, and nothing taken that the document rules out. A part of the requests goes to runs, gates and dead letters that
are there; the boundaries of each schema come first, then what is drawn, always the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case
from schemathesis.openapi import checks
from tests.door.doors import Inside
from tests.door.shop import APP

MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
