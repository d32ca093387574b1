"""The Claude resource against a scripted server: the real SDK, real HTTP, every way in which a call can fail."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field
from tests.steps.messages_server import Reply, breaks_off, fails, hangs, messages_server, says

from stepwire import Context, Event, Reject, RetryLater, SettingsError, Transient
from stepwire_handlers.steps.claude import Claude, InvalidAnswer, Refused
from stepwire_handlers.steps.price import PRICES, Price, Usage, cost
from stepwire_handlers.steps.prompt import prompt
from stepwire_handlers.steps.template import PromptError

KEY = "sk-not-a-real-key-0123456789"
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


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    (tmp_path / "ask.md").write_text("---\nversion: 2\nsystem: Be brief.\n---\nRead this.\n\n{{text}}\n")
    (tmp_path / "outline.md").write_text("Plan it.\n\n{{subject}} for {{audience}}\n")
    (tmp_path / "strong.md").write_text("---\nmodel: strong\n---\n{{text}}\n")
    return tmp_path


@pytest.fixture
def context() -> Context:
    return Context(
        app="a", handler="h", run="r", scope="", key="k", attempt=1, visit=1, last_visit=False, missing=(),
        deadline=60.0, now=lambda: 0.0,
    )  # fmt: skip


@asynccontextmanager
async def asked(url: str, prompts: Path, *models: str, **options: Any) -> AsyncIterator[Claude]:
    chain = models or ("cheap", "strong")
    async with Claude(chain, api_key=KEY, base_url=url, prompts=prompts, **options) as llm:
        yield llm


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


OVERLOADED = fails(529, "overloaded_error", retry_after="3")
MOVES_ON = [OVERLOADED, fails(500, "api_error"), fails(504, "timeout_error"), fails(404, "not_found_error")]


@pytest.mark.parametrize("reply", MOVES_ON)
async def test_a_models_own_trouble_is_the_next_models_turn(prompts: Path, reply: Reply) -> None:
    """Overloaded, failing, slow or retired: the chain goes on."""
    with messages_server(reply, says(GOOD)) as server:
        async with asked(server.url, prompts) as llm:
            assert (await llm(Fields, "ask.md", text="x")).total == 5
    assert server.models == ["cheap", "strong"]


async def test_a_model_that_hangs_is_the_next_models_turn(prompts: Path) -> None:
    """The limit is the resource's own, in seconds for one call."""
    with messages_server(hangs(), says(GOOD)) as server:
        async with asked(server.url, prompts, timeout=0.2) as llm:
            assert (await llm(Fields, "ask.md", text="x")).total == 5
    assert server.models == ["cheap", "strong"]


SIGNALS: list[tuple[Reply, type[Exception], float | None]] = [
    (fails(429, "rate_limit_error", retry_after="7"), RetryLater, 7),
    (fails(429, "rate_limit_error", retry_after_ms="1500"), RetryLater, 1.5),
    (fails(429, "rate_limit_error", retry_after="86400"), RetryLater, 600),
    (fails(429, "rate_limit_error", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), RetryLater, 0),
    (fails(429, "rate_limit_error", retry_after="soon"), Transient, None),
    (fails(429, "rate_limit_error"), Transient, None),
    (fails(429, "rate_limit_error", code="enforced_spend_limit_reached", retry_after="5"), Reject, None),
    (fails(400, "invalid_request_error", x_should_retry="true"), Transient, None),
    (fails(409, "api_error", x_should_retry="false"), Reject, None),
    (fails(400, "invalid_request_error"), Reject, None),
    (fails(402, "billing_error"), Reject, None),
    (fails(413, "request_too_large"), Reject, None),
]


@pytest.mark.parametrize(("reply", "kind", "seconds"), SIGNALS)
async def test_other_failures_are_the_kernels_to_decide(
    prompts: Path, reply: Reply, kind: type[Exception], seconds: float | None
) -> None:
    """One request, no sleep; classify says what the answer means, with the provider's wait."""
    with messages_server(reply) as server:
        async with asked(server.url, prompts) as llm:
            signal = await failure(llm)
    assert type(signal) is kind
    assert seconds is None or (isinstance(signal, RetryLater) and signal.seconds == seconds)
    assert server.models == ["cheap"]


async def failure(llm: Claude) -> Exception:
    """What the next call's failure means."""
    import anthropic

    with pytest.raises(anthropic.APIError) as caught:
        await llm.text("ask.md", text="x")
    signal = llm.classify(caught.value)
    assert signal is not None
    return signal


async def test_an_overload_of_the_last_model_waits_as_long_as_it_says(prompts: Path) -> None:
    """529 with retry-after is a wait, 529 without is the kernel's backoff."""
    with messages_server(OVERLOADED, fails(529, "overloaded_error")) as server:
        async with asked(server.url, prompts, "only") as llm:
            first, second = await failure(llm), await failure(llm)
    assert isinstance(first, RetryLater)
    assert first.seconds == 3
    assert type(second) is Transient


async def test_an_error_in_the_middle_of_a_stream_is_judged_by_its_type(prompts: Path) -> None:
    """Its status is 200, so only the type tells."""
    import anthropic

    meant = []
    with messages_server(breaks_off("overloaded_error"), breaks_off("invalid_request_error")) as server:
        async with (
            asked(server.url, prompts) as llm,
            anthropic.AsyncAnthropic(api_key=KEY, base_url=server.url, max_retries=0) as client,
        ):
            for _ in range(2):
                with pytest.raises(anthropic.APIStatusError) as caught:
                    async with client.messages.stream(
                        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
                    ) as stream:
                        await stream.get_final_message()
                meant.append(type(llm.classify(caught.value)))
    assert meant == [Transient, Reject]


async def test_a_lost_connection_is_the_kernels_to_repeat(prompts: Path) -> None:
    """The next model lives at the same address, so it is not asked."""
    with messages_server() as server:
        url = server.url
    async with asked(url, prompts) as llm:
        assert type(await failure(llm)) is Transient


async def test_a_bad_key_names_its_setting_and_is_nowhere_in_what_is_said(prompts: Path) -> None:
    """Not even if the server repeats it."""
    with messages_server(fails(401, "authentication_error", f"invalid key {KEY}")) as server:
        async with asked(server.url, prompts) as llm:
            signal = await failure(llm)
            assert isinstance(signal, Reject)
            assert "ANTHROPIC_API_KEY" in str(signal)
            assert KEY not in str(signal) + repr(llm)


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


async def test_a_choice_is_a_class_described_by_its_first_line(prompts: Path) -> None:
    """A name that is not among the choices is a wrong answer."""
    with messages_server(says('{"choice": "Refunds"}'), says('{"choice": "Refund"}')) as server:
        async with asked(server.url, prompts) as llm:
            assert await llm.choose(Refund, Bug, template="ask.md", text="x") is Refund
    request = server.requests[0]
    assert '<choice name="Refund">Wants money back.</choice>' in request["messages"][0]["content"]
    assert request["output_config"]["format"]["schema"]["properties"]["choice"]["enum"] == ["Refund", "Bug"]
    assert "one of Refund, Bug" in server.requests[1]["messages"][-1]["content"]


async def test_a_choice_needs_two_names(prompts: Path) -> None:
    """Two classes of one name could not be told apart."""
    with pytest.raises(Reject, match="different names"):
        await Claude(prompts=prompts).choose(Bug, Bug, template="ask.md", text="x")


async def test_each_call_is_noted_with_tokens_cost_and_version(prompts: Path, context: Context) -> None:
    """Also the one that failed; and the version is stamped on what the delivery emits."""
    with messages_server(OVERLOADED, says("yes", cache_read_input_tokens=500)) as server:

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
