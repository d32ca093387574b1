"""Drawings: every shape of a flow, in Mermaid and as text, and the plan of its topics."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import jsonschema
import pytest

from stepwire import App, Decision, Event, Settings, external, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import prepare
from stepwire_handlers.drawing import mermaid, text
from stepwire_handlers.drawing.plan import lacking, plan
from stepwire_handlers.drawing.sketch import Sketch, sketch

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "graph.json"
FLOWS = ("articles", "support", "review", "polish", "invoices")


class Begun(Event, topic="begun"):
    n: int


class Piece(Event, topic="pieces"):
    n: int


class Asked(Event, topic="asked"):
    n: int


class Answered(Event, topic="answered"):
    n: int


class Joined(Event, topic="joined"):
    n: int


class Extra(Event, topic="extra"):
    n: int


class Again(Event, topic="again"):
    n: int


class Merged(Event, topic="merged", entry=True):
    n: int


class Finished(Event, topic="finished", result=True):
    n: int


class GivenUp(Event, topic="given-up", result=True):
    n: int

    @classmethod
    def after(cls, event: Again) -> GivenUp:
        return cls(n=event.n)


@handler(name="split-up")
async def split(begun: Begun) -> list[Piece]:
    return [Piece(n=begun.n)]


@handler(effect="once", timeout=30)
async def work(piece: Piece) -> Asked:
    return Asked(n=piece.n)


@handler()
async def gather(answers: list[Answered]) -> Joined:
    return Joined(n=len(answers))


@handler()
async def aside(begun: Begun) -> Extra | None:
    return Extra(n=begun.n)


@handler()
async def merge(joined: Joined, extra: Extra | None) -> Merged:
    return Merged(n=joined.n + (extra.n if extra else 0))


@handler()
async def decide(asked: Decision[Merged]) -> Finished | Again:
    return Finished(n=asked.event.n) if asked.approved else Again(n=asked.event.n)


@handler(max_visits=2, on_limit=GivenUp.after)
async def retry(again: Again) -> Merged:
    return Merged(n=again.n)


APP = App("everything", [split, work, external(Asked, Answered), gather, aside, merge, decide, retry])

MERMAID = """\
flowchart LR
    in_Begun(["Begun"])
    in_Merged(["Merged"])
    step_split__up[/"split-up"\\]
    step_gather[\\"gather"/]
    step_aside["aside"]
    step_merge[["merge"]]
    step_decide{{"decide"}}
    step_retry["retry<br/>at most 2 times"]
    subgraph each_split__up["for each item of split-up"]
        step_work["work<br/>at most once"]
        step_external__Asked[/"external-Asked"/]
    end
    in_Begun --> step_split__up
    in_Begun --> step_aside
    in_Merged --> step_decide
    step_split__up -- "each Piece" --> step_work
    step_work -- "Asked" --> step_external__Asked
    step_gather -- "Joined" --> step_merge
    step_aside -- "Extra" --> step_merge
    step_merge -- "Merged" --> step_decide
    out_Finished(["Finished"])
    step_decide --> out_Finished
    step_decide -- "Again" --> step_retry
    step_retry == "Merged" ==> step_decide
    out_GivenUp(["GivenUp"])
    step_retry -.-> out_GivenUp
    step_external__Asked -- "Answered" --> step_gather"""

TEXT = """\
everything: begins with Begun, Merged, ends with Finished, GivenUp
  split-up          Begun → [Piece]
    work            Piece → Asked (at most once)
    external-Asked  Asked → Answered (somebody else's service)
  gather            [Answered] → Joined
  aside             Begun → Extra | end
  merge             Joined + Extra? → Merged
  decide            Merged → Finished | Again (a person decides)
  retry             Again → Merged (at most 2 times, then GivenUp)"""


def test_every_shape_has_its_mermaid() -> None:
    """Scatter, gather, merge, gate, loop with its limit, entry, result and somebody else's step (Mermaid parses it)."""
    assert mermaid(APP) == MERMAID


def test_every_shape_has_its_line() -> None:
    """In the order of the flow, items indented."""
    assert text(APP) == TEXT


@pytest.mark.parametrize("flow", FLOWS)
def test_the_shipped_flows_are_drawn_whole(flow: str) -> None:
    """Every step and every event of each is in both drawings; what an edge names is declared."""
    app = importlib.import_module(f"stepwire_handlers.flows.{flow}").app
    diagram, lines = mermaid(app), text(app)
    for step in app.handlers:
        assert re.search(rf"\bstep_{step.name}\W+\"{step.name}", diagram)
        assert re.search(rf"^ +{step.name} ", lines, re.MULTILINE)
    for event in app.wiring.events:
        assert event.__name__ in diagram
        assert event.__name__ in lines
    declared = set(re.findall(r"^ +(\w+)[\[({]", diagram, re.MULTILINE))
    used = {name for edge in re.findall(r"^ +(\w+) [-=].*[->] (\w+)$", diagram, re.MULTILINE) for name in edge}
    assert used == declared


def test_an_edge_back_is_one_that_closes_a_loop() -> None:
    """Whether the flow comes to the loop at its limited step or elsewhere."""
    assert [(e.source, e.target) for e in sketch(APP).edges if e.back] == [("retry", "decide")]

    @handler(max_visits=3)
    async def head(again: Again) -> Extra:
        return Extra(n=again.n)

    @handler()
    async def tail(extra: Extra) -> Again | Finished:
        return Again(n=extra.n)

    @handler()
    async def first(begun: Begun) -> Again:
        return Again(n=begun.n)

    app = App("headed", [tail, head, first])
    assert [(e.source, e.target) for e in sketch(app).edges if e.back] == [("tail", "head")]
    assert [step.name for step in sketch(app).steps] == ["first", "head", "tail"]


def test_the_drawing_is_data_too() -> None:
    """`--format json` follows its published schema."""
    jsonschema.validate(json.loads(sketch(APP).model_dump_json()), json.loads(SCHEMA.read_text()))
    assert json.loads(SCHEMA.read_text()) == schema()


async def test_topics_are_planned_before_and_after_they_are_there() -> None:
    """Missing ones, and those with too few partitions, are named."""
    bus = LocalBus()
    await bus.open()
    before = await plan(APP, Settings(), bus)
    assert before == await plan(APP, Settings(), None)
    assert {row.kind for row in before} == {"business", "control", "dlt", "runs"}
    assert [row.topic for row in before if row.kind == "runs"] == ["everything.runs"]
    assert len(lacking(before)) == len(before)
    await prepare(APP, bus, Settings())
    assert lacking(await plan(APP, Settings(), bus)) == []
    more = lacking(await plan(APP, Settings(partitions=3), bus))
    assert "begun has 1 partitions, not 3" in more
    await bus.close()


def schema() -> dict[str, object]:
    """The schema of the drawing as data."""
    found = Sketch.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "stepwire graph --format json"
    }  # fmt: skip


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n")
