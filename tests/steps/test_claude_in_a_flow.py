"""The model step in a running app: what it took is on the metrics, in the envelope and on the timeline."""

from __future__ import annotations

import time
from pathlib import Path

from tests.steps.asking import KEY
from tests.steps.messages_server import MessagesServer, fails, messages_server, says

from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Partition
from stepwire.worker import Worker
from stepwire_handlers.cli.timeline import lines, total
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.runs import Runs, RunView
from stepwire_handlers.services.telling import whole
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.prompt import prompt
from stepwire_handlers.telemetry import Metrics, build

CHEAP, STRONG = "claude-haiku-5-5", "claude-sonnet-5-5"


class Ask(Event, topic="c.asks"):
    text: str


class Refund(Event, topic="c.refunds"):
    """Wants money back."""

    text: str


class Bug(Event, topic="c.bugs", terminal=True):
    """Something is broken."""

    text: str


class Reply(Event, topic="c.replies", result=True):
    title: str


@handler()
async def sort(ask: Ask, llm: Claude) -> Refund | Bug:
    kind = await llm.choose(Refund, Bug, template="ask.md", text=ask.text)
    return kind(text=ask.text)


answer = prompt("answer", Refund, Reply, template="strong.md")


def app(server: MessagesServer, prompts: Path) -> App:
    claude = Claude((CHEAP, STRONG), api_key=KEY, base_url=server.url, prompts=prompts)
    return App("c", [sort, answer], [claude])


async def worked(app: App, path: Path, metrics: Metrics) -> tuple[RunView, dict[str, str]]:
    """One ask, worked off on a bus: its run, and the headers of the reply."""
    bus = LocalBus(str(path))
    await bus.open()
    worker = Worker(app, bus, telemetry=build(Configuration(log="off"), app, metrics))
    await worker.start()
    out, run = app.record(Ask(text="x"), now=time.time())
    await bus.publish([out])
    await worker.settle()
    (reply,) = await bus.read(Partition("c.replies", 0), 0, 9)
    view = Runs(app, bus).view(run)
    await worker.stop()
    await bus.close()
    return view, dict(reply.headers)


async def test_what_each_model_took_is_counted_and_shown_with_the_prompts_version(
    prompts: Path, tmp_path: Path
) -> None:
    """A chain that went to its second model, a handler that is one prompt file, and every token of both accounted."""
    (prompts / "strong.md").write_text("---\nversion: 7\n---\n{{text}}\n")
    script = [
        says("Refund", cache_read_input_tokens=500),  # no JSON, so it is asked again
        fails(529, "overloaded_error"),  # the second time it is overloaded, so the next model's turn
        says('{"choice": "Refund"}'),
        says('{"title": "Sorry"}', model=f"{CHEAP}-20251001"),  # which is counted with the name that was asked for
    ]
    with messages_server(*script) as server:
        flow = app(server, prompts)
        metrics = Metrics(flow)
        view, headers = await worked(flow, tmp_path / "bus.db", metrics)
        told = (await metrics.scrape())[0].decode()
    assert server.models == [CHEAP, CHEAP, STRONG, CHEAP]
    assert (view.state, view.result) == ("completed", Reply(title="Sorry"))

    cheap, strong = (1000 * 0.10 + 100 * 0.50) / 1e6, (1000 * 2 + 100 * 10) / 1e6
    again = cheap + 500 * 0.01 / 1e6
    spent = {
        (CHEAP, "sort"): again,
        (STRONG, "sort"): strong,
        (CHEAP, "answer"): cheap,
    }
    for (model, step), dollars in spent.items():
        (line,) = (
            line
            for line in told.splitlines()
            if line.startswith(f'stepwire_model_cost_usd_total{{gen_ai_request_model="{model}",handler="{step}"}}')
        )
        assert abs(float(line.rpartition(" ")[2]) - dollars) < 1e-9, line
    used = 'gen_ai_provider_name="anthropic",gen_ai_request_model="{}",gen_ai_token_type="{}"}} {}'
    for model, kind, tokens in ((CHEAP, "input", 2000.0), (STRONG, "output", 100.0), (CHEAP, "cache_read", 500.0)):
        assert used.format(model, kind, tokens) in told
    assert f'error_type="OverloadedError",gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="{CHEAP}"' in told  # fmt: skip  # noqa: E501

    assert (headers["ce_swprompt"], headers["ce_swusage"]) == (
        "strong.md@7",
        f"{CHEAP}-20251001 1000 in 100 out $0.0001",
    )
    shown = "\n".join(line.plain for line in lines(whole(view)))
    assert f"prompt=ask.md@2  {CHEAP}+{STRONG} 2000 in 200 out $0.0032" in shown
    assert f"prompt=strong.md@7  {CHEAP}-20251001 1000 in 100 out $0.0001" in shown
    assert ", $0.0033, started" in total(whole(view)).plain


async def test_a_rate_limit_is_waited_for_as_long_as_the_provider_says(prompts: Path) -> None:
    """The event is parked for the time of the retry-after, to the second, and asked again once."""
    with messages_server(fails(429, "rate_limit_error", retry_after="60"), says('{"title": "Sorry"}')) as server:
        claude = Claude((CHEAP,), api_key=KEY, base_url=server.url, prompts=prompts)
        async with await App("c", [answer], [claude]).run(Refund(text="x")) as run:
            await run.advance(59)
            assert (len(server.models), run.result) == (1, None)
            await run.advance(2)
            assert (len(server.models), run.result) == (2, Reply(title="Sorry"))


async def test_a_bad_key_is_a_dead_letter_at_once(prompts: Path) -> None:
    """Nothing of it is repeated, and the dead letter names the setting."""
    with messages_server(fails(401, "authentication_error")) as server:
        claude = Claude((CHEAP, STRONG), api_key=KEY, base_url=server.url, prompts=prompts)
        async with await App("c", [answer], [claude]).run(Refund(text="x")) as run:
            (dead,) = run.dead_letters
            assert "ANTHROPIC_API_KEY" in dead.message and len(server.models) == 1
