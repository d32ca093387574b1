from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.tools.surroundings import PATIENCE, free_port, listens, raw, scripted_http, until

from stepwire.errors import NotDone, Reject, RetryLater, SettingsError, Signal, Transient
from stepwire_handlers.steps.tool import Tool, Tools
from stepwire_handlers.steps.tool_errors import ToolError, ToolFailed, ToolOutcomeUnknown, ToolUnreachable

pytestmark = pytest.mark.anyio


def tools_on(server: dict[str, Any], **options: Any) -> Tools:
    return Tools({"s": server}, allow=["s.*"], **options)


async def raised(tools: Tools, tool: str, **arguments: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the test asserts on it
        await tools.call(tool, arguments)
    return caught.value


async def test_200_concurrent_calls_share_one_process() -> None:
    """Concurrent calls of one server go through one connection, and each gets its own answer."""
    async with tools_on(raw()) as tools:
        answers = await asyncio.gather(*(tools.call("s.echo", {"text": str(n)}) for n in range(200)))
    assert [answer["text"] for answer in answers] == [str(n) for n in range(200)]
    assert len({answer["pid"] for answer in answers}) == 1


async def test_a_server_that_died_is_started_again_by_the_next_call() -> None:
    """Death during a call is an unknown outcome, death between calls costs nothing."""
    async with tools_on(raw()) as tools:
        first = await tools.call("s.echo", {"text": "a"})
        unknown = await raised(tools, "s.die")
        assert isinstance(unknown, ToolOutcomeUnknown) and isinstance(tools.classify(unknown), Transient)
        second = await tools.call("s.echo", {"text": "b"})
        link = tools._sessions["s"]._link
        assert link is not None
        os.kill(second["pid"], signal.SIGKILL)
        await asyncio.wait_for(link.lost.wait(), PATIENCE)
        third = await tools.call("s.echo", {"text": "c"})
    assert len({first["pid"], second["pid"], third["pid"]}) == 3


async def test_a_server_is_gone_when_tools_is_left() -> None:
    """Leaving the resource ends the processes that it started."""
    async with tools_on(raw()) as tools:
        answer = await tools.call("s.echo", {"text": "a"})
    assert not Path(f"/proc/{answer['pid']}").exists()


async def test_a_resource_that_is_entered_twice_is_left_twice() -> None:
    """Two apps in one process may share a Tools; the first one that ends does not cut the other off."""
    tools = tools_on(raw())
    async with tools:
        async with tools:
            first = await tools.call("s.echo", {"text": "a"})
        assert await tools.call("s.echo", {"text": "b"}) == first | {"text": "b"}


async def test_a_call_that_takes_too_long_is_unknown_and_the_connection_stays() -> None:
    """A timeout ends one call; the others go on with the same process."""
    async with tools_on(raw(), tools={"s.slow": {"server": "s", "tool": "wait", "timeout": 0.2}}) as tools:
        before = await tools.call("s.echo", {"text": "a"})
        unknown = await raised(tools, "s.slow", seconds=60)
        after = await tools.call("s.echo", {"text": "b"})
    assert isinstance(unknown, ToolOutcomeUnknown) and "within 0.2 s" in str(unknown)
    assert before["pid"] == after["pid"]


async def test_a_server_that_hangs_is_started_again() -> None:
    """After three timeouts with no answer between them, the next call gets a new process."""
    async with tools_on(raw(), timeout=0.2) as tools:
        before = await tools.call("s.echo", {"text": "a"})
        os.kill(before["pid"], signal.SIGSTOP)
        for _ in range(3):
            assert isinstance(await raised(tools, "s.echo", text="b"), ToolOutcomeUnknown)
        os.kill(before["pid"], signal.SIGKILL)
        after = await tools.call("s.echo", {"text": "c"})
    assert before["pid"] != after["pid"]


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({"command": "/nonexistent/server"}, r"there is no '/nonexistent/server'.* mcpServers\.s: command"),
        ({"command": "/bin/false"}, r"it ended, .* before it answered.* mcpServers\.s: command '/bin/false'"),
        ({"command": "sleep", "args": ["60"]}, r"did not answer within 0\.5 s.* mcpServers\.s: command"),
        ({"command": "echo", "args": ["garbage"]}, r"it ended, .* mcpServers\.s: command 'echo'"),
        ({"url": "http://127.0.0.1:9/mcp"}, r"All connection attempts failed.* mcpServers\.s: url"),
    ],
    ids=["missing command", "ends at once", "says nothing", "is no server", "nobody listens"],
)
async def test_a_connection_that_cannot_be_made_names_the_setting(server: dict[str, Any], reason: str) -> None:
    """Nothing was sent, so it may be repeated; the message says which server and which setting."""
    async with tools_on(server, connect_timeout=0.5) as tools:
        await asyncio.to_thread(__import__, "mcp")  # or the first import would use up the time
        with pytest.raises(ToolUnreachable, match=reason) as unreachable:
            await tools.call("s.echo", {"text": "x"})
        assert isinstance(tools.classify(unreachable.value), NotDone)


async def test_many_callers_share_one_attempt_to_connect(tmp_path: Path) -> None:
    """A server that is down is not started once for each of the calls that wait for it."""
    starts = tmp_path / "starts"
    server = {"command": "sh", "args": ["-c", f"echo >> {starts}"]}
    async with tools_on(server) as tools:
        calls = (tools.call("s.echo", {"text": "x"}) for _ in range(50))
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {ToolUnreachable}
    assert starts.read_text() == "\n"


async def test_garbage_on_stdout_is_skipped() -> None:
    """A server that prints something before it speaks is understood all the same."""
    async with tools_on(raw(RAW_GARBAGE="loading…\n{]")) as tools:
        assert (await tools.call("s.echo", {"text": "x"}))["text"] == "x"


async def test_a_variable_that_is_not_set_is_said_before_anything_is_consumed() -> None:
    """Entering the resource fails, and the message names the variable and the server."""
    tools = Tools({"s": {"command": "x", "env": {"TOKEN": "${STEPWIRE_NO_SUCH}"}}})
    assert tools.provide(Tool[dict[str, Any], Any], "s.echo")
    with pytest.raises(SettingsError, match=r"mcpServers\.s uses \$\{STEPWIRE_NO_SUCH\}"):
        await tools.__aenter__()


async def test_a_cancelled_call_leaves_the_connection_alone() -> None:
    """A handler that is cut off takes nobody else's call with it."""
    async with tools_on(raw()) as tools:
        before = await tools.call("s.echo", {"text": "a"})
        waiting = asyncio.create_task(tools.call("s.wait", {"seconds": 60}))
        await asyncio.sleep(0)
        other = asyncio.create_task(tools.call("s.wait", {"seconds": 0.3}))
        await tools.call("s.echo", {"text": "sent after both"})
        waiting.cancel()
        assert (await other)["pid"] == before["pid"]
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.slow
@pytest.mark.parametrize("era", [{}, {"SCRIPTED_LEGACY": "1"}], ids=["stateless", "with sessions"])
async def test_an_http_server_that_was_killed_and_restarted_is_used_again(era: dict[str, str], tmp_path: Path) -> None:
    """Killed in a call: unknown. While it is down: not sent. Restarted on its port: the next call works."""
    port, log = free_port(), tmp_path / "log"
    async with tools_on({"type": "http", "url": f"http://127.0.0.1:{port}/mcp"}) as tools:
        with scripted_http(port, SCRIPTED_LOG=str(log), **era) as process:
            assert (await tools.call("s.echo", {"text": "a"}))["pid"] == process.pid
            call = asyncio.create_task(raised(tools, "s.wait", seconds=60))
            await asyncio.to_thread(until, log.exists)
            process.kill()
            unknown = await call
            assert isinstance(unknown, ToolOutcomeUnknown), unknown
        await asyncio.to_thread(until, lambda: not listens(port))
        down = await raised(tools, "s.echo", text="b")
        assert isinstance(down, ToolUnreachable), down
        with scripted_http(port, **era) as process:
            assert (await tools.call("s.echo", {"text": "c"}))["pid"] == process.pid


@pytest.mark.slow
@pytest.mark.parametrize("era", [{}, {"SCRIPTED_LEGACY": "1"}], ids=["stateless", "with sessions"])
async def test_an_http_server_that_was_restarted_between_calls_does_the_next_one(era: dict[str, str]) -> None:
    """A session that the new process does not know is made anew, and the call is done once."""
    port = free_port()
    async with tools_on({"url": f"http://127.0.0.1:{port}/mcp"}) as tools:
        for _ in range(2):
            with scripted_http(port, **era) as process:
                assert (await tools.call("s.echo", {"text": "a"}))["pid"] == process.pid


REFUSALS: dict[str, tuple[type[ToolError], type[Signal]]] = {
    "400": (ToolFailed, Reject),
    "401": (ToolUnreachable, NotDone),
    "402": (ToolFailed, NotDone),
    "403": (ToolUnreachable, NotDone),
    "404": (ToolFailed, NotDone),
    "405": (ToolFailed, Reject),
    "408": (ToolFailed, NotDone),
    "409": (ToolFailed, NotDone),
    "413": (ToolFailed, Reject),
    "422": (ToolFailed, Reject),
    "429": (ToolFailed, RetryLater),
    "429 7.5": (ToolFailed, RetryLater),
    "500": (ToolOutcomeUnknown, Transient),
    "502": (ToolOutcomeUnknown, Transient),
    "503 7.5": (ToolOutcomeUnknown, Transient),
    "504": (ToolOutcomeUnknown, Transient),
    "529": (ToolOutcomeUnknown, Transient),
}


@pytest.mark.slow
@pytest.mark.parametrize("era", [{}, {"SCRIPTED_LEGACY": "1"}], ids=["stateless", "with sessions"])
async def test_what_stands_before_an_http_server_may_refuse(era: dict[str, str], tmp_path: Path) -> None:
    """Below 500 nothing was done, from 500 on nobody knows; to connect is always repeatable; then it is used again."""
    port, status = free_port(), tmp_path / "status"
    with scripted_http(port, SCRIPTED_STATUS=str(status), **era):
        for said, (error, signal) in REFUSALS.items():
            async with tools_on({"url": f"http://127.0.0.1:{port}/mcp"}) as tools:
                status.write_text(said)
                at_connect = await raised(tools, "s.echo", text="x")
                assert isinstance(at_connect, ToolUnreachable), (said, at_connect)
                assert f"mcpServers.s: url 'http://127.0.0.1:{port}/mcp'" in str(at_connect)
                status.unlink()
                assert await tools.call("s.echo", {"text": "x"})
                status.write_text(said)
                later = await raised(tools, "s.echo", text="x")
                status.unlink()
                meaning = tools.classify(later)
                gone = said == "404" and era  # means a session that is gone, which is made anew, in vain
                assert (type(later), type(meaning)) == (ToolUnreachable if gone else error, signal), (said, later)
                assert said[:3] in str(later) or gone
                assert not isinstance(meaning, RetryLater) or meaning.seconds == (7.5 if "7.5" in said else 5.0)
                assert await tools.call("s.echo", {"text": "x"})


@pytest.mark.parametrize("era", [{}, {"SCRIPTED_LEGACY": "1"}], ids=["stateless", "with sessions"])
async def test_an_error_of_one_http_request_leaves_the_others_alone(era: dict[str, str], tmp_path: Path) -> None:
    """A gateway that fails one call does not make the outcome of those that are under way unknown."""
    port, status, log = free_port(), tmp_path / "status", tmp_path / "log"
    with scripted_http(port, SCRIPTED_STATUS=str(status), SCRIPTED_LOG=str(log), **era):
        async with tools_on({"url": f"http://127.0.0.1:{port}/mcp"}) as tools:
            slow = asyncio.create_task(tools.call("s.wait", {"seconds": 0.5}))
            await asyncio.to_thread(until, log.exists)
            status.write_text("502")
            assert isinstance(await raised(tools, "s.echo", text="x"), ToolOutcomeUnknown)
            status.unlink()
            assert (await slow)["text"] == "late"


@pytest.mark.slow
async def test_200_concurrent_calls_over_http() -> None:
    """More calls at once than an HTTP client has connections wait for their turn."""
    port = free_port()
    with scripted_http(port):
        async with tools_on({"url": f"http://127.0.0.1:{port}/mcp"}) as tools:
            answers = await asyncio.gather(*(tools.call("s.echo", {"text": str(n)}) for n in range(200)))
    assert [answer["text"] for answer in answers] == [str(n) for n in range(200)]


async def test_a_slow_start_is_waited_for_and_not_repeated() -> None:
    """Calls that come while a server starts use that start."""
    async with tools_on(raw()) as tools:
        begun = time.monotonic()
        answers = await asyncio.gather(*(tools.call("s.echo", {"text": "x"}) for _ in range(5)))
    assert len({answer["pid"] for answer in answers}) == 1 and time.monotonic() - begun < 30
