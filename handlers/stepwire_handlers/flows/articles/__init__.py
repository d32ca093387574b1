"""Articles, a chain: brief → outline → draft → edit. Three small questions beat one big one."""

from __future__ import annotations

from pathlib import Path

from stepwire import App
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.prompt import prompt
from stepwire_topics.articles import Article, Brief, Draft, Outline

outline = prompt("outline", Brief, Outline, template="outline.md")
draft = prompt("draft", Outline, Draft, template="draft.md")
edit = prompt("edit", Draft, Article, template="edit.md")

app = App("articles", [outline, draft, edit], [Claude(prompts=Path(__file__).parent / "prompts")])
