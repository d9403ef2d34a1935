"""Broadcast ring: one writer, any readers, nobody waits for anybody; see ``broadcast.h``."""

from __future__ import annotations

from typing import Any

from overround._native import ffi, lib
from overround.shm.records import Record, Records, pointer_in, pointer_out, record_dtype
from overround.shm.segment import Segment


class BroadcastWriter:
    """The publishing end; one a region, held by its owner."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.dtype = record_dtype(segment)
        self._base = segment.pointer
        self._size = segment.record_size

    def publish(self, record: Record) -> int:
        """Publish a copy; return the record's number. Its ``sequence`` field is ignored."""
        return int(lib.ovr_broadcast_publish(self._base, pointer_in(record, self._size)))


class BroadcastReader:
    """A private position in the ring; being lapped is counted, not an error."""

    def __init__(self, segment: Segment, *, from_start: bool = False) -> None:
        self.segment = segment
        self.dtype = record_dtype(segment)
        self.laps = 0
        """Times the writer overtook this reader."""
        self._base = segment.pointer
        self._size = segment.record_size
        self._cursor: Any = ffi.new("uint64_t *", 0 if from_start else segment.cursor)
        self._lost: Any = ffi.new("uint64_t *", 0)
        self._out: Records | None = None
        self._out_pointer: Any = ffi.NULL

    @property
    def position(self) -> int:
        """Number of the next record to read."""
        return int(self._cursor[0])

    @property
    def lost(self) -> int:
        """Records skipped since the start because the writer overtook."""
        return int(self._lost[0])

    @property
    def lag(self) -> int:
        """Records published and not read yet."""
        return max(0, self.segment.cursor - self.position)

    def poll(self, out: Records) -> int:
        """Copy as many new records as fit into ``out``; return how many.

        After a poll that raised ``lost``, everything it returned lies behind the gap.
        """
        if out is not self._out:  # one array for life: its pointer is taken once
            self._out_pointer = pointer_out(out, self._size)
            self._out = out
        lost = self._lost[0]
        count = int(
            lib.ovr_broadcast_poll(
                self._base, self._cursor, self._out_pointer, len(out), self._lost
            )
        )
        if self._lost[0] != lost:
            self.laps += 1
        return count

    def skip_to_end(self) -> None:
        """Leave unread what was published so far; for a reader that sweeps the board instead."""
        self._cursor[0] = max(self.position, self.segment.cursor)

    def wait(self, timeout_ns: int, spin_ns: int = 0) -> bool:
        """Wait for a record to read, spinning first; False after the timeout or a signal.

        Other Python threads run meanwhile.
        """
        return bool(lib.ovr_broadcast_wait(self._base, self._cursor[0], spin_ns, timeout_ns))
