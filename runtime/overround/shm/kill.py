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
    DAILY_LOSS = 4
    DRAWDOWN = 5
    HOLD = 6  # an operator's stop that leaves resting orders where they are


class KillLatch:
    """One word that the executor reads before every send.

    The first reason wins, but a HOLD gives way to any other: what holds may be made to cancel.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._base = segment.pointer

    def set(self, reason: int, now_ns: int) -> bool:
        """Set the latch to a reason (above 0); return False if that one stays that was there."""
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

    @property
    def stopped_ns(self) -> int:
        """When the executor said that it sends nothing more; 0 or an earlier kill's before."""
        return int(lib.ovr_latch_stopped_ns(self._base))

    @property
    def cancelled_ns(self) -> int:
        """When the cancel was asked for that the venue has confirmed to the executor."""
        return int(lib.ovr_latch_cancelled_ns(self._base))

    @property
    def stopped(self) -> bool:
        """Whether the executor has answered this very setting of the latch."""
        return self.is_set() and self.stopped_ns >= self.set_ns > 0

    @property
    def cancelled(self) -> bool:
        """Whether the venue has confirmed a cancel asked for after this setting."""
        return self.is_set() and self.cancelled_ns >= self.set_ns > 0

    def answer_stopped(self, now_ns: int) -> None:
        """Say that nothing more is sent; the executor only."""
        lib.ovr_latch_stopped(self._base, now_ns)

    def answer_cancelled(self, now_ns: int) -> None:
        """Say that the venue has cancelled every open order; the executor only."""
        lib.ovr_latch_cancelled(self._base, now_ns)

    def clear(self) -> None:
        """Open the latch again and forget the answers; for an armed resume only."""
        lib.ovr_latch_clear(self._base)
