"""`contracts check` on random apps: silent on what did not change, never silent on what breaks somebody."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contracts.apps import BREAKS, FIXED, HARMLESS, WHO, Shape, apps, document

from stepwire_handlers.contracts.changes import breaking

many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
@many
@given(apps(), st.randoms(use_true_random=False))
def test_an_identical_export_breaks_nothing(app: dict[str, Shape], chance: random.Random) -> None:
    """Written, read back, in another order and under other titles, it is the same contract."""
    old, new = document(app), document(app)
    assert breaking(json.loads(json.dumps(old)), new) == []
    assert breaking(shuffled(old, chance), new) == []


@pytest.mark.slow
@many
@given(apps(), st.sampled_from(PLANTED))
def test_a_planted_break_is_found_and_named(app: dict[str, Shape], planted: tuple[str, str]) -> None:
    """Whatever else the event holds, the change is told of that event and of whom it breaks."""
    change, event = planted
    found = breaking(document(app), document({**app, event: BREAKS[change][0](app[event])}))
    assert {(one.event, one.who) for one in found} == {(event, WHO[event])}, (planted, found)


@pytest.mark.slow
@many
@given(apps(), st.sampled_from(ALLOWED))
def test_what_harms_nobody_is_allowed(app: dict[str, Shape], planned: tuple[str, str]) -> None:
    """An entry may ask for less and an output may give more; a check that always refuses helps nobody."""
    change, event = planned
    assert breaking(document(app), document({**app, event: HARMLESS[change][0](app[event])})) == []


def test_every_planted_change_is_one_that_is_found() -> None:
    """Each of them once, on an app without anything else: hypothesis draws, it does not enumerate."""
    plain = {name: Shape(name, FIXED) for name in WHO}
    for change, event in PLANTED:
        found = breaking(document(plain), document({**plain, event: BREAKS[change][0](plain[event])}))
        assert {(one.event, one.who) for one in found} == {(event, WHO[event])}, (change, event, found)
    for change, event in ALLOWED:
        found = breaking(document(plain), document({**plain, event: HARMLESS[change][0](plain[event])}))
        assert found == [], (change, event, found)
