"""Claude as a resource of a handler: a prompt file and its values go in, a checked answer comes out.

    async def extract(doc: Document, llm: Claude) -> Entities:
        fields = await llm(Fields, "extract.md", body=doc.text)

It promises:
- what it returns fits the class that was asked for. An answer that does not is sent back once, with what
  is wrong;
- a chain of models, cheap first: the next one is asked when a model is overloaded, failing, too slow or
  retired, when its answer is still wrong, or was cut off. Not after a rate limit, a bad key, a request
  that is wrong in itself or a lost connection (the next model would get the same), nor after a refusal;
- no retries of its own: they belong to the kernel, to which `classify` explains each failure;
- tokens, dollars and seconds of every call are noted on the delivery; the prompt's version is stamped on
  what the delivery emits;
- the key is in no repr, note or message.

This is the only file that imports the provider's SDK, at first use: that import takes seconds.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, overload
from urllib.parse import urlsplit

from pydantic import BaseModel

from stepwire.context import current
from stepwire.errors import Reject, SettingsError, Signal, Transient
from stepwire_handlers.steps.claude_errors import (
    NO_KEY,
    InvalidAnswer,
    Refused,
    exchange_signal,
    next_model_may_help,
    status_signal,
    unfit,
)
from stepwire_handlers.steps.price import PRICES, Prices, Usage, cost
from stepwire_handlers.steps.template import Template, load

__all__ = ["Claude", "Client", "InvalidAnswer", "Refused"]

Fields = TypeVar("Fields", bound=BaseModel)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")

MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5")
MAX_TOKENS = 8192  # room for the model's thinking and a long page; thinking counts as output
TIMEOUT = 50.0  # below a handler's 60 s, so that a hung call is seen as one instead of being cancelled
WRONG_SERVER = "Is ANTHROPIC_BASE_URL right?"
OFFLINE = "offline-model/"  # how the offline model signs its answers
CUT = {
    "max_tokens": "it was cut off at max_tokens={}. Raise it, or ask for less",
    "model_context_window_exceeded": "it filled the context window (max_tokens={}). Send or ask for less",
}


class Client(Protocol):
    """Any client that has the SDK's `messages`: the SDK's own, or one of its clients for a cloud."""

    @property
    def messages(self) -> Any:
        """Has `async create(**request)`."""


@dataclass(frozen=True, slots=True)
class _Request(Generic[T]):
    """One thing to ask, whichever model it goes to."""

    template: Template
    text: str
    parse: Callable[[str], T]  #: raises ValueError for an answer that does not fit
    schema: Mapping[str, Any] | None = None


class Claude:
    """Asks Claude, or whatever speaks its Messages API. The worker enters it; a script writes `async with`.

    Args:
        models: the chain, cheap first. A prompt file's `model:` replaces it.
        api_key: default ANTHROPIC_API_KEY, then what else the SDK knows.
        base_url: default ANTHROPIC_BASE_URL, then the provider's.
        max_tokens: most tokens of one answer, thinking included.
        timeout: seconds for one call.
        client: a ready client; then key, address and timeout are its own, and it is not closed here.
        prompts: the folder of the prompt files, such as `Path(__file__).parent / "prompts"`.
        offline: starts a server to ask when there is neither key nor address: `offline_model.serve`.
        prices: what models cost.
    """

    def __init__(
        self,
        models: Sequence[str] = MODELS,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int = MAX_TOKENS,
        timeout: float = TIMEOUT,
        client: Client | None = None,
        prompts: Traversable | None = None,
        offline: Callable[[], AbstractAsyncContextManager[str]] | None = None,
        prices: Prices = PRICES,
    ) -> None:
        if isinstance(models, str) or not models:
            raise SettingsError('Claude takes a chain of at least one model: models=("claude-haiku-5-5",)')
        self.models = tuple(models)
        self.max_tokens, self.timeout, self.prompts, self.prices = max_tokens, timeout, prompts, prices
        self._key, self._base_url, self._given, self._offline = api_key, base_url, client, offline
        self._client = client
        self._open: AsyncExitStack | None = None
        self._templates: dict[str | Traversable, Template] = {}

    def __repr__(self) -> str:
        host = urlsplit(self._base_url).hostname if self._base_url else None
        return f"Claude(models={self.models}{f', host={host!r}' if host else ''})"

    async def __aenter__(self) -> Self:
        """Connect. Raises SettingsError, with the cure, if there is neither a key nor an address."""
        if self._given is None:
            async with AsyncExitStack() as stack:
                self._client = await self._connect(await _sdk(), stack)
                self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._open, self._client = self._open, None, self._given
        if opened is not None:
            await opened.aclose()

    async def __call__(self, answer: type[Fields], template: str | Traversable, /, **values: object) -> Fields:
        """Fill in `answer` from the prompt.

        A field that is a mapping cannot be asked for: the provider's schemas have no open-ended objects.
        Raises InvalidAnswer if no model gives one that fits, PromptError if file and values do not.
        """
        prompt = self.template(template)
        schema = (await _sdk()).transform_schema(answer)
        return await self._ask(_Request(prompt, prompt.render(values), answer.model_validate_json, schema))

    async def text(self, template: str | Traversable, /, **values: object) -> str:
        """Free text. Raises as a call does; an empty answer is an invalid one."""
        prompt = self.template(template)
        return await self._ask(_Request(prompt, prompt.render(values), _not_empty))

    @overload
    async def choose(
        self, a: type[A], b: type[B], /, *, template: str | Traversable, **values: object
    ) -> type[A | B]: ...
    @overload
    async def choose(
        self, a: type[A], b: type[B], c: type[C], /, *, template: str | Traversable, **values: object
    ) -> type[A | B | C]: ...
    @overload
    async def choose(
        self,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        /,
        *,
        template: str | Traversable,
        **values: object,
    ) -> type[A | B | C | D]: ...
    @overload
    async def choose(self, /, *classes: type[T], template: str | Traversable, **values: object) -> type[T]: ...
    async def choose(self, /, *classes: type[Any], template: str | Traversable, **values: object) -> type[Any]:
        """The class that fits best. A model knows each by its name and its docstring's first line."""
        named = {cls.__name__: cls for cls in classes}
        if len(named) < max(2, len(classes)):
            raise Reject(f"choose needs classes of different names, two at least, not {sorted(named)}")
        prompt = self.template(template)

        def parse(answer: str) -> type[Any]:
            choice = json.loads(answer)
            name = choice.get("choice") if isinstance(choice, dict) else None
            if not isinstance(name, str) or name not in named:
                raise ValueError(f"`choice` must be one of {', '.join(named)}")
            return named[name]

        text = f"{prompt.render(values)}\n\n{_described(named)}"
        return await self._ask(_Request(prompt, text, parse, _choice_schema(named)))

    def template(self, name: str | Traversable) -> Template:
        """A prompt file, read once. Raises PromptError if it is missing or malformed."""
        if name not in self._templates:
            self._templates[name] = load(self.prompts, name)
        return self._templates[name]

    def classify(self, error: Exception) -> Signal | None:
        """What a failure of the SDK means for the kernel; None for anything else."""
        sdk: Any = sys.modules.get("anthropic")
        if isinstance(error, TypeError) and "authentication method" in str(error):
            return Reject(NO_KEY)
        if sdk is None or not isinstance(error, sdk.AnthropicError):
            return None
        if isinstance(error, sdk.APIStatusError):
            return status_signal(error, self._redacted(str(error.api_message or "")[:200]))
        if isinstance(error, sdk.WorkloadIdentityError):
            return exchange_signal(error)
        if isinstance(error, (sdk.APIConnectionError, sdk.RetryableError, sdk.IdentityTokenFileError)):
            return Transient(f"Claude could not be reached: {type(error).__name__}")
        return Reject(f"the SDK gave up: {type(error).__name__}")

    async def _connect(self, sdk: Any, stack: AsyncExitStack) -> Client:
        url = self._base_url or os.environ.get("ANTHROPIC_BASE_URL") or None
        key = self._key or os.environ.get("ANTHROPIC_API_KEY") or ("none" if url else None)
        try:
            client = sdk.AsyncAnthropic(api_key=key, base_url=url, timeout=self.timeout, max_retries=0)
        except sdk.CredentialsError as error:
            raise SettingsError(f"{NO_KEY}. A login that is configured cannot be used: {error}") from error
        if not (client.api_key or client.auth_token or client.credentials):
            await client.close()
            if self._offline is None:
                raise SettingsError(NO_KEY)
            url = await stack.enter_async_context(self._offline())
            client = sdk.AsyncAnthropic(api_key="none", base_url=url, timeout=self.timeout, max_retries=0)
        connected: Client = await stack.enter_async_context(client)
        return connected

    async def _ask(self, request: _Request[T]) -> T:
        """Go down the chain of models until one answers."""
        _stamp(request.template)
        sdk = await _sdk()
        *cheaper, last = request.template.models or self.models
        for model in cheaper:
            try:
                return await self._converse(model, request)
            except Refused:
                raise
            except InvalidAnswer:
                continue
            except sdk.APIError as error:
                if not next_model_may_help(error):
                    raise
        return await self._converse(last, request)

    async def _converse(self, model: str, request: _Request[T]) -> T:
        """Ask one model; if its answer does not fit, ask once more and say what is wrong."""
        turns: list[dict[str, str]] = [{"role": "user", "content": request.text}]
        where = f"{request.template.label}, answered by {model}"
        wrong = ""
        for _ in range(2):
            stopped, answer = await self._create(model, request, turns)
            if stopped == "refusal":
                raise Refused(f"{where}: the model refused. Look at the prompt and at what was put into it")
            if stopped in CUT:
                raise InvalidAnswer(f"{where}: {CUT[stopped].format(self.max_tokens)}")
            try:
                return request.parse(answer)
            except ValueError as error:
                wrong, advice = unfit(error)
            turns = _again(request.text, answer, advice)
        raise InvalidAnswer(f"{where}: the answer does not fit, nor did the second one: {wrong}")

    async def _create(self, model: str, request: _Request[T], turns: list[dict[str, str]]) -> tuple[str | None, str]:
        """Why one model stopped, and the text that it answered."""
        if self._client is None:
            raise SettingsError("Claude is not entered. Give it to App(resources=…), or use `async with`")
        options: dict[str, Any] = {"system": request.template.instructions, "messages": turns}
        if request.schema is not None:
            options["output_config"] = {"format": {"type": "json_schema", "schema": request.schema}}
        started, sdk = time.perf_counter(), await _sdk()
        try:
            message = await self._client.messages.create(model=model, max_tokens=self.max_tokens, **options)
            answer = _text(message)
        except (sdk.APIError, json.JSONDecodeError, UnicodeDecodeError, Reject) as error:
            _note(model, request.template, time.perf_counter() - started, Usage(), error=type(error).__name__)
            if isinstance(error, ValueError):  # the SDK lets these through: a proxy's page, or half a body
                raise Transient(f"the server's answer is not JSON ({type(error).__name__}). {WRONG_SERVER}") from error
            raise
        seconds, usage = time.perf_counter() - started, _usage(getattr(message, "usage", None))
        answered = message.model if isinstance(getattr(message, "model", None), str) else model
        dollars, stopped = cost(answered, usage, self.prices), getattr(message, "stop_reason", None)
        _note(answered, request.template, seconds, usage, cost_usd=dollars, stop_reason=stopped, asked=model)
        return stopped, answer

    def _redacted(self, text: str) -> str:
        keys = [self._key, *(getattr(self._client, name, None) for name in ("api_key", "auth_token"))]
        for key in keys:
            if isinstance(key, str) and len(key) > 4:
                text = text.replace(key, "***")
        return text


async def _sdk() -> Any:
    """The SDK, imported in a thread: its import would hold up the event loop for seconds."""
    if "anthropic" not in sys.modules:
        try:
            await asyncio.to_thread(importlib.import_module, "anthropic")
        except ImportError as error:
            raise SettingsError("anthropic is not installed: install Stepwire's extra claude") from error
    return sys.modules["anthropic"]


def _not_empty(answer: str) -> str:
    if not answer.strip():
        raise ValueError("the answer is empty")
    return answer.strip()


def _again(text: str, answer: str, advice: str) -> list[dict[str, str]]:
    """The conversation that asks once more. An empty turn is not allowed, so an empty answer is left out."""
    complaint = f"That answer does not fit: {advice}. Answer again, whole, and with nothing around it."
    if not answer.strip():
        return [{"role": "user", "content": f"{text}\n\n{complaint}"}]
    return [
        {"role": "user", "content": text},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": complaint},
    ]


def _described(named: Mapping[str, type[Any]]) -> str:
    first = {name: (cls.__doc__ or "").strip().partition("\n")[0] for name, cls in named.items()}
    lines = [f'<choice name="{name}">{line}</choice>' for name, line in first.items()]
    return "\n".join(["Choose exactly one:", "<choices>", *lines, "</choices>"])


def _choice_schema(named: Mapping[str, type[Any]]) -> dict[str, Any]:
    choice = {"type": "string", "enum": list(named), "description": "the name of the choice that fits best"}
    return {
        "type": "object",
        "properties": {"choice": choice},
        "required": ["choice"],
        "additionalProperties": False,
    }


def _text(message: Any) -> str:
    """The text of an answer. The SDK does not look at what it hands on, which may be anybody's JSON."""
    try:
        return "".join(block.text for block in message.content if block.type == "text")
    except (AttributeError, TypeError):
        raise Reject(f"the server does not speak the Messages API. {WRONG_SERVER}") from None


def _usage(usage: Any) -> Usage:
    def count(holder: Any, name: str) -> int:
        number = getattr(holder, name, 0)
        return number if isinstance(number, int) else 0

    return Usage(
        input=count(usage, "input_tokens"),
        output=count(usage, "output_tokens"),
        cache_read=count(usage, "cache_read_input_tokens"),
        cache_write=count(usage, "cache_creation_input_tokens"),
        cache_write_hour=count(getattr(usage, "cache_creation", None), "ephemeral_1h_input_tokens"),
    )


def _note(model: str, template: Template, seconds: float, usage: Usage, **facts: object) -> None:
    """Write one call down on the delivery, if one is running."""
    try:
        context = current()
    except LookupError:
        return
    if model.startswith(OFFLINE):
        facts["offline"] = True
    context.note(
        "model", model=model, purpose=template.label, started=time.time() - seconds, seconds=seconds,
        input_tokens=usage.input, output_tokens=usage.output, cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write, **facts,
    )  # fmt: skip
    context.stamp("usage", _used([fields for name, fields in context.notes if name == "model"]))


def _used(calls: Sequence[Mapping[str, Any]]) -> str:
    """What the calls of one delivery took, for its line on the timeline; a cost only if that of each is known."""
    models = "+".join(dict.fromkeys(str(call["model"]) for call in calls))
    read, written = (sum(call[name] for call in calls) for name in ("input_tokens", "output_tokens"))
    answered = [call for call in calls if "error" not in call]
    known = bool(answered) and all(call.get("cost_usd") is not None for call in answered)
    dollars = f" ${sum(call['cost_usd'] for call in answered):.4f}" if known else ""
    return f"{models} {read} in {written} out{dollars}"


def _stamp(template: Template) -> None:
    try:
        current().stamp("prompt", template.label)
    except LookupError:
        return
