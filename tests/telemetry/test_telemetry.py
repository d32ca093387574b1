"""Metrics and log lines: frozen names, rare series at 0, and no secret anywhere."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated

import pytest
from prometheus_client import generate_latest

from stepwire import App, Event, Reject, Sensitive, SettingsError, handler
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock
from stepwire.memory import Run
from stepwire.worker import Worker
from stepwire_handlers.configuration import Configuration, load, load_with_sources
from stepwire_handlers.telemetry import Metrics, build

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


class Order(Event, topic="order"):
    n: int
    card: Annotated[str, Sensitive()] = "4711-0815"


class Done(Event, topic="done", result=True):
    n: int


@handler()
async def check(order: Order) -> Done:
    if order.n < 0:
        raise Reject("negative")
    return Done(n=order.n)


APP = App("shop", [check])


class _Stderr(io.TextIOWrapper):
    """A stderr that is remembered."""


async def logged(monkeypatch: pytest.MonkeyPatch, payload: str, *events: Order) -> tuple[list[dict[str, object]], str]:
    """Log lines and metrics of a worker that handled these events."""
    stderr = _Stderr(io.BytesIO())
    monkeypatch.setattr(sys, "stderr", stderr)
    metrics = Metrics(APP)
    hook = build(Configuration(payload=payload), APP, metrics)  # type: ignore[arg-type]
    clock = VirtualClock()
    bus = LocalBus(clock=clock)
    await bus.open()
    worker = Worker(APP, bus, clock=clock, telemetry=hook)
    metrics.watch(worker)
    await worker.start()
    run = Run(APP, worker, bus, clock, "")
    for event in events:
        await run.publish(event)
    scraped = generate_latest(metrics.registry).decode()
    await run.close()
    lines = stderr.buffer.getvalue().decode().splitlines()  # type: ignore[attr-defined]
    return [json.loads(line) for line in lines], scraped


async def test_each_step_is_one_line_and_sensitive_fields_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery is a line with its outcome; a field marked Sensitive is in no line and no metric, even in full."""
    for payload in ("redacted", "full"):
        lines, scraped = await logged(monkeypatch, payload, Order(n=1), Order(n=-1))
        outcomes = [line["outcome"] for line in lines if "outcome" in line]
        assert outcomes == ["ok", "dead_letter"]
        assert lines[0]["input"] == [{"n": 1, "card": "***"}]
        assert "4711" not in json.dumps(lines) + scraped


async def test_payloads_may_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With payload off no event is in a line."""
    lines, _ = await logged(monkeypatch, "off", Order(n=1))
    assert all("input" not in line for line in lines)


async def test_metrics_count_what_happened_and_rare_series_start_at_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and labels as the docs say; the first dead letter is an increase."""
    _, scraped = await logged(monkeypatch, "off", Order(n=1), Order(n=-1))
    assert 'stepwire_messages_processed_total{handler="check",outcome="ok",topic="order"} 1.0' in scraped
    assert 'stepwire_dead_letters_total{error_type="Reject",handler="check"} 1.0' in scraped
    assert 'stepwire_retries_total{error_type="",handler="check"} 0.0' in scraped
    assert 'stepwire_messages_produced_total{topic="done"} 1.0' in scraped
    assert 'stepwire_consumer_lag_messages{group="shop.check",partition="0",topic="order"} 0.0' in scraped


def page() -> str:
    """The table of metrics, from the code."""
    worker = Worker(APP, LocalBus())
    metrics = Metrics(APP)
    metrics.watch(worker)
    lines = ["# Metrics", "", "Made from the code by `tests/telemetry/test_telemetry.py`. Durations are seconds.", "",
             "| name | type | meaning |", "|---|---|---|"]  # fmt: skip
    for family in sorted(metrics.registry.collect(), key=lambda family: family.name):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        lines.append(f"| `{family.name}{suffix}` | {family.type} | {family.documentation} |")
    return "\n".join(lines) + "\n"


def test_the_page_of_metrics_is_current() -> None:
    """docs/metrics.md says what the code has; write it anew with `python -m tests.telemetry.test_telemetry`."""
    assert DOCS.read_text() == page()


def test_a_flag_goes_before_the_environment_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the source of each value is known."""
    (tmp_path / "stepwire.toml").write_text('log = "console"\npayload = "off"\n[worker]\ndrain = 5\n')
    monkeypatch.setenv("STEPWIRE_PAYLOAD", "full")
    loaded = load_with_sources(tmp_path, bus="sqlite:///x.db")
    assert (loaded.values.log, loaded.values.payload, loaded.values.worker.drain) == ("console", "full", 5)
    assert loaded.sources["payload"] == "environment STEPWIRE_PAYLOAD"
    assert loaded.sources["bus"] == "flag"


def test_a_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STEPWIRE_DECISION_KEY_FILE names a file; the value shows itself nowhere."""
    (tmp_path / "key").write_text("hunter2\n")
    monkeypatch.setenv("STEPWIRE_DECISION_KEY_FILE", str(tmp_path / "key"))
    values = load(tmp_path)
    assert values.decision_key is not None
    assert values.decision_key.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(values)


def test_a_misspelt_setting_is_refused_with_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ignored silently."""
    monkeypatch.setenv("STEPWIRE_PAYLAOD", "off")
    with pytest.raises(SettingsError, match="did you mean payload"):
        load(tmp_path)


if __name__ == "__main__":
    DOCS.write_text(page())
