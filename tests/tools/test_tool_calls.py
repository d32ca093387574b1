from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel
from tests.tools.scripted_server import server
from tests.tools.surroundings import delivery, raw

from stepwire.errors import NotDone, Reject, RetryLater, SettingsError, Transient
from stepwire_handlers.steps.tool import Tool, Tools
from stepwire_handlers.steps.tool_errors import (
    InvalidToolAnswer,
    ToolError,
    ToolFailed,
    ToolOutcomeUnknown,
    ToolRefused,
    ToolUnreachable,
)

pytestmark = pytest.mark.anyio


class Said(BaseModel):
    text: str
    number: int | None = None


class Heard(BaseModel):
    text: str
    number: int


def within(**options: Any) -> Tools:
    """Tools on the scripted server in this process."""
    return Tools({"s": server}, **options)


def echo_of(tools: Tools) -> Tool[Said, Heard]:
    tool = tools.provide(Tool[Said, Heard], "s.echo")
    assert isinstance(tool, Tool)
    return tool


async def test_fields_or_an_object_go_in_and_a_validated_answer_comes_out() -> None:
    """A tool takes its input's fields or the input itself, and gives the flow's own type."""
    async with within() as tools:
        echo = echo_of(tools)
        assert await echo(text="hello") == Heard(text="hello", number=0)
        assert await echo(Said(text="hello", number=7)) == Heard(text="hello", number=7)


async def test_input_that_does_not_fit_is_refused_without_its_value() -> None:
    """Fields that the input type refuses are an error that names the field and not the payload."""
    async with within() as tools:
        with pytest.raises(ToolRefused, match="text: Input should be a valid string") as refused:
            await echo_of(tools)(text=["secret"])
    assert "secret" not in str(refused.value)


async def test_arguments_are_checked_against_the_servers_schema_before_they_are_sent() -> None:
    """What the server's own schema refuses is not sent, and the error says which rule, not which value."""
    async with within(allow=["s.*"]) as tools:
        with pytest.raises(ToolRefused, match=r"\$.text breaks the rule type: string") as refused:
            await tools.call("s.echo", {"text": {"deep": "secret"}})
        with pytest.raises(ToolRefused, match="'text' is a required property"):
            await tools.call("s.echo", {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("tool", ["s.afar", "s.odd"])
async def test_a_schema_that_cannot_be_used_lets_nothing_through(tool: str) -> None:
    """A schema that refers to another host is not fetched, and one that is none is said to be none."""
    async with Tools({"s": raw()}, allow=["s.*"]) as tools:
        with pytest.raises(ToolRefused, match=r"a schema .* that cannot be used"):
            await tools.call(tool, {"text": "x"})


async def test_fields_that_are_none_are_not_sent() -> None:
    """MCP says "there is none" by leaving an argument out."""
    async with Tools({"s": raw()}) as tools:
        for kind in (Said, dict[str, Any]):
            echo: Any = tools.provide(Tool[kind, Any], "s.echo")  # type: ignore[valid-type]
            assert (await echo(text="x", number=None))["got"] == ["text"]


async def test_an_answer_that_breaks_the_flows_type_is_not_a_failure_of_the_tool() -> None:
    """The tool did it: the error is one that never means "not done"."""

    class Strange(BaseModel):
        text: int

    async with within() as tools:
        strange = tools.provide(Tool[Said, Strange], "s.echo")
        assert isinstance(strange, Tool)
        with pytest.raises(InvalidToolAnswer, match="text: Input should be a valid integer") as invalid:
            await strange(text="words")
        assert tools.classify(invalid.value) is None


async def test_an_answer_that_breaks_the_servers_own_schema_is_said_to_be_that() -> None:
    """A server that answers against its own output schema is told apart from a tool that failed."""
    async with Tools({"s": raw()}, allow=["s.*"]) as tools:
        with pytest.raises(InvalidToolAnswer, match=r"breaks the schema of server 's' itself at \$\.text"):
            await tools.call("s.broken", {})


@pytest.mark.parametrize(("answer", "expected"), [("plain words", "plain words"), ("[1, 2]", [1, 2])])
async def test_text_is_read_as_json_where_there_is_no_structured_content(answer: str, expected: object) -> None:
    """Old servers answer with text only; JSON in it counts as the answer."""
    async with within(allow=["s.words"]) as tools:
        assert await tools.call("s.words", {"text": answer}) == expected


async def test_what_a_server_wraps_into_result_is_unwrapped() -> None:
    """Structured content has to be an object, so lists and numbers come wrapped; a flow need not know."""

    async def answer(name: str, arguments: object, key: str | None) -> dict[str, list[int]]:
        return {"result": [1, 2]}

    assert await Tool("s.list", answer, dict, list[int])() == [1, 2]


async def test_only_allowed_tools_are_called() -> None:
    """With an allow-list, a tool beside it is refused in the wiring and at the call."""
    tools = within(allow=["s.echo"])
    with pytest.raises(SettingsError, match=r"tool 's.fail' is not allowed"):
        tools.provide(Tool[Said, Heard], "s.fail")
    async with tools:
        assert await tools.call("s.echo", {"text": "x"})
        with pytest.raises(ToolRefused, match="not allowed"):
            await tools.call("s.fail", {"text": "x"})


async def test_without_an_allow_list_only_wired_tools_are_called() -> None:
    """A tool that no handler's signature names cannot be called by its name either."""
    async with within() as tools:
        with pytest.raises(ToolRefused, match="not allowed"):
            await tools.call("s.echo", {"text": "x"})
        echo_of(tools)
        assert await tools.call("s.echo", {"text": "x"})


def test_an_allowed_tool_of_no_server_is_a_setting_that_is_wrong() -> None:
    """A typing error in the allow-list is said when the Tools is made."""
    with pytest.raises(SettingsError, match=r"tool 't.echo' is on no server"):
        within(allow=["t.echo"])


def test_a_tool_of_another_resource_is_left_to_it() -> None:
    """`provide` gives only tools of its own servers, and only where a Tool is asked for by name."""
    tools = within()
    assert tools.provide(Tool[Said, Heard], "other.echo") is None
    assert tools.provide(Tool[Said, Heard], None) is None
    assert tools.provide(dict[str, int], "s.echo") is None


async def test_a_tool_that_the_server_lacks_is_said_with_those_it_has() -> None:
    """The error names the server's tools, so that the right one can be seen."""
    async with within(allow=["s.*"]) as tools:
        with pytest.raises(ToolRefused, match=r"has no tool 'nothing'; it has: .*echo, fail"):
            await tools.call("s.nothing", {})


async def test_a_tool_that_a_server_gained_later_is_found() -> None:
    """A server may add tools while it runs."""
    async with Tools({"s": raw()}, allow=["s.*"]) as tools:
        await tools.call("s.teach", {})
        assert "pid" in await tools.call("s.fresh", {"text": "new"})


async def test_the_key_of_the_call_reaches_the_server() -> None:
    """Inside a delivery each call has its own key, the same again when the delivery is repeated."""

    async def attempt() -> list[str]:
        delivery("flow/step/17")
        keys = [(await tools.call("s.key", {}))["key"] for _ in range(2)]
        keyed = await asyncio.gather(*(tool.keyed(name)() for name in ("a", "b")))
        return [*keys, *(answer["key"] for answer in keyed)]

    async with Tools({"s": raw()}, allow=["s.key"]) as tools:
        tool: Any = tools.provide(Tool[dict[str, Any], dict[str, str | None]], "s.key")
        first, again = await asyncio.create_task(attempt()), await asyncio.create_task(attempt())
        assert first == again == [f"flow/step/17/s.key/{end}" for end in ("1", "2", "a", "b")]
        assert await tool() == {"key": None}, "outside of a delivery there is none"


async def test_concurrent_calls_without_a_key_are_refused() -> None:
    """Two calls at once have no order that would give them the same keys on the next attempt."""
    delivery()
    async with within() as tools:
        echo = echo_of(tools)
        with pytest.raises(Reject, match="twice at once"):
            await asyncio.gather(echo(text="a"), echo(text="b"))


async def test_a_call_is_noted_on_the_timeline() -> None:
    """Tool, server, duration and outcome of every call are noted, also of one that fails."""
    context = delivery()
    async with within(allow=["s.*"]) as tools:
        await tools.call("s.echo", {"text": "x"})
        with pytest.raises(ToolFailed):
            await tools.call("s.fail", {"text": "no"})
    (first, ok), (second, failed) = context.notes
    assert (first, ok["tool"], ok["server"], ok["outcome"]) == ("tool", "s.echo", "s", "ok")
    assert (second, failed["outcome"]) == ("tool", "ToolFailed") and failed["seconds"] >= 0


@pytest.mark.parametrize(
    ("text", "error", "signal"),
    [
        ("account 7 is locked", ToolFailed, Transient),
        ("rejected: no such channel", ToolFailed, Reject),
        ("not-done: try again", ToolFailed, NotDone),
        ("retry-later 7.5: too many", ToolFailed, RetryLater),
        ("unknown-outcome: no answer was stored", ToolOutcomeUnknown, type(None)),
    ],
)
async def test_what_a_server_says_decides_what_happens_next(
    text: str, error: type[ToolError], signal: type[object]
) -> None:
    """A tool's error is the server's message, and its code is the kernel's signal."""
    async with within(allow=["s.*"]) as tools:
        with pytest.raises(error) as raised:
            await tools.call("s.fail", {"text": text})
        meaning = tools.classify(raised.value)
    assert type(meaning) is signal
    assert text.rpartition(": ")[2] in str(raised.value)
    if isinstance(meaning, RetryLater):
        assert meaning.seconds == 7.5


@pytest.mark.parametrize(
    ("code", "signal"),
    [(-32700, Reject), (-32600, Reject), (-32601, Reject), (-32602, Reject), (-32603, Transient), (-1, Transient)],
)
async def test_an_error_of_the_protocol_has_a_meaning_too(code: int, signal: type[object]) -> None:
    """A request that the server calls invalid is not repeated; any other of its errors may have been half done."""
    async with Tools({"s": raw()}, allow=["s.*"]) as tools:
        with pytest.raises(ToolFailed, match="no such luck") as raised:
            await tools.call("s.protest", {"code": code})
        assert type(tools.classify(raised.value)) is signal
        assert await tools.call("s.echo", {"text": "still there"})


@pytest.mark.parametrize(
    ("error", "signal"),
    [
        (ToolRefused("t", "r"), Reject),
        (ToolUnreachable("t", "r"), NotDone),
        (ToolOutcomeUnknown("t", "r"), Transient),
        (InvalidToolAnswer("t", "r"), type(None)),
        (ValueError("not ours"), type(None)),
    ],
)
def test_only_what_was_surely_not_done_is_said_to_be(error: Exception, signal: type[object]) -> None:
    """An outcome that is unknown never becomes Reject, RetryLater or NotDone, which mean "not done"."""
    assert type(within().classify(error)) is signal


async def test_a_closed_tools_calls_nothing() -> None:
    """A call outside of `async with` says what to do, instead of leaving a process behind."""
    with pytest.raises(RuntimeError, match="async with tools"):
        await within(allow=["s.*"]).call("s.echo", {"text": "x"})


async def test_check_says_what_is_wrong_with_every_server_in_use() -> None:
    """One call tells whether all tools that the handlers name are there."""
    tools = Tools({"s": server, "gone": {"command": "/nonexistent/server"}})
    echo_of(tools)
    for name in ("s.nothing", "gone.echo"):
        tools.provide(Tool[Said, Heard], name)
    async with tools:
        gone, nothing = await tools.check()
    assert "mcpServers.gone" in gone and "has no tool 'nothing'" in nothing
