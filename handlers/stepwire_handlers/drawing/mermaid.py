"""An app as a Mermaid flowchart, for Markdown pages.

Steps are nodes: a gate is a hexagon, a merge has two bars, a scatter widens, a gather narrows, a step of somebody else
leans. Events label the edges. What runs once for each item of a scatter stands in a box; what goes round a loop is a
thick edge, what is emitted at a loop's limit a dotted one.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepwire import App
from stepwire_handlers.drawing.sketch import Edge, Shape, Sketch, Step, sketch

BORDERS: dict[Shape, tuple[str, str]] = {
    "step": ("[", "]"),
    "scatter": ("[/", "\\]"),
    "gather": ("[\\", "/]"),
    "merge": ("[[", "]]"),
    "gate": ("{{", "}}"),
    "external": ("[/", "/]"),
}


def mermaid(app: App) -> str:
    """A Mermaid flowchart."""
    drawn = sketch(app)
    lines = ["flowchart LR"]
    lines += [f'    in_{entry}(["{entry}"])' for entry in drawn.entries]
    lines += _scope(drawn, [], "    ")
    for edge in drawn.edges:
        lines += [f"    {line}" for line in _edge(edge)]
    return "\n".join(dict.fromkeys(lines))


def _scope(drawn: Sketch, scope: list[str], indent: str) -> Iterator[str]:
    """The steps that stand in a scope, then the scopes opened in it, each in a box."""
    for step in drawn.steps:
        if step.scope == scope:
            yield indent + _node(step)
    for opener in dict.fromkeys(step.scope[len(scope)] for step in drawn.steps if _is_inside(step, scope)):
        yield f'{indent}subgraph each_{_plain(opener)}["for each item of {opener}"]'
        yield from _scope(drawn, [*scope, opener], indent + "    ")
        yield f"{indent}end"


def _is_inside(step: Step, scope: list[str]) -> bool:
    return len(step.scope) > len(scope) and step.scope[: len(scope)] == scope


def _node(step: Step) -> str:
    left, right = BORDERS[step.shape]
    notes = [f"at most {step.max_visits} times"] if step.max_visits else []
    notes += ["at most once"] if step.once else []
    notes += ["retired"] if step.retired else []
    return f'{_id(step.name)}{left}"{"<br/>".join([step.name, *notes])}"{right}'


def _edge(edge: Edge) -> Iterator[str]:
    source = f"in_{edge.event}" if edge.source is None else _id(edge.source)
    if edge.target is None:
        target = f"out_{edge.event}"
        yield f'{target}(["{edge.event}"])'
        yield f"{source} -.-> {target}" if edge.kind == "limit" else f"{source} --> {target}"
    elif edge.kind == "entry":
        yield f"{source} --> {_id(edge.target)}"
    elif edge.kind == "limit":
        yield f'{source} -. "at the limit: {edge.event}" .-> {_id(edge.target)}'
    else:
        label = f"each {edge.event}" if edge.kind == "item" else edge.event
        left, right = ("==", "==>") if edge.back else ("--", "-->")
        yield f'{source} {left} "{label}" {right} {_id(edge.target)}'


def _id(name: str) -> str:
    return f"step_{_plain(name)}"


def _plain(name: str) -> str:
    return name.replace("-", "__")  # Mermaid takes - for the beginning of an edge
