"""The synthetic flow: every market's arrivals and actions, and the edges of complete sets.

Runs on its own time (nanoseconds since its start), so a seed gives the same sequence of actions
whatever the machine does; an exchange that falls behind skips, and counts what it skipped.
"""

from __future__ import annotations

import gc
import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random

from overround.clock import NS_PER_S
from overround.match.types import BookSide
from overround.sim.arrivals import Arrivals
from overround.sim.catalog import SimMarket
from overround.sim.edges import EdgeMaker, EdgeSettings
from overround.sim.exchange import Exchange
from overround.sim.fair import fair_value
from overround.sim.makers import THIN_MAKER_ACCOUNTS, MakerBook
from overround.sim.quoting import MarketFlow
from overround.sim.replay import BookReplay
from overround.sim.tail import Tail
from overround.sim.takers import INFORMED_LEAD_S
from overround.units import PRICE_TICKS_MAX

__all__ = ["Flow", "FlowSettings"]

FRAMES_PER_EVENT = 1.55
"""Frames an event causes on average (measured): trades and bursts cause more than one."""

LAG_NS_MAX = NS_PER_S // 2
"""Further behind than this, the flow skips events instead of running hot to catch up."""

SLICE_EVENTS_MAX = 64
"""Events handled in one go before requests and sockets get their turn."""

HOT_MARKETS = 64
"""So many markets have arrivals, randomness and traders of their own; the others share."""

SILENT_SHARE = 2
"""One generated market in so many never sees an event."""

EDGE_SETS_MAX = 3
"""Edges open in so many complete sets, the first ones listed."""

TAIL_INDEX = -1


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """``rate`` is frames per second over all markets, on average; 0 keeps the books still.
    ``informed`` is how many informed trades to expect at each move of a market's value."""

    rate: float = 200.0
    edges: EdgeSettings = field(default_factory=EdgeSettings)
    informed: float = 1.0


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Leave out the search for cycles while thousands of books are built: they hold none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Flow:
    """All synthetic activity of an exchange, or a recording in its place."""

    def __init__(
        self,
        exchange: Exchange,
        seed: int,
        settings: FlowSettings,
        replay: BookReplay | None = None,
    ) -> None:
        self.exchange = exchange
        self.events = 0
        self.skipped = 0
        self.paused = False
        self._seed = seed
        self._settings = settings
        self._replay = replay
        self._queue: list[tuple[float, int, Arrivals]] = []
        self.markets: list[MarketFlow] = []
        self._tail: Tail | None = None
        self._tail_random = Random(f"flow/{seed}/tail")
        self._now_ns = 0
        with _no_garbage():
            for market in exchange.catalog.markets:
                self._open(market)
        if replay is None:
            self._schedule()
        self.edges = self._edge_makers() if replay is None else []

    def _open(self, market: SimMarket) -> MarketFlow:
        if market.rank < HOT_MARKETS:
            random = Random(f"flow/{self._seed}/{market.index}")
            makers = MakerBook(self.exchange, market, random)
        else:
            makers = MakerBook(self.exchange, market, self._tail_random, THIN_MAKER_ACCOUNTS)
        makers.seed()
        flow = MarketFlow(self.exchange, makers, self.allows)
        self.markets.append(flow)
        return flow

    def _edge_makers(self) -> list[EdgeMaker]:
        sets = [e for e in self.exchange.catalog.events if e.set_id and len(e.markets) > 1]
        sets = sets[:EDGE_SETS_MAX]
        settings = self._settings.edges
        settings = replace(settings, every_s=settings.every_s * len(sets))
        makers = []
        for event in sets:
            legs = [self.markets[market.index] for market in event.markets]
            random = Random(f"edges/{self._seed}/{event.id}")
            makers.append(EdgeMaker(self.exchange, legs, random, settings))
        return makers

    def _schedule(self) -> None:
        """Give the markets Zipf-like shares of the rate: mid-range prices are the busiest.

        Generated markets come after the recorded ones; the last half of a long list is silent.
        """
        markets = self.exchange.catalog.markets

        def order(index: int) -> tuple[int, int]:
            rank = markets[index].rank
            best = self.exchange.books[index].best_ticks()
            return rank, 0 if rank else abs(sum(best) - PRICE_TICKS_MAX)

        ranked = sorted(range(len(markets)), key=order)
        generated = sum(1 for market in markets if market.rank)
        ranked = ranked[: len(ranked) - generated // SILENT_SHARE]
        weights = [1.0 / (rank + 1) for rank in range(len(ranked))]
        unit = self._settings.rate / sum(weights)
        for index, weight in zip(ranked[:HOT_MARKETS], weights, strict=False):
            self._start(index, unit * weight)
        if len(ranked) > HOT_MARKETS and unit > 0:
            self._start_tail(ranked[HOT_MARKETS:], weights[HOT_MARKETS:], unit)

    def _start_tail(self, indices: list[int], weights: list[float], unit: float) -> None:
        self._tail = Tail(indices, weights, self._tail_random)
        arrivals = Arrivals(unit * sum(weights) / FRAMES_PER_EVENT, self._tail_random)
        heapq.heappush(self._queue, (arrivals.advance(), TAIL_INDEX, arrivals))

    def _start(self, index: int, frames_per_s: float) -> None:
        if frames_per_s > 0:
            random = Random(f"arrivals/{self._seed}/{index}")
            events_per_s = frames_per_s / FRAMES_PER_EVENT
            arrivals = Arrivals(events_per_s, random)
            arrivals.time_s = start_s = self._now_ns / NS_PER_S
            flow = self.markets[index]
            flow.eagerness = min(self._settings.informed / (INFORMED_LEAD_S * events_per_s), 0.5)
            middle = sum(self.exchange.books[index].best_ticks()) // 2
            value = Random(f"value/{self._seed}/{index}")
            flow.fair = fair_value(flow.market, middle, frames_per_s, start_s, value)
            heapq.heappush(self._queue, (arrivals.advance(), index, arrivals))

    def add_market(self, market: SimMarket, frames_per_s: float = 5.0) -> None:
        """Start trading a market that was listed while running."""
        self._open(market)
        self._start(market.index, frames_per_s)

    def allows(self, market: int, side: BookSide, price_ticks: int) -> bool:
        """Return whether a new best price keeps the market's complete set free of arbitrage."""
        event = self.exchange.catalog.markets[market].event
        if not event.set_id:
            return True
        total = 0
        for leg in event.markets:
            bid, _, ask, _ = self.exchange.engine.top(leg.index)
            if leg.index == market:
                total += price_ticks
            else:
                total += bid if side == BookSide.BID else ask
        if side == BookSide.BID:
            return total <= PRICE_TICKS_MAX
        return total >= PRICE_TICKS_MAX

    def run_until(self, now_ns: int) -> None:
        """Do everything due by a time; time passes without effect while paused."""
        self._now_ns = now_ns
        if self._replay is not None and not self.paused:
            self._replay.run(self, now_ns)
        for edge in self.edges:
            if not self.paused:
                edge.run(now_ns)
        now_s = now_ns / NS_PER_S
        oldest_s = (now_ns - LAG_NS_MAX) / NS_PER_S
        handled = 0
        while self._queue and self._queue[0][0] <= now_s and handled < SLICE_EVENTS_MAX:
            time_s, index, arrivals = self._queue[0]
            if self.paused or time_s < oldest_s:
                self.skipped += 1
            else:
                self.markets[self._dealt(index)].act(time_s)
                self.events += 1
                handled += 1
            heapq.heapreplace(self._queue, (arrivals.advance(), index, arrivals))

    def _dealt(self, index: int) -> int:
        return self._tail.draw() if index == TAIL_INDEX and self._tail else index

    def open_edge(self, kind: str, *, gain_ticks: int, size_lots: int, hold_ms: int) -> bool:
        """Open an edge now (a control switch); False if none can be opened."""
        return any(
            edge.open(
                kind, self._now_ns, gain_ticks=gain_ticks, size_lots=size_lots, hold_ms=hold_ms
            )
            for edge in self.edges
        )
