"""A member's notifications: orders cancelled, filled or failed, markets resolved. Kept 48 hours."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from overround.sim.records import OrderRecord, Party, TradeRecord
from overround.units import format_price, format_size

__all__ = ["NoticeKind", "Notices", "order_payload"]

KEPT_S = 48 * 3600
NOTICES_MAX = 1_000
"""Notifications kept a member, newest first to stay."""


class NoticeKind(IntEnum):
    """The venue's numbers of the notifications this exchange sends."""

    ORDER_CANCELLATION = 1
    ORDER_FILL = 2
    MARKET_RESOLVED = 4
    ORDER_FILL_FAILED = 8


def order_payload(record: OrderRecord, matched_lots: int, trade: tuple[str, str]) -> dict[str, Any]:
    """Return what an order's notification says; ``trade`` is (trade id, transaction) or empty."""
    order, market = record.order, record.market
    trade_id, transaction = trade
    return {
        "asset_id": market.token(order.outcome),
        "market": market.condition_id,
        "order_id": order.id,
        "side": order.side.name,
        "type": order.order_type.name,
        "price": format_price(order.price_ticks),
        "original_size": format_size(order.size_lots),
        "matched_size": format_size(matched_lots),
        "remaining_size": format_size(order.size_lots - order.filled_lots),
        "outcome": market.outcomes[order.outcome],
        "outcome_index": int(order.outcome),
        "transaction_hash": transaction,
        "trade_id": trade_id,
        "question": market.question,
        "market_slug": market.slug,
        "icon": "",
        "image": "",
        "eventSlug": market.event.slug,
        "seriesSlug": "",
    }


class Notices:
    """Every member's notifications, by wallet address."""

    def __init__(self) -> None:
        self._of: dict[str, deque[dict[str, Any]]] = {}
        self._count = 0

    def add(self, party: Party, kind: NoticeKind, payload: dict[str, Any], epoch_s: int) -> None:
        """Keep one notification; numbers rise by one over the whole exchange."""
        self._count += 1
        kept = self._of.setdefault(party.address.lower(), deque(maxlen=NOTICES_MAX))
        kept.append(
            {
                "id": self._count,
                "owner": party.api_key,
                "type": int(kind),
                "payload": payload,
                "timestamp": epoch_s,
            }
        )

    def canceled(self, record: OrderRecord, epoch_s: int) -> None:
        """Tell the owner that the rest of an order is gone."""
        payload = order_payload(record, record.order.filled_lots, ("", ""))
        self.add(record.party, NoticeKind.ORDER_CANCELLATION, payload, epoch_s)

    def filled(
        self,
        trade: TradeRecord,
        orders: Mapping[str, OrderRecord],
        epoch_s: int,
        kind: NoticeKind = NoticeKind.ORDER_FILL,
    ) -> None:
        """Tell every member in a trade that its order was filled, or that the fill failed."""
        matched = trade.matched
        parts = [(matched.taker_order, matched.size_lots)]
        parts += [(leg.order, leg.size_lots) for leg in matched.legs]
        for order, lots in parts:
            record = orders.get(order.id)
            if record is not None:
                payload = order_payload(record, lots, (trade.id, trade.transaction))
                self.add(record.party, kind, payload, epoch_s)

    def of(self, addresses: Iterable[str], epoch_s: int) -> list[dict[str, Any]]:
        """Return some wallets' notifications of the last 48 hours, newest first."""
        kept = [notice for address in addresses for notice in self._of.get(address.lower(), ())]
        fresh = [notice for notice in kept if notice["timestamp"] > epoch_s - KEPT_S]
        return sorted(fresh, key=lambda notice: -notice["id"])

    def drop(self, addresses: Iterable[str], ids: set[int]) -> None:
        """Forget some wallets' notifications by number; unknown numbers are ignored."""
        for address in addresses:
            kept = self._of.get(address.lower())
            if kept:
                left = [notice for notice in kept if notice["id"] not in ids]
                kept.clear()
                kept.extend(left)
