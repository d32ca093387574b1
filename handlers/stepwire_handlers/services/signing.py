"""Whether the workers of an app take signed decisions only, by which key, and what of a run was decided so.

In: a bus, an app, the decision key of this process. Out: a mark that a worker leaves when it starts (beside a bus's
file; on Kafka on the app's wiring topic), why a decision that is made here would come to nothing, and which of the
things that people are said to have done count. Without the mark a decision would be written, thrown away by the
worker, and its person be none the wiser.

The mark holds a fingerprint of each key that they take. Whoever reads the bus could try keys with it, as with any
signed decision there; a try costs 16 MB and some 50 ms here, and a microsecond there, so it helps nobody to guess one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from hashlib import scrypt
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.gate import keys
from stepwire.jsontext import dump, load
from stepwire_handlers.services.said import Said, Told

if TYPE_CHECKING:
    from stepwire import App
    from stepwire.bus.protocol import Bus
    from stepwire_handlers.configuration import Configuration

MARK = "decisions"  #: the key of the mark on a wiring topic
SHORTEST = 32  #: characters of a decision key; a shorter one can be guessed by whoever reads one signed decision
UNSIGNED = "claimed, not signed with the decision key"
UNCHECKED = "claimed, the decision key to check it is not here"
LATER = "too late, another decision counts"
FINAL = frozenset({"approve", "decline"})  #: a gate is decided once


@runtime_checkable
class Left(Protocol):
    """A bus that lies elsewhere, and what an app's releases left there."""

    async def left(self) -> Mapping[str, bytes]:
        """Every key of the wiring topic and its latest value."""


def fingerprint(key: str, app: str) -> str:
    """By which one key is told from another, and none is found."""
    return scrypt(key.encode(), salt=f"stepwire {app}".encode(), n=2**14, r=8, p=1, dklen=16).hex()


def key_of(values: Configuration) -> str:
    """The decision key of this process; empty: there is none."""
    return values.decision_key.get_secret_value() if values.decision_key is not None else ""


async def signing_of(values: Configuration, app: App, bus: LocalBus) -> Signing:
    """What a command knows of it. Raises BusError."""
    return await Signing(app.name, bus, key_of(values)).ask()


def fingerprints(key: str, app: str) -> str:
    """Of each key in the setting, the one that signs first."""
    return " ".join(fingerprint(each, app) for each in keys(key))


def weakness(key: str) -> str:
    """What is wrong with a decision key; empty: nothing, or there is none."""
    shortest = min((len(each) for each in keys(key)), default=SHORTEST)
    if shortest >= SHORTEST:
        return ""
    return (
        f"STEPWIRE_DECISION_KEY has {shortest} characters: whoever can read the bus may guess it from one signed "
        f"decision. Make one of {SHORTEST} or more: openssl rand -hex 32"
    )


def _mark(path: str, app: str) -> Path:
    return Path(path + ".locks") / f"signed.{app}"


async def tell(bus: Bus, app: App, key: str, only: Collection[str] | None = None) -> None:
    """A worker says what it takes, if it has a step that people decide about. Raises OSError, BusError."""
    steps = [handler for handler in app.runnable if only is None or handler.name in only]
    if not any(step.signature.is_gate or step.options.effect == "once" for step in steps):
        return  # nobody decides anything there, so its key, or that it has none, says nothing
    if isinstance(bus, LocalBus):
        _tell_beside(bus.path, app.name, key)
        return
    from stepwire.bus.kafka.bus import KafkaBus  # noqa: PLC0415 - its client is an extra
    from stepwire.bus.kafka.wiring_topic import WiringTopic  # noqa: PLC0415

    assert isinstance(bus, KafkaBus)
    value = dump({"key": fingerprints(key, app.name)})
    if (await WiringTopic(bus, app.name).read()).get(MARK) != value:
        await bus.publish([Out(f"{app.name}.wiring", MARK, {}, value, 0)])


def _tell_beside(path: str, app: str, key: str) -> None:
    if path == ":memory:":
        return
    mark = _mark(path, app)
    if key:
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(fingerprints(key, app))
    else:
        mark.unlink(missing_ok=True)


class Signing:
    """What one process knows of the signatures of an app's decisions.

    Args:
        app: its name.
        bus: where its decisions are written.
        key: the decision key of this process, or several, one a line; empty: it has none.
    """

    def __init__(self, app: str, bus: LocalBus | Left, key: str = "") -> None:
        self.app, self.key = app, key
        self._bus = bus
        self._left: str | None = None  #: the fingerprint that workers elsewhere left; None: they ask for no signature

    async def ask(self) -> Signing:
        """Look what the workers ask for now, where that costs a question. Raises BusError."""
        if isinstance(self._bus, Left):
            found = (await self._bus.left()).get(MARK)
            self._left = (load(found)["key"] or None) if found else None
        return self

    @property
    def asked(self) -> str | None:
        """The fingerprints of the keys that the last worker takes; empty: not known, None: it asked for none."""
        if isinstance(self._bus, Left):
            return self._left
        try:
            return None if self._bus.path == ":memory:" else _mark(self._bus.path, self.app).read_text().strip()
        except OSError:
            return None

    @cached_property
    def _own(self) -> str:
        return fingerprint(keys(self.key)[0], self.app) if self.key else ""

    @property
    def refusal(self) -> str:
        """Why workers would throw away a decision that is made here; empty: they take it, as far as is known."""
        asked = self.asked
        if asked is None or (self.key and (not asked or self._own in asked.split())):
            return ""
        other, none = "STEPWIRE_DECISION_KEY here is another key than theirs", "there is no STEPWIRE_DECISION_KEY here"
        what = other if self.key else none
        return f"the workers of {self.app} take signed decisions only, and {what}"

    def counted(self, found: Sequence[Told], letters: Collection[tuple[str, str]]) -> list[Said]:
        """What people are said to have done to a run, oldest first, each with the doubt that there is about it.

        `letters` are handler and id of the run's dead letters: these are answered without a signature.
        """
        asked, refusal = self.asked, self.refusal
        keyed = bool(self.key) and not refusal
        back = {each.text for each in found if each.taken_back and (not keyed or each.is_proven(self.key))}
        said, decided = (
            list[Said](),
            dict[tuple[str, str, str], tuple[int, str]](),
        )  #: place -> what counts there, of what
        for each in found:
            one = each.said
            place = (one.handler, one.id, "" if one.decision in FINAL else each.of)
            if each.taken_back:
                continue
            if one.decision == "replay" or (one.decision == "drop" and (one.handler, one.id) in letters):
                said.append(one)
                continue
            doubt = ""
            if keyed:
                doubt = "" if each.is_proven(self.key) else UNSIGNED
            elif asked is not None:
                doubt = UNCHECKED if each.proof else UNSIGNED
            if not doubt and place in decided and decided[place][1] != each.of:
                before = decided[place][0]  # a gate decides once: that answer came too late, and the gate asked anew
                said[before] = said[before]._replace(doubt=LATER)
                decided[place] = (len(said), each.of)
            elif not doubt and (each.text in back or place in decided):
                doubt = LATER
            elif not doubt and (one.decision in FINAL or each.of):
                decided[place] = (len(said), each.of)
            said.append(one._replace(doubt=doubt))
        return said
