"""The examples of docs/publish.md, compiled and run: each order is confirmed once, however often it was sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.elsewhere.programs import EXAMPLES, LANGUAGES, program
from tests.elsewhere.shop import Shop
from tests.helm.tools import NotHere

TOOL = {"java": "java", "go": "go", "typescript": "node"}
MARKED = [
    pytest.param(each, marks=[pytest.mark.service(TOOL[each])] if each in TOOL else []) for each in LANGUAGES
]  # fmt: skip


def by_order(lines: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return sorted((line["order"], line["cents"]) for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", MARKED)
def test_a_shop_in_another_language_gets_each_order_confirmed_once(service: Any, shop: Shop, language: str) -> None:
    """An outbox sent twice to Kafka, in part to the door: a result for each row, read by the example's own reader."""
    try:
        here = program(language)
    except NotHere as wrong:
        service(TOOL[language], None, str(wrong))
        return
    rows = [{"id": f"row-{n}", "order": f"{language}-{n}", "cents": 100 * n + 7} for n in range(1, 6)]
    for _ in range(2):  # the relay died before it marked the rows as sent
        assert sorted(shop.run(here, "publish", rows=rows[:3])) == ["row-1", "row-2", "row-3"]
    first, again = (shop.run(here, "post", rows=rows[2:]) for _ in range(2))
    assert first == again and [line.split(" /runs/")[0] for line in first] == ["row-3", "row-4", "row-5"]

    placed = shop.placed()
    mine = {id_: count for (source, id_), count in placed.items() if source == f"/shop/{language}"}
    assert set(mine) == {row["id"] for row in rows} and all(mine[f"row-{n}"] >= 2 for n in (1, 2, 3))
    shop.until(lambda: shop.skipped() == placed.total() - len(placed) and len(shop.confirmed()) >= len(placed))
    confirmed = shop.confirmed()
    expected = [(row["order"], row["cents"]) for row in rows]
    assert by_order([each for each in confirmed if each["order"].startswith(language)]) == expected
    assert len(confirmed) == len(placed)

    printed = shop.run(here, "results", str(len(confirmed)))
    assert by_order([json.loads(line) for line in printed]) == by_order(confirmed)


def test_the_python_example_is_pinned_to_what_is_tested() -> None:
    """Its requirements name the versions that the other test ran with."""
    from importlib.metadata import version

    pins = re.findall(r"^(\S+)==(\S+)$", (EXAMPLES / "python" / "requirements.txt").read_text(), re.MULTILINE)
    assert pins == [("cloudevents", version("cloudevents")), ("confluent-kafka", version("confluent-kafka"))]
