"""What has traded: a bounded memory of prints and prices of every market, kept as they happen."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from overround.match.types import Side
from overround.sim.records import OrderRecord, TradeRecord
from overround.units import PRICE_TICKS_MAX

__all__ = ["MarketTape", "Print", "Tape"]

PRINTS_MAX = 500
PRINTS_ALL_MAX = 50_000
"""Prints kept of one market, and of all: some 15 MB."""

POINTS_MAX = 20_000
BUILDER_TRADES_MAX = 10_000

NO_BUILDER = ("", "0x" + "0" * 64)


class Print(NamedTuple):
    """One match as the public sees it: the taker's token, side, price and size."""

    epoch_s: int
    outcome: int
    side: Side
    price_ticks: int
    size_lots: int
    cash_micro: int
    transaction: str
    address: str
    """Wallet of the taker."""


class MarketTape:
    """One market's latest prints, one YES price a second, and totals since the start."""

    __slots__ = ("lots", "points", "prints", "volume_micro")

    def __init__(self) -> None:
        self.prints: deque[Print] = deque(maxlen=PRINTS_MAX)
        self.points: deque[tuple[int, int]] = deque(maxlen=POINTS_MAX)
        self.volume_micro = 0
        self.lots = 0


class Tape:
    """The tapes of all markets that ever traded, by market index."""

    def __init__(self) -> None:
        self._markets: dict[int, MarketTape] = {}
        self._none = MarketTape()
        self._order: deque[MarketTape] = deque()
        self._builders: dict[str, deque[TradeRecord]] = {}

    def of(self, market: int) -> MarketTape:
        """Return a market's tape, an empty one if nothing has traded."""
        return self._markets.get(market, self._none)

    def record(self, market: int, done: Print) -> None:
        """Keep one print. Cheap: it runs at every match."""
        tape = self._markets.get(market)
        if tape is None:
            tape = self._markets[market] = MarketTape()
        tape.prints.append(done)
        self._order.append(tape)
        if len(self._order) > PRINTS_ALL_MAX:
            oldest = self._order.popleft().prints
            if oldest:
                oldest.popleft()
        tape.volume_micro += done.cash_micro
        tape.lots += done.size_lots
        ticks = PRICE_TICKS_MAX - done.price_ticks if done.outcome else done.price_ticks
        point = (done.epoch_s, ticks)
        if tape.points and tape.points[-1][0] == done.epoch_s:
            tape.points[-1] = point
        else:
            tape.points.append(point)

    def attribute(self, trade: TradeRecord, taker: OrderRecord | None) -> None:
        """Keep a member's trade under the builder code its taker order names, if any."""
        code = taker.builder if taker else ""
        if code not in NO_BUILDER:
            trades = self._builders.setdefault(code, deque(maxlen=BUILDER_TRADES_MAX))
            trades.append(trade)

    def of_builder(self, code: str) -> list[TradeRecord]:
        """Return the trades taken with a builder code (0x and 64 hex digits), oldest first."""
        return list(self._builders.get(code, ()))

    def history(
        self, market: int, outcome: int, start_s: int, end_s: int, step_s: int
    ) -> list[tuple[int, int]]:
        """Return the last price of each ``step_s`` from ``start_s`` to ``end_s``, oldest first.

        Points are (epoch seconds, price ticks of the outcome's token), none for empty steps.
        """
        steps: dict[int, tuple[int, int]] = {}
        for epoch_s, ticks in self.of(market).points:
            if start_s <= epoch_s <= end_s:
                price = PRICE_TICKS_MAX - ticks if outcome else ticks
                steps[epoch_s // step_s] = (epoch_s, price)
        return list(steps.values())
