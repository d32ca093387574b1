"""Metrics: frozen names and labels, rare series at 0, what is counted when, and their page."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest
from tests.cli import market
from tests.telemetry.shop import APP, Order, listened

from stepwire import outcome
from stepwire.bus.protocol import Partition
from stepwire.clock import VirtualClock
from stepwire.telemetry import Assigned, Called, Committed, Skipped
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.telemetry import Metrics, console, door, runs
from stepwire_handlers.telemetry.metrics import CLOSED, COUNTERS, FAILURES, GAUGES, HISTOGRAMS, page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "metrics.md"
QUIET = Configuration(log="off")


def test_the_page_of_metrics_is_current() -> None:
    """docs/metrics.md says what the code has; `make docs` writes it anew."""
    assert DOCS.read_text() == page()


async def test_rare_series_start_at_0_and_what_happened_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first dead letter is an increase from 0; ok, retry and dead letter are told apart."""
    async with listened(monkeypatch, QUIET) as heard:
        before = await heard.scrape()
        assert 'stepwire_dead_letters_total{error_type="Reject",handler="check",topic="order"} 0.0' in before
        assert 'stepwire_messages_processed_total{handler="pay",outcome="retry",topic="checked"} 0.0' in before
        for n in (1, 7, -1):
            await heard.run.publish(Order(n=n))
        after = await heard.scrape()
    assert 'stepwire_messages_processed_total{handler="check",outcome="ok",topic="order"} 2.0' in after
    assert 'stepwire_dead_letters_total{error_type="Reject",handler="check",topic="order"} 1.0' in after
    assert 'stepwire_retries_total{error_type="Transient",handler="pay",topic="checked"} 1.0' in after
    assert 'stepwire_handler_duration_seconds_count{handler="check",outcome="ok",topic="order"} 2.0' in after
    assert 'stepwire_message_queue_delay_seconds_count{handler="pay",topic="checked"} 2.0' in after
    assert 'stepwire_messages_produced_total{outcome="ok",topic="done"} 2.0' in after
    assert 'stepwire_consumer_lag_messages{group="shop.check",partition="0",topic="order"} 0.0' in after
    assert 'stepwire_messages_in_flight{handler="check",topic="order"} 0.0' in after
    assert 'stepwire_assigned_partitions{group="shop.check",topic="order"} 1.0' in after
    assert re.search(r'stepwire_commit_duration_seconds_count{group="shop.check"} [1-9]', after)


async def test_what_a_join_or_an_error_of_the_users_own_may_come_to_starts_at_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gate that expires counts under its control topic, which has a series before; an error has one once retried."""
    async with listened(monkeypatch, QUIET, app=market.app) as heard:
        before = await heard.scrape()
        expired = (
            'stepwire_dead_letters_total{error_type="JoinExpired",handler="approve",topic="market.approve.control"}'
        )
        given_up = (
            'stepwire_messages_processed_total{handler="approve",outcome="dead_letter",topic="market.approve.control"}'
        )
        unsigned = 'stepwire_records_skipped_total{handler="approve",why="unsigned"}'
        for series in (expired, given_up, unsigned):
            assert f"{series} 0.0" in before
        assert (
            'stepwire_deserialization_failures_total{error_type="DecodeError",topic="market.check.control"} 0.0'
            in before
        )
        assert 'stepwire_records_lost_total{group="market.check",topic="market.orders"} 0.0' in before
        assert 'stepwire_rebalances_total{group="market.check",kind="lost"} 0.0' in before
        assert 'handler="check",why="unsigned"' not in before
        await heard.run.publish(market.Order(n=500))
        await heard.run.advance(8 * 86_400.0)
        after = await heard.scrape()
    assert f"{expired} 1.0" in after
    assert f"{given_up} 1.0" in after
    metrics = Metrics(APP)
    metrics(Called("shop", "pay", "checked", "retry", "r", "k", 1, 0.1, 0.0, "KeyError"))
    told = (await metrics.scrape())[0].decode()
    assert 'stepwire_dead_letters_total{error_type="KeyError",handler="pay",topic="checked"} 0.0' in told


async def test_calls_of_models_and_tools_are_counted_from_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, cost, seconds and rate limits by model; calls by tool."""
    async with listened(monkeypatch, QUIET) as heard:
        await heard.run.publish(Order(n=1))
        told = await heard.scrape()
    model = 'gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="small"'
    assert f'gen_ai_client_token_usage_sum{{{model},gen_ai_token_type="input"}} 100.0' in told
    assert f'gen_ai_client_token_usage_sum{{{model},gen_ai_token_type="cache_read"}} 5.0' in told
    assert f'gen_ai_client_operation_duration_seconds_sum{{error_type="",{model}}} 0.5' in told
    assert f'gen_ai_client_operation_duration_seconds_count{{error_type="RateLimitError",{model}}} 1.0' in told
    assert 'stepwire_model_cost_usd_total{gen_ai_request_model="small",handler="pay"} 0.25' in told
    assert "stepwire_llm_rate_limited_total" in told
    assert 'stepwire_tool_call_duration_seconds_count{outcome="ok",server="bank",tool="bank.pay"} 1.0' in told


async def test_lag_counts_what_nobody_has_fetched_and_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped step is behind by every record of its topic, and by the age of the first."""
    async with listened(monkeypatch, QUIET) as heard:
        paused = next(d for d in heard.worker.dispatchers if d.step.name == "pay")
        paused.stopping = True
        await heard.worker.bus.publish([APP.record(Order(n=n), now=0.0)[0] for n in (1, 2, 3)])
        while (await heard.worker.bus.ends(["checked"]))[Partition("checked", 0)] < 3 or heard.worker.dispatchers[
            0
        ].active:
            await asyncio.sleep(0)
        clock = heard.worker.clock
        assert isinstance(clock, VirtualClock)
        clock.turn(clock.now() + 100.0)
        told = await heard.scrape()
        paused.stopping = False
    assert 'stepwire_consumer_lag_messages{group="shop.pay",partition="0",topic="checked"} 3.0' in told
    assert 'stepwire_consumer_lag_seconds{group="shop.pay",partition="0",topic="checked"} 100.0' in told
    assert 'stepwire_consumer_lag_messages{group="shop.check",partition="0",topic="order"} 0.0' in told


async def test_a_worker_tells_its_open_gates_and_when_the_next_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0, also of a gate that nobody asked yet; a decided one is gone."""
    async with listened(monkeypatch, QUIET, app=market.app) as heard:
        before = await heard.scrape()
        assert 'stepwire_gates_open{handler="approve"} 0.0' in before
        assert 'stepwire_gate_next_expiry_timestamp_seconds{handler="approve"} 0.0' in before
        assert 'stepwire_gate_timeout_seconds{handler="approve"} 604800.0' in before
        assert 'handler="check"' not in "".join(line for line in before.splitlines() if "stepwire_gate" in line)
        await heard.run.publish(market.Order(n=500))
        first = heard.worker.clock.now()
        await heard.run.advance(1_000.0)
        await heard.run.publish(market.Order(n=501))
        told = await heard.scrape()
        assert 'stepwire_gates_open{handler="approve"} 2.0' in told
        (expiry,) = re.findall(r'stepwire_gate_next_expiry_timestamp_seconds{handler="approve"} (\S+)', told)
        assert float(expiry) == pytest.approx(first + 7 * 86_400.0)
        await heard.run.decide(heard.run.gates[0])
        await heard.run.advance(8 * 86_400.0)
        after = await heard.scrape()
    assert 'stepwire_gates_open{handler="approve"} 0.0' in after
    assert 'stepwire_gate_next_expiry_timestamp_seconds{handler="approve"} 0.0' in after


async def test_a_worker_tells_of_how_many_deliveries_nobody_knows_what_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From 0, of each step whose effect must not repeat and of no other; one that a person answered is gone."""
    async with listened(monkeypatch, QUIET, app=market.app) as heard:
        before = await heard.scrape()
        assert 'stepwire_unknown_outcomes_open{handler="charge"} 0.0' in before
        assert 'stepwire_unknown_outcomes_open{handler="check"}' not in before
        for amount in (1, 2):
            await heard.run.publish(market.Charge(amount=amount))
        assert 'stepwire_unknown_outcomes_open{handler="charge"} 2.0' in await heard.scrape()
        await heard.run.resolve(heard.run.unknown[0], "drop")
        assert 'stepwire_unknown_outcomes_open{handler="charge"} 1.0' in await heard.scrape()


def test_other_facts_have_their_counters() -> None:
    """Duplicates, unreadable records, failed commits and changes of assignment."""
    from prometheus_client import generate_latest

    metrics = Metrics(APP)
    metrics(Skipped("shop", "check", "order", "duplicate"))
    metrics(Skipped("shop", "check", "order", "undecodable"))
    metrics(Committed("shop.check", 3, {}, 0.0, "database is locked", "BusUnavailable"))
    metrics(Committed("shop.check", 3, {}, 0.0, "shop.check has a newer owner", "Fenced"))
    metrics(Assigned("shop.check", "lost"))
    told = generate_latest(metrics.registry).decode()
    assert 'stepwire_duplicates_skipped_total{handler="check"} 1.0' in told
    assert 'stepwire_deserialization_failures_total{error_type="DecodeError",topic="order"} 1.0' in told
    assert 'stepwire_records_skipped_total{handler="check",why="undecodable"} 1.0' in told
    for error, count in (("BusUnavailable", 1.0), ("Fenced", 1.0), ("OutcomeUnknown", 0.0)):
        assert f'stepwire_commit_failures_total{{error_type="{error}",group="shop.check"}} {count}' in told
    assert 'stepwire_rebalances_total{group="shop.check",kind="lost"} 1.0' in told


def test_the_page_names_every_reason_for_which_the_kernel_skips_a_record() -> None:
    """No more and no fewer: whatever stands as a text in a call that skips one."""
    said = set[str]()
    for path in (ROOT / "kernel" / "stepwire" / "dispatch").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("Applied", "_skip", "Skipped", "say_skipped")
            ):
                texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
                said |= {text for text in texts if isinstance(text, str) and re.fullmatch("[a-z_]+", text)}
    (listed,) = [values for label, _, values in CLOSED if label == "why"]
    assert sorted(listed) == sorted(said - {"blocked", "run"})  # a kind of message, on which a reason depends; a field


def test_names_follow_the_rules_of_prometheus() -> None:
    """One prefix or OpenTelemetry's, base units, no type or label in a name, nothing twice."""
    families = (*COUNTERS, *HISTOGRAMS, *GAUGES, *runs.FAMILIES, *door.FAMILIES, *console.FAMILIES)
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert re.fullmatch(r"(stepwire|gen_ai)_[a-z_]+", family.name)
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert list(family.buckets) == sorted(set(family.buckets))


def test_every_failure_of_the_kernel_has_a_series_at_0() -> None:
    """A new reason for a dead letter must find its place in the frozen list."""
    kernel = {name for name, found in inspect.getmembers(outcome, inspect.isclass) if issubclass(found, Exception)}
    own = {name for name in kernel if getattr(outcome, name).__module__ == outcome.__name__}
    assert own <= set(FAILURES)


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    """Whoever reads one in a metric or a list finds on docs/operating.md why it is so and what to do."""
    text = DOCS.with_name("operating.md").read_text()
    assert {name for name in FAILURES if f"| `{name}` | " not in text} == set()


if __name__ == "__main__":
    DOCS.write_text(page())
