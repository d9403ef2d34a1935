"""Follows the catalog region: which markets this shard subscribes, while the catalog grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from overround.layout.catalog import MarketStatus
from overround.shm.slots import Slots
from overround.units import format_size

__all__ = ["CatalogFollower", "CatalogNews", "MarketEntry"]

_STATUS_ROWS = 1_024
"""Rows looked at again in one poll: half a megabyte, a tenth of a millisecond."""


@dataclass(frozen=True, slots=True)
class MarketEntry:
    """What the ingress needs to know of a market, in the formats its engine takes."""

    index: int
    condition_id: str
    token_yes: str
    token_no: str
    tick_ticks: int
    min_size_text: str
    neg_risk: bool


@dataclass(frozen=True, slots=True)
class CatalogNews:
    """What a look at the status found: markets that trade again, and markets that ended."""

    added: tuple[MarketEntry, ...]
    ended: tuple[int, ...]


class CatalogFollower:
    """Reads rows once when they appear, and their status from time to time."""

    def __init__(self, slots: Slots, shard: int) -> None:
        """Follow the rows of ``shard`` only."""
        self._slots = slots
        self._shard = shard
        self._seen = 0
        self._cursor = 0
        self._active = np.zeros(slots.segment.capacity, np.bool_)

    def poll_new(self) -> tuple[MarketEntry, ...]:
        """Return the markets that appeared since the last call; next to free if none did."""
        added: list[MarketEntry] = []
        while self._seen < self._slots.count:
            record = self._slots.load(self._seen)
            if record is None:
                break  # being rewritten; the next poll reads it
            if record["shard"] == self._shard and record["status"] == MarketStatus.ACTIVE:
                self._active[self._seen] = True
                added.append(_entry(self._seen, record))
            self._seen += 1
        return tuple(added)

    def poll_status(self) -> CatalogNews:
        """Look at the next rows again: markets that ended, and markets that trade again."""
        first = self._cursor if self._cursor < self._seen else 0
        end = self._cursor = min(first + _STATUS_ROWS, self._seen)
        rows, whole = self._slots.load_many(first, end - first)
        active = rows["status"] == MarketStatus.ACTIVE
        changed = whole & (rows["shard"] == self._shard) & (active != self._active[first:end])
        added: list[MarketEntry] = []
        ended: list[int] = []
        for offset in np.flatnonzero(changed).tolist():
            index = first + offset
            self._active[index] = active[offset]
            if active[offset]:
                added.append(_entry(index, rows[offset]))
            else:
                ended.append(index)
        return CatalogNews(tuple(added), tuple(ended))


def _entry(index: int, record: np.void) -> MarketEntry:
    return MarketEntry(
        index=index,
        condition_id=record["condition_id"].decode("ascii"),
        token_yes=record["token_yes"].decode("ascii"),
        token_no=record["token_no"].decode("ascii"),
        tick_ticks=int(record["tick_ticks"]),
        min_size_text=format_size(int(record["min_size_lots"])),
        neg_risk=bool(record["neg_risk"]),
    )
