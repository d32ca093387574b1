"""Flows as tools: what is offered, what a run's end is answered with, and what becomes of garbage."""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import MCPError
from tests.flow_tools.servers import text

from stepwire import Event
from stepwire.errors import BusUnavailable
from stepwire_handlers.services.door.problems import SHOWN
from stepwire_handlers.services.runs import RunView
from stepwire_handlers.services.tools.arguments import LONGEST
from stepwire_handlers.services.tools.offered import name_of

pytestmark = pytest.mark.anyio
Inside = Callable[..., Any]


async def test_each_entry_is_a_tool_with_its_own_schema(inside: Inside) -> None:
    """Legal names, the event's schema as input, a key beside it, and what a run comes to as output."""
    async with inside(work=False) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"till_Order", "till_Ping", "files_Scan", "files_Album", "stepwire_run"}
    order = tools["till_Order"]
    assert "Somebody wants something." in order.description
    assert set(order.input_schema["properties"]) == {"n", "slow", "buyer", "idempotency_key"}
    assert order.input_schema["required"] == ["n"]
    assert "description" not in tools["till_Ping"].input_schema["properties"]["idempotency_key"]  # the event's own
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.input_schema)
        Draft202012Validator.check_schema(tool.output_schema)
    card = order.output_schema["$defs"]["Done.Buyer"]["properties"]["card"]
    assert card["const"] == "***"


def test_a_name_is_legal_and_stable() -> None:
    """Whatever an app is called; two that would be cut to one name stay two."""

    class Kurzwort(Event, topic="a"): ...

    class Longest(Event, topic="b"): ...

    assert name_of("support", Kurzwort) == "support_Kurzwort"
    names = [name_of(app, kind) for app in ("sho p", "sho.p", "x" * 80, "x" * 81) for kind in (Kurzwort, Longest)]
    assert len({*names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    assert names == [
        name_of(app, kind) for app in ("sho p", "sho.p", "x" * 80, "x" * 81) for kind in (Kurzwort, Longest)
    ]


async def test_a_run_is_answered_with_its_result_and_told_on_the_way(inside: Inside) -> None:
    """Structured by the output schema, sensitive fields masked; each event of the run is told once, in order."""
    told: list[tuple[float, str]] = []

    async def progress(done: float, _: float | None, message: str | None) -> None:
        told.append((done, message or ""))

    async with inside() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = await client.call_tool("till_Order", {"n": 3}, progress_callback=progress)
    said = found.structured_content
    Draft202012Validator(tools["till_Order"].output_schema).validate(said)
    assert (found.is_error, said["result_type"], said["result"]["price"]) == (False, "Done", "1.50")
    assert said["result"]["buyers"] == [{"name": "Ida", "card": "***"}]
    assert said["address"] == f"https://door.example/runs/{said['run']}"
    assert "4111111" not in text(found)
    assert [number for number, _ in told] == [1, 2, 3]
    assert [message.split(" (")[0] for _, message in told] == ["published: Order", "check: Checked", "finish: Done"]


async def test_a_run_that_fails_is_an_error_with_its_cause(inside: Inside) -> None:
    """The dead letter's step, kind and message, and where it can be replayed."""
    async with inside() as client:
        found = await client.call_tool("till_Order", {"n": -1})
    assert found.is_error
    assert "check: Reject: a negative order" in text(found) and "/runs/" in text(found)
    assert found.structured_content["dead_letters"][0]["handler"] == "check"


async def test_a_gate_is_answered_not_waited_for(inside: Inside) -> None:
    """A person may take days: the call says whom it waits for, long before its own limit."""
    async with inside(wait=3_000) as client:
        found = await client.call_tool("till_Order", {"n": 500}, read_timeout_seconds=20)
        again = await client.call_tool("stepwire_run", {"run": found.structured_content["run"]})
    assert (found.is_error, found.structured_content["state"]) == (False, "waiting")
    assert [item["kind"] for item in found.structured_content["waits_for"]] == ["gate"]
    assert "waits for a person: approve" in text(found)
    assert again.structured_content["waits_for"] == found.structured_content["waits_for"]


async def test_nobody_waits_beyond_the_limit(inside: Inside) -> None:
    """Without a worker the run is running; the answer says where it is, and that it is written."""
    async with inside(wait=0.1, work=False) as client:
        found = await client.call_tool("till_Order", {"n": 1}, read_timeout_seconds=20)
    assert (found.is_error, found.structured_content["state"]) == (False, "running")
    assert "goes on by itself" in text(found)


async def test_a_run_that_cannot_be_looked_at_is_not_said_to_be_over(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is written, so the call is no error; what became of the run is not known, but where it is."""

    def away(*_: object) -> RunView:
        raise BusUnavailable("the disk is away")

    async with inside(wait=10, work=False) as client:
        monkeypatch.setattr("stepwire_handlers.services.runs.Runs.view", away)
        found = await client.call_tool("till_Order", {"n": 1})
    said = found.structured_content
    assert (found.is_error, said["state"], said["waits_for"]) == (False, "running", [])
    assert said["run"] and "goes on by itself" in text(found) and "completed" not in text(found)


async def test_a_repeat_follows_the_first_call(inside: Inside) -> None:
    """By the argument, or by what `_meta` carries; other arguments under the same key are refused."""
    async with inside(wait=0, work=False) as client:
        first = await client.call_tool("till_Order", {"n": 1, "idempotency_key": "a b"})
        again = await client.call_tool("till_Order", {"n": 1, "idempotency_key": "a b"})
        other = await client.call_tool("till_Order", {"n": 2, "idempotency_key": "a b"})
        meta = [
            await client.call_tool("till_Order", {"n": 7}, meta={"stepwire/delivery-key": "shop/x/1"}) for _ in range(2)
        ]
        two = [await client.call_tool("till_Order", {"n": 7}) for _ in range(2)]
    assert first.structured_content["run"] == again.structured_content["run"]
    assert (first.structured_content["repeated"], again.structured_content["repeated"]) == (False, True)
    assert other.is_error and "used for another body" in text(other)
    assert len({one.structured_content["run"] for one in meta}) == 1
    assert len({one.structured_content["run"] for one in two}) == 2


GARBAGE: list[tuple[str, dict[str, Any], str]] = [
    ("till_Order", {}, "/n: Field required"),
    ("till_Order", {"n": "hunter2"}, "/n: Input should be a valid integer"),
    ("till_Order", {"n": 1, "slow": 99}, "/slow: "),
    (
        "till_Order",
        {"n": 1, "nn": 2},
        "its arguments are buyer, idempotency_key, n, slow\n/nn: there is no such argument",
    ),
    ("till_Order", {"n": {"deep": [[[]]]}}, "/n: "),
    ("till_Order", {"n": 1, "idempotency_key": 5}, "/idempotency_key"),
    ("till_Order", {"n": 1, "idempotency_key": ""}, "/idempotency_key"),
    ("files_Scan", {"pdf": {"base64": "%%%"}}, "/pdf: base64 is no Base64"),
    ("files_Scan", {"pdf": {"base64": "aGk=", "path": "/etc/passwd"}}, "/pdf: a file is"),
    ("files_Scan", {"pdf": {"base64": "a" * 100_000}}, "above 65536 bytes"),
    ("files_Scan", {"pdf": {"base64": "aGk=", "media_type": "no type"}}, "media type"),
    ("stepwire_run", {"run": "nothing"}, "no such run"),
    ("stepwire_run", {"run": 5}, "must be a text"),
    ("stepwire_run", {"run": "x", "more": 1}, "/more: there is no such argument"),
]


async def test_a_misspelt_argument_is_named_beside_the_one_that_lacks(inside: Inside) -> None:
    """With what it may have meant and whatever else is wrong, so that a model mends its call in one go."""
    async with inside(wait=0, work=False) as client:
        found = await client.call_tool("till_Order", {"nb": "hunter2", "slo": "hunter2", "slow": 99})
        cut = await client.call_tool("till_Order", {"n": 1, "\n" + "x" * 80: "hunter2"})
        file = await client.call_tool("files_Scan", {"pfd": 1, "pdf": {"base64": "aGk="}})
    assert text(found).splitlines() == [
        "the call cannot be taken; its arguments are buyer, idempotency_key, n, slow",
        "/nb: there is no such argument; did you mean n?",
        "/slo: there is no such argument; did you mean slow?",
        "/n: Field required",
        "/slow: Input should be less than or equal to 5",
    ]
    assert text(cut).splitlines()[1:] == [f"/?{'x' * 62}…: there is no such argument"]
    assert text(file).splitlines()[1:] == ["/pfd: there is no such argument; did you mean pdf?"]


async def test_of_very_many_strange_arguments_only_those_that_are_told_are_looked_up(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is compared with every argument, in the one thread: a million of them would hold it for a minute."""
    compared: list[str] = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda name, *_, **__: compared.append(name) or [])
    async with inside(wait=0, work=False) as client:
        found = await client.call_tool("till_Order", {f"n{number}" + "x" * 100: 1 for number in range(1_000)})
    assert len(text(found).splitlines()) - 1 == len(compared) == SHOWN
    assert max(map(len, compared)) == LONGEST


async def test_garbage_is_a_clean_error_of_the_tool(inside: Inside) -> None:
    """What is wrong and where, nothing of what was sent, nothing begun; and the server goes on."""
    async with inside(wait=0, work=False) as client:
        for name, arguments, why in GARBAGE:
            found = await client.call_tool(name, arguments)
            assert found.is_error and why in text(found), (arguments, text(found))
            assert "hunter2" not in text(found) and "Traceback" not in text(found)
        with pytest.raises(MCPError, match="no such tool"):
            await client.call_tool("till_Nothing", {})
        assert not (await client.call_tool("till_Order", {"n": 1})).is_error


async def test_a_file_may_come_with_the_call(inside: Inside) -> None:
    """Base64 in place of the attachment; it lies in the store before the event is written."""
    data = base64.b64encode(b"%PDF-1.7 something").decode()
    async with inside() as client:
        one = {"base64": data, "media_type": "application/pdf", "name": "a.pdf"}
        found = await client.call_tool("files_Scan", {"pdf": one})
        many = await client.call_tool("files_Album", {"pictures": [one, {"base64": data}]})
    assert (found.structured_content["result"], many.structured_content["result"]) == ({"size": 18}, {"size": 36})
