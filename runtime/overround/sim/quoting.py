"""What the flow does at each event of one market: add, cancel, quote inside, trade, follow.

Shape after the recordings: half the events add; about a fifth happen at the touch; distance from
the best price is geometric with a fat tail; sizes are lognormal, mostly whole numbers, scaled by
a hump at the levels four to seven. The book stays two-sided and never crosses its set: a quote
that improves a price asks the guard first.
"""

from __future__ import annotations

from collections.abc import Callable

from overround.match.types import BookSide
from overround.sim.exchange import Exchange
from overround.sim.fair import FairValue, fair_value
from overround.sim.makers import ORDERS_PER_LEVEL_MAX, MakerBook
from overround.sim.sizes import draw_size_lots, level_scale
from overround.sim.takers import INFORMED_LEAD_S, Takers
from overround.units import PRICE_TICKS_MAX

__all__ = ["MarketFlow"]

SIZE_LOG_MEAN, SIZE_LOG_DEVIATION = 4.6, 1.2
"""Of one order; levels hold several, and are lognormal with 5.47 and 1.54 as recorded."""

TRADE_SHARE = 0.012
TOUCH_SHARE = 0.19
TAIL_SHARE = 0.12
TAIL_TICKS = 75
DEPTH_TICKS = 3.2
FOLLOW_SHARE = 0.3
IMPROVE_SHARE = 0.4
TOUCH_STAYS_SHARE = 0.6
"""How often the last order of a best price is left alone: the touch is refilled, not emptied."""

BURST_SHARE = 0.4
BURST_MORE_SHARE = 0.52
BURST_EVENTS_MAX = 20
LEVELS_MIN = 3
"""The flow never lets a side it quotes fall below this many levels."""

RECOUNT_EVENTS = 32
"""How often a side's own levels are counted again; an empty side is refilled at once."""

LEVELS_TARGET = 40
THIN_GROWTH = 3
"""A generated market's target is so many times its opening levels, if that is less."""

LEVELS_OVER = 1.5
"""New levels stop at so many times the target."""
Guard = Callable[[int, BookSide, int], bool]
"""``guard(market, side, price_ticks)``: may the best price of a side become this?"""


class MarketFlow:
    """One market's traders. ``frozen`` stops quotes and trades that move its best prices."""

    def __init__(self, exchange: Exchange, makers: MakerBook, guard: Guard) -> None:
        self.makers = makers
        self.market = makers.market
        self.frozen = False
        self.reference: tuple[int, int] | None = None
        """Best prices to quote around while an edge stands on this leg."""
        self._acts = 0
        self._exchange = exchange
        self._guard = guard
        self._random = makers.random
        bid, ask = exchange.books[self.market.index].best_ticks()
        self._anchor = (bid + ask) // 2
        self.fair: FairValue = fair_value(self.market, self._anchor, 0.0, 0.0, self._random)
        self.takers = Takers(makers, self._random)
        self.eagerness = 0.0
        """How often, at an event that finds a quote the value will run over, it is taken."""
        self._floor = {side: self._thin_limit(side) for side in BookSide}
        self._target = {side: self._levels_target(side) for side in BookSide}

    def _thin_limit(self, side: BookSide) -> int:
        return min(LEVELS_MIN, max(len(self.makers.levels[side]), 1))

    def _levels_target(self, side: BookSide) -> int:
        # Long shots open with over a hundred levels on one side; they should keep them. The
        # quiet tail opens with a few and should not grow a book.
        levels = len(self.makers.levels[side])
        if self.market.rank:
            return min(max(THIN_GROWTH * levels, 1), max(levels, LEVELS_TARGET))
        return max(levels, LEVELS_TARGET)

    def act(self, time_s: float) -> None:
        """Do what one event stands for; sometimes a burst of changes under one stamp."""
        with self._exchange.burst():
            self._one(time_s)
            if self._random.random() < BURST_SHARE:
                for _ in range(BURST_EVENTS_MAX - 1):
                    self._level_event()
                    if self._random.random() > BURST_MORE_SHARE:
                        break

    def _one(self, time_s: float) -> None:
        self._refill()
        if not self.frozen:
            if self._trade(time_s):
                return
            draw = self._random.random()
            if draw < FOLLOW_SHARE and self._follow(self.fair.at(time_s)):
                return
            if draw > 1 - IMPROVE_SHARE and self._close_spread(self.fair.at(time_s)):
                return
        self._level_event()

    # -- pieces --------------------------------------------------------------------------

    def _best(self) -> tuple[int, int]:
        top = self._exchange.engine.top(self.market.index)
        return top.bid_ticks, top.ask_ticks

    def _tick(self) -> int:
        return self.market.rules.tick_ticks

    def _size(self, depth: int) -> int:
        scale = level_scale(depth)
        return draw_size_lots(self._random, SIZE_LOG_MEAN, SIZE_LOG_DEVIATION, scale)

    def _refill(self) -> None:
        """Put levels back on a side that members or trades have thinned out."""
        bid, ask = self._best()
        tick = self._tick()
        self._acts += 1
        for side in BookSide:
            is_bid = side == BookSide.BID
            empty = not bid if is_bid else ask == PRICE_TICKS_MAX
            if not empty and self._acts % RECOUNT_EVENTS:
                continue
            own = self.makers.prices(side)
            away = -tick if is_bid else tick
            if own:
                price = own[-1] + away
            elif not empty:
                price = (bid if is_bid else ask) + away
            elif is_bid:
                price = min(self._anchor // tick * tick, ask - tick)
            else:
                price = max(-(-self._anchor // tick) * tick, bid + tick)
            for depth in range(self._floor[side] - len(own)):
                if 0 < price < PRICE_TICKS_MAX:
                    self.makers.add(side, price, self._size(depth))
                price += away

    def _level_event(self) -> None:
        random = self._random
        side = BookSide.BID if random.random() < 0.5 else BookSide.ASK
        bid, ask = self.reference or self._best()
        if not bid or ask == PRICE_TICKS_MAX:
            return
        if random.random() < TOUCH_SHARE:
            depth = 0
        elif random.random() < TAIL_SHARE:
            depth = random.randint(1, TAIL_TICKS)
        else:
            depth = 1 + int(random.expovariate(1 / DEPTH_TICKS))
        tick = self._tick()
        price = bid - depth * tick if side == BookSide.BID else ask + depth * tick
        price = min(max(price, tick), PRICE_TICKS_MAX - tick)
        orders = self.makers.resting(side, price)
        levels = len(self.makers.levels[side])
        target = self._target[side]
        add_share = 0.5 + 0.25 * max((target - levels) / target, -1.0)
        if orders:
            adds = len(orders) < ORDERS_PER_LEVEL_MAX and random.random() < add_share
        else:
            adds = levels < LEVELS_OVER * target
        if adds:
            self.makers.add(side, price, self._size(depth))
        else:
            self._cancel_near(side, price, levels)

    def _cancel_near(self, side: BookSide, price: int, levels: int) -> None:
        orders = self.makers.resting(side, price)
        if not orders:
            return
        if len(orders) == 1:
            at_touch = price in self._best()
            if levels <= self._floor[side] or (at_touch and self.frozen):
                return
            if at_touch and self._random.random() < TOUCH_STAYS_SHARE:
                return
        # The youngest goes most often: recorded levels keep a stable core.
        order = orders[-1] if self._random.random() < 0.8 else self._random.choice(orders)
        self._exchange.cancel(order.id)

    def _trade(self, time_s: float) -> bool:
        """Let a taker come: one who knows the value to be, more often than not by chance."""
        bid, ask = self._best()
        if not bid or ask == PRICE_TICKS_MAX:
            return False
        if self._random.random() < self.eagerness:
            future = self.fair.at(time_s + INFORMED_LEAD_S)
            side = BookSide.ASK if future > ask else BookSide.BID
            if not bid <= future <= ask and self._spare(side):
                return self.takers.informed(side, future)
        if self._random.random() >= TRADE_SHARE:
            return False
        side = BookSide.BID if self._random.random() < 0.5 else BookSide.ASK
        return self._spare(side) and self.takers.noise(side, bid, ask)

    def _spare(self, side: BookSide) -> bool:
        return len(self.makers.prices(side)) > self._floor[side]

    def _follow(self, anchor: int) -> bool:
        """Move the best prices a tick towards the anchor when it has left the spread."""
        bid, ask = self._best()
        tick = self._tick()
        if not bid or ask == PRICE_TICKS_MAX:
            return False
        if anchor >= ask:
            side, price, quote = BookSide.ASK, ask, BookSide.BID
        elif anchor <= bid:
            side, price, quote = BookSide.BID, bid, BookSide.ASK
        else:
            return False
        if not self._spare(side):
            return False
        self.makers.cancel_level(side, price)
        if self._best()[1 if side == BookSide.ASK else 0] == price:
            # A member stands in the way: trade with it, as the market would.
            self.makers.take(side, price, self._size(3))
            return True
        fresh = price if abs(price - (bid if quote == BookSide.BID else ask)) == tick else 0
        if fresh and self._guard(self.market.index, quote, fresh):
            self.makers.add(quote, fresh, self._size(0))
        return True

    def _close_spread(self, anchor: int) -> bool:
        """Quote inside a spread wider than one tick, up to the anchor and where the set allows."""
        bid, ask = self._best()
        tick = self._tick()
        if not bid or ask == PRICE_TICKS_MAX or ask - bid <= tick:
            return False
        near_bid = min(anchor // tick * tick, ask - tick)
        near_ask = max(-(-anchor // tick) * tick, bid + tick)
        if self._random.random() < 0.5:
            near_bid, near_ask = bid + tick, ask - tick
        sides = [
            (side, price)
            for side, price, room in (
                (BookSide.BID, near_bid, bid < near_bid <= anchor),
                (BookSide.ASK, near_ask, ask > near_ask >= anchor),
            )
            if room and self._guard(self.market.index, side, price)
        ]
        if not sides:
            return False
        side, price = self._random.choice(sides)
        return self.makers.add(side, price, self._size(0))
