"""Traders who take: some by chance, some because they know where the value is going.

Both meet whatever rests first in price and time, members' orders like the flow's own. Chance
takers pay the spread, so a maker earns on them; informed ones take a quote shortly before the
value moves through it, so a maker who does not move loses on them (adverse selection).
"""

from __future__ import annotations

from random import Random

from overround.match.types import BookSide
from overround.sim.makers import MakerBook
from overround.sim.sizes import draw_size_lots
from overround.units import LOTS_PER_SHARE, PRICE_TICKS_MAX

__all__ = ["INFORMED_LEAD_S", "Takers"]

INFORMED_LEAD_S = 0.8
"""How far into the future of the value the informed see."""

NOISE_LOG_MEAN, NOISE_LOG_DEVIATION = 2.95, 0.6
"""Recorded prints: p5 8, p50 20, p95 37 shares."""

INFORMED_LOG_MEAN, INFORMED_LOG_DEVIATION = 4.0, 0.9


class Takers:
    """The takers of one market. Counts ``noise_trades`` and ``informed_trades``."""

    __slots__ = ("_makers", "_random", "informed_trades", "noise_trades")

    def __init__(self, makers: MakerBook, random: Random) -> None:
        self._makers = makers
        self._random = random
        self.informed_trades = 0
        self.noise_trades = 0

    def noise(self, side: BookSide, bid_ticks: int, ask_ticks: int) -> bool:
        """Take from the best price of a side; False if nothing came of it."""
        limit = bid_ticks if side == BookSide.BID else ask_ticks
        size = draw_size_lots(self._random, NOISE_LOG_MEAN, NOISE_LOG_DEVIATION, 1.0)
        done = self._makers.take(side, limit, self._enough(limit, size))
        self.noise_trades += done
        return done

    def informed(self, side: BookSide, value_ticks: int) -> bool:
        """Take all prices of a side that the coming value makes cheap, up to a size."""
        tick = self._makers.market.rules.tick_ticks
        if side == BookSide.ASK:
            limit = (value_ticks - 1) // tick * tick
        else:
            limit = (value_ticks // tick + 1) * tick
        if not 0 < limit < PRICE_TICKS_MAX:
            return False
        size = draw_size_lots(self._random, INFORMED_LOG_MEAN, INFORMED_LOG_DEVIATION, 1.0)
        done = self._makers.take(side, limit, self._enough(limit, size))
        self.informed_trades += done
        return done

    def _enough(self, limit_ticks: int, size_lots: int) -> int:
        """Make a size the venue takes: a marketable BUY of either token is worth a dollar."""
        cheapest = min(limit_ticks, PRICE_TICKS_MAX - limit_ticks)
        dollar_lots = LOTS_PER_SHARE * PRICE_TICKS_MAX // cheapest + LOTS_PER_SHARE
        return max(size_lots, self._makers.market.rules.min_size_lots, dollar_lots)
