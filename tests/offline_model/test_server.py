"""The offline model as a server of its own: the SDK speaks to it as it speaks to the provider."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from stepwire.errors import SettingsError
from stepwire_handlers.offline_model import serve

ASK: dict[str, Any] = {"model": "any", "max_tokens": 300, "messages": [{"role": "user", "content": "Edit this:\n\nhi"}]}
HEADERS = {"authorization": "Bearer anything", "anthropic-version": "2026-10-21"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def url(anyio_backend: str) -> AsyncIterator[str]:
    async with serve() as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="anything", base_url=url, max_retries=0) as sdk:
        yield sdk


async def test_an_answer_says_what_it_is(client: anthropic.AsyncAnthropic) -> None:
    """In a header, in the model's name, and in the text; tokens are counted."""
    response = await client.messages.with_raw_response.create(**ASK)
    message = await response.parse()
    assert response.headers["stepwire-offline-model"] == "1"
    assert message.model == "offline-model/1"
    assert message.content[0].type == "text"
    assert message.content[0].text.endswith("[offline model]")
    assert message.usage.input_tokens == 4
    assert message.usage.output_tokens > 0


async def test_a_stream_carries_the_same_answer(client: anthropic.AsyncAnthropic) -> None:
    """Piece by piece, with its usage at the end."""
    async with client.messages.stream(**ASK) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    whole = await client.messages.create(**ASK)
    assert whole.content[0].type == "text"
    assert text == whole.content[0].text
    assert final.model == "offline-model/1"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_an_answer_that_is_too_long_is_cut_as_the_provider_cuts_it(client: anthropic.AsyncAnthropic) -> None:
    """So that a flow's handling of it can be tried."""
    message = await client.messages.create(**{**ASK, "max_tokens": 2})
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 2


async def test_tokens_are_counted(client: anthropic.AsyncAnthropic) -> None:
    """About four characters each."""
    counted = await client.messages.count_tokens(model="any", messages=[{"role": "user", "content": "x" * 40}])
    assert counted.input_tokens == 10


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 0}, "max_tokens"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages.0.content"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
]


@pytest.mark.parametrize(("wrong", "where"), WRONG)
async def test_a_wrong_request_is_refused_in_the_providers_words(
    client: anthropic.AsyncAnthropic, wrong: dict[str, Any], where: str
) -> None:
    """400, with the place that is wrong."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        await client.messages.create(**{**ASK, **wrong})
    assert caught.value.type == "invalid_request_error"
    assert str(caught.value.api_message).startswith(where)
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("path", "headers", "status", "kind"),
    [
        ("/v1/messages", {"anthropic-version": "x"}, 401, "authentication_error"),
        ("/v1/messages", {"x-api-key": "x"}, 400, "invalid_request_error"),
        ("/v1/other", HEADERS, 404, "not_found_error"),
    ],
)
async def test_what_the_sdk_would_not_send_is_refused_too(
    url: str, path: str, headers: dict[str, str], status: int, kind: str
) -> None:
    """A key (any), the version, and a path that exists."""
    async with httpx2.AsyncClient() as http:
        response = await http.post(url + path, json=ASK, headers=headers)
    assert response.status_code == status
    assert response.json()["error"]["type"] == kind
    assert response.headers["stepwire-offline-model"] == "1"


async def test_two_are_answered_at_once(client: anthropic.AsyncAnthropic) -> None:
    """Ids differ, answers do not."""
    one, other = await asyncio.gather(client.messages.create(**ASK), client.messages.create(**ASK))
    assert one.id != other.id
    assert one.content == other.content


STARTER = """
import asyncio
from stepwire_handlers.offline_model import serve

async def main():
    async with serve() as url:
        print(url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_it_ends_with_whoever_started_it_even_if_that_is_killed() -> None:
    """Its standard input closes, so no server is left behind."""
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, stdout=asyncio.subprocess.PIPE)
    assert starter.stdout is not None
    address = (await starter.stdout.readline()).decode().strip()
    assert await answers(address)
    os.kill(starter.pid, signal.SIGKILL)
    await starter.wait()
    while await answers(address):  # the suite's time limit is the patience
        await asyncio.sleep(0.05)


async def answers(address: str) -> bool:
    async with httpx2.AsyncClient() as http:
        try:
            await http.post(f"{address}/v1/messages")
        except httpx2.TransportError:
            return False
        return True


async def test_it_gets_no_secret_and_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is started with what a process needs to run, and nothing else."""
    seen = tmp_path / "seen.json"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    (tmp_path / "python").write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump([dict(os.environ), os.listdir('.')], open({str(seen)!r}, 'w'))\n"
        "print(json.dumps({'url': 'http://127.0.0.1:1'}), flush=True)\nsys.stdin.read()\n"
    )
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    async with serve() as address:
        assert address == "http://127.0.0.1:1"
    environment, files = json.loads(seen.read_text())
    assert "sk-secret" not in environment.values()
    assert files == []


async def test_a_start_that_fails_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a hang, and not a stack of JSON errors."""
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SettingsError, match="Stepwire's extra serve"):
        async with serve():
            raise AssertionError("it must not start")
