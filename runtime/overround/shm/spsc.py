"""Bounded ring from one producer to one consumer; see ``spsc.h``."""

from __future__ import annotations

from typing import Any

from overround._native import ffi, lib
from overround.errors import InvariantError
from overround.shm.records import Record, Records, pointer_in, pointer_out, record_dtype
from overround.shm.segment import Segment


class SpscProducer:
    """The pushing end; held by the owner of the region."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.dtype = record_dtype(segment)
        self._base = segment.pointer
        self._size = segment.record_size

    @property
    def next_sequence(self) -> int:
        """Number of the next record; goes on after a restart, so it never names two records."""
        return int(lib.ovr_segment_cursor(self._base))

    def try_push(self, record: Record) -> bool:
        """Append a copy; False when the ring is full (drop and count, or try later)."""
        return bool(lib.ovr_spsc_try_push(self._base, pointer_in(record, self._size)))


class SpscConsumer:
    """The consuming end. ``poll`` moves a private position; only ``advance_to`` frees room."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.dtype = record_dtype(segment)
        self.position = segment.head
        """Number of the next record that ``poll`` returns."""
        self._base = segment.pointer
        self._size = segment.record_size
        self._out: Records | None = None
        self._out_pointer: Any = ffi.NULL

    def poll(self, out: Records) -> int:
        """Copy as many new records as fit into ``out``; return how many. Consumes nothing."""
        if out is not self._out:
            self._out_pointer = pointer_out(out, self._size)
            self._out = out
        count = int(lib.ovr_spsc_poll(self._base, self.position, self._out_pointer, len(out)))
        if count < 0:
            raise InvariantError(
                f"{self.segment!r}: position {self.position} outside "
                f"{self.segment.head}..{self.segment.cursor}; two consumers?"
            )
        self.position += count
        return count

    def advance_to(self, position: int) -> None:
        """Give the room of all records below ``position`` back to the producer.

        Call it once they are safe (journaled): a consumer that dies before reads them again.
        """
        if lib.ovr_spsc_advance(self._base, position) != 0:
            raise InvariantError(
                f"{self.segment!r}: cannot advance to {position}, head is {self.segment.head}, "
                f"tail {self.segment.cursor}"
            )
        self.position = max(self.position, position)

    def wait(self, timeout_ns: int, spin_ns: int = 0) -> bool:
        """Wait for a record at ``position``; False after the timeout or a signal.

        Other Python threads run meanwhile.
        """
        return bool(lib.ovr_spsc_wait(self._base, self.position, spin_ns, timeout_ns))
