"""What a new document of an app breaks, and for whom.

In: the last release's document and the new one. Out: a `Change` for each break; none where the contract is kept. Who
publishes an entry must be able to go on as before: nothing new may be asked of them. Who waits for the result of a run
must know its class. Who reads an output must get what they got: nothing may be missing or new in kind. What lies
between our own steps is both, since a deploy has records in flight and workers of two releases. A new version with
upcasts is how the last two change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stepwire import SettingsError
from stepwire_handlers.contracts.comparison import Comparison
from stepwire_handlers.contracts.document import FORM, OURS

WHO = {
    "entry": "producers", "answer": "the service that answers", "output": "consumers", "internal": "events in flight",
}  # fmt: skip
CALLERS = "who waits for the result"
PUBLISHED, READ = ("entry", "answer"), ("output", "internal")


class Change(NamedTuple):
    """One break."""

    event: str  #: its class, or `external <name>`
    field: str  #: empty: the event as a whole
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.event}{self.field and '.' + self.field}: breaks {self.who}: {self.what}"


def breaking(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every break, by event. Raises SettingsError for what is no export, or a damaged one, or of another app."""
    before, after = _checked(old, "the last release's document"), _checked(new, "the new document")
    if before["app"] != after["app"]:
        raise SettingsError(f"the last release is of the app {before['app']}, this one is {after['app']}")
    try:
        return [*_Judge(old, new).changes(), *_externals(before["externals"], after["externals"])]
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:  # somebody edited it, or a merge did
        raise SettingsError(
            f"the last release's document is damaged ({type(error).__name__}): export it anew from that release"
        ) from error


def _checked(document: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    ours = document.get(OURS)
    messages = document.get("components", {}).get("messages") if isinstance(document.get("components"), dict) else None
    if not isinstance(ours, Mapping) or not isinstance(messages, Mapping) or "app" not in ours:
        raise SettingsError(f"{what} was not made by `stepwire contracts export`: it has no {OURS}")
    if ours.get("form") != FORM:
        raise SettingsError(f"{what} has form {ours.get('form')!r}; this release compares form {FORM}: export it anew")
    return ours


class _Judge:
    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old, self._new = old, new
        self._before, self._after = _events(old), _events(new)

    def changes(self) -> Iterator[Change]:
        for base, was in self._before.items():
            now = self._after.get(base) or self._moved(was)
            if now is None:
                yield from self._gone(was)
            else:
                yield from self._event(was, now)

    def _moved(self, was: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The event under its class's name, if its base changed with its topic or type."""
        name = was[OURS]["event"]
        found = [now for base, now in self._after.items() if now[OURS]["event"] == name and base not in self._before]
        return found[0] if len(found) == 1 else None

    @staticmethod
    def _gone(was: Mapping[str, Any]) -> Iterator[Change]:
        said = {
            "entry": "it is not taken any more", "answer": "it is not taken any more",
            "output": "it is not emitted any more", "internal": "nobody takes what lies on its topic",
        }  # fmt: skip
        for role in was[OURS]["roles"]:
            yield Change(was[OURS]["event"], "", WHO[role], said[role])

    def _event(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
        yield from _roles(was[OURS], now[OURS])
        yield from _place(was, now)
        roles = [role for role in was[OURS]["roles"] if _still(role, now[OURS]["roles"])]
        yield from _version(was[OURS], now[OURS], roles)
        yield from self._results(was[OURS], now[OURS])
        if was[OURS]["type"] == now[OURS]["type"]:  # else old records are upcast, and old workers wait for newer ones
            for role in roles:
                yield from self._schemas(was, now, role)

    def _results(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
        """The classes that the result of a run may have; one that is emitted no more is its readers' loss already."""
        if not (old := was.get("results")) or (new := now.get("results")) is None:
            return  # nobody waited for one, or an earlier release's export does not say
        emitted = {each[OURS]["event"] for each in self._after.values() if {*READ} & {*each[OURS]["roles"]}}
        if {*new} - {*old} or {*old} - {*new} & emitted:
            shown = [" or ".join(names) or "nothing" for names in (old, new)]
            cure = "give such runs an entry of their own, or leave result=True where it was"
            yield Change(was["event"], "", CALLERS, f"its run's result was {shown[0]} and is {shown[1]}; {cure}")

    def _schemas(self, was: Mapping[str, Any], now: Mapping[str, Any], role: str) -> Iterator[Change]:
        name, mine, theirs = was[OURS]["event"], was[OURS], now[OURS]
        if role != "output" and "accepts" in mine and "accepts" in theirs:
            gaps = Comparison(self._old, self._new, lost=False).gaps(mine["accepts"], theirs["accepts"])
            yield from (Change(name, gap.field, WHO[role], gap.what) for gap in gaps)
        if role in READ and "emits" in mine and "emits" in theirs:
            gaps = Comparison(self._new, self._old, lost=True).gaps(theirs["emits"], mine["emits"])
            yield from (Change(name, gap.field, WHO[role], gap.what) for gap in gaps)
        if role == "internal":
            return
        one, other = (self._old, self._new) if role in PUBLISHED else (self._new, self._old)
        first, second = (was, now) if role in PUBLISHED else (now, was)
        headers = Comparison(one, other, lost=role == "output")
        for gap in headers.gaps(_headers(first), _headers(second)):
            yield Change(name, "", WHO[role], f"header {gap.field} {gap.what}")


def _headers(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The headers, without the two that change with what is told in other words."""
    headers = message.get("headers", {})
    kept = {n: s for n, s in headers.get("properties", {}).items() if n not in ("ce_type", "content-type")}
    return {**headers, "properties": kept, "required": [n for n in headers.get("required", ()) if n in kept]}


def _events(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    messages = document["components"]["messages"].values()
    return {message[OURS]["base"]: message for message in messages}


def _still(role: str, roles: list[str]) -> bool:
    """Does somebody stand on that side still? Who read an output reads it where one of our own steps does so too.

    Of events in flight it is enough that a step still takes them.
    """
    return role in roles or (role in READ and bool({*READ} & {*roles})) or (role == "internal" and "entry" in roles)


def _roles(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for role in was["roles"]:
        if not _still(role, now["roles"]):
            what = "it is not taken from outside any more" if role in PUBLISHED else "it is not emitted any more"
            yield Change(was["event"], "", WHO[role], what)


def _place(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """Topic, key, run, content type: conventions that no schema holds."""
    old, new = was[OURS], now[OURS]
    everybody = ", ".join(dict.fromkeys(WHO[role] for role in old["roles"]))
    if old["topic"] != new["topic"]:
        yield Change(old["event"], "", everybody, f"its topic was {old['topic']} and is {new['topic']}")
    if old["key"] != new["key"]:
        named = [f"the field {key}" if key else "run and scope" for key in (old["key"], new["key"])]
        yield Change(old["event"], "", everybody, f"its key was {named[0]} and is {named[1]}: order per key is another")
    if old["run"] != new["run"] and set(PUBLISHED) & {*old["roles"]}:
        named = [f"the field {run} names" if run else "its identity names" for run in (old["run"], new["run"])]
        yield Change(old["event"], "", everybody, f"{named[0]} the run no longer; {named[1]} it now")
    if was.get("contentType") != now.get("contentType"):
        what = f"its values were {was.get('contentType')} and are {now.get('contentType')}"
        yield Change(old["event"], "", everybody, what)


def _version(was: Mapping[str, Any], now: Mapping[str, Any], roles: list[str]) -> Iterator[Change]:
    """A ce_type that changed, and versions that are not read any more."""
    name, known = was["event"], {*now["upcasts"]}
    for role in roles:
        if was["type"] != now["type"] and role == "output":
            yield Change(name, "", WHO[role], f"they know the type {was['type']}, and get {now['type']}")
        elif was["base"] != now["base"] and was["type"] != now["type"]:
            yield Change(name, "", WHO[role], f"its type was {was['type']} and is {now['type']}")
        elif was["type"] != now["type"] and now["version"] < was["version"]:
            yield Change(name, "", WHO[role], f"version {was['version']} went back to {now['version']}")
        elif was["type"] != now["type"]:
            lacking = [n for n in range(was["version"], now["version"]) if n not in known]
            if lacking:
                cure = f"@{name}.upcast({lacking[0]})"
                yield Change(name, "", WHO[role], f"version {now['version']} does not read {lacking[0]}; add {cure}")
        if role != "output" and (lost := sorted({n for n in was["upcasts"] if n < now["version"]} - known)):
            yield Change(name, "", WHO[role], f"version {lost[0]} is not upcast any more")


def _externals(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name, was in before.items():
        now = after.get(name)
        if now is not None and now != was:
            parts = [f"{part} was {was[part]} and is {now[part]}" for part in was if was[part] != now.get(part)]
            yield Change(f"external {name}", "", WHO["answer"], "; ".join(parts))
