"""The tools map and the mcpServers file: other servers do the same job, and values stay values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.tools.scripted_server import server

from stepwire.errors import SettingsError
from stepwire_handlers.steps.mcp_servers import HttpServer, StdioServer, load, with_environment
from stepwire_handlers.steps.sql_literal import bind, literal
from stepwire_handlers.steps.tool import Tools
from stepwire_handlers.steps.tool_errors import ToolFailed, ToolRefused
from stepwire_handlers.steps.tool_map import ToolRoute

EVIL = r"x'; DROP TABLE customers; --\' OR $1 /* {sql} */ $$ E'"


def filled(template: object, **fields: Any) -> object:
    route = ToolRoute.model_validate({"server": "s", "tool": "t", "arguments": {"x": template}})
    return route.arguments_for(fields).get("x", "left out")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{name}", "O'Hara"),
        ("{lines}", [{"id": 7}]),
        ("{buyer.town}", "Ålesund"),
        ("{buyer.street}", "left out"),
        ("{missing}", "left out"),
        ("name = {name:sql} AND id = {id:sql}", "name = 'O''Hara' AND id = (-7)"),
        ("{missing:sql}", "NULL"),
        ("{lines:json}", '[{"id": 7}]'),
        ("Invoice {id:text} for {buyer.town:text} {{now}}", "Invoice -7 for Ålesund {now}"),
        ({"deep": ["{name}", "{missing}", 3]}, {"deep": ["O'Hara", 3]}),
        ("constant", "constant"),
    ],
)
def test_a_template_is_filled_with_the_flows_fields(template: object, expected: object) -> None:
    """One placeholder gives the value itself; in a longer text it is written as the template says."""
    fields = {"name": "O'Hara", "id": -7, "lines": [{"id": 7}], "buyer": {"town": "Ålesund"}, "missing": None}
    assert filled(template, **fields) == expected


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("name = '{name:sql}'", "in quotes"),
        ('"{name:sql}"', "in quotes"),
        ("E'it\\'s {name:sql}'", "in quotes"),
        ("$tag$ {name:sql} $tag$", "in quotes"),
        ("SELECT 1 -- {name:sql}", "in a comment"),
        ("/* /* */ {name:sql} */", "in a comment"),
        ("'unfinished {name:sql}", "in quotes"),
        ("E{name:sql}", "behind a letter"),
        ("U&{name:sql}", "behind a letter"),
        ("name = {name}", "does not say how"),
        ("{name:html}", "opens no placeholder"),
        ("an { brace", "opens no placeholder"),
    ],
)
def test_a_template_in_which_a_value_could_break_out_is_refused(template: str, complaint: str) -> None:
    """What is wrong with a template is said when the Tools is made, not when a value comes along."""
    with pytest.raises(SettingsError, match=complaint):
        Tools({"s": server}, tools={"s.x": {"server": "s", "tool": "t", "arguments": {"sql": template}}})


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        ("$1 $2 $1", ["a", 2], "'a' 2 'a'"),
        ("'$1' \"$1\" -- $1\n $1", ["a"], "'$1' \"$1\" -- $1\n 'a'"),
        ("$x$ $1 $x$ $1", ["a"], "$x$ $1 $x$ 'a'"),
        ("$1", ["$1"], "'$1'"),
        ("a = any($1)", [["x'", None]], "a = any(ARRAY['x''', NULL])"),
        ("$1, $2", [True, []], "TRUE, '{}'"),
        ("$1", [{"a": "'"}], "'{\"a\": \"''\"}'::jsonb"),
    ],
)
def test_parameters_are_bound_outside_of_quotes(sql: str, params: list[object], expected: str) -> None:
    """`$1` in a string, a name or a comment is no parameter, and a bound value is not read again."""
    assert bind(sql, params) == expected
    assert filled("{sql:bind(params)}", sql=sql, params=params) == expected


@pytest.mark.parametrize(("sql", "params"), [("$2", ["a"]), ("$1", ["a", "b"]), ("'$1'", ["a"]), ("$1", ["\0"])])
def test_parameters_that_do_not_match_are_refused(sql: str, params: list[object]) -> None:
    """A number without a parameter, a parameter without a number, and a value without a literal."""
    with pytest.raises(ValueError, match=r"parameter|NUL"):
        bind(sql, params)


plain = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
hostile = st.text(st.sampled_from("'\\\"$;-/*{}E1 \n"), max_size=12)
anything = st.one_of(plain, hostile, st.integers(-(2**62), 2**62), st.booleans(), st.none())


@given(st.lists(anything, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_a_literal_reads_back_as_its_value(dsn: str, conforming: str, values: list[Any]) -> None:
    """Whatever a value contains, PostgreSQL reads that value and nothing else, under both of its settings."""
    options = f"-c standard_conforming_strings={conforming} -c backslash_quote=on"
    with psycopg.connect(dsn, options=options) as connection:
        sql = bind(
            "SELECT " + ", ".join(f"-${n + 1}" if type(v) is int else f"${n + 1}" for n, v in enumerate(values)), values
        )
        row = connection.execute(sql.encode()).fetchone()
    assert row == tuple(-value if type(value) is int else value for value in values)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", {"rows": [{"n": 1}, {"n": 2}], "a-b": None}),
        ("$.rows[1].n", 2),
        ("$.rows[*].n", [1, 2]),
        ("$.rows[9].n", None),
        ("$.nothing.at.all", None),
        ({"all": "$.rows", "count": 2}, {"all": [{"n": 1}, {"n": 2}], "count": 2}),
    ],
)
def test_a_result_is_picked_by_paths(path: Any, expected: object) -> None:
    """The flow gets the shape that it knows, whatever shape the server answers in."""
    route = ToolRoute(server="s", tool="t", result=path)
    assert route.result_of({"rows": [{"n": 1}, {"n": 2}], "a-b": None}) == expected


def test_a_path_that_is_none_is_refused() -> None:
    """A typing error in a path is said when the Tools is made."""
    with pytest.raises(ValidationError, match="is not a path"):
        ToolRoute(server="s", tool="t", result={"rows": "$rows"})


@pytest.mark.anyio
async def test_a_mapped_tool_is_called_by_its_name_in_the_flow() -> None:
    """Server, tool, arguments, result: the map changes all four and the caller none."""
    route = {"server": "s", "tool": "echo", "arguments": {"text": "to {channel:text}: {text:text}"}, "result": "$.text"}
    async with Tools({"s": server}, tools={"chat.say": route}, allow=["chat.say"]) as tools:
        assert await tools.call("chat.say", {"channel": "#a", "text": "hi"}) == "to #a: hi"
        with pytest.raises(ToolRefused, match=r"\{channel:text\} takes a text"):
            await tools.call("chat.say", {"text": "hi"})
        with pytest.raises(ToolRefused, match="not allowed"):
            await tools.call("s.echo", {"text": "hi"})


@pytest.mark.anyio
async def test_an_answer_that_says_no_is_a_failure() -> None:
    """Some servers put a failure into an ordinary answer; `ok` and `error` say where."""
    route = {"server": "s", "tool": "words", "ok": "$.ok", "error": "$.error"}
    async with Tools({"s": server}, tools={"s.say": route}, allow=["s.say"]) as tools:
        assert await tools.call("s.say", {"text": '{"ok": true}'}) == {"ok": True}
        for text, reason in (('{"ok": false, "error": "no_text"}', "no_text"), ("{}", r"says no at \$.ok")):
            with pytest.raises(ToolFailed, match=reason):
                await tools.call("s.say", {"text": text})


def test_a_file_has_servers_and_tools(tmp_path: Path) -> None:
    """The file is the one that other MCP clients read, with a key of ours that they leave alone."""
    path = tmp_path / "mcp.json"
    path.write_text(
        json.dumps({
            "mcpServers": {
                "a": {"command": "npx", "args": ["-y", "a"], "env": {"K": "v"}, "cwd": "/srv", "disabled": False},
                "b": {"type": "http", "url": "http://127.0.0.1/mcp", "headers": {"A": "b"}},
                "c": {"url": "http://127.0.0.1/mcp"},
            },
            "tools": {"a.b": {"server": "b", "tool": "c"}},
        })
    )  # fmt: skip
    file = load(path)
    assert file.servers["a"] == StdioServer(command="npx", args=("-y", "a"), env={"K": "v"}, cwd="/srv")
    assert isinstance(file.servers["b"], HttpServer) and isinstance(file.servers["c"], HttpServer)
    assert file.tools["a.b"].tool == "c"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", r"mcp\.json: is not JSON"),
        ("{}", "mcpServers: Field required"),
        ('{"mcpServers": {"a": {"args": []}}}', r"mcpServers\.a\.stdio\.command: Field required"),
        ('{"mcpServers": {"a": {"command": "x", "arg": []}}}', "'arg' is not a key of a server: is 'args' meant"),
        ('{"mcpServers": {"a": {"type": "sse", "url": "x"}}}', "'sse' .* expected tags: 'stdio', 'http'"),
        ('{"mcpServers": {}, "tools": {"a": {"server": "b"}}}', r"tools\.a\.tool: Field required"),
        ('{"mcpServers": {}, "tools": {"a.b": {"server": "b", "tool": "c"}}}', "'a.b' is on no server"),
        (None, r"mcp\.json: cannot be read \(No such file"),
    ],
)
def test_a_file_that_is_wrong_says_where(content: str | None, complaint: str, tmp_path: Path) -> None:
    """The message names the file, the entry and what is expected."""
    path = tmp_path / "mcp.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=complaint):
        Tools(path)


def test_variables_come_from_the_environment() -> None:
    """`${NAME}` anywhere in a server, with a default where one is written, also for an empty value."""
    server = load({"a": {"command": "${A}/run", "args": ["${B:-b}", "${C:-}"], "env": {"T": "x${A}${EMPTY:-e}"}}})
    expanded = with_environment("a", server.servers["a"], {"A": "/opt", "EMPTY": ""})
    assert expanded == StdioServer(command="/opt/run", args=("b", ""), env={"T": "x/opte"})
    with pytest.raises(SettingsError, match=r"mcpServers\.a uses \$\{A\}"):
        with_environment("a", server.servers["a"], {})


def test_a_hostile_value_is_one_literal() -> None:
    """Quotes, backslashes, comments and placeholders inside of a value end nothing."""
    assert literal(EVIL) == r" E'x''; DROP TABLE customers; --\\'' OR $1 /* {sql} */ $$ E'''"
