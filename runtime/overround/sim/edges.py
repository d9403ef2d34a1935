"""Real edges in a complete set, opened on purpose: one leg jumps, the others lag behind.

To open one, the flow pulls its own quotes out of the way on one leg and rests an order at a price
that makes the whole set cheaper than its payoff after fees (buy all) or dearer (sell all). It
lasts until somebody takes it or its time is up; then the pulled quotes come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from overround.clock import NS_PER_MS
from overround.match.types import BookSide, Order, OrderStatus, OrderType
from overround.sim.exchange import Exchange
from overround.sim.quoting import MarketFlow
from overround.units import LOTS_PER_SHARE, PRICE_TICKS_MAX

__all__ = ["EdgeMaker", "EdgeSettings"]

SIZE_SHARES = (400, 3_000)
"""Least and most shares of an edge: the cheapest leg must be worth the venue's one dollar."""

SIZE_STEP_SHARES = 10

BUY_SHARE = 0.4
"""Edges that are bought; the rest are sold, where no leg is too cheap for a small taker."""


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """How often edges open (0: never), how long they stand, how wide they are before fees."""

    every_s: float = 2.0
    hold_ms: int = 1_500
    gain_ticks: tuple[int, int] = (60, 120)


@dataclass(slots=True)
class _Open:
    kind: str
    leg: MarketFlow
    order: Order
    opened_ns: int
    until_ns: int
    pulled: list[tuple[BookSide, int, int]]


class EdgeMaker:
    """Opens and closes edges in one set. Counts ``opened``, ``taken``, ``expired``."""

    def __init__(
        self, exchange: Exchange, legs: list[MarketFlow], random: Random, settings: EdgeSettings
    ) -> None:
        self.opened = 0
        self.taken = 0
        self.expired = 0
        self.taken_lots = 0
        self._exchange = exchange
        self._legs = legs
        self._random = random
        self._settings = settings
        self._active: _Open | None = None
        self._next_ns = self._pause_ns()

    def _pause_ns(self) -> int:
        every_s = self._settings.every_s
        if every_s <= 0:
            return 1 << 62
        # Half fixed, half exponential: never back to back, never in step with a poller.
        return int((0.5 + 0.5 * self._random.expovariate(1.0)) * every_s * 1e9)

    @property
    def active(self) -> bool:
        """Whether an edge stands open now."""
        return self._active is not None

    def run(self, now_ns: int) -> None:
        """Open, close or leave alone; ``now_ns`` is the flow's own time."""
        if self._active is not None:
            self._watch(now_ns)
        elif now_ns >= self._next_ns:
            kind = "buy_all" if self._random.random() < BUY_SHARE else "sell_all"
            if not self.open(kind, now_ns):
                self._next_ns = now_ns + self._pause_ns()

    def _sum_best(self, side: BookSide, skip: MarketFlow) -> int:
        total = 0
        for leg in self._legs:
            if leg is not skip:
                bid, _, ask, _ = self._exchange.engine.top(leg.market.index)
                if not bid or ask == PRICE_TICKS_MAX:
                    return -1
                total += bid if side == BookSide.BID else ask
        return total

    def _choose(self, kind: str) -> MarketFlow:
        dearest = max(self._legs, key=lambda leg: self._exchange.engine.top(leg.market.index)[0])
        if kind == "sell_all" and self._random.random() < 0.5:
            return self._random.choice(self._legs)
        return dearest

    def open(
        self,
        kind: str,
        now_ns: int,
        *,
        gain_ticks: int = 0,
        size_lots: int = 0,
        hold_ms: int = 0,
    ) -> bool:
        """Open an edge of a kind ("buy_all", "sell_all"); False if the books leave no room.

        Zeros mean: as the settings and chance have it.
        """
        if self._active is not None:
            return False
        low, high = self._settings.gain_ticks
        gain = gain_ticks or self._random.randint(low, high)
        shares = min(
            max(round(self._random.lognormvariate(6.7, 0.5)), SIZE_SHARES[0]), SIZE_SHARES[1]
        )
        size = size_lots or shares // SIZE_STEP_SHARES * SIZE_STEP_SHARES * LOTS_PER_SHARE
        leg = self._choose(kind)
        quote = BookSide.ASK if kind == "buy_all" else BookSide.BID
        others = self._sum_best(quote, leg)
        if others < 0:
            return False
        tick = leg.market.rules.tick_ticks
        if kind == "buy_all":
            price = (PRICE_TICKS_MAX - gain - others) // tick * tick
        else:
            price = -((others - PRICE_TICKS_MAX - gain) // tick) * tick
        if not tick < price < PRICE_TICKS_MAX - tick:
            return False
        with self._exchange.burst():
            return self._place(kind, leg, quote, price, size, now_ns, hold_ms)

    def _place(
        self,
        kind: str,
        leg: MarketFlow,
        quote: BookSide,
        price: int,
        size: int,
        now_ns: int,
        hold_ms: int,
    ) -> bool:
        against = BookSide.BID if quote == BookSide.ASK else BookSide.ASK
        before = self._exchange.engine.top(leg.market.index)
        pulled = []
        for level in leg.makers.prices(against):
            if (level < price) if against == BookSide.BID else (level > price):
                break
            pulled.append((against, level, leg.makers.cancel_level(against, level)))
        top = self._exchange.engine.top(leg.market.index)
        clear = top.bid_ticks < price if quote == BookSide.ASK else top.ask_ticks > price
        beats = price < top.ask_ticks if quote == BookSide.ASK else price > top.bid_ticks
        order = leg.makers.order(1, quote, price, size, OrderType.GTC)
        if not (clear and beats and top.bid_lots and self._exchange.submit(order)):
            self._restore(leg, pulled)
            return False
        for other in self._legs:
            other.frozen = True
            if other is not leg:
                self._deepen(other, quote, size)
        if quote == BookSide.ASK:
            leg.reference = (top.bid_ticks, before.ask_ticks)
        else:
            leg.reference = (before.bid_ticks, top.ask_ticks)
        until_ns = now_ns + (hold_ms or self._settings.hold_ms) * NS_PER_MS
        self._active = _Open(kind, leg, order, now_ns, until_ns, pulled)
        self.opened += 1
        return True

    def _deepen(self, leg: MarketFlow, quote: BookSide, size: int) -> None:
        """Make the best level of a lagging leg deep enough for the whole set."""
        top = self._exchange.engine.top(leg.market.index)
        price, lots = (
            (top.ask_ticks, top.ask_lots)
            if quote == BookSide.ASK
            else (top.bid_ticks, top.bid_lots)
        )
        if lots < size:
            leg.makers.add(quote, price, size - lots)

    def _restore(self, leg: MarketFlow, pulled: list[tuple[BookSide, int, int]]) -> None:
        for side, price, lots in reversed(pulled):
            top = self._exchange.engine.top(leg.market.index)
            free = price < top.ask_ticks if side == BookSide.BID else price > top.bid_ticks
            if free and lots:
                leg.makers.add(side, price, lots)

    def _watch(self, now_ns: int) -> None:
        edge = self._active
        if edge is None:
            return
        gone = edge.order.status != OrderStatus.LIVE
        if not gone and now_ns < edge.until_ns:
            return
        self.taken_lots += edge.order.filled_lots
        if edge.order.filled_lots:
            self.taken += 1
        else:
            self.expired += 1
        self._active = None
        with self._exchange.burst():
            self._exchange.cancel(edge.order.id)
            self._restore(edge.leg, edge.pulled)
        for leg in self._legs:
            leg.frozen = False
            leg.reference = None
        self._next_ns = max(now_ns, edge.opened_ns + self._pause_ns())
