"""What strategies want to stand, as their targets say: one slot a market, the latest wish wins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from overround.layout.target import TARGET
from overround.shm.segment import Segment
from overround.shm.slots import Slots

__all__ = ["TargetSource", "Wanted"]


class Wanted(NamedTuple):
    """One target as it was read; prices of the YES token, 0 lots where a side is not wanted."""

    strategy: int
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int
    flags: int
    expires_ns: int
    ingress_epoch: int
    updated_ns: int

    def side(self, side: int) -> tuple[int, int]:
        """Return (ticks, lots) of BID or ASK."""
        return (self.ask_ticks, self.ask_lots) if side else (self.bid_ticks, self.bid_lots)


class TargetSource:
    """The targets of one producer, read from its region."""

    def __init__(self, segment: Segment, producer: int, lease_ns: int) -> None:
        self.producer = producer
        self._segment = segment
        self._slots = Slots(segment, TARGET)
        self._lease_ns = lease_ns
        self._seen = np.zeros(segment.capacity, np.uint64)

    def alive(self, now_ns: int) -> bool:
        """Return whether the producer means what stands here."""
        return self._segment.usable(now_ns, self._lease_ns)

    def changed(self) -> list[tuple[int, Wanted]]:
        """Return (market, target) of every slot written since the last call."""
        records = self._slots.load_all()
        # A slot whose writer is stuck reads as zero: it keeps what was read before.
        new = (records["sequence"] != self._seen[: len(records)]) & (records["sequence"] != 0)
        found = np.flatnonzero(new)
        self._seen[found] = records["sequence"][found]
        return [(int(index), _wanted(records[index])) for index in found]


def _wanted(row: Any) -> Wanted:
    return Wanted(*(int(row[name]) for name in Wanted._fields))
