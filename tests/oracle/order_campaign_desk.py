"""The other side of the campaign's market: two members who quote walls and hit what we rest.

They speak plain HTTP over one connection each and shrug at every failure: the exchange they
trade on misbehaves for everybody, and what is proved is not theirs.
"""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from overround.clock import epoch_ms, epoch_s
from overround.match.types import OrderType, Side
from overround.units import format_price, format_size, parse_price
from overround.venues.polymarket.amounts import limit_amounts, taking_amounts
from overround.venues.polymarket.auth import Credentials, Signer, l1_headers, l2_headers
from overround.venues.polymarket.orders import (
    OrderParams,
    OrderSigner,
    exchange_domain,
    order_body,
)

SHARE = 1_000_000
PATIENCE_S = 5
SPREAD_TICKS = 4
"""Free ticks between the walls: room for orders that rest in front of them."""
WALL_LOTS = 4_000 * SHARE
CLEARED_LOTS = 100_000 * SHARE
THIN_LOTS = 1_000 * SHARE
HOARD_SHARES = "40000"


@dataclass(frozen=True, slots=True)
class Place:
    """One market as the desk trades it: prices are those of the walls, in YES ticks."""

    index: int
    condition: str
    tokens: tuple[str, str]
    neg_risk: bool
    tick_ticks: int
    bid_ticks: int
    ask_ticks: int

    def price(self, outcome: int, yes_ticks: int) -> int:
        """A YES price as the price of an outcome."""
        return 10_000 - yes_ticks if outcome else yes_ticks


class Trader:
    """A member with a key: places, cancels, asks; None or False where the exchange would not."""

    def __init__(self, url: str, key: str, seed: int) -> None:
        self._host = url.removeprefix("http://")
        self.signer = Signer(key)
        self.address = self.signer.address
        self._orders = OrderSigner(self.signer)
        self._salt = itertools.count(seed * 1_000_000 + 1)
        self._link: http.client.HTTPConnection | None = None
        self._credentials: Credentials | None = None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Any:
        """The JSON of an answer with status 200, else None."""
        if self._link is None:
            self._link = http.client.HTTPConnection(self._host, timeout=PATIENCE_S)
        try:
            self._link.request(method, path, body or None, headers or {})
            answer = self._link.getresponse()
            text = answer.read()
            return json.loads(text) if answer.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def login(self) -> Credentials | None:
        """This key's credentials, asked for until they are there."""
        for method, path in (("POST", "/auth/api-key"), ("GET", "/auth/derive-api-key")):
            if self._credentials is None:
                found = self.send(method, path, b"", l1_headers(self.signer, epoch_s(), 0))
                if found:
                    self._credentials = Credentials(
                        found["apiKey"], found["secret"], found["passphrase"]
                    )
        return self._credentials

    def signed(self, method: str, path: str, body: bytes = b"") -> Any:
        """Send with a login."""
        credentials = self.login()
        if credentials is None:
            return None
        plain = path.partition("?")[0]
        proof = l2_headers(credentials, self.address, epoch_s(), method, plain, body)
        return self.send(method, path, body, proof)

    def place(
        self,
        market: Place,
        outcome: int,
        side: Side,
        price_ticks: int,
        lots: int,
        kind: OrderType = OrderType.GTC,
    ) -> dict[str, Any] | None:
        """Place an order; its answer if it was taken."""
        credentials = self.login()
        if credentials is None:
            return None
        amounts = limit_amounts if kind is OrderType.GTC else taking_amounts
        maker, taker = amounts(int(side), price_ticks, lots, market.tick_ticks)
        params = OrderParams(
            salt=next(self._salt),
            maker=self.address,
            signer=self.address,
            token_id=int(market.tokens[outcome]),
            maker_amount=maker,
            taker_amount=taker,
            side=int(side),
            signature_type=0,
            timestamp_ms=epoch_ms(),
        )
        signed = self._orders.sign(params, exchange_domain(neg_risk=market.neg_risk))
        body = order_body(signed, credentials.api_key, kind)
        answer: dict[str, Any] | None = self.signed("POST", "/order", body)
        return answer

    def balance(self, token: str = "") -> int | None:
        """Cash, or shares of a token, in millionths."""
        kind = f"CONDITIONAL&token_id={token}" if token else "COLLATERAL"
        path = f"/balance-allowance?asset_type={kind}&signature_type=0"
        answer = self.signed("GET", path) or self.signed("GET", path)  # an old link may be dead
        return int(answer["balance"]) if answer else None


class Desk:
    """Walls in every market, and takers who hit resting orders in every form."""

    def __init__(self, url: str, keys: Sequence[str], random: Random, seed: int) -> None:
        self._maker, self._taker = (Trader(url, key, seed) for key in keys)
        self._random = random
        self.traders = (self._maker, self._taker)

    def open(self, market: Place) -> Place:
        """Hoard tokens, clear the inside of a book, put walls there; the market as it is then."""
        for trader in self.traders:
            body = {"address": trader.address, "market": market.condition, "size": HOARD_SHARES}
            assert trader.login() is not None
            assert trader.send("POST", "/sim/split", json.dumps(body).encode()) is not None
        tick = market.tick_ticks
        while market.ask_ticks - market.bid_ticks < SPREAD_TICKS * tick:
            taken = self._maker.place(
                market, 0, Side.BUY, market.ask_ticks, CLEARED_LOTS, OrderType.FAK
            )
            assert taken is not None
            seen = self.look(market)
            assert seen.ask_ticks > market.ask_ticks, "the ask could not be cleared"
            market = seen
        self.wall(market)
        return market

    def look(self, market: Place) -> Place:
        """The market with the best prices of now."""
        book = self._maker.send("GET", f"/book?token_id={market.tokens[0]}")
        assert book is not None
        return Place(
            market.index, market.condition, market.tokens, market.neg_risk,
            parse_price(book["tick_size"]),
            parse_price(book["bids"][-1]["price"]), parse_price(book["asks"][-1]["price"]),
        )  # fmt: skip

    def wall(self, market: Place) -> None:
        """Rest a wall on both sides, half of it in each token: mint, merge and plain trades."""
        for outcome in (0, 1):
            for side, yes_ticks in ((Side.BUY, market.bid_ticks), (Side.SELL, market.ask_ticks)):
                if outcome:
                    side = Side.SELL if side is Side.BUY else Side.BUY
                price_ticks = market.price(outcome, yes_ticks)
                self._maker.place(market, outcome, side, price_ticks, WALL_LOTS)

    def hit(self, market: Place, outcome: int, side: int, price_ticks: int, lots: int) -> None:
        """Trade against an order of ours: against its token or, in another form, the other."""
        lots = max(5 * SHARE, lots * self._random.choice((1, 1, 2)) // 2)
        against = Side.SELL if side == 0 else Side.BUY
        if self._random.random() < 0.5:  # the same interest told in the other token
            outcome, price_ticks = 1 - outcome, 10_000 - price_ticks
            against = Side.BUY if against is Side.SELL else Side.SELL
        self._taker.place(market, outcome, against, price_ticks, lots, OrderType.FAK)

    def books(self, markets: Sequence[Place]) -> dict[str, Any]:
        """Whole books by token, empty if the exchange would not tell."""
        body = json.dumps([{"token_id": market.tokens[0]} for market in markets]).encode()
        found = self._maker.send("POST", "/books", body)
        return {book["asset_id"]: book for book in found} if isinstance(found, list) else {}

    def mend(self, market: Place, book: dict[str, Any]) -> None:
        """Put up the walls again where they have become thin."""
        wanted = {"bids": format_price(market.bid_ticks), "asks": format_price(market.ask_ticks)}
        for side, price in wanted.items():
            lots = sum(
                float(level["size"])
                for level in book[side]
                if parse_price(level["price"]) == parse_price(price)
            )
            if lots < float(format_size(THIN_LOTS)):
                self.wall(market)
                return

    def close(self) -> None:
        """Close the connections."""
        for trader in self.traders:
            trader.close()
