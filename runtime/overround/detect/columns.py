"""A detector's private copy of every best price, as columns the kernels run over.

Shared memory is transport, not workspace: one writer (this process), one reader (this
process), no atomics. Columns are as long as the catalog may grow and never move.
"""

from __future__ import annotations

import numpy as np

from overround.detect.kernels import Kernels
from overround.detect.relations import Relations
from overround.layout.change import is_sound
from overround.units import PRICE_TICKS_MAX

__all__ = ["Columns", "Hits", "warm"]


class Hits:
    """Room for the hits of one scan: set, kind, edge in 1e-14 a share, size in lots."""

    def __init__(self, sets: int) -> None:
        room = 2 * sets
        self.set_index = np.zeros(room, np.int32)
        self.kind = np.zeros(room, np.int32)
        self.edge = np.zeros(room, np.int64)
        self.lots = np.zeros(room, np.int64)


class Columns:
    """Best prices, sizes, trust and version of each market, and the scans over them."""

    def __init__(self, kernels: Kernels, capacity: int) -> None:
        self._kernels = kernels
        self.capacity = capacity
        self.version = np.zeros(capacity, np.int64)
        self.trusted = np.zeros(capacity, np.uint8)
        self.alive = np.zeros(capacity, np.uint8)
        self.bid_ticks = np.zeros(capacity, np.int32)
        self.ask_ticks = np.full(capacity, PRICE_TICKS_MAX, np.int32)
        self.bid_lots = np.zeros(capacity, np.int64)
        self.ask_lots = np.zeros(capacity, np.int64)
        self.touched = np.zeros(capacity, np.int32)
        self._market_mark = np.zeros(capacity, np.uint8)
        self._crossed = np.zeros(capacity, np.int32)
        self._scanned = np.zeros(5, np.int64)

    def relate(self, relations: Relations) -> None:
        """Scan these relations from now on."""
        self.relations = relations
        self.hits = Hits(relations.count)
        self._set_mark = np.zeros(relations.count, np.uint8)

    @property
    def scanned(self) -> int:
        """Sets looked at since the start."""
        return int(self._scanned[0])

    def apply(self, words: np.ndarray, count: int) -> int:
        """Apply ring records given as rows of eight words; return the markets touched."""
        return self._kernels.apply_changes(
            words,
            count,
            self.version,
            self._market_mark,
            self.trusted,
            self.bid_ticks,
            self.ask_ticks,
            self.bid_lots,
            self.ask_lots,
            self.touched,
        )

    def apply_slots(self, markets: np.ndarray, slots: np.ndarray) -> None:
        """Overwrite the columns of these markets with board slots, whatever their version."""
        self.version[markets] = (slots["sequence"] // 2) & 0xFFFFFFFF
        self.trusted[markets] = is_sound(slots["flags"])
        self.bid_ticks[markets] = slots["bid_ticks"][:, 0]
        self.ask_ticks[markets] = np.where(
            slots["ask_levels"] > 0, slots["ask_ticks"][:, 0], PRICE_TICKS_MAX
        )
        self.bid_lots[markets] = slots["bid_lots"][:, 0]
        self.ask_lots[markets] = slots["ask_lots"][:, 0]

    def forget(self, markets: np.ndarray) -> None:
        """Trust these markets no longer."""
        self.trusted[markets] = 0
        self.alive[markets] = 0

    def check_mirrors(self, touched: int | None = None) -> int:
        """Renew ``alive`` of the touched markets (None: all); return how many are crossed."""
        if touched is None:
            return self._kernels.sweep_mirror(
                self.trusted,
                self.bid_ticks,
                self.ask_ticks,
                self.bid_lots,
                self.ask_lots,
                self.alive,
                self._crossed,
            )
        return self._kernels.scan_mirror(
            self.touched,
            touched,
            self.trusted,
            self.bid_ticks,
            self.ask_ticks,
            self.bid_lots,
            self.ask_lots,
            self.alive,
            self._crossed,
        )

    def scan(self, touched: int, threshold: int) -> int:
        """Scan the sets of the touched markets; return the number of hits in ``hits``."""
        related = self.relations
        return self._kernels.scan_touched(
            self.touched,
            touched,
            related.market_offsets,
            related.market_sets,
            related.offsets,
            related.members,
            related.min_lots,
            self._set_mark,
            self.alive,
            self.bid_ticks,
            self.ask_ticks,
            self.bid_lots,
            self.ask_lots,
            related.filter_rate_ppm,
            threshold,
            self._scanned,
            self.hits.set_index,
            self.hits.kind,
            self.hits.edge,
            self.hits.lots,
        )

    def sweep(self, threshold: int) -> int:
        """Scan every set; return the number of hits in ``hits``."""
        related = self.relations
        return self._kernels.scan_all(
            related.offsets,
            related.members,
            related.min_lots,
            self.alive,
            self.bid_ticks,
            self.ask_ticks,
            self.bid_lots,
            self.ask_lots,
            related.filter_rate_ppm,
            threshold,
            self._scanned,
            self.hits.set_index,
            self.hits.kind,
            self.hits.edge,
            self.hits.lots,
        )


def warm(kernels: Kernels) -> None:
    """Run every kernel once on a scratch set of two.

    The first call in a process costs tens of milliseconds (type inference of the arguments,
    even with compiled code from the cache): it must not fall into the first change.
    """
    columns = Columns(kernels, 2)
    columns.relate(
        Relations(
            set_ids=(0,),
            offsets=np.array([0, 2], np.int32),
            members=np.array([0, 1], np.int32),
            min_lots=np.array([1], np.int64),
            market_offsets=np.array([0, 1, 2], np.int32),
            market_sets=np.array([0, 0], np.int32),
            filter_rate_ppm=np.zeros(2, np.int64),
            skipped={},
        )
    )
    words = np.zeros((2, 8), np.int64)
    words[:, 2] = np.array([0, 1]) | 1 << 32
    touched = columns.apply(words, 2)
    columns.check_mirrors(touched)
    columns.check_mirrors()
    columns.scan(touched, 0)
    columns.sweep(0)
