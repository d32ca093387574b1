"""What people did to a run: who decided, replayed or dropped what, why, and what they changed.

In: an answer that a person gives. Out: a record for `<app>.runs`, published together with the answer, and the same
read back. Control topics are no history: the bus deletes what is finished there. A sensitive field is masked before
it is written. A release that does not know such a record takes it for an end of nothing.

Whoever can write to the bus can write such a record. With the decision key it carries a proof, an HMAC of its own;
`signing` says which of them count.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from stepwire import Event
from stepwire.bus.protocol import Out, Record
from stepwire.dispatch.step import runs_topic
from stepwire.event import digest
from stepwire.gate import keys
from stepwire.jsontext import dump, load
from stepwire_handlers.telemetry.mask import masked_json, sensitive_values, without

PAST = {
    "approve": "approved", "decline": "declined", "done": "said to be done", "redo": "done again", "drop": "dropped",
    "replay": "replayed",
}  # fmt: skip
DONE, TAKEN_BACK = "said", "unsaid"  #: what a record tells: that somebody did it, or that it did not count


class Said(NamedTuple):
    """One thing that a person did, or that somebody claims they did."""

    handler: str
    id: str  #: of the delivery or join that it is about
    decision: str  #: approve | decline | done | redo | drop | replay
    by: str
    why: str = ""
    edited: Mapping[str, Any] | None = None  #: the fields that they changed, as they wanted them; None: no edit
    time: float = 0.0
    doubt: str = ""  #: why it does not count, or why nobody here can tell; empty: it counts

    @property
    def words(self) -> str:
        """Such as: approved by key:ann."""
        edit = " with an edit" if self.decision == "replay" and self.edited is not None else ""
        did = f"{PAST.get(self.decision, self.decision)}{edit}{f' by {self.by}' if self.by else ''}"
        return f"{self.doubt}: {did}" if self.doubt else did

    def data(self) -> dict[str, Any]:
        """In the form of `--json`."""
        return {
            "handler": self.handler, "id": self.id, "decision": self.decision, "by": self.by, "why": self.why,
            "edited": None if self.edited is None else dict(self.edited), "time": self.time,
            "counts": not self.doubt, "doubt": self.doubt,
        }  # fmt: skip


class Told(NamedTuple):
    """A record of it as it lies on the bus: nobody has judged yet whether it counts."""

    said: Said
    text: str  #: what a proof is over
    proof: str = ""  #: an HMAC by a decision key; empty: there is none
    of: str = ""  #: of an unknown outcome: which time that nobody knows it
    taken_back: bool = False  #: is it the word of whoever wrote it that it did not count?

    def is_proven(self, key: str) -> bool:
        """Was it written by somebody who has this key, or one of these?"""
        said = self.proof.encode()
        ours = [_proof(each, self.text, taken_back=self.taken_back).encode() for each in keys(key)]
        return any(hmac.compare_digest(each, said) for each in ours)


def changed(before: Event | None, after: Event) -> dict[str, Any]:
    """The fields that an edit changed, masked; of an event that could not be read all of them."""
    data = masked_json(after)
    if before is None or type(before) is not type(after):
        return dict(data)
    was, now = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {name: value for name, value in data.items() if name not in was or was[name] != now[name]}


def note(
    app: str, run: str, said: Said, *quoted: object, key: str = "", of: str = "", taken_back: bool = False
) -> list[Out]:
    """The record of it; a remark may quote what is sensitive in `quoted`.

    About a delivery that says no run it is no run's record: that would begin one of which nothing else is there.
    """
    told = {
        "decision": said.decision, "handler": said.handler, "id": said.id, "by": said.by,
        "why": without(said.why, sensitive_values(list(quoted))), "edited": said.edited,
    }  # fmt: skip
    # beside what is told, not in it: an older release knows no more fields there
    proof = {"of": of}
    if key:
        proof["proof"] = _proof(keys(key)[0], _text(run, told, of), taken_back=taken_back)
    body = dump(
        {"run": run, "delivery": "", "handler": "", "why": "said", "joins": [], _kind(taken_back): told, **proof}
    )
    return [Out(runs_topic(app), run or said.id, {"ce_swrun": run} if run else {}, body)]


def told(body: Mapping[str, Any], run: str, time: float) -> Told | None:
    """What a record of `<app>.runs` says that somebody did in this run; None for one of another kind."""
    taken_back = TAKEN_BACK in body
    found = body.get(_kind(taken_back))
    if not isinstance(found, Mapping):
        return None
    decision, handler, id_, by, why = (str(found.get(name, "")) for name in ("decision", "handler", "id", "by", "why"))
    edited = found.get("edited")
    said = Said(handler, id_, decision, by, why, edited if isinstance(edited, Mapping) else None, time)
    of = str(body.get("of", ""))
    return Told(said, _text(run, found, of), str(body.get("proof", "")), of, taken_back)


def words_of(records: Iterable[Record], run: str) -> Iterator[Told]:
    """What these records of `<app>.runs` say that somebody did, oldest first."""
    for record in records:
        body = end_of(record.value)
        if body is not None and (word := told(body, run, record.time)) is not None:
            yield word


def end_of(value: bytes) -> Mapping[str, Any] | None:
    """The body of a record of `<app>.runs`; None: none of ours, anybody may have written it."""
    try:
        body = load(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not isinstance(joins := body.get("joins"), list):
        return None
    texts = [body.get(name) for name in ("handler", "delivery", "why")]
    texts += [body.get("error", ""), *joins]
    whole = all(isinstance(text, str) for text in texts) and isinstance(body.get("attempts", 1), int)
    return body if whole else None


def _kind(taken_back: bool) -> str:
    return TAKEN_BACK if taken_back else DONE


def _text(run: str, told: Mapping[str, Any], of: str) -> str:
    return digest(run, of, dump(told).decode())


def _proof(key: str, text: str, *, taken_back: bool) -> str:
    """Over a kind and a digest: a decision's own signature is over a digest alone, so neither fits the other."""
    return hmac.new(key.encode(), f"{_kind(taken_back)} {text}".encode(), sha256).hexdigest()
