"""The Claude resource against a scripted server: the real SDK, real HTTP, every way in which a call can fail."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel, Field
from tests.steps.asking import KEY, asked
from tests.steps.messages_server import Reply, fails, messages_server, says

from stepwire import Context, Event, Reject, SettingsError
from stepwire_handlers.steps.claude import Claude, InvalidAnswer, Refused
from stepwire_handlers.steps.price import PRICES, Price, Usage, cost
from stepwire_handlers.steps.prompt import prompt
from stepwire_handlers.steps.template import PromptError

GOOD = '{"vendor": "Acme", "total": 5}'
BAD = '{"vendor": "Acme", "total": "SECRETVALUE"}'


class Fields(BaseModel):
    """What is asked for."""

    vendor: str
    total: float = Field(ge=0)


class Refund(Event, topic="t.refunds"):
    """Wants money back.

    More that the model need not know.
    """


class Bug(Event, topic="t.bugs"):
    """Something is broken."""


class Brief(Event, topic="t.briefs"):
    subject: str
    audience: str = "all"
    unused: str = "not in the file"


class Outline(Event, topic="t.outlines", result=True):
    title: str


async def test_an_answer_that_fits_is_returned_and_the_request_says_what_is_wanted(prompts: Path) -> None:
    """Schema, system prompt and fenced value are on the wire; thinking is no part of the answer."""
    with messages_server(says(GOOD)) as server:
        async with asked(server.url, prompts) as llm:
            assert await llm(Fields, "ask.md", text="x") == Fields(vendor="Acme", total=5)
    request = server.requests[0]
    assert request["output_config"]["format"]["schema"]["required"] == ["vendor", "total"]
    assert request["system"].startswith("Be brief.\n\nText between <value")
    assert request["messages"] == [{"role": "user", "content": 'Read this.\n\n<value name="text">x</value>'}]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("first", ["not json", BAD, ""])
async def test_a_wrong_answer_is_sent_back_once_with_what_is_wrong(prompts: Path, first: str) -> None:
    """The second answer of the same model counts."""
    with messages_server(says(first), says(GOOD)) as server:
        async with asked(server.url, prompts) as llm:
            assert (await llm(Fields, "ask.md", text="x")).vendor == "Acme"
    assert server.models == ["cheap", "cheap"]
    assert "That answer does not fit" in server.requests[1]["messages"][-1]["content"]


async def test_twice_wrong_is_the_next_models_turn_and_then_an_error_without_the_answer(prompts: Path) -> None:
    """InvalidAnswer names the file, its version and the field; what the model said stays out of it."""
    with messages_server(*[says(BAD)] * 4) as server:
        async with asked(server.url, prompts) as llm:
            with pytest.raises(InvalidAnswer, match=r"ask.md@2, answered by strong: .*total: float_parsing") as caught:
                await llm(Fields, "ask.md", text="x")
    assert server.models == ["cheap", "cheap", "strong", "strong"]
    assert "SECRETVALUE" not in str(caught.value)


async def test_a_cut_off_answer_is_the_next_models_turn(prompts: Path) -> None:
    """Asking again would only be cut off again; the last one's cut is an error that names the limit."""
    with messages_server(says("{", "max_tokens"), says(GOOD), *[says("{", "max_tokens")] * 2) as server:
        async with asked(server.url, prompts, max_tokens=77) as llm:
            assert (await llm(Fields, "ask.md", text="x")).total == 5
            with pytest.raises(InvalidAnswer, match="cut off at max_tokens=77"):
                await llm(Fields, "ask.md", text="x")
    assert server.models == ["cheap", "strong", "cheap", "strong"]


async def test_a_refusal_is_final(prompts: Path) -> None:
    """No other model is talked into it."""
    with messages_server(says("", "refusal"), says(GOOD)) as server:
        async with asked(server.url, prompts) as llm:
            with pytest.raises(Refused):
                await llm(Fields, "ask.md", text="x")
    assert server.models == ["cheap"]


async def test_a_missing_key_shows_when_the_worker_enters_and_not_before(prompts: Path) -> None:
    """Building an app needs no key; running it does, and the error says the two cures."""
    llm = Claude(prompts=prompts)
    with pytest.raises(SettingsError, match=r"ANTHROPIC_API_KEY.*ANTHROPIC_BASE_URL.*stepwire offline-model"):
        await llm.__aenter__()
    with pytest.raises(SettingsError, match="not entered"):
        await llm.text("ask.md", text="x")


async def test_without_key_and_address_it_starts_what_it_was_given(prompts: Path) -> None:
    """`offline=serve` runs a flow without any setting; with an address it is not started."""
    started = []
    with messages_server(says("yes"), says("yes")) as server:

        @asynccontextmanager
        async def start() -> AsyncIterator[str]:
            started.append(server.url)
            yield server.url

        async with Claude(prompts=prompts, offline=start) as llm:
            assert await llm.text("ask.md", text="x") == "yes"
        async with Claude(prompts=prompts, offline=start, base_url=server.url) as llm:
            assert await llm.text("ask.md", text="x") == "yes"
    assert len(started) == 1


async def test_an_empty_key_in_the_environment_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline sets empty variables."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    with pytest.raises(SettingsError, match="ANTHROPIC_API_KEY"):
        async with Claude():
            raise AssertionError("it must not start")


async def test_a_login_that_cannot_be_used_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that is named but not there is a setting, not a crash."""
    monkeypatch.setenv("ANTHROPIC_PROFILE", "nobody")
    with pytest.raises(SettingsError, match="login"):
        async with Claude():
            raise AssertionError("it must not start")


async def test_a_server_that_speaks_something_else_is_named(prompts: Path) -> None:
    """A wrong ANTHROPIC_BASE_URL is not retried for an hour."""
    with messages_server(Reply(200, b"<html>hello</html>", {"content-type": "text/html"})) as server:
        async with asked(server.url, prompts) as llm:
            with pytest.raises(Reject, match="ANTHROPIC_BASE_URL"):
                await llm.text("ask.md", text="x")


@pytest.mark.parametrize("wrong", ['{"choice": "Refunds"}', '{"choice": ["Refund"]}', '["Refund"]', "Refund", "{}"])
async def test_a_choice_is_a_class_described_by_its_first_line(prompts: Path, wrong: str) -> None:
    """A name that is not among the choices is a wrong answer."""
    with messages_server(says(wrong), says('{"choice": "Refund"}')) as server:
        async with asked(server.url, prompts) as llm:
            assert await llm.choose(Refund, Bug, template="ask.md", text="x") is Refund
    request = server.requests[0]
    assert '<choice name="Refund">Wants money back.</choice>' in request["messages"][0]["content"]
    assert request["output_config"]["format"]["schema"]["properties"]["choice"]["enum"] == ["Refund", "Bug"]
    complaint = server.requests[1]["messages"][-1]["content"]
    assert "one of Refund, Bug" in complaint or "not JSON" in complaint


async def test_a_choice_needs_two_names(prompts: Path) -> None:
    """Two classes of one name could not be told apart."""
    with pytest.raises(Reject, match="different names"):
        await Claude(prompts=prompts).choose(Bug, Bug, template="ask.md", text="x")


async def test_each_call_is_noted_with_tokens_cost_and_version(prompts: Path, context: Context) -> None:
    """Also the one that failed; and the version is stamped on what the delivery emits."""
    with messages_server(fails(529, "overloaded_error"), says("yes", cache_read_input_tokens=500)) as server:

        async def step() -> None:
            context.enter()
            async with asked(server.url, prompts, "claude-haiku-5-5", "claude-sonnet-5-5") as llm:
                await llm.text("ask.md", text="x")

        await asyncio.create_task(step())
    (_, failed), (_, answered) = context.notes
    assert failed["model"] == "claude-haiku-5-5"
    assert failed["error"] == "OverloadedError"
    assert answered["model"] == "claude-sonnet-5-5"
    assert (answered["input_tokens"], answered["output_tokens"], answered["cache_read_tokens"]) == (1000, 100, 500)
    assert answered["cost_usd"] == pytest.approx((1000 * 2 + 100 * 10 + 500 * 0.10) / 1e6)
    assert answered["purpose"] == "ask.md@2"
    assert "offline" not in answered
    used = "claude-haiku-5-5+claude-sonnet-5-5 1000 in 100 out $0.0031"
    assert context.stamps == {"prompt": "ask.md@2", "usage": used}


async def test_what_the_offline_model_answers_is_noted_as_such(prompts: Path, context: Context) -> None:
    """It signs its answers, so nobody has to be told."""
    with messages_server(says("yes", model="offline-model/1")) as server:

        async def step() -> None:
            context.enter()
            async with asked(server.url, prompts) as llm:
                await llm.text("ask.md", text="x")

        await asyncio.create_task(step())
    assert context.notes[0][1]["offline"] is True
    assert context.notes[0][1]["cost_usd"] == 0


async def test_a_prompt_files_model_replaces_the_chain(prompts: Path) -> None:
    """A hard question goes to the strong model at once."""
    with messages_server(says("yes")) as server:
        async with asked(server.url, prompts, "cheap") as llm:
            await llm.text("strong.md", text="x")
    assert server.models == ["strong"]


async def test_a_whole_handler_is_one_prompt_file(prompts: Path) -> None:
    """Its signature is the wiring, the event's fields are the values, those the file does not use are not sent."""
    outline = prompt("outline", Brief, Outline, template="outline.md", timeout=9)
    assert outline.name == "outline"
    assert outline.options.timeout == 9
    assert outline.signature.taken == (Brief,)
    assert [term.events for term in outline.signature.returns] == [(Outline,)]
    with messages_server(says('{"title": "Kafka"}')) as server:
        async with asked(server.url, prompts) as llm:
            assert await outline(Brief(subject="logs"), llm) == Outline(title="Kafka")
    sent = json.dumps(server.requests[0])
    assert "logs" in sent
    assert "not in the file" not in sent


async def test_a_value_too_many_or_too_few_costs_no_call(prompts: Path) -> None:
    """The error names the file and the value."""
    with messages_server() as server:
        async with asked(server.url, prompts) as llm:
            with pytest.raises(PromptError, match=r"ask.md needs a value for {{text}}"):
                await llm.text("ask.md")
            with pytest.raises(PromptError, match=r"ask.md has no placeholder for {{txet}}"):
                await llm.text("ask.md", text="x", txet="x")
    assert server.requests == []


def test_what_is_not_the_sdks_is_not_ours_to_classify() -> None:
    """None lets the kernel treat it as unknown; a missing login of the SDK names the setting."""
    llm = Claude()
    assert llm.classify(ValueError("x")) is None
    assert isinstance(llm.classify(TypeError("Could not resolve authentication method")), Reject)


def test_the_key_and_what_an_address_carries_are_in_no_repr() -> None:
    """People log their resources."""
    text = repr(Claude(api_key=KEY, base_url="https://user:pass@proxy.example/v1?token=t"))
    assert KEY not in text
    assert "pass" not in text
    assert "proxy.example" in text


def test_a_chain_is_a_sequence() -> None:
    """A single string would be a chain of letters."""
    with pytest.raises(SettingsError, match="chain"):
        Claude("claude-haiku-5-5")


def test_the_sdk_is_imported_at_first_use() -> None:
    """It takes seconds, which `stepwire --help` must not."""
    code = (
        "import sys, stepwire_handlers.steps.claude, stepwire_handlers.steps.prompt; print('anthropic' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("claude-haiku-5-5", Usage(input=100_000, output=1_000), 0.0105),
        ("claude-haiku-5-5", Usage(input=90_000, cache_read=20_000, output=1_000), 0.0485),
        ("claude-haiku-4-5-20251001", Usage(input=1_000_000), 1.0),
        ("claude-sonnet-5-5", Usage(cache_write=1_000_000, cache_write_hour=400_000), 1.5 + 1.6),
        ("somebody-elses", Usage(input=1), None),
    ],
)
def test_what_a_call_costs(model: str, usage: Usage, dollars: float | None) -> None:
    """By the length of the prompt where prices depend on it; an unknown model's cost is unknown, not zero."""
    assert cost(model, usage) == (None if dollars is None else pytest.approx(dollars))


def test_prices_are_data_that_a_user_overrides() -> None:
    """A table of one's own goes to Claude(prices=…)."""
    mine = {**PRICES, "mine": (Price(1, 2, 0, 0, 0),)}
    assert cost("mine", Usage(input=1_000_000, output=1_000_000), mine) == 3.0


async def typed(llm: Claude) -> Refund | Bug:
    """Read by the type checker only: a choice of classes is a class of their union."""
    return (await llm.choose(Refund, Bug, template="ask.md", text="x"))()
