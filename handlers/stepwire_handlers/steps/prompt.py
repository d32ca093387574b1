"""A whole handler that is one question to a model: an event goes into a prompt file, an event comes out.

    outline = prompt("outline", Brief, Outline, template="outline.md")
    claude = Claude(prompts=Path(__file__).parent / "prompts")
    app = App("articles", handlers=[outline, …], resources=[claude])

Every field of the event is a value of the template; the file uses those it needs. The model fills in
every field of the answering event, also those that merely pass through: where an identifier must survive
unharmed, write the handler out and copy it in code.
"""

from __future__ import annotations

from importlib.resources.abc import Traversable
from typing import Any, TypeVar

from stepwire.event import Event
from stepwire.handler import Handler, handler
from stepwire_handlers.steps.claude import Claude

Taken = TypeVar("Taken", bound=Event)
Given = TypeVar("Given", bound=Event)


def prompt(
    name: str, takes: type[Taken], gives: type[Given], *, template: str | Traversable, **options: Any
) -> Handler[[Taken, Claude], Given]:
    """A handler `(event: takes, llm: Claude) -> gives`.

    Args:
        name: the handler's durable name.
        takes: the event whose fields are the values of the template.
        gives: the event that is asked for, by the schema of its fields.
        template: a file of the Claude resource's folder, or a path.
        options: what `stepwire.handler` takes: timeout, retry, …
    """

    async def step(event: Taken, llm: Claude) -> Given:
        used = llm.template(template).names
        return await llm(gives, template, **{field: value for field, value in event if field in used})

    file = template if isinstance(template, str) else template.name
    step.__name__ = step.__qualname__ = name
    step.__doc__ = f"Ask for {gives.__name__} with {file}."
    step.__annotations__ = {"event": takes, "llm": Claude, "return": gives}  # the signature is the wiring
    return handler(name=name, **options)(step)
