"""Slow, obvious twin of the books: dicts per token, hashes by hashlib, no mirroring."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from oracle.decoder import decode
from overround.units import format_price, format_size


@dataclass
class TokenBook:
    """One token's own book: what the venue said of it, and nothing inferred."""

    market: str
    token: str
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks) as (price_ticks, size_lots), best first."""
        return (
            sorted(self.bids.items(), reverse=True),
            sorted(self.asks.items()),
        )

    def hash(self, epoch_ms: int, *, min_size: str, tick: str, neg_risk: bool, last: str) -> str:
        """The venue's hash of this book."""
        bids, asks = self.levels()
        document = {
            "market": self.market,
            "asset_id": self.token,
            "timestamp": str(epoch_ms),
            "hash": "",
            "bids": [listed(level) for level in reversed(bids)],
            "asks": [listed(level) for level in reversed(asks)],
            "min_order_size": min_size,
            "tick_size": tick,
            "neg_risk": neg_risk,
            "last_trade_price": last,
        }
        return hashlib.sha1(json.dumps(document, separators=(",", ":")).encode()).hexdigest()


def listed(level: tuple[int, int]) -> dict[str, str]:
    return {"price": format_price(level[0]), "size": format_size(level[1])}


class BookTwin:
    """Applies every event to the token it names."""

    def __init__(self) -> None:
        self.books: dict[str, TokenBook] = {}

    def on_frame(self, frame: bytes) -> None:
        for event in decode(frame).events:
            if event.type == "book":
                book = self.book(event.market, event.asset)
                book.bids = {c.price_ticks: c.size_lots for c in event.changes if c.size_lots}
                book.asks = {c.price_ticks: c.size_lots for c in event.asks if c.size_lots}
            elif event.type == "price_change":
                for change in event.changes:
                    book = self.book(event.market, change.asset)
                    side = book.asks if change.side else book.bids
                    side.pop(change.price_ticks, None)
                    if change.size_lots:
                        side[change.price_ticks] = change.size_lots

    def book(self, market: str, token: str) -> TokenBook:
        return self.books.setdefault(token, TokenBook(market, token))
