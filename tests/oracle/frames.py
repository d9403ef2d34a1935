"""Market-channel frames in recorded shape with true hashes, made from a book we write ourselves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from oracle.book import TokenBook, listed
from overround.units import PRICE_TICKS_MAX, format_price, format_size

MARKET = "0x" + "a1" * 32
YES = "7" * 77
NO = "8" * 77
T0 = 1_790_000_000_000


def spaced(message: Any) -> bytes:
    """The serialiser of later frames: a blank after each comma, none after colons."""
    return json.dumps(message, separators=(", ", ":")).encode()


def compact(message: Any) -> bytes:
    """The serialiser of opening snapshots: no blanks, a newline at the end."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


@dataclass
class VenueBook:
    """A market as the venue holds it; emits frames about itself."""

    market: str = MARKET
    yes: str = YES
    no: str = NO
    tick: str = "0.01"
    min_size: str = "5"
    neg_risk: bool = False
    last: str = "0.52"
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def token_book(self, outcome: int) -> TokenBook:
        book = TokenBook(self.market, self.no if outcome else self.yes)
        own, other = (self.asks, self.bids) if outcome else (self.bids, self.asks)
        flip = PRICE_TICKS_MAX if outcome else 0
        book.bids = {abs(flip - ticks): lots for ticks, lots in own.items()}
        book.asks = {abs(flip - ticks): lots for ticks, lots in other.items()}
        return book

    def hash(self, outcome: int, epoch_ms: int) -> str:
        return self.token_book(outcome).hash(
            epoch_ms,
            min_size=self.min_size,
            tick=self.tick,
            neg_risk=self.neg_risk,
            last=self.last,
        )

    def best(self, outcome: int) -> tuple[str, str]:
        bids, asks = self.token_book(outcome).levels()
        return (
            format_price(bids[0][0]) if bids else "0",
            format_price(asks[0][0]) if asks else "1",
        )

    def book(self, outcome: int, epoch_ms: int, *, opening: bool = False) -> dict[str, Any]:
        own = self.token_book(outcome)
        bids, asks = own.levels()
        message: dict[str, Any] = {"market": self.market, "asset_id": own.token}
        levels = {
            "bids": [listed(level) for level in reversed(bids)],
            "asks": [listed(level) for level in reversed(asks)],
        }
        if opening:
            message |= {"timestamp": str(epoch_ms), "hash": self.hash(outcome, epoch_ms)}
            message |= levels
            return message | {
                "tick_size": self.tick,
                "event_type": "book",
                "last_trade_price": self.last,
            }
        message |= levels
        message |= {"hash": self.hash(outcome, epoch_ms), "timestamp": str(epoch_ms)}
        return message | {"event_type": "book"}

    def opening(self, epoch_ms: int) -> bytes:
        return compact([self.book(o, epoch_ms, opening=True) for o in (0, 1)])

    def rest(self, epoch_ms: int) -> bytes:
        """What POST /books answers for both tokens."""
        books = []
        for outcome in (0, 1):
            book = self.book(outcome, epoch_ms, opening=True)
            del book["event_type"]
            book |= {"min_order_size": self.min_size, "neg_risk": self.neg_risk}
            books.append(book)
        return json.dumps(books).encode()

    def set(self, side: int, ticks: int, lots: int) -> None:
        levels = self.asks if side else self.bids
        levels.pop(ticks, None)
        if lots:
            levels[ticks] = lots

    def entries(self, side: int, ticks: int, epoch_ms: int) -> list[dict[str, str]]:
        """Both tokens' entries of one level as it stands now."""
        lots = (self.asks if side else self.bids).get(ticks, 0)
        found = []
        for outcome in (0, 1):
            best_bid, best_ask = self.best(outcome)
            found.append(
                {
                    "asset_id": self.no if outcome else self.yes,
                    "price": format_price(PRICE_TICKS_MAX - ticks if outcome else ticks),
                    "size": format_size(lots),
                    "side": "SELL" if side ^ outcome else "BUY",
                    "hash": self.hash(outcome, epoch_ms),
                    "best_bid": best_bid,
                    "best_ask": best_ask,
                }
            )
        return found

    def change(self, *levels: tuple[int, int], epoch_ms: int, swapped: bool = False) -> bytes:
        """One price_change about levels (side, ticks), hashed as the book stands now."""
        entries = [e for side, ticks in levels for e in self.entries(side, ticks, epoch_ms)]
        return spaced(
            {
                "market": self.market,
                "price_changes": entries[::-1] if swapped else entries,
                "timestamp": str(epoch_ms),
                "event_type": "price_change",
            }
        )

    def trade(self, ticks: int, lots: int, epoch_ms: int, *, outcome: int = 0) -> bytes:
        return spaced(
            {
                "market": self.market,
                "asset_id": self.no if outcome else self.yes,
                "price": format_price(ticks),
                "size": format_size(lots),
                "fee_rate_bps": "0",
                "side": "BUY",
                "timestamp": str(epoch_ms),
                "event_type": "last_trade_price",
                "transaction_hash": "0x" + "5f" * 32,
            }
        )

    def tick_change(self, tick: str, epoch_ms: int) -> bytes:
        return spaced(
            {
                "market": self.market,
                "asset_id": self.yes,
                "old_tick_size": self.tick,
                "new_tick_size": tick,
                "timestamp": str(epoch_ms),
                "event_type": "tick_size_change",
            }
        )


def usual_book(**members: Any) -> VenueBook:
    """A small two-sided book: bids 0.50 0.51 0.52, asks 0.54 0.55 0.60."""
    million = 1_000_000
    book = VenueBook(**members)
    book.bids = {5_000: 100 * million, 5_100: 420_500_000, 5_200: 80 * million}
    book.asks = {5_400: 210 * million, 5_500: 35_250_000, 6_000: 9_000 * million}
    return book
