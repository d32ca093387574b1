"""Drawings of an app, read from the same wiring that the worker runs."""

from __future__ import annotations

from stepwire_handlers.drawing.mermaid import mermaid
from stepwire_handlers.drawing.text import text

__all__ = ["mermaid", "text"]
