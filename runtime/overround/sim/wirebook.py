"""One market's book as the venue writes it: level texts, summaries, and the whole-book hash.

Both tokens are views of one YES book, so the two text lists of a side share one order: YES bids
ascending are NO asks descending. A level's text is made once, when it changes; the SHA-1 of a
token's book is computed only when a frame or an answer needs it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left

from overround.match.types import BookSide
from overround.sim.catalog import SimMarket
from overround.units import PRICE_TICKS_MAX, format_price, format_size

__all__ = ["WireBook", "last_trade_text"]


def last_trade_text(price_ticks: int) -> str:
    """Return a print's price as books and hashes carry it: at least three decimals, "0.870"."""
    text = format_price(price_ticks)
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(3, '0')}"


def _level_text(price_ticks: int, size_text: str) -> str:
    return f'{{"price":"{format_price(price_ticks)}","size":"{size_text}"}}'


class _Side:
    """Levels of one side, worst first; ``sign`` makes the sort keys ascend."""

    __slots__ = ("keys", "no", "sign", "yes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.yes: list[str] = []
        self.no: list[str] = []

    def set(self, price_ticks: int, size_lots: int) -> None:
        key = self.sign * price_ticks
        at = bisect_left(self.keys, key)
        present = at < len(self.keys) and self.keys[at] == key
        if not size_lots:
            if present:
                del self.keys[at], self.yes[at], self.no[at]
            return
        size_text = format_size(size_lots)
        yes = _level_text(price_ticks, size_text)
        no = _level_text(PRICE_TICKS_MAX - price_ticks, size_text)
        if present:
            self.yes[at], self.no[at] = yes, no
        else:
            self.keys.insert(at, key)
            self.yes.insert(at, yes)
            self.no.insert(at, no)

    @property
    def best_ticks(self) -> int:
        return self.sign * self.keys[-1] if self.keys else 0


class WireBook:
    """The published state of one market. ``epoch_ms`` stamps its last change."""

    __slots__ = ("_asks", "_bids", "_hashes", "epoch_ms", "last_trade", "market", "tick_ticks")

    def __init__(self, market: SimMarket, epoch_ms: int) -> None:
        self.market = market
        self.epoch_ms = epoch_ms
        self.last_trade = market.last_trade_text
        self.tick_ticks = market.rules.tick_ticks
        self._bids = _Side(1)
        self._asks = _Side(-1)
        self._hashes: list[str | None] = [None, None]

    def touch(self, epoch_ms: int) -> int:
        """Start a new state: return its stamp, later than every earlier one of this market."""
        self.epoch_ms = max(epoch_ms, self.epoch_ms + 1)
        self._hashes = [None, None]
        return self.epoch_ms

    def apply(self, side: BookSide, price_ticks: int, size_lots: int) -> None:
        """Set the whole size at a YES price; 0 removes the level. ``touch`` comes first."""
        (self._asks if side else self._bids).set(price_ticks, size_lots)

    def best(self, outcome: int) -> tuple[str, str]:
        """Return best bid and best ask of a token; "0" and "1" stand for an empty side."""
        bid = self._bids.best_ticks
        ask = self._asks.best_ticks or PRICE_TICKS_MAX
        if outcome:
            bid, ask = PRICE_TICKS_MAX - ask, PRICE_TICKS_MAX - bid
        return format_price(bid), format_price(ask)

    def best_ticks(self) -> tuple[int, int]:
        """Return best bid and best ask of YES; 0 and 10,000 stand for an empty side."""
        return self._bids.best_ticks, self._asks.best_ticks or PRICE_TICKS_MAX

    def _sides(self, outcome: int) -> tuple[str, str]:
        if outcome:
            return ",".join(self._asks.no), ",".join(self._bids.no)
        return ",".join(self._bids.yes), ",".join(self._asks.yes)

    def _summary(self, outcome: int, digest: str, bids: str, asks: str) -> str:
        market = self.market
        neg_risk = "true" if market.rules.neg_risk else "false"
        return (
            f'{{"market":"{market.condition_id}","asset_id":"{market.token(outcome)}",'
            f'"timestamp":"{self.epoch_ms}","hash":"{digest}","bids":[{bids}],"asks":[{asks}],'
            f'"min_order_size":"{format_size(market.rules.min_size_lots)}",'
            f'"tick_size":"{format_price(self.tick_ticks)}","neg_risk":{neg_risk},'
            f'"last_trade_price":"{self.last_trade}"}}'
        )

    def digest(self, outcome: int) -> str:
        """Return the SHA-1 of a token's whole book: 40 hex digits."""
        known = self._hashes[outcome]
        if known is None:
            text = self._summary(outcome, "", *self._sides(outcome))
            known = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            self._hashes[outcome] = known
        return known

    def rest_text(self, outcome: int) -> str:
        """Return the book summary that ``/book`` and ``/books`` answer with."""
        return self._summary(outcome, self.digest(outcome), *self._sides(outcome))

    def opening_text(self, outcome: int) -> str:
        """Return the compact book object of an opening array."""
        bids, asks = self._sides(outcome)
        market = self.market
        return (
            f'{{"market":"{market.condition_id}","asset_id":"{market.token(outcome)}",'
            f'"timestamp":"{self.epoch_ms}","hash":"{self.digest(outcome)}",'
            f'"bids":[{bids}],"asks":[{asks}],"tick_size":"{format_price(self.tick_ticks)}",'
            f'"event_type":"book","last_trade_price":"{self.last_trade}"}}'
        )

    def refresh_text(self, outcome: int) -> str:
        """Return the spaced book frame that follows a trade."""
        bids, asks = (side.replace(",", ", ") for side in self._sides(outcome))
        market = self.market
        return (
            f'{{"market":"{market.condition_id}", "asset_id":"{market.token(outcome)}", '
            f'"bids":[{bids}], "asks":[{asks}], "hash":"{self.digest(outcome)}", '
            f'"timestamp":"{self.epoch_ms}", "event_type":"book"}}'
        )

    def change_entry(self, outcome: int, side: BookSide, price_ticks: int, size_lots: int) -> str:
        """Return one entry of a ``price_change`` frame, as this token sees the change."""
        if outcome:
            price_ticks = PRICE_TICKS_MAX - price_ticks
        buy = (side == BookSide.BID) != bool(outcome)
        bid, ask = self.best(outcome)
        return (
            f'{{"asset_id":"{self.market.token(outcome)}", "price":"{format_price(price_ticks)}", '
            f'"size":"{format_size(size_lots)}", "side":"{"BUY" if buy else "SELL"}", '
            f'"hash":"{self.digest(outcome)}", "best_bid":"{bid}", "best_ask":"{ask}"}}'
        )
