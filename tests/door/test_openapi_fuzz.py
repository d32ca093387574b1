"""What the door says of itself is held against what it does: requests drawn from its OpenAPI document by schemathesis.

For every operation: no 5xx; no status, header, media type or body that the document does not name; no method that it
does not offer; nothing taken that the document rules out, but what pydantic converts. First the boundaries of each
schema, then what hypothesis draws, the same in every run; a part goes to runs, gates and dead letters that are there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup
from tests.door.doors import Inside
from tests.door.shop import APP

MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
CHECKS = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_headers_conformance, checks.response_schema_conformance, checks.negative_data_rejection,
    checks.unsupported_method, checks.allow_header_conformance,
]  # fmt: skip
ADDRESS = "http://door"
Sent = dict[str, Any]  #: what is not left to chance: path parameters, headers, a body
JSON = "application/json"
WAIT = {"Prefer": "wait=0"}
STREAM = {"Accept": "text/event-stream"}
EVENT = {"specversion": "1.0", "id": "1", "source": "fuzz", "type": "shop.orders.Order.v1", "data": {"n": 1}}
STRUCTURED = "application/cloudevents+json"
ANSWER = EVENT | {"type": "asking.answered.Answered.v2", "data": {"number": "7"}}
ANSWERS = [
    ANSWER | {"id": "3", "swrun": "é€"},
    ANSWER | {"id": "4", "type": "asking.answered.Answered.v1", "swrun": "a b?x#y"},
    ANSWER | {"id": "5", "type": "asking.answered.Answered.v9", "swrun": "r"}, ANSWER | {"id": "6", "swrun": "a/../b"},
    ANSWER | {"id": "7", "type": "asking.found.Found.v1"},
]  # fmt: skip
BINARY = {"ce-specversion": "1.0", "ce-id": "0", "ce-source": "fuzz", "ce-type": "shop.orders.Order.v1"}


@pytest.fixture
async def there(inside: Inside) -> Mapping[str, list[Sent]]:
    """For each path what a draw would not hit: a run that is completed, one that waits, one that failed; and so on."""
    done, waits, failed, _ = [{"run": (await inside.order(n)).json()["run"]} for n in (1, 500, -1, -2)]
    await inside.work(APP)
    (gate,) = (await inside.get("/gates"))["gates"]
    first, second = (await inside.get("/dead-letters"))["dead_letters"]
    entries = [path for path in (await inside.get("/openapi.json"))["paths"] if path.startswith("/apps/")]
    return {
        **{path: [{"headers": WAIT}] for path in entries},
        "/events": [{"headers": BINARY}, {"body": EVENT, "media_type": STRUCTURED},
                    {"body": [EVENT, EVENT | {"id": "2"}], "media_type": "application/cloudevents-batch+json"},
                    *({"body": answer, "media_type": STRUCTURED} for answer in ANSWERS)],
        "/runs": [{"query": {"app": "shop", "state": "failed", "since": "1h", "limit": 2}},
                  {"query": {"id": done["run"][:9]}}],
        "/runs/{run}/steps": [{"path_parameters": run} for run in (done, waits, failed)],
        "/runs/{run}": [*({"path_parameters": run} for run in (done, waits, failed)),
                        {"path_parameters": done, "headers": STREAM}, {"path_parameters": waits, "headers": WAIT}],
        "/runs/{run}/stream": [{"path_parameters": done}],  # the others' streams do not end
        "/gates/{id}": [{"path_parameters": {"id": gate["id"]}},
                        {"path_parameters": {"id": gate["id"]}, "body": {"decision": "decline"}, "media_type": JSON}],
        "/dead-letters/{id}": [{"path_parameters": {"id": first["id"]}}],
        "/dead-letters/{id}/replay": [{"path_parameters": {"id": first["id"]}}],
        "/dead-letters/{id}/drop": [{"path_parameters": {"id": second["id"]}}],
    }  # fmt: skip


async def answered(inside: Inside, case: schemathesis.Case, number: int) -> httpx2.Response:
    """What the door says to a case."""
    sent = requests.Request(**case.as_transport_kwargs(base_url=ADDRESS)).prepare()
    if sent.headers.get("idempotency-key") == "0":  # in nearly all: that it was used before would hide all other faults
        sent.headers["idempotency-key"] = f"0-{number}"
    headers = [(name.encode(), text if isinstance(text, bytes) else text.encode("latin-1", "replace"))
               for name, text in sent.headers.items()]  # fmt: skip
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    return await inside.client.request(sent.method, sent.url, headers=headers, content=body)


class Fuzz:
    """Cases of one document, asked in the loop of the door while they are drawn in a thread."""

    def __init__(self, inside: Inside, document: dict[str, Any], there: Mapping[str, list[Sent]]) -> None:
        self._inside, self._there, self._loop = inside, there, asyncio.get_running_loop()
        self.schema = schemathesis.openapi.from_dict(document)
        self._kinds = {f"/apps/{place.app.name}/{name}": kind
                       for place in inside.door.places.all for name, kind in place.entries.items()}  # fmt: skip
        self.seen: Counter[tuple[str, int]] = Counter()

    def operations(self) -> Iterator[Any]:
        return (found.ok() for found in self.schema.get_all_operations())

    def _ask(self, operation: Any, case: schemathesis.Case) -> None:
        """One request; its answer is held against the document."""
        asked = answered(self._inside, case, self.seen.total())
        answer = asyncio.run_coroutine_threadsafe(asked, self._loop).result(20)
        self.seen[operation.label, answer.status_code] += 1
        excused = [checks.negative_data_rejection] if self._converts(case) or self._is_file(case) else []
        try:
            case.validate_response(answer, checks=CHECKS, excluded_checks=excused)
        except FailureGroup as found:  # no Exception: it would end the loop of the door
            raise AssertionError(str(found)) from None

    def _converts(self, case: schemathesis.Case) -> bool:
        """Does pydantic take it although the schema does not: `"1"` or `false` for a number?"""
        kind = self._kinds.get(case.operation.path)
        with suppress(ValidationError):
            return kind is not None and case.media_type == JSON and bool(kind.model_validate(case.body))
        return False

    def _is_file(self, case: schemathesis.Case) -> bool:
        """Files under the right names: what is in one is no business of the door's, whatever format is drawn for it."""
        kind = self._kinds.get(case.operation.path)
        if kind is None or case.media_type != "multipart/form-data" or not isinstance(case.body, Mapping):
            return False
        needed = {name for name, field in kind.model_fields.items() if field.is_required()}
        return needed <= case.body.keys() <= kind.model_fields.keys()

    def boundaries(self, most: int) -> None:
        """What schemathesis derives from each keyword, without chance: at most so many right and so many wrong."""
        config = self.schema.config.generation_for()
        for operation in self.operations():
            count = Counter[GenerationMode]()  # asked for wrong ones alone, it would spoil more than one thing in each
            for case in self.schema.iter_coverage_cases(operation, generation_modes=MODES, generation_config=config):
                assert case.meta is not None
                count[case.meta.generation.mode] += 1
                if count[case.meta.generation.mode] <= most:
                    self._ask(operation, case)
                if all(count[mode] >= most for mode in MODES):
                    break

    def drawn(self, examples: int, modes: Sequence[GenerationMode]) -> None:
        """What hypothesis draws, for each operation alone and together with each thing that is there."""
        for operation in self.operations():
            for sent in ({}, *self._there.get(operation.path, [])):
                for mode in modes:
                    self._drawn(operation, operation.as_strategy(mode, **sent), examples)

    def _drawn(self, operation: Any, cases: st.SearchStrategy[schemathesis.Case], examples: int) -> None:
        @settings(
            max_examples=examples, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=cases)
        def one(case: schemathesis.Case) -> None:
            self._ask(operation, case)

        one()


@pytest.mark.slow
async def test_the_door_does_what_its_document_says(inside: Inside, there: Mapping[str, list[Sent]]) -> None:
    """A few requests for each operation, right and wrong; each operation was also carried out, and refused."""
    fuzz = Fuzz(inside, await inside.get("/openapi.json"), there)
    await asyncio.to_thread(fuzz.boundaries, 3)
    await asyncio.to_thread(fuzz.drawn, 1, MODES[:1])
    all_ = {operation.label for operation in fuzz.operations()}
    assert len(all_) == 17
    assert {label for label, status in fuzz.seen if status < 300} == all_
    assert {label for label, status in fuzz.seen if status >= 400} == all_


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_door_does_it_in_thousands_of_requests(inside: Inside, there: Mapping[str, list[Sent]]) -> None:
    """The same with every boundary and more chance."""
    fuzz = Fuzz(inside, await inside.get("/openapi.json"), there)
    await asyncio.to_thread(fuzz.boundaries, 1_000)
    await asyncio.to_thread(fuzz.drawn, 30, MODES)
    assert fuzz.seen.total() > 2_000
