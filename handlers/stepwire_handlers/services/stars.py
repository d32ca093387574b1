"""Stars in what a person sends back: where a sensitive value was shown as stars, they mean that value.

In: an edit as JSON has it, and the event that it edits. Out: the edit with the values that its stars stood for. Stars
that stand for no value are refused: as a value they would take the place of the true one, and nobody would notice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepwire import Event
from stepwire.errors import SettingsError
from stepwire_handlers.telemetry.mask import MASK, masked_json


def meant(edited: Any, event: Event | None) -> Any:
    """The edit of an event as it was meant; without the event it stays as it is."""
    return edited if event is None else _meant(edited, event.model_dump(mode="json"), masked_json(event))


def _meant(edited: Any, plain: Any, shown: Any) -> Any:
    if edited == shown:
        return plain
    if isinstance(edited, Mapping) and isinstance(shown, Mapping):
        return {name: _meant(item, plain.get(name), shown.get(name)) for name, item in edited.items()}
    if isinstance(edited, list) and isinstance(shown, list):
        return _items(edited, plain, shown)
    return edited


def _items(edited: list[Any], plain: list[Any], shown: list[Any]) -> list[Any]:
    """An item that was moved takes its value along, as does the only one that was changed where all others stayed.

    Of one that was changed among moved ones nobody knows which it was: its stars stay, and are refused.
    """
    moved = [number for number, item in enumerate(edited) if number >= len(shown) or item != shown[number]]
    if len(moved) == 1 and len(edited) == len(shown):
        (number,) = moved
        return [*plain[:number], _meant(edited[number], plain[number], shown[number]), *plain[number + 1 :]]
    return [
        plain[number] if number not in moved else plain[shown.index(item)] if shown.count(item) == 1 else item
        for number, item in enumerate(edited)
    ]


def refuse_stars(event: Event, before: Event | None = None) -> None:
    """Raises SettingsError for a sensitive field that holds stars now and did not before."""
    fields = _starred(event.model_dump(mode="json"), masked_json(event))
    known = set(() if before is None else _starred(before.model_dump(mode="json"), masked_json(before)))
    if lost := sorted(set(fields) - known):
        raise SettingsError(
            f"{', '.join(lost)}: {MASK} is how a sensitive value is shown, and here it stands for none; give the value "
            f"itself, or leave alone what it is in"
        )


def hint(edited: Any) -> str:
    """What to say of an edit that does not fit, if stars are left in it: they may be why."""
    return f"; {MASK} stands for no value there: give the value itself" if MASK in _leaves(edited) else ""


def _starred(plain: Any, shown: Any, place: str = "") -> Iterator[str]:
    if shown == MASK:
        if any(leaf == MASK for leaf in _leaves(plain)):
            yield place or "the value"
    elif isinstance(shown, Mapping):
        for name, item in shown.items():
            yield from _starred(plain[name], item, f"{place}.{name}" if place else name)
    elif isinstance(shown, list):
        for number, item in enumerate(shown):
            yield from _starred(plain[number], item, f"{place}[{number}]")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
