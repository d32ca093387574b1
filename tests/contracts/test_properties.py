"""`contracts check` on random apps: silent on what did not change, never silent on what breaks somebody."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.contracts.apps import (
    BREAKS,
    ENTRY,
    FIXED,
    HARMLESS,
    KINDS,
    TYPES,
    WHO,
    Shape,
    apps,
    document,
    harmed,
    written,
)

from stepwire import Event
from stepwire_handlers.contracts.changes import breaking
from stepwire_handlers.contracts.comparison import Comparison, Gap
from stepwire_handlers.contracts.draft import hoisted
from stepwire_handlers.contracts.schema import Side, schema_of

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PLANTED = [(change, event) for change, (_, events) in BREAKS.items() for event in events]
ALLOWED = [(change, event) for change, (_, events) in HARMLESS.items() for event in events]


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same JSON in another order, with other words of description."""
    if isinstance(value, dict):
        items = [(name, shuffled(item, chance)) for name, item in value.items()]
        chance.shuffle(items)
        return dict(items) | ({"title": "another"} if isinstance(value.get("title"), str) else {})
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.timeout(300)
@many
@given(apps(), st.randoms(use_true_random=False))
def test_an_identical_export_breaks_nothing(app: dict[str, Shape], chance: random.Random) -> None:
    """Written, read back, in another order and under other titles, it is the same contract."""
    old, new = document(app), document(app)
    assert breaking(json.loads(json.dumps(old)), new) == []
    assert breaking(shuffled(old, chance), new) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@many
@given(apps(), st.sampled_from(PLANTED))
def test_a_planted_break_is_found_and_named(app: dict[str, Shape], planted: tuple[str, str]) -> None:
    """Whatever else the event holds, the change is told of that event and of whom it breaks."""
    change, event = planted
    found = breaking(document(app), document({**app, event: BREAKS[change][0](app[event])}))
    assert {(one.event, one.who) for one in found} == harmed(change, event), (planted, found)


@pytest.mark.slow
@pytest.mark.timeout(300)
@many
@given(apps(), st.sampled_from(ALLOWED))
def test_what_harms_nobody_is_allowed(app: dict[str, Shape], planned: tuple[str, str]) -> None:
    """An entry may ask for less and an output may give more; a check that always refuses helps nobody."""
    change, event = planned
    assert breaking(document(app), document({**app, event: HARMLESS[change][0](app[event])})) == []


def test_every_planted_change_is_one_that_is_found() -> None:
    """Each of them once, on an app without anything else: hypothesis draws, it does not enumerate."""
    plain = {name: Shape(name, FIXED) for name in WHO}
    before = document(plain)
    for change, event in PLANTED:
        found = breaking(before, document({**plain, event: BREAKS[change][0](plain[event])}))
        assert {(one.event, one.who) for one in found} == harmed(change, event), (change, event, found)
    for change, event in ALLOWED:
        found = breaking(before, document({**plain, event: HARMLESS[change][0](plain[event])}))
        assert found == [], (change, event, found)


def gaps(writer: type[Event], reader: type[Event], side: Side) -> list[Gap]:
    """What the comparison alone says of two events."""
    mine, theirs = ({"components": {"schemas": hoisted(schema_of(kind, side), "x")}} for kind in (writer, reader))
    top = {"$ref": "#/components/schemas/x"}
    return Comparison(mine, theirs, lost=side == "emits").gaps(top, top)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.tuples(TYPES, st.booleans()), st.tuples(TYPES, st.booleans()), st.booleans())
def test_what_is_said_to_break_nobody_is_readable(data: st.DataObject, mine: Any, theirs: Any, more: bool) -> None:
    """Judged by pydantic and jsonschema, which know nothing of ours: what the one wrote, the other takes."""
    old = Shape(ENTRY, {"f": mine, **({"g": (str, True)} if more else {})})
    new = Shape(ENTRY, {"f": theirs})
    writer, reader = old.made(), new.made()
    text = json.dumps(data.draw(written(old)))
    if not gaps(writer, reader, "accepts"):
        reader.model_validate_json(text)
    if not gaps(writer, reader, "emits"):
        known = Draft202012Validator(schema_of(reader, "emits"))
        known.validate(json.loads(writer.model_validate_json(text).model_dump_json()))


def test_the_comparison_lets_some_pairs_pass_and_stops_others() -> None:
    """The test above would say nothing if every two types were called a break."""
    kinds = [Shape(ENTRY, {"f": (kind, True)}).made() for kind, _ in KINDS]
    found = [bool(gaps(one, other, "accepts")) for one in kinds for other in kinds]
    assert len(kinds) < found.count(False) < 3 * len(kinds) and found.count(True) > len(found) / 2
    assert not any(gaps(one, one, side) for one in kinds for side in ("accepts", "emits"))
