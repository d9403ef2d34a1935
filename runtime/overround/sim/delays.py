"""Orders that wait before they may match: live sports markets hold every marketable order.

A held order is answered as delayed, is known but not in the book, and cannot be cancelled. When
its time is up it is checked again as if it had just come: it matches, rests, or is gone.
"""

from __future__ import annotations

from typing import Any

from overround.match.types import OrderRejected, OrderStatus, RejectCode
from overround.sim.channel import Later
from overround.sim.exchange import Exchange
from overround.sim.records import OrderRecord

__all__ = ["DELAYED", "Delays", "delayed_answer"]

DELAYED = "DELAYED"

_ENDINGS = {
    RejectCode.NOT_ENOUGH_BALANCE: "CANCELED_NOT_ENOUGH_BALANCE",
    RejectCode.MARKET_CLOSED: "CANCELED_MARKET_RESOLVED",
    RejectCode.FOK_NOT_FILLED: "UNMATCHED",
    RejectCode.FAK_NO_MATCH: "UNMATCHED",
}
"""What becomes of a held order that is refused when its time is up; else it is INVALID."""


def delayed_answer(record: OrderRecord) -> dict[str, Any]:
    """Return what POST /order says of a held order."""
    return {
        "success": True,
        "errorMsg": "",
        "orderID": record.order.id,
        "status": "delayed",
        "makingAmount": "0",
        "takingAmount": "0",
        "tradeIDs": [],
        "transactionsHashes": [],
    }


class Delays:
    """Holds orders of an exchange and lets them go in order of arrival."""

    def __init__(self, exchange: Exchange, later: Later) -> None:
        self._exchange = exchange
        self._later = later
        self.held = 0

    def hold(self, record: OrderRecord) -> None:
        """Take a verified, marketable order and submit it after its market's delay."""
        record.status = DELAYED
        self._exchange.history.add_order(record)
        self._log("delayed", record)
        self._tell(record, "PLACEMENT")
        self.held += 1
        self._later(record.market.seconds_delay, lambda: self.release(record))

    def release(self, record: OrderRecord) -> None:
        """Let a held order go; one that went before is left alone."""
        if record.status != DELAYED:
            return
        self.held -= 1
        record.status = "LIVE"
        rejected = self._exchange.place(record)
        if rejected is not None:
            self._drop(record, rejected)

    def _drop(self, record: OrderRecord, rejected: OrderRejected) -> None:
        record.status = _ENDINGS.get(rejected.code, "INVALID")
        record.order.status = OrderStatus.CANCELED
        self._exchange.history.order_done(record.order.id)
        self._log("canceled", record, reason=rejected.code.name, filled_lots=0)
        self._tell(record, "CANCELLATION")

    def _tell(self, record: OrderRecord, kind: str) -> None:
        exchange = self._exchange
        exchange.users.tell(record.party.api_key, record.event(kind, exchange.now_ms))

    def _log(self, event: str, record: OrderRecord, **more: Any) -> None:
        self._exchange.log.write(
            event, order_id=record.order.id, account=record.party.address, **more
        )
