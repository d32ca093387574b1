"""The bus contract (DESIGN §7): what the kernel asks of the place where topics live.

In: records to publish, transactions to commit. Out: records, progress, stored state, assignment changes. One suite of
tests runs on every implementation. Errors are those of `stepwire.errors`: `BusUnavailable` means it surely did not
happen, `OutcomeUnknown` that nobody knows, `Fenced` that somebody else owns the partitions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Headers = Mapping[str, str]


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


class Record(NamedTuple):
    """A record as it lies on a topic. Header values are UTF-8 with surrogate escapes."""

    topic: str
    partition: int
    offset: int
    time: float
    key: str | None
    headers: Headers
    value: bytes


class Out(NamedTuple):
    """A record to be written; `partition` None: by hash of the key."""

    topic: str
    key: str | None
    headers: Headers
    value: bytes
    partition: int | None = None


class Change(NamedTuple):
    """A change of keyed state in one control partition; None removes the key."""

    partition: int
    key: str
    value: bytes | None


class Progress(NamedTuple):
    """How far a group came in one partition: the watermark, and the map that goes with it."""

    watermark: int
    map: str = ""


@dataclass(slots=True)
class Transaction:
    """All or nothing: outputs, state and progress of one group under one assignment."""

    outputs: list[Out] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    progress: dict[Partition, Progress] = field(default_factory=dict)


class Assignment(NamedTuple):
    """What a member owns; a later generation replaces it whole."""

    generation: int
    partitions: frozenset[Partition]


class Membership(Protocol):
    """One worker's seat in one group."""

    handed_over: Callable[[str], str]  #: a map as a living member leaves it that gives its partition up

    @property
    def assignment(self) -> Assignment:
        """What it owns now; compare generations to see a change."""

    async def fetch(self, positions: Mapping[Partition, int], limit: int) -> Sequence[Record]:
        """At most `limit` records from these positions; waits until there is one, or the assignment changes."""

    def passed(self, partition: Partition) -> int:
        """Where reading goes on after what was fetched, if that is known to be past a gap; else 0."""

    async def commit(self, transaction: Transaction, generation: int) -> None:
        """Write all of it or nothing. Raises Fenced, BusUnavailable, OutcomeUnknown."""

    async def progress(self, partitions: Sequence[Partition]) -> Mapping[Partition, Progress]:
        """What was committed for each; a partition where the group never started is missing."""

    def scan(self, partition: int) -> AsyncIterator[tuple[str, bytes]]:
        """Every key and value of the stored state of one control partition."""

    def notice(self) -> None:
        """Make a waiting `fetch` return at once."""

    async def leave(self) -> None:
        """Give the partitions back at once."""


class Formats(Protocol):
    """Values that lie on their topics in another form than JSON; the kernel only ever sees JSON."""

    async def read(self, records: Sequence[Record]) -> Sequence[Record]:
        """The same records, values as JSON; one that cannot be read keeps its bytes and says why in `UNREADABLE`.

        Raises BusUnavailable: nothing can be said now, read them again.
        """

    async def write(self, outputs: Sequence[Out]) -> Sequence[Out]:
        """The same records as they are to lie there. Raises RecordRefused, BusUnavailable."""


UNREADABLE = "stepwire-unreadable"  #: a header that only `Formats` sets, never on a topic


class TopicInfo(NamedTuple):
    """What is known of a topic."""

    name: str
    partitions: int


class Bus(Protocol):
    """The place where topics live."""

    colocated: bool  #: one worker owns all of a group: forward and store may be one transaction

    async def open(self) -> None:
        """Connect. Raises BusUnavailable, BusCorrupt."""

    async def close(self) -> None:
        """Give everything back; bounded in time."""

    def partition(self, key: str, partitions: int) -> int:
        """Where a key lies among so many partitions."""

    async def create(self, topics: Mapping[str, int]) -> None:
        """Create the topics that are missing, with so many partitions."""

    async def describe(self, topics: Sequence[str]) -> Mapping[str, TopicInfo]:
        """Those of the topics that exist."""

    async def found(self, groups: Mapping[str, Sequence[str]]) -> None:
        """R15: let each group that never read one of its topics start at that topic's present end."""

    async def unfinished(self, prefix: str, known: Collection[str]) -> Mapping[str, tuple[int, int]]:
        """Groups whose names begin so, but those known -> how many records and how many stored entries are left."""

    async def remember(self, app: str, table: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
        """What was stored of an app's wiring, or as `<app>/<name>` (empty: nothing); a table given is stored."""

    async def open_joins(self, group: str) -> int:
        """How many entries of open joins a group has stored; stubs of fired ones do not count."""

    async def join(self, group: str, topics: Sequence[str], control: str) -> Membership:
        """Take a seat in a group that reads these topics and its own control topic."""

    async def publish(self, outputs: Sequence[Out]) -> Sequence[tuple[Partition, int]]:
        """Write records outside of any group, all or none; where each went."""

    async def ends(self, topics: Sequence[str], patience: float = 0.0) -> Mapping[Partition, int]:
        """The next offset of each partition; what is being written there now is waited for, so many seconds at most."""

    async def read(self, partition: Partition, offset: int, limit: int) -> Sequence[Record]:
        """Records from `offset` on, for those who watch; does not wait."""
