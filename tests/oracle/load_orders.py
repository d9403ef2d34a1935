"""Signed batches for the load run, all made before its clock starts.

Twenty accounts quote and take around the middle of many markets: buyers of YES meet buyers of
NO (mint), holders sell to them (normal, merge), takers hit the flow's own levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from overround.match.types import OrderType, Side
from overround.venues.polymarket.amounts import limit_amounts
from overround.venues.polymarket.auth import Credentials, Signer
from overround.venues.polymarket.orders import (
    OrderParams,
    OrderSigner,
    batch_body,
    exchange_domain,
    order_body,
)

SHARE = 1_000_000
TICK = 100
BATCH = 15

KINDS: tuple[tuple[float, int, Side, OrderType, int, int], ...] = (
    # share of orders, outcome, side, type, lowest and highest price in ticks
    (0.30, 0, Side.BUY, OrderType.GTC, 4_900, 5_100),
    (0.30, 1, Side.BUY, OrderType.GTC, 4_900, 5_100),
    (0.10, 0, Side.SELL, OrderType.GTC, 4_900, 5_200),
    (0.10, 0, Side.BUY, OrderType.FAK, 5_200, 5_200),
    (0.10, 0, Side.BUY, OrderType.GTC, 3_000, 4_700),
    (0.10, 1, Side.BUY, OrderType.GTC, 3_000, 4_700),
)

SHARES = [row[0] for row in KINDS]


@dataclass(frozen=True)
class Trader:
    """One account: its key and the credentials it logged in for."""

    signer: Signer
    credentials: Credentials


class OrderMaker:
    """Signs one trader's orders over a list of markets, each (token_yes, token_no)."""

    def __init__(self, trader: Trader, markets: list[tuple[str, str]], random: Random) -> None:
        self._trader = trader
        self._markets = markets
        self._random = random
        self._sign = OrderSigner(trader.signer).sign
        self._domain = exchange_domain(neg_risk=False)

    def order(
        self, token: str, side: Side, kind: OrderType, price_ticks: int, size_lots: int
    ) -> bytes:
        maker, taker = limit_amounts(side, price_ticks, size_lots, TICK)
        params = OrderParams(
            salt=self._random.randrange(1, 2**53),
            maker=self._trader.signer.address,
            signer=self._trader.signer.address,
            token_id=int(token),
            maker_amount=maker,
            taker_amount=taker,
            side=int(side),
            signature_type=0,
            timestamp_ms=1_795_345_200_000,
        )
        signed = self._sign(params, self._domain)
        return order_body(signed, self._trader.credentials.api_key, kind)

    def _any(self) -> bytes:
        random = self._random
        rows = [row[1:] for row in KINDS]
        outcome, side, kind, low, high = random.choices(rows, SHARES)[0]
        size = random.choice((5, 10, 15, 20, 25, 40)) * SHARE
        price = random.randrange(low, high + TICK, TICK)
        if kind == OrderType.FAK:
            size = 25 * SHARE  # so that price x size has the two decimals it must have
        return self.order(random.choice(self._markets)[outcome], side, kind, price, size)

    def batch(self) -> bytes:
        """Return the body of one full batch."""
        return batch_body([self._any() for _ in range(BATCH)])

    def stock(self, token: str) -> bytes:
        """Return an order that buys tokens to sell later."""
        return self.order(token, Side.BUY, OrderType.FAK, 5_200, 200 * SHARE)
