"""Real shared regions, written by a test as the supervisor and the ingress would."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import numpy as np

from overround.layout.board import BOARD
from overround.layout.catalog import CATALOG, SET_NONE, MarketStatus
from overround.layout.change import CHANGE, BookFlag
from overround.layout.intent import INTENT
from overround.layout.region import REGIONS, RegionKind
from overround.shm.broadcast import BroadcastReader, BroadcastWriter
from overround.shm.names import segment_name
from overround.shm.segment import Segment
from overround.shm.slots import Slots
from overround.shm.spsc import SpscConsumer, SpscProducer

SHARE = 1_000_000
TRUSTED = int(BookFlag.TRUSTED)

_runs = itertools.count(os.getpid() << 16)

Top = tuple[int, float, int, float]
"""Bid ticks, bid shares, ask ticks, ask shares; a side of no shares is empty."""


class Regions:
    """One shard's board and ring, a catalog, and one producer's intents, all owned here."""

    def __init__(self, *, markets: int = 32, ring: int = 64, intents: int = 64) -> None:
        self.run_id = next(_runs)
        self._segments: list[Segment] = []
        self.catalog_segment = self._create("catalog", RegionKind.CATALOG, markets)
        self.board_segment = self._create("board-0", RegionKind.BOARD, markets)
        self.changes_segment = self._create("changes-0", RegionKind.CHANGES, ring)
        self.intents_segment = self._create("intents-detector-0", RegionKind.INTENTS, intents)
        self.catalog = Slots(self.catalog_segment, CATALOG)
        self.board = Slots(self.board_segment, BOARD)
        self.changes = BroadcastWriter(self.changes_segment)
        self.producer = SpscProducer(self.intents_segment)
        self.consumer = SpscConsumer(self.intents_segment)
        self._events = itertools.count(1)

    def _create(self, key: str, kind: RegionKind, capacity: int) -> Segment:
        segment = Segment.create(
            segment_name("test", self.run_id, key),
            kind,
            capacity=capacity,
            record_size=REGIONS[kind].record_size,
            run_id=self.run_id,
        )
        segment.take_lease()
        segment.take_over()
        self._segments.append(segment)
        return segment

    def close(self) -> None:
        """Remove every region."""
        for segment in self._segments:
            segment.unlink()
            segment.close()

    def beat(self, now_ns: int) -> None:
        """Beat as the ingress does."""
        self.board_segment.beat(now_ns)
        self.changes_segment.beat(now_ns)

    def reader(self) -> BroadcastReader:
        """Return a new reader of the changes."""
        return BroadcastReader(self.changes_segment)

    def add_set(
        self,
        size: int,
        *,
        set_id: int = 1,
        rate_ppm: int = 0,
        min_shares: int = 5,
        change: Callable[[np.ndarray], None] | None = None,
    ) -> list[int]:
        """Append a complete set to the catalog; return its market indices."""
        return [
            self.add_market(
                set_index=set_id,
                set_size=size,
                set_position=position,
                rate_ppm=rate_ppm,
                min_shares=min_shares,
                change=change,
            )
            for position in range(size)
        ]

    def add_market(
        self,
        *,
        set_index: int = SET_NONE,
        set_size: int = 0,
        set_position: int = 0,
        rate_ppm: int = 0,
        min_shares: int = 5,
        change: Callable[[np.ndarray], None] | None = None,
    ) -> int:
        """Append a market to the catalog; return its index."""
        record = np.zeros((), CATALOG)
        record["market"] = self.catalog.count
        record["status"] = MarketStatus.ACTIVE
        record["tick_ticks"] = 100
        record["fee_known"] = record["fee_exponent"] = 1
        record["fee_rate_ppm"] = rate_ppm
        record["min_size_lots"] = min_shares * SHARE
        record["set_index"], record["set_size"] = set_index, set_size
        record["set_position"] = set_position
        record["set_complete"] = record["neg_risk"] = set_index != SET_NONE
        if change is not None:
            change(record)
        return int(self.catalog.append(record))

    def set_status(self, market: int, status: MarketStatus) -> None:
        """Change the status of a catalog market, as the supervisor does."""
        record = self.catalog.load(market)
        assert record is not None
        record["status"] = status
        self.catalog.store(market, record)

    def store(
        self, market: int, top: Top, *, now_ns: int, flags: int = TRUSTED, tick_ticks: int = 100
    ) -> np.ndarray:
        """Store a market's book into its slot; return the ring record that would follow."""
        bid, bid_shares, ask, ask_shares = top
        event = next(self._events)
        slot = np.zeros((), BOARD)
        slot["market"], slot["flags"], slot["tick_ticks"] = market, flags, tick_ticks
        slot["recv_ns"] = slot["publish_ns"] = now_ns
        slot["event_sequence"] = event
        bid_lots, ask_lots = round(bid_shares * SHARE), round(ask_shares * SHARE)
        if bid_lots:
            slot["bid_levels"] = 1
            slot["bid_ticks"][0], slot["bid_lots"][0] = bid, bid_lots
        if ask_lots:
            slot["ask_levels"] = 1
            slot["ask_ticks"][0], slot["ask_lots"][0] = ask, ask_lots
        self.board.store(market, slot)
        stored = self.board.load(market)
        assert stored is not None
        record = np.zeros((), CHANGE)
        record["recv_ns"], record["market"], record["flags"] = now_ns, market, flags
        record["version"] = (int(stored["sequence"]) // 2) & 0xFFFFFFFF
        record["bid_ticks"], record["bid_lots"] = (bid, bid_lots) if bid_lots else (0, 0)
        record["ask_ticks"], record["ask_lots"] = (ask, ask_lots) if ask_lots else (10_000, 0)
        record["event_sequence"] = event
        return record

    def publish(self, market: int, top: Top, *, now_ns: int, flags: int = TRUSTED) -> None:
        """Publish a market's book: slot first, then the ring record."""
        self.changes.publish(self.store(market, top, now_ns=now_ns, flags=flags))

    def intents(self) -> list[np.ndarray]:
        """Take every intent out of the ring, as the executor does."""
        out = np.zeros(self.intents_segment.capacity, INTENT)
        count = self.consumer.poll(out)
        self.consumer.advance_to(self.consumer.position)
        return [out[at].copy() for at in range(count)]
