"""What the exchange remembers of a member's orders and trades, and how it tells of them.

REST objects and user-channel events of the same thing differ in spelling (created_at as number
or text, status prefix, nulls); both are made here so that the differences stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from overround.match.types import DoneReason, Matched, Order, Outcome
from overround.sim.catalog import SimMarket
from overround.sim.members import FIRST_MEMBER_ACCOUNT
from overround.units import format_price, format_size

__all__ = ["DONE_STATUS", "OrderRecord", "Party", "TradeRecord"]

UNKNOWN_OWNER = "00000000-0000-0000-0000-000000000000"
"""API key shown for traders that are no members (the synthetic flow)."""


DONE_STATUS = {
    DoneReason.FILLED: "MATCHED",
    DoneReason.EXPIRED: "CANCELED_EXPIRED_ORDER",
    DoneReason.MARKET_RESOLVED: "CANCELED_MARKET_RESOLVED",
    DoneReason.NOT_ENOUGH_BALANCE: "CANCELED_NOT_ENOUGH_BALANCE",
}
"""The venue's word for how an order ended; for every other reason CANCELED."""


@dataclass(frozen=True, slots=True)
class Party:
    """A trader as others see it: API key and wallet address."""

    api_key: str
    address: str


@dataclass(slots=True)
class OrderRecord:
    """A member's accepted order. ``status`` is the venue's word without prefix."""

    order: Order
    market: SimMarket
    account: int
    party: Party
    created_s: int
    status: str = "LIVE"
    trades: list[str] = field(default_factory=list)
    told_lots: int = 0
    """How much the user channel has said is filled: it follows trade by trade."""
    builder: str = ""
    """Builder code of the signed order, 0x and 64 hex digits; zeros or "" for none."""
    budget_micro: int = 0
    """Cash that a FOK or FAK BUY spends whatever its number of shares; 0: it buys its shares."""

    def _common(self) -> dict[str, Any]:
        order = self.order
        return {
            "id": order.id,
            "status": self.status,
            "owner": self.party.api_key,
            "maker_address": self.party.address,
            "market": self.market.condition_id,
            "asset_id": self.market.token(order.outcome),
            "side": order.side.name,
            "original_size": format_size(order.size_lots),
            "size_matched": format_size(order.filled_lots),
            "price": format_price(order.price_ticks),
            "outcome": self.market.outcomes[order.outcome],
            "expiration": str(order.expires_epoch_s),
            "order_type": order.order_type.name,
        }

    def rest(self) -> dict[str, Any]:
        """Return the object of ``/data/orders``."""
        return {**self._common(), "associate_trades": self.trades, "created_at": self.created_s}

    def event(self, kind: str, epoch_ms: int) -> dict[str, Any]:
        """Return the user-channel event; kind is PLACEMENT, UPDATE or CANCELLATION."""
        return {
            "event_type": "order",
            "type": kind,
            **self._common(),
            "size_matched": format_size(self.told_lots),
            "order_owner": self.party.api_key,
            "associate_trades": self.trades or None,
            "created_at": str(self.created_s),
            "timestamp": str(epoch_ms),
        }


@dataclass(slots=True)
class TradeRecord:
    """One trade with at least one member in it. ``status`` climbs MATCHED, MINED, CONFIRMED."""

    id: str
    matched: Matched
    market: SimMarket
    taker: Party
    makers: tuple[Party, ...]
    match_ns: int
    transaction: str
    bucket: int
    status: str = "MATCHED"
    updated_s: int = 0

    def own_orders(self) -> list[str]:
        """Return the ids of the members' orders in it."""
        orders = (self.matched.taker_order, *(leg.order for leg in self.matched.legs))
        return [order.id for order in orders if order.account >= FIRST_MEMBER_ACCOUNT]

    def _maker_orders(self, fee_rate_bps: str) -> list[dict[str, Any]]:
        return [
            {
                "order_id": leg.order.id,
                "owner": party.api_key,
                "maker_address": party.address,
                "matched_amount": format_size(leg.size_lots),
                "price": format_price(leg.price_ticks),
                "fee_rate_bps": fee_rate_bps,
                "asset_id": self.market.token(leg.outcome),
                "outcome": self.market.outcomes[leg.outcome],
                "outcome_index": int(leg.outcome),
                "side": leg.side.name,
            }
            for leg, party in zip(self.matched.legs, self.makers, strict=True)
        ]

    def _common(self, *, taker_view: bool, status: str, maker_fee: str) -> dict[str, Any]:
        matched = self.matched
        return {
            "id": self.id,
            "taker_order_id": matched.taker_order.id,
            "market": self.market.condition_id,
            "asset_id": self.market.token(matched.outcome),
            "side": matched.side.name,
            "size": format_size(matched.size_lots),
            "fee_rate_bps": "0",
            "price": format_price(matched.price_ticks),
            "status": status,
            "match_time": str(self.match_ns // 1_000_000_000),
            "last_update": str(self.updated_s),
            "outcome": self.market.outcomes[Outcome(matched.outcome)],
            "bucket_index": self.bucket,
            "owner": self.taker.api_key,
            "maker_address": self.taker.address,
            "transaction_hash": self.transaction,
            "trader_side": "TAKER" if taker_view else "MAKER",
            "maker_orders": self._maker_orders(maker_fee),
        }

    def rest(self, *, taker_view: bool) -> dict[str, Any]:
        """Return the object of ``/data/trades`` as one of the parties reads it."""
        return {
            **self._common(
                taker_view=taker_view, status=f"TRADE_STATUS_{self.status}", maker_fee="0"
            ),
            "match_time_nano": str(self.match_ns),
            "err_msg": None,
        }

    def event(self, *, taker_view: bool, epoch_ms: int) -> dict[str, Any]:
        """Return the user-channel event; size, price and side are the taker's for everyone."""
        return {
            "event_type": "trade",
            "type": "TRADE",
            # A maker's rate is empty on the channel, as recorded; clients refuse that over REST.
            **self._common(taker_view=taker_view, status=self.status, maker_fee=""),
            "trade_owner": self.taker.api_key,
            "timestamp": str(epoch_ms),
        }

    def line(self, orders: Mapping[str, OrderRecord]) -> dict[str, Any]:
        """Return what the exchange's own log says of it; ``orders`` are the members'."""
        matched = self.matched

        def who(order: Order) -> str | None:
            own = orders.get(order.id)
            return own.party.address if own else None

        return {
            "trade_id": self.id,
            "market": self.market.condition_id,
            "token_id": self.market.token(matched.outcome),
            "transaction": self.transaction,
            "taker_order_id": matched.taker_order.id,
            "taker": who(matched.taker_order),
            "outcome": int(matched.outcome),
            "side": matched.side.name,
            "price_ticks": matched.price_ticks,
            "size_lots": matched.size_lots,
            "cash_micro": matched.cash_micro,
            "fee_micro": matched.fee_micro,
            "makers": [
                {
                    "order_id": leg.order.id,
                    "account": who(leg.order),
                    "outcome": int(leg.outcome),
                    "side": leg.side.name,
                    "price_ticks": leg.price_ticks,
                    "size_lots": leg.size_lots,
                    "cash_micro": leg.cash_micro,
                    "form": leg.form.name,
                }
                for leg in matched.legs
            ],
        }
