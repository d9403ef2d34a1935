"""Seqlocked slots: the latest value of each index, always whole; see ``slots.h``."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overround._native import ffi, lib
from overround.errors import HostError, LayoutError
from overround.shm.records import Record, Records, pointer_in, pointer_out, record_dtype
from overround.shm.segment import Segment


class Slots:
    """Both ends of a slot region; only the owner stores."""

    def __init__(self, segment: Segment, dtype: np.dtype[Any] | None = None) -> None:
        self.segment = segment
        self.dtype = record_dtype(segment)
        if dtype is not None and dtype != self.dtype:
            raise LayoutError(f"{segment!r} does not hold records of the given dtype")
        self._base = segment.pointer
        self._size = segment.record_size

    @property
    def count(self) -> int:
        """Slots in use: one more than the highest index ever stored."""
        return int(lib.ovr_segment_cursor(self._base))

    def store(self, index: int, record: Record) -> int:
        """Publish a copy of ``record`` in slot ``index``; return its new sequence (even).

        Raises IndexError beyond the capacity.
        """
        sequence = int(lib.ovr_slot_store(self._base, index, pointer_in(record, self._size)))
        if sequence == 0:
            raise IndexError(f"slot {index} of {self.segment!r}")
        return sequence

    def append(self, record: Record) -> int:
        """Publish a copy in the next unused slot; return its index. HostError when full."""
        index = int(lib.ovr_slot_append(self._base, pointer_in(record, self._size)))
        if index < 0:
            raise HostError(f"{self.segment!r} is full: raise its capacity and start a new run")
        return index

    def load(self, index: int) -> np.void | None:
        """Return a copy of one slot, None if its writer is stuck in the middle of it.

        A slot that was never stored has sequence 0. Raises IndexError beyond the capacity.
        """
        out = np.empty(1, self.dtype)
        return out[0] if self.load_into(index, out) else None

    def load_into(self, index: int, out: Records) -> bool:
        """Copy one slot into ``out[0]``; return False if its writer is stuck (out undefined)."""
        status = lib.ovr_slot_load(self._base, index, pointer_out(out, self._size))
        if status == -errno.ERANGE:
            raise IndexError(f"slot {index} of {self.segment!r}")
        return bool(status == 0)

    def load_many(self, first: int, count: int) -> tuple[Records, NDArray[np.bool_]]:
        """Return copies of ``count`` slots and which of them are whole; the others are zero."""
        out = np.zeros(count, self.dtype)
        whole = np.zeros(count, np.uint8)
        if not 0 <= first <= first + count <= self.segment.capacity:
            raise IndexError(f"slots {first}..{first + count} of {self.segment!r}")
        if count:
            lib.ovr_slot_load_many(
                self._base,
                first,
                count,
                pointer_out(out, self._size),
                ffi.from_buffer("uint8_t[]", whole),
            )
        return out, whole.view(np.bool_)

    def load_all(self) -> Records:
        """Return copies of the slots in use, each whole; one whose writer is stuck is all zero."""
        return self.load_many(0, self.count)[0]
