"""Log lines: one for each delivery, payloads off, redacted or full, and no secret in any of them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.telemetry.shop import Done, Order, listened

from stepwire.bus.protocol import Out
from stepwire.context import Context
from stepwire.telemetry import Called, Skipped
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.telemetry import Metrics, logs
from stepwire_handlers.telemetry.logs import StepLog

KEY = "sk-planted-secret-0123456789"


async def test_each_delivery_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step, outcome, run, key, attempt and seconds; a failure with its error and when it goes on."""
    async with listened(monkeypatch, Configuration(log="json", payload="off")) as heard:
        for n in (1, 7, -1):
            await heard.run.publish(Order(n=n))
    steps = [line for line in heard.lines if "outcome" in line]
    assert [(line["event"], line["outcome"]) for line in steps if line["event"] == "shop.pay"] == [
        ("shop.pay", "ok"),
        ("shop.pay", "retry"),
        ("shop.pay", "ok"),
    ]
    assert {"run", "key", "handler", "attempt", "seconds", "level", "time"} <= steps[0].keys()
    retried = next(line for line in steps if line["outcome"] == "retry")
    assert (retried["error"], retried["message"], retried["level"]) == ("Transient", "the bank is busy", "warning")
    assert all("input" not in line for line in steps)
    assert steps[1]["model"][0]["input_tokens"] == 100
    assert len(steps[1]["model"]) == 2


async def test_what_a_step_logs_itself_goes_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ctx.log` names run and step; an exception keeps its traceback and cause; a broken line ends nothing."""
    async with listened(monkeypatch, Configuration(log="json")) as heard:
        await heard.run.publish(Order(n=5))
        log = logging.getLogger("stepwire.shop.check")
        try:
            try:
                raise KeyError("inner")
            except KeyError as cause:
                raise ValueError("outer") from cause
        except ValueError:
            log.exception("it broke")
        monkeypatch.setattr(logging, "raiseExceptions", False)
        log.info("%d", "no number")
    said = next(line for line in heard.lines if line["event"] == "looking at 5")
    assert said["handler"] == "check"
    assert said["run"]
    broke = next(line for line in heard.lines if line["event"] == "it broke")
    assert "KeyError: 'inner'" in broke["traceback"]
    assert "ValueError: outer" in broke["traceback"]


@pytest.mark.parametrize("payload", ["off", "redacted", "full"])
@pytest.mark.parametrize("kind", ["json", "console"])
async def test_no_secret_is_told_anywhere(monkeypatch: pytest.MonkeyPatch, payload: str, kind: str) -> None:
    """Sensitive fields at any depth, an exception, a step's own line or note that quotes one, and a configured key."""
    values = Configuration(log=kind, payload=payload, anthropic_api_key=SecretStr(KEY))  # type: ignore[arg-type]
    async with listened(monkeypatch, values) as heard:
        await heard.run.publish(Order(n=1))
        await heard.run.publish(Order(n=-1))
        logging.getLogger("stepwire.shop.check").warning("asking with %s", KEY)
        scraped = await heard.scrape()
    told = heard.text + scraped
    assert "asking with ***" in told
    assert "the card *** is refused" in told
    assert "paid by ***" in told
    assert "4711-08" not in told
    assert KEY not in told


async def test_what_is_masked_in_a_line_is_what_its_author_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids stay whole though a short sensitive value may stand in them, dates keep their form; so in a pool's thread."""
    async with listened(monkeypatch, Configuration(log="json")) as heard:
        run, pin = "4be1-9027-31c4", "9027"
        context = Context(
            app="shop", handler="check", run=run, scope="", key=f"shop/check/{run}", attempt=1, visit=1,
            last_visit=False, missing=(), deadline=60.0, now=lambda: 0.0, inputs={"order": Order(n=1, card=pin)},
        )  # fmt: skip
        await asyncio.get_running_loop().run_in_executor(None, context.log.info, "paid by %s", pin)
        log = StepLog("json", "info", "off")
        when = {"at": datetime(2026, 1, 2, tzinfo=UTC), "lasts": timedelta(seconds=90), "pin": pin}
        notes, inputs = (("seen", when),), (Order(n=1, card=pin),)
        log(Called("shop", "check", "order", "ok", run, run, 1, 0.1, 0.0, "", "", 0.0, notes, inputs, (None,), None))
    paid = next(line for line in heard.lines if line["event"].startswith("paid"))
    assert (paid["event"], paid["run"], paid["key"]) == ("paid by ***", run, f"shop/check/{run}")
    (seen,) = next(line["seen"] for line in heard.lines if "seen" in line)
    assert seen == {"at": "2026-01-02T00:00:00Z", "lasts": "PT1M30S", "pin": "***"}


async def test_long_texts_are_cut_where_payloads_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full shows them whole."""
    for payload, length in (("redacted", 500), ("full", 5_000)):
        async with listened(monkeypatch, Configuration(log="json", payload=payload)) as heard:  # type: ignore[arg-type]
            await heard.run.publish(Order(n=1, text="x" * 5_000))
        line = next(line for line in heard.lines if line["event"] == "shop.check")
        assert line["input"][0]["text"].count("x") == length


def test_a_line_that_json_cannot_carry_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry never raises: half a surrogate pair, bytes and unknown objects come out as something."""
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stderr", stream)
    log = StepLog("json", "info", "full")
    odd = (("note", {"half": "\ud800", "bytes": b"\xff", "thing": object()}),)
    log(Called("shop", "check", "order", "ok", "r", "k", 1, 0.1, 0.0, notes=odd))
    (line,) = stream.buffer.getvalue().decode().splitlines()  # type: ignore[attr-defined]
    assert json.loads(line)["note"]


def test_lines_go_to_a_stream_without_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have replaced stderr by a text stream."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    StepLog("auto", "info", "off")(Called("shop", "check", "order", "ok", "r", "k", 1, 0.1, 0.0))
    assert json.loads(stream.getvalue())["event"] == "shop.check"


async def test_what_goes_wrong_in_telemetry_ends_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics and log that raise at every fact: the events go on, and each kind of failure is said once."""

    def broken(*_: object) -> None:
        raise KeyError("4711-0815")

    monkeypatch.setattr(Metrics, "__call__", broken)
    monkeypatch.setattr(StepLog, "_called", broken)
    async with listened(monkeypatch, Configuration(log="json")) as heard:
        for n in (1, 2):
            await heard.run.publish(Order(n=n))
        assert [event for event in heard.run.events if isinstance(event, Done)] == [Done(n=1), Done(n=2)]
        said = [line["event"] for line in heard.lines if "telemetry" in line["event"]]
    assert said == ["telemetry (metrics) failed: KeyError", "telemetry (log) failed: KeyError"]


def test_below_the_level_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At `warning` an ordinary step is silent and a failed one is not."""
    with (tmp_path / "log").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        log = StepLog("json", "warning", "redacted")
        log(Called("shop", "check", "order", "ok", "r", "k", 1, 0.1, 0.0))
        log(Called("shop", "check", "order", "dead_letter", "r", "k", 1, 0.1, 0.0, "Reject", "no"))
    assert [json.loads(line)["outcome"] for line in (tmp_path / "log").read_text().splitlines()] == ["dead_letter"]


async def test_a_type_that_no_event_of_the_app_has_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary or structured: whoever mistook the type sees it; types of other steps and newer versions are no news."""
    structured = {"content-type": "application/cloudevents+json"}
    async with listened(monkeypatch, Configuration(log="json")) as heard:
        for n in range(3):
            event = {"specversion": "1.0", "id": f"s{n}", "source": "s", "type": "com.acme.paid", "data": {}}
            headers = {"ce_id": f"b{n}", "ce_source": "s", "ce_type": "com.acme.ordered"}
            others = headers | {"ce_type": Done.spec.type}
            await heard.run._bus.publish([
                Out("order", None, headers, b"{}"), Out("order", None, others, b"{}"),
                Out("order", None, structured, json.dumps(event).encode()),
            ])  # fmt: skip
        await heard.run._settle()
    told = [(line["topic"], line["type"], line["level"]) for line in heard.lines if line["event"] == "unknown_type"]
    assert told == [("order", "com.acme.ordered", "warning"), ("order", "com.acme.paid", "warning")]


async def test_an_event_of_a_version_to_come_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a newer worker without an attempt, and nobody has to guess why nothing happens."""
    async with listened(monkeypatch, Configuration(log="json")) as heard:
        headers = {"ce_id": "1", "ce_source": "s", "ce_type": f"{Order.spec.base}.v9"}
        await heard.run._bus.publish([Out("order", None, headers, b"{}")])
        await heard.run._settle()
        await heard.run.advance(60)
    (line,) = [line for line in heard.lines if line.get("error") == "NewerType"]
    assert (line["outcome"], line["handler"], line["retry_in"]) == ("retry", "check", 5.0)
    assert f"{Order.spec.base}.v9 is newer" in line["message"]


def test_decisions_that_are_thrown_away_are_said_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first at once, then their number every ten minutes, for each step; what is skipped otherwise says nothing."""
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    log = StepLog("json", "warning", "off")
    for seconds, handler, why in (
        (0, "approve", "unsigned"), (1, "approve", "unsigned"), (1, "approve", "unsigned"), (2, "approve", "late"),
        (2, "check", "unsigned"), (logs.EVERY - 1, "approve", "unsigned"), (logs.EVERY, "approve", "unsigned"),
    ):  # fmt: skip
        now[0] = float(seconds)
        log(Skipped("shop", handler, f"shop.{handler}.control", why))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["handler"], line["decisions"]) for line in lines] == [("approve", 1), ("check", 1), ("approve", 4)]
    assert {(line["event"], line["level"], line["app"]) for line in lines} == {("unsigned", "warning", "shop")}
    assert all("STEPWIRE_DECISION_KEY" in line["message"] for line in lines)


def test_what_a_join_or_a_gate_takes_no_more_is_told_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second part, a late one, a second decision: no error, but somebody may wonder where it went."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log = StepLog("json", "info", "off")
    for why in ("duplicate", "late", "already_decided", "other_type"):
        log(Skipped("shop", "meet", "shop.meet.control", why, run="r1"))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["why"], line["run"]) for line in lines] == [
        ("skipped", "duplicate", "r1"), ("skipped", "late", "r1"), ("skipped", "already_decided", "r1"),
    ]  # fmt: skip
