"""What runs of an app begin with, as it is offered to those who publish.

In: an app. Out: its entry events. The wiring has more: what only a step takes that retires is read to its end, and
whoever published it anew would begin a run that is given up at once.
"""

from __future__ import annotations

from stepwire import App, Event


def entries_of(app: App) -> list[type[Event]]:
    """Events that may be published, by name."""
    live = {kind for step in app.handlers if not step.options.retired for kind in step.signature.taken}
    live |= {step.ask for step in app.externals}
    return sorted((kind for kind in app.wiring.graph.entries if kind in live), key=lambda kind: kind.__name__)
