"""The ledger of one partition: which offsets are open, which are finished, and what to commit.

Records of a partition finish in any order, yet one number is stored for it. That number is the watermark, the first
unfinished offset; beside it goes a map of those finished above it, so that after a crash nothing committed runs again.
Offsets have gaps (transaction markers, compaction), so the watermark is the first open delivered offset, never "+1".

The map is text, `1<nonce>:<commit>:<takeovers>:<marker>:<marks>:<bits>` (R12): who wrote it and how often, how many
unclean takeovers since the watermark moved (-1 - n: its writer lives and handed it over), the delivery that was about
to be called alone and how often, and a bitset of offsets from the watermark on, base64, compressed if that is shorter.
"""

from __future__ import annotations

import base64
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from stepwire.bus.protocol import Progress

FORMAT = "1"
CLEAN = "-"  #: the nonce of a worker that left in order
RAW_BITS = 48  #: bytes; below it compressing is not worth the time


@dataclass(frozen=True, slots=True)
class Writer:
    """R12: what the map says besides offsets."""

    nonce: str = CLEAN
    commits: int = 0
    takeovers: int = 0
    marker: str = ""  #: a delivery key
    marks: int = 0


def encode_map(writer: Writer, bits: bytes) -> str:
    """Writer and bitset as text of at most 4,096 characters for 16,000 offsets."""
    bits = bits.rstrip(b"\0")
    packed = zlib.compress(bits, 1) if len(bits) > RAW_BITS else bits
    kind, raw = ("z", packed) if len(packed) < len(bits) else ("b", bits)
    body = kind + base64.b64encode(raw).decode() if raw else ""
    marker = writer.marker.replace(":", "\x1f")
    return f"{FORMAT}{writer.nonce}:{writer.commits}:{writer.takeovers}:{marker}:{writer.marks}:{body}"


def decode_map(text: str) -> tuple[Writer, bytes]:
    """Writer and bitset; text of somebody else counts as no map at all, never as an error."""
    if not text.startswith(FORMAT):
        return Writer(), b""
    try:
        nonce, commits, takeovers, marker, marks, body = text[1:].split(":")
        raw = base64.b64decode(body[1:]) if body else b""
        bits = zlib.decompress(raw) if body.startswith("z") else raw
        return Writer(nonce, int(commits), int(takeovers), marker.replace("\x1f", ":"), int(marks)), bits
    except (ValueError, zlib.error):
        return Writer(), b""


def handed_over(text: str) -> str:
    """The same map, as a living worker leaves it that gives its partition up: no takeover to be counted (R12)."""
    writer, bits = decode_map(text)
    return encode_map(replace(writer, takeovers=min(writer.takeovers, -1 - writer.takeovers)), bits)


class Ledger:
    """What happened in one partition since its watermark.

    Args:
        progress: what was committed; a partition that was never read starts at its watermark without a map.
    """

    __slots__ = ("_base", "_bits", "_open", "_skip", "careful", "next", "suspects", "taken_over", "writer")

    def __init__(self, progress: Progress) -> None:
        self.writer, bits = decode_map(progress.map)
        #: the one before neither left in order nor handed over
        self.taken_over = self.writer.nonce != CLEAN and self.writer.takeovers >= 0
        self.writer = replace(self.writer, takeovers=max(self.writer.takeovers, -1 - self.writer.takeovers))
        self.next = progress.watermark  #: the next offset to be delivered
        self.careful = -1  #: R12: if not negative, suspects and what lies below this offset are called one at a time
        self.suspects: set[str] = set()  #: what waited in state at a takeover and may be what workers die of
        self._open: OrderedDict[int, None] = OrderedDict()
        self._base = progress.watermark
        self._bits = bytearray(bits)
        self._skip = progress.watermark + len(bits) * 8  # below it the map may say "done"

    @property
    def watermark(self) -> int:
        """The first unfinished offset."""
        return next(iter(self._open), self.next)

    @property
    def span(self) -> int:
        """How far delivery is ahead of the watermark."""
        return self.next - self.watermark

    @property
    def open(self) -> int:
        """How many delivered records are not finished."""
        return len(self._open)

    @property
    def reach(self) -> int:
        """How far finished records go."""
        return max(self.next, self._skip)

    def taken_over_again(self, unfinished: bool) -> None:
        """R12: the worker before us ended without leaving; it counts only if it left something unfinished."""
        self.writer = replace(self.writer, takeovers=self.writer.takeovers + 1 if unfinished else 0)

    def acquit(self, entry: str) -> None:
        """The call of something from state did not kill the worker; takeovers count on while suspects are left."""
        if self.suspects == {entry}:
            self.writer = replace(self.writer, takeovers=0)
        self.suspects.discard(entry)

    def begin(self, offset: int) -> bool:
        """A record was fetched. False if it was finished before, or belongs to an older fetch: drop it."""
        if offset < self.next:
            return False
        self.next = offset + 1
        if offset < self._skip and self._is_set(offset):
            return False
        self._open[offset] = None
        return True

    def pass_to(self, offset: int) -> None:
        """Up to here there is nothing more to deliver: markers of transactions, compacted records."""
        self.next = max(self.next, offset)

    def _is_set(self, offset: int) -> bool:
        index = offset - self._base
        return index >> 3 < len(self._bits) and bool(self._bits[index >> 3] >> (index & 7) & 1)

    def snapshot(self, finished: Iterable[int], writer: Writer) -> Progress:
        """What must be committed with these offsets: as if they were finished already. Changes nothing."""
        done = set(finished)
        watermark = next((offset for offset in self._open if offset not in done), self.next)
        # All delivered is done, and what the restored map says of offsets still to be delivered is behind us: no bits.
        clear = watermark == self.next >= self._skip
        bits = b"" if clear else self._with(offset for offset in done if offset > watermark)
        if watermark != self._base and writer.takeovers and not self.suspects:
            writer = replace(writer, takeovers=0)
        return Progress(watermark, encode_map(writer, _shift(bits, watermark - self._base)))

    def _with(self, offsets: Iterable[int]) -> bytearray:
        bits = bytearray(self._bits)
        for offset in offsets:
            _set(bits, offset - self._base)
        return bits

    def finish(self, finished: Iterable[int]) -> None:
        """The transaction with these offsets was committed."""
        for offset in finished:
            if offset in self._open:
                del self._open[offset]
                _set(self._bits, offset - self._base)
        watermark = self.watermark
        if watermark != self._base and self.writer.takeovers and not self.suspects:
            self.writer = replace(self.writer, takeovers=0)
        if watermark - self._base >= 4_096 or not self._open:
            self._bits = bytearray(_shift(self._bits, watermark - self._base))
            self._base = watermark


def _set(bits: bytearray, index: int) -> None:
    if index >> 3 >= len(bits):
        bits.extend(bytes((index >> 3) - len(bits) + 1))
    bits[index >> 3] |= 1 << (index & 7)


def _shift(bits: bytes | bytearray, by: int) -> bytes:
    """The bitset as seen from `by` offsets further on."""
    whole, rest = by >> 3, by & 7
    tail = bytes(bits[whole:])
    if not rest or not tail:
        return tail
    return (int.from_bytes(tail, "little") >> rest).to_bytes(len(tail), "little")
