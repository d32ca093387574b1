"""An app's graph as places on a plane, for an SVG without a script.

In: a `Sketch` and counts. Out: boxes and lines; each step stands one column after the last step it waits for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from stepwire_handlers.drawing.sketch import Edge, Sketch

WIDE, HIGH, ACROSS, DOWN, EDGE = 168, 58, 250, 104, 20  #: pixels: a box, the way to the next one, the margin


class Box(NamedTuple):
    """A step, an entry or an end."""

    name: str
    shape: str
    x: int
    y: int
    counts: Mapping[str, int]


class Line(NamedTuple):
    """An event on its way."""

    event: str
    path: str
    x: int
    y: int
    kind: str  #: emit | item | limit | entry | back


class Chart(NamedTuple):
    """Everything, with its size."""

    boxes: list[Box]
    lines: list[Line]
    width: int
    height: int


def chart(drawn: Sketch, counts: Mapping[str, Counter[str]]) -> Chart:
    """Lay an app out."""
    shapes = {f"in:{name}": ("entry", name) for name in drawn.entries}
    shapes |= {step.name: (step.shape, step.name) for step in drawn.steps}
    shapes |= {f"out:{edge.event}": ("end", edge.event) for edge in drawn.edges if edge.target is None}
    wires = [(_from(edge), _to(edge), edge) for edge in drawn.edges]
    columns = _columns(list(shapes), [(a, b) for a, b, edge in wires if not edge.back])
    rows: Counter[int] = Counter()
    places: dict[str, tuple[int, int]] = {}
    for name in shapes:
        column = columns[name]
        places[name] = (EDGE + column * ACROSS, EDGE + rows[column] * DOWN)
        rows[column] += 1
    boxes = [Box(shapes[n][1], shapes[n][0], *places[n], counts.get(n, Counter())) for n in shapes]
    lines = [_line(edge, places[a], places[b]) for a, b, edge in wires]
    size = max(columns.values(), default=0), max(rows.values(), default=1)
    return Chart(boxes, lines, 2 * EDGE + size[0] * ACROSS + WIDE, 2 * EDGE + size[1] * DOWN)


def _from(edge: Edge) -> str:
    return f"in:{edge.event}" if edge.source is None else edge.source


def _to(edge: Edge) -> str:
    return f"out:{edge.event}" if edge.target is None else edge.target


def _columns(names: list[str], wires: list[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each; bounded, should a way round be left in it."""
    found = dict.fromkeys(names, 0)
    for _ in names:
        for source, target in wires:
            found[target] = min(max(found[target], found[source] + 1), len(names))
    return found


def _line(edge: Edge, source: tuple[int, int], target: tuple[int, int]) -> Line:
    x, y, tx, ty = source[0] + WIDE, source[1] + HIGH // 2, target[0], target[1] + HIGH // 2
    if edge.back or tx <= x:
        x, y, tx, ty = source[0] + WIDE // 2, source[1] + HIGH, target[0] + WIDE // 2, target[1] + HIGH
        low = max(y, ty) + 34
        return Line(edge.event, f"M{x},{y} C{x},{low} {tx},{low} {tx},{ty}", (x + tx) // 2, low - 4, "back")
    middle = (x + tx) // 2
    path = f"M{x},{y} C{middle},{y} {middle},{ty} {tx},{ty}"
    return Line(edge.event, path, middle, (y + ty) // 2 - 6, edge.kind)
