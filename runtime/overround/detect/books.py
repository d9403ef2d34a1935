"""Books for strategies: the top of one market, only while it may be traded on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from overround.decide.targets import Book
from overround.detect.legs import Shard
from overround.layout.board import BOARD
from overround.layout.catalog import CATALOG
from overround.layout.change import is_sound
from overround.shm.slots import Slots

__all__ = ["BookReader"]


class BookReader:
    """Reads the boards of every shard; one buffer, so one thread."""

    def __init__(self, shards: Sequence[Shard], catalog: Slots, lease_ns: int) -> None:
        self._shards = {shard.number: shard for shard in shards}
        self._catalog = catalog
        self._lease_ns = lease_ns
        self._row = np.zeros(1, CATALOG)
        self._slot = np.zeros(1, BOARD)

    def top(self, market: int, now_ns: int) -> Book | None:
        """Return the book's top; None unless trusted, whole, and of a living owner."""
        if market >= self._catalog.count or not self._catalog.load_into(market, self._row):
            return None
        shard = self._shards.get(int(self._row["shard"][0]))
        if shard is None:
            return None
        epoch = int(shard.region.epoch)
        usable = shard.region.usable(now_ns, self._lease_ns)
        whole = shard.board.load_into(market, self._slot)
        slot = self._slot[0]
        if not usable or not whole or int(shard.region.epoch) != epoch:
            return None
        if not is_sound(int(slot["flags"])):
            return None
        bids, asks = int(slot["bid_levels"]) > 0, int(slot["ask_levels"]) > 0
        return Book(
            bid_ticks=int(slot["bid_ticks"][0]) if bids else 0,
            bid_lots=int(slot["bid_lots"][0]) if bids else 0,
            ask_ticks=int(slot["ask_ticks"][0]) if asks else 10_000,
            ask_lots=int(slot["ask_lots"][0]) if asks else 0,
            tick_ticks=int(slot["tick_ticks"]),
            ingress_epoch=epoch,
            board_sequence=int(slot["sequence"]),
            recv_ns=int(slot["recv_ns"]),
        )
