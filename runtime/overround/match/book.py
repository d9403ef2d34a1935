"""The resting orders of one condition, in YES terms: price levels, queues, best prices.

A level is a queue in order of arrival whose members can leave from anywhere in constant time.
The occupied prices of a side are a two-level bitmap of small integers (79 words of 128 bits),
so the best price, the next worse one and every update cost the same however deep the book is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from overround.match.types import BookSide, LastTrade, MarketRules, Order, Top
from overround.units import PRICE_TICKS_MAX

__all__ = ["Book", "Level", "Levels", "Market"]

_WORD_BITS = 128
"""128 bits cover the 10,001 prices with 79 words, so that the summary fits one word too."""

_WORDS = PRICE_TICKS_MAX // _WORD_BITS + 1


class Level:
    """The orders resting at one price, oldest first, and the lots they still want."""

    __slots__ = ("orders", "size_lots")

    def __init__(self) -> None:
        self.orders: OrderedDict[str, Order] = OrderedDict()
        self.size_lots = 0


class Levels:
    """One side of a book. Prices are kept as ranks: 0 is the best price there could be."""

    __slots__ = ("_flip", "_summary", "_words", "levels")

    def __init__(self, side: BookSide) -> None:
        self._flip = side == BookSide.BID
        self._summary = 0
        self._words = [0] * _WORDS
        self.levels: dict[int, Level] = {}

    def _rank(self, price_ticks: int) -> int:
        return PRICE_TICKS_MAX - price_ticks if self._flip else price_ticks

    def level_at(self, price_ticks: int) -> Level:
        """Return the level of a price, opening it if nothing rests there."""
        level = self.levels.get(price_ticks)
        if level is None:
            level = self.levels[price_ticks] = Level()
            word, bit = divmod(self._rank(price_ticks), _WORD_BITS)
            self._words[word] |= 1 << bit
            self._summary |= 1 << word
        return level

    def close_level(self, price_ticks: int) -> None:
        """Drop an emptied level."""
        del self.levels[price_ticks]
        word, bit = divmod(self._rank(price_ticks), _WORD_BITS)
        self._words[word] &= ~(1 << bit)
        if not self._words[word]:
            self._summary &= ~(1 << word)

    def best(self) -> int | None:
        """Return the best occupied price, None if the side is empty."""
        if not self._summary:
            return None
        word = (self._summary & -self._summary).bit_length() - 1
        bits = self._words[word]
        rank = word * _WORD_BITS + (bits & -bits).bit_length() - 1
        return self._rank(rank)

    def prices(self) -> Iterator[int]:
        """Yield the occupied prices, best first. The side must not change meanwhile."""
        summary = self._summary
        while summary:
            word = (summary & -summary).bit_length() - 1
            summary &= summary - 1
            bits = self._words[word]
            while bits:
                yield self._rank(word * _WORD_BITS + (bits & -bits).bit_length() - 1)
                bits &= bits - 1

    def depth(self) -> list[tuple[int, int]]:
        """Return (price_ticks, size_lots) of every level, best first."""
        return [(price, self.levels[price].size_lots) for price in self.prices()]


class Book:
    """Both sides of a condition's book."""

    __slots__ = ("sides",)

    def __init__(self) -> None:
        self.sides = (Levels(BookSide.BID), Levels(BookSide.ASK))

    def add(self, order: Order) -> int:
        """Queue an order behind its price level; return the level's new size."""
        level = self.sides[order.book_side].level_at(order.book_ticks)
        level.orders[order.id] = order
        level.size_lots += order.remaining_lots
        return level.size_lots

    def remove(self, order: Order) -> int:
        """Take a resting order out; return the level's new size, 0 when it is gone."""
        side = self.sides[order.book_side]
        price = order.book_ticks
        level = side.levels[price]
        del level.orders[order.id]
        level.size_lots -= order.remaining_lots
        if not level.orders:
            side.close_level(price)
        return level.size_lots

    def orders(self) -> Iterator[Order]:
        """Yield every resting order: bids then asks, best price first, oldest first."""
        for side in self.sides:
            for price in side.prices():
                yield from side.levels[price].orders.values()

    def top(self) -> Top:
        """Return the best prices and sizes in YES terms."""
        bids, asks = self.sides
        bid, ask = bids.best(), asks.best()
        return Top(
            0 if bid is None else bid,
            0 if bid is None else bids.levels[bid].size_lots,
            PRICE_TICKS_MAX if ask is None else ask,
            0 if ask is None else asks.levels[ask].size_lots,
        )


class Market:
    """One condition: its rules, its book, its last trade, whether it takes orders.

    ``fees`` are the rates to come as (from_epoch_ms, rate_ppm, exponent), earliest first.
    """

    __slots__ = ("accepting", "book", "fees", "last", "rules")

    def __init__(self, rules: MarketRules) -> None:
        self.rules = rules
        self.book = Book()
        self.last: LastTrade | None = None
        self.accepting = True
        self.fees: list[tuple[int, int, int]] = []

    def roll_fees(self, now_epoch_ms: int) -> None:
        """Put into force every rate whose time has come."""
        while self.fees and self.fees[0][0] <= now_epoch_ms:
            _, rate, exponent = self.fees.pop(0)
            self.rules = replace(self.rules, fee_rate_ppm=rate, fee_exponent=exponent)
