"""Stars in what a person sends back: where a sensitive value was shown as stars, they mean that value.

In: an edit as JSON has it, and the event that it edits. Out: the edit with the values that its stars stood for. Stars
that stand for no value are refused: as a value they would take the place of the true one, and nobody would notice. So
is a hidden value that would come to stand where nothing hides it, as in another alternative of a union.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from stepwire import Event
from stepwire.errors import SettingsError
from stepwire_handlers.telemetry.mask import MASK, masked, masked_json

Path = tuple[str | int, ...]
HIDDEN = "\0"  #: in the place of stars, which a text that is not sensitive may be too


class _Shown(NamedTuple):
    """A value of the event, and how it is shown; fields of a model under each of their names."""

    plain: Any = None
    hidden: Any = None  #: with `HIDDEN` where something is hidden
    forms: tuple[Any, ...] = ()  #: by names, by aliases, and on a page, where dates and numbers are as people read them

    def at(self, place: str | int) -> _Shown:
        """What lies inside of it; nothing where it has no such place."""
        forms = tuple(_inside(form, place) for form in self.forms)
        return _Shown(_inside(self.plain, place), _inside(self.hidden, place), forms)

    def is_(self, edited: Any) -> bool:
        """Was this sent back as it was shown? Not by `==`: a true is no 1."""
        return to_json(edited) in map(to_json, self.forms)


class Meant:
    """An edit as it was meant.

    Args:
        edited: JSON.
        event: what it edits; None: it cannot be read, so stars stand for nothing.
    """

    def __init__(self, edited: Any, event: Event | None) -> None:
        self._kept: list[Path] = []
        self._left: list[Path] = []
        #: the edit, with what its stars stood for
        self.value = self._meant(edited, _shown(event), ())
        self.changed = bool(self._kept)

    @property
    def hint(self) -> str:
        """What to say of an edit that does not fit, if stars are left in it: they may be why."""
        return f"; {MASK} stands for no value there: give the value itself" if self._left else ""

    def check(self, event: Event) -> None:
        """Raises SettingsError for stars that hide nothing, and for a hidden value that would be seen."""
        hidden = _shown(event).hidden
        if lost := [_named(path) for path in self._left if _hides(hidden, path)]:
            raise SettingsError(
                f"{', '.join(lost)}: {MASK} is how a sensitive value is shown, and here it stands for none; give the "
                f"value itself, or leave alone what it is in"
            )
        if seen := [_named(path) for path in self._kept if not _hides(hidden, path)]:
            raise SettingsError(f"{', '.join(seen)}: a sensitive value would be seen there; give a value of its own")

    def _meant(self, edited: Any, shown: _Shown, path: Path) -> Any:
        if edited == MASK:
            (self._kept if shown.hidden == HIDDEN else self._left).append(path)
            return shown.plain if shown.hidden == HIDDEN else edited
        if isinstance(edited, Mapping):
            return {name: self._meant(item, shown.at(name), (*path, name)) for name, item in edited.items()}
        if isinstance(edited, list):
            return self._items(edited, shown, path)
        return edited

    def _items(self, edited: list[Any], shown: _Shown, path: Path) -> list[Any]:
        """Items take their values along where it is sure which they were.

        Of a list of the same length in which at most one was changed each is the one at its place. Else one that looks
        like no other; stars of all others stand for nothing.
        """
        there = [shown.at(place) for place in range(len(shown.plain))] if isinstance(shown.hidden, list) else []
        same = len(there) == len(edited)
        if not same or sum(not before.is_(item) for before, item in zip(there, edited, strict=True)) > 1:
            alike = [[before for before in there if before.is_(item)] for item in edited]
            there = [found[0] if len(found) == 1 else _Shown() for found in alike]
        return [
            self._meant(item, before, (*path, place))
            for place, (item, before) in enumerate(zip(edited, there, strict=True))
        ]


def _shown(event: Event | None) -> _Shown:
    if event is None:
        return _Shown()
    plain = [event.model_dump(mode="json", by_alias=by_alias) for by_alias in (False, True)]
    hidden = [masked_json(event, HIDDEN, by_alias=by_alias) for by_alias in (False, True)]
    forms = [masked_json(event, by_alias=by_alias) for by_alias in (False, True)]
    page = from_json(to_json(masked(event, shorten=False)))
    return _Shown(_both(*plain), _both(*hidden), (*forms, page))


def _both(one: Any, other: Any) -> Any:
    """The same value with the keys of both."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        shared = {name: _both(one[name], other[name]) for name in one.keys() & other.keys()}
        return {**one, **other, **shared}
    if isinstance(one, list) and isinstance(other, list):
        return [_both(mine, its) for mine, its in zip(one, other, strict=True)]
    return one


def _inside(value: Any, place: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(place)
    return value[place] if isinstance(value, list) and isinstance(place, int) and place < len(value) else None


def _hides(shown: Any, path: Path) -> bool:
    """Is what lies there shown as stars, itself or with what it is in? Of another name for a field nothing is known."""
    for place in path:
        if shown == HIDDEN:
            return True
        shown = _inside(shown, place)
    return bool(shown == HIDDEN)


def _named(path: Path) -> str:
    parts = (f"[{place}]" if isinstance(place, int) else f".{place}" for place in path)
    return "".join(parts).removeprefix(".") or "the value"
