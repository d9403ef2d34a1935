"""The kill latch: any process sets it, only an armed resume clears it."""

from __future__ import annotations

from enum import IntEnum

from overround._native import lib
from overround.shm.segment import Segment


class KillReason(IntEnum):
    """Why nothing may be sent any more."""

    OPERATOR = 1
    INSTANCE_FAILED = 2
    LOSS_LIMIT = 3


class KillLatch:
    """One word that the executor reads before every send; the first reason wins."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._base = segment.pointer

    def set(self, reason: int, now_ns: int) -> bool:
        """Set the latch to a reason (above 0); return False if it was set already."""
        if reason <= 0:
            raise ValueError(f"kill reason {reason} must be above 0: 0 means not set")
        return bool(lib.ovr_latch_set(self._base, reason, now_ns))

    def is_set(self) -> bool:
        """Return whether anybody has set it."""
        return bool(lib.ovr_latch_reason(self._base))

    @property
    def reason(self) -> int:
        """The first reason given; 0 when not set."""
        return int(lib.ovr_latch_reason(self._base))

    @property
    def set_ns(self) -> int:
        """Monotonic time given by whoever set it."""
        return int(lib.ovr_latch_set_ns(self._base))

    def clear(self) -> None:
        """Open the latch again; for an armed resume only."""
        lib.ovr_latch_clear(self._base)
