"""The flow's own traders: they hold the whole book, so they can move it without cheating.

Every level is made of real resting orders in the engine, half the asks as SELL YES and the rest
as BUY NO, so members who trade meet normal, mint and merge settlements alike.
"""

from __future__ import annotations

from random import Random

from overround.match.types import BookSide, Order, OrderStatus, OrderType, Outcome, Side
from overround.sim.catalog import SimMarket
from overround.sim.exchange import Exchange
from overround.units import LOTS_PER_SHARE, MICRO_PER_UNIT, PRICE_TICKS_MAX

__all__ = ["TAKER_ACCOUNT", "THIN_MAKER_ACCOUNTS", "MakerBook"]

MAKER_ACCOUNTS = 8
TAKER_ACCOUNT = 90
THIN_MAKER_ACCOUNTS = 2
"""So many of them quote a market of the long tail: each costs memory in each market."""

MAKER_CASH_MICRO = 2_000_000_000 * MICRO_PER_UNIT
MAKER_TOKENS_LOTS = 1_000_000_000 * LOTS_PER_SHARE
"""Each of the flow's traders: enough for the largest recorded levels (31 M shares)."""

ORDERS_PER_LEVEL_MAX = 6
"""Above this many orders at a level the flow cancels there instead of adding."""


class MakerBook:
    """The flow's resting orders of one market, by side and YES price."""

    def __init__(
        self,
        exchange: Exchange,
        market: SimMarket,
        random: Random,
        makers: int = MAKER_ACCOUNTS,
    ) -> None:
        self.exchange = exchange
        self.market = market
        self.random = random
        self.levels: dict[BookSide, dict[int, list[Order]]] = {BookSide.BID: {}, BookSide.ASK: {}}
        self._made = 0
        self._makers = makers
        for account in (*range(1, makers + 1), TAKER_ACCOUNT):
            if not exchange.accounts.holding(account).cash_micro:
                exchange.accounts.deposit(account, MAKER_CASH_MICRO)
            for outcome in Outcome:
                exchange.accounts.grant(account, market.index, outcome, MAKER_TOKENS_LOTS)

    def seed(self) -> None:
        """Place the market's opening book."""
        with self.exchange.burst():
            for price_ticks, size_lots in self.market.bids:
                self.add(BookSide.BID, price_ticks, size_lots)
            for price_ticks, size_lots in self.market.asks:
                self.add(BookSide.ASK, price_ticks, size_lots)

    def _next_id(self) -> str:
        self._made += 1
        return f"0xf10e{self.market.index:08x}{self.exchange.generation:04x}{self._made:048x}"

    def order(
        self, account: int, side: BookSide, price_ticks: int, size_lots: int, kind: OrderType
    ) -> Order:
        """Return an order on a side of the YES book, for either token by chance."""
        if self.random.random() < 0.5:
            outcome, does = Outcome.YES, Side.BUY if side == BookSide.BID else Side.SELL
            price = price_ticks
        else:
            outcome, does = Outcome.NO, Side.SELL if side == BookSide.BID else Side.BUY
            price = PRICE_TICKS_MAX - price_ticks
        return Order(
            id=self._next_id(),
            account=account,
            market=self.market.index,
            outcome=outcome,
            side=does,
            price_ticks=price,
            size_lots=size_lots,
            order_type=kind,
        )

    def add(self, side: BookSide, price_ticks: int, size_lots: int) -> bool:
        """Rest an order of exactly this size; False if the engine refused it.

        Sizes below the venue's minimum are allowed: the leavings of larger orders.
        """
        account = self.random.randint(1, self._makers)
        order = self.order(account, side, price_ticks, size_lots, OrderType.GTC)
        if not self.exchange.submit(order):
            return False
        if order.status == OrderStatus.LIVE:
            self.levels[side].setdefault(price_ticks, []).append(order)
        return True

    def resting(self, side: BookSide, price_ticks: int) -> list[Order]:
        """Return the flow's live orders at a level."""
        orders = self.levels[side].get(price_ticks)
        if not orders:
            return []
        live = [order for order in orders if order.status == OrderStatus.LIVE]
        if live:
            self.levels[side][price_ticks] = live
        else:
            del self.levels[side][price_ticks]
        return live

    def prices(self, side: BookSide) -> list[int]:
        """Return the prices at which the flow rests, best first."""
        found = [price for price in list(self.levels[side]) if self.resting(side, price)]
        return sorted(found, reverse=side == BookSide.BID)

    def cancel_level(self, side: BookSide, price_ticks: int) -> int:
        """Cancel the flow's whole level; return the lots taken out."""
        taken = 0
        for order in self.resting(side, price_ticks):
            taken += order.remaining_lots
            self.exchange.cancel(order.id)
        self.levels[side].pop(price_ticks, None)
        return taken

    def take(self, side: BookSide, limit_ticks: int, size_lots: int) -> bool:
        """Trade against ``side`` up to a limit price; False if nothing was there."""
        opposite = BookSide.ASK if side == BookSide.BID else BookSide.BID
        order = self.order(TAKER_ACCOUNT, opposite, limit_ticks, size_lots, OrderType.FAK)
        return self.exchange.submit(order)
