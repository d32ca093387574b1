"""What a failed model call means: every error of the SDK, of the connection and of the answer, over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import anthropic
import httpx2
import pytest
from anthropic.types import StopReason
from pydantic import BaseModel
from tests.steps.asking import KEY, asked
from tests.steps.messages_server import Reply, breaks_off, fails, hangs, messages_server, says

from stepwire import Context, Reject, RetryLater, Transient
from stepwire_handlers.steps.claude import Claude, Refused

GOOD = '{"vendor": "Acme", "total": 5}'


class Fields(BaseModel):
    """What is asked for."""

    vendor: str
    total: float


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


# What each status means without a retry-after, and whether the next model of the chain is asked first.
MEANINGS: dict[tuple[int, str | None], tuple[type[Exception], bool]] = {
    (400, None): (Reject, False),
    (401, None): (Reject, False),
    (402, None): (Reject, False),
    (403, None): (Reject, False),
    (404, None): (Reject, True),
    (405, None): (Reject, False),
    (408, None): (Transient, True),
    (409, None): (Transient, False),
    (412, None): (Reject, False),
    (413, None): (Reject, False),
    (418, None): (Reject, False),
    (422, None): (Reject, False),
    (429, None): (Transient, False),
    (431, None): (Reject, False),
    (499, None): (Reject, False),
    (500, None): (Transient, True),
    (501, None): (Transient, True),
    (502, None): (Transient, True),
    (503, None): (Transient, True),
    (504, None): (Transient, True),
    (529, None): (Transient, True),
    (400, "cmek_key_disabled"): (Reject, False),
    (400, "cmek_key_network_blocked"): (Reject, False),
    (400, "claude_code_key_creator_not_member"): (Reject, False),
    (400, "claude_code_version_too_old"): (Reject, False),
    (400, "organization_on_hold"): (Reject, False),
    (400, "organization_type_not_supported"): (Reject, False),
    (400, "parent_organization_required"): (Reject, False),
    (400, "request_body_encoding_invalid"): (Reject, False),
    (400, "request_body_encoding_unsupported"): (Reject, False),
    (402, "linked_organization_billing_unavailable"): (Reject, False),
    (402, "linked_organization_spend_limit_reached"): (Reject, False),
    (403, "sandbox_egress_restricted"): (Reject, False),
    (413, "request_body_too_large_after_decoding"): (Reject, False),
    (429, "contract_spend_limit_reached"): (Reject, False),
    (429, "enforced_spend_limit_reached"): (Reject, False),
    (429, "ramp_limit_exceeded"): (Transient, False),
    (503, "cmek_context_unavailable"): (Transient, True),
    (503, "cmek_key_unreachable"): (Transient, True),
}


async def test_every_status_has_its_meaning(prompts: Path) -> None:
    """One request for each model that is asked, no sleep of the SDK's own; a retry-after is waited for."""
    met: set[type[Exception]] = set()
    for (status, code), (kind, moves_on) in MEANINGS.items():
        asks = 1 + moves_on
        plain, waiting = fails(status, "some_error", code=code), fails(status, "some_error", code=code, retry_after="7")
        with messages_server(*[plain] * asks, *[waiting] * asks) as server:
            async with asked(server.url, prompts) as llm:
                error = await failed(llm)
                met.add(type(error))
                signal = llm.classify(error)
                assert type(signal) is kind, (status, code, signal)
                assert str(status) in str(signal)
                assert server.models == ["cheap", "strong"][:asks], (status, code)
                later = llm.classify(await failed(llm))
                assert type(later) is (RetryLater if kind is Transient else Reject), (status, code, later)
                assert not isinstance(later, RetryLater) or later.seconds == 7
    named = {error for error in vars(anthropic).values() if isinstance(error, type)}
    statuses = {error for error in named if issubclass(error, anthropic.APIStatusError)}
    assert statuses <= met, "a new class of errors in the SDK needs a row here"


SIGNALS: list[tuple[Reply, type[Exception], float | None]] = [
    (fails(429, "rate_limit_error", retry_after_ms="1500"), RetryLater, 1.5),
    (fails(429, "rate_limit_error", retry_after="86400"), RetryLater, 600),
    (fails(429, "rate_limit_error", retry_after="inf"), RetryLater, 600),
    (fails(429, "rate_limit_error", retry_after="-5"), RetryLater, 0),
    (fails(429, "rate_limit_error", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), RetryLater, 0),
    (fails(429, "rate_limit_error", retry_after="soon"), Transient, None),
    (fails(400, "invalid_request_error", x_should_retry="true"), Transient, None),
    (fails(409, "api_error", x_should_retry="false"), Reject, None),
    (Reply(502, b"<h1>Bad gateway</h1>", {"content-type": "text/html"}), Transient, None),
    (Reply(413, b"", {"content-type": "text/html"}), Reject, None),
]


@pytest.mark.parametrize(("reply", "kind", "seconds"), SIGNALS)
async def test_what_a_server_says_of_a_repeat_counts(
    prompts: Path, reply: Reply, kind: type[Exception], seconds: float | None
) -> None:
    """Seconds, milliseconds or a date, at most ten minutes; and x-should-retry goes before the status."""
    with messages_server(reply) as server:
        async with asked(server.url, prompts, "only") as llm:
            signal = await failure(llm)
    assert type(signal) is kind
    assert seconds is None or (isinstance(signal, RetryLater) and signal.seconds == seconds)
    assert server.models == ["only"]


async def failed(llm: Claude) -> Exception:
    """What the next call fails with."""
    with pytest.raises(anthropic.APIError) as caught:
        await llm.text("ask.md", text="x")
    return caught.value


async def failure(llm: Claude) -> Exception:
    """What the next call's failure means."""
    signal = llm.classify(await failed(llm))
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


ASKED = httpx2.Request("POST", "http://127.0.0.1/v1/messages")
UNSENT: list[tuple[anthropic.AnthropicError, type[Exception]]] = [
    (anthropic.APIConnectionError(request=ASKED), Transient),
    (anthropic.APITimeoutError(ASKED), Transient),
    (anthropic.APIResponseValidationError(httpx2.Response(200, request=ASKED), None), Reject),
    (anthropic.APIWebhookValidationError("not of this API", ASKED, body=None), Reject),
    (anthropic.APIError("something else", ASKED, body=None), Reject),
    (anthropic.CredentialsError("no file"), Reject),
    (anthropic.IdentityTokenFileError("not there yet"), Transient),
    (anthropic.RetryableError("a middleware's"), Transient),
    (anthropic.WorkloadIdentityError("nobody answered"), Transient),
    (anthropic.WorkloadIdentityError("busy", status_code=429), Transient),
    (anthropic.WorkloadIdentityError("down", status_code=503), Transient),
    (anthropic.WorkloadIdentityError("refused", status_code=403), Reject),
    (anthropic.AnthropicError("something else"), Reject),
]


@pytest.mark.parametrize(("error", "kind"), UNSENT)
def test_an_error_without_an_answer_has_a_meaning_too(error: Exception, kind: type[Exception]) -> None:
    """Credentials that may come up soon are waited for, those that are wrong are not."""
    assert type(Claude().classify(error)) is kind


def test_no_class_of_the_sdks_errors_is_left_out() -> None:
    """A release of the SDK with a new one has to be looked at; those with a status are met in the table above."""
    named = {error for error in vars(anthropic).values() if isinstance(error, type)}
    errors = {error for error in named if issubclass(error, anthropic.AnthropicError)}
    statuses = {error for error in errors if issubclass(error, anthropic.APIStatusError)}
    assert errors - statuses == {type(error) for error, _ in UNSENT}


# What becomes of an answer that fits, by why the model stopped: taken, the next model's turn, or the end.
STOPPED = {
    "end_turn": "taken",
    "stop_sequence": "taken",
    "tool_use": "taken",
    "pause_turn": "taken",
    "max_tokens": "next",
    "model_context_window_exceeded": "next",
    "refusal": "end",
}


async def test_every_reason_to_stop_has_its_meaning(prompts: Path) -> None:
    """What was cut off is not taken though it parses, and a refusal is not taken though it says something."""
    assert set(STOPPED) == set(get_args(StopReason)), "a new reason in the SDK needs a row here"
    for reason, meaning in STOPPED.items():
        with messages_server(says(GOOD, reason), says(GOOD)) as server:
            async with asked(server.url, prompts) as llm:
                call = llm(Fields, "ask.md", text="x")
                if meaning == "end":
                    with pytest.raises(Refused):
                        await call
                else:
                    assert (await call).total == 5
        assert server.models == (["cheap", "strong"] if meaning == "next" else ["cheap"]), reason


async def test_a_connection_that_breaks_in_the_answer_is_the_kernels_to_repeat(prompts: Path) -> None:
    """Half of what was promised has arrived."""
    with messages_server(Reply(200, says("yes").body, {"content-length": "9999"})) as server:
        async with asked(server.url, prompts, "only") as llm:
            assert type(await failure(llm)) is Transient


async def test_a_hung_last_model_is_the_kernels_to_repeat(prompts: Path) -> None:
    """After the resource's own limit."""
    with messages_server(hangs()) as server:
        async with asked(server.url, prompts, "only", timeout=0.2) as llm:
            error = await failed(llm)
            assert isinstance(error, anthropic.APITimeoutError)
            assert type(llm.classify(error)) is Transient


GOOD_BODY = json.loads(says("yes").body)
NOT_JSON = [b"", b"{", b"<html>", bytes(range(256)), b'{"a": "\xe9"}', says("yes").body[:60]]
NOT_A_MESSAGE: list[Any] = [
    None, [], {}, "text", 7, {"type": "error", "error": {"type": "overloaded_error"}},
    GOOD_BODY | {"content": None}, GOOD_BODY | {"content": "text"}, GOOD_BODY | {"content": [1]},
    GOOD_BODY | {"content": [{"type": "text"}]}, GOOD_BODY | {"content": [{"type": "text", "text": 7}]},
]  # fmt: skip


@pytest.mark.parametrize("body", NOT_JSON)
async def test_half_an_answer_is_the_kernels_to_repeat(prompts: Path, context: Context, body: bytes) -> None:
    """A proxy that breaks off is like a lost connection; the call is noted, and the message names the setting."""
    context.enter()
    with messages_server(Reply(200, body)) as server:
        async with asked(server.url, prompts) as llm:
            with pytest.raises(Transient, match=r"not JSON .*ANTHROPIC_BASE_URL"):
                await llm.text("ask.md", text="x")
    assert server.models == ["cheap"]
    ((_, noted),) = context.notes
    assert noted["error"] in {"JSONDecodeError", "UnicodeDecodeError"}


@pytest.mark.parametrize("body", NOT_A_MESSAGE, ids=str)
async def test_json_that_is_no_message_is_named_and_not_repeated(prompts: Path, body: object) -> None:
    """Another program listens at that address; asking it five times changes nothing."""
    with messages_server(Reply(200, json.dumps(body).encode())) as server:
        async with asked(server.url, prompts) as llm:
            with pytest.raises(Reject, match=r"does not speak the Messages API.*ANTHROPIC_BASE_URL"):
                await llm.text("ask.md", text="x")
    assert server.models == ["cheap"]


@pytest.mark.parametrize("lacks", ["usage", "model", "stop_reason", "id"])
@pytest.mark.parametrize("how", ["left out", None, "text", 7])
async def test_an_answer_counts_whatever_is_wrong_around_it(
    prompts: Path, context: Context, lacks: str, how: str | int | None
) -> None:
    """A server that speaks the API in part is not failed for what is only counted."""
    body = {name: value for name, value in GOOD_BODY.items() if name != lacks or how != "left out"}
    body |= {} if how == "left out" else {lacks: how}
    context.enter()
    with messages_server(Reply(200, json.dumps(body).encode())) as server:
        async with asked(server.url, prompts) as llm:
            assert await llm.text("ask.md", text="x") == "yes"
    ((_, noted),) = context.notes
    assert isinstance(noted["model"], str) and isinstance(noted["input_tokens"], int)
