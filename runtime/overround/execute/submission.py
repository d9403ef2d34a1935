"""Orders that go out in one request, and the records that begin and end their lives there."""

from __future__ import annotations

from dataclasses import dataclass

from overround.execute.news import News, ReportKind
from overround.execute.order import Order
from overround.execute.store import Store
from overround.ledger.records import Ack, Done
from overround.venues.polymarket.rest import Request, place_order, place_orders

__all__ = ["Submission", "acknowledge", "ended"]


@dataclass(slots=True)
class Submission:
    """Orders that go out in one request. ``attempt`` above 1 repeats identical bytes."""

    orders: tuple[Order, ...]
    event_recv_ns: int = 0
    attempt: int = 1
    created_ns: int = 0
    """When the producer decided on its first order, CLOCK_MONOTONIC; 0 if nobody measures."""
    sent_ns: int = 0

    @property
    def order_ids(self) -> tuple[str, ...]:
        """Their digests, in the order of the request."""
        return tuple(order.order_id for order in self.orders)

    @property
    def request(self) -> Request:
        """The request that carries them."""
        bodies = [order.signed.body for order in self.orders if order.signed is not None]
        return place_order(bodies[0]) if len(bodies) == 1 else place_orders(bodies)


def acknowledge(store: Store, news: News, order: Order, ack: Ack, now_ns: int) -> None:
    """Journal that the venue has an order; reported once an order."""
    first = not order.acknowledged
    store.commit(ack, now_ns)
    if first:
        news.report(ReportKind.ACCEPTED, order.intent, order_id=order.order_id)


def ended(order: Order, text: str, *, refused: bool = False, reason: int = 0) -> Done:
    """Return the DONE record of an order."""
    key = order.intent.key
    return Done(
        key.run_id, key.producer, key.sequence, order.order_id, refused, int(reason), text,
        order.filled_lots,
    )  # fmt: skip
