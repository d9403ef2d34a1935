"""One order's life as a table: which record may follow which state, and where it leads.

::

    NEW ──Signed──▶ SIGNED ──Sent──▶ SENT ──Ack──▶ LIVE | DELAYED | CLOSED ──Done──▶ DONE
     └──Done (refused)──┴──Done        │ ├─Reject──▶ DONE
                                       │ └─Unknown─▶ UNKNOWN ──Ack──▶ ...   (found at the venue)
                                       │                │ └──Sent──▶ SENT   (identical bytes)
                                       └──Cancel──▶ CLOSED      └──Done──▶ DONE (proved absent)

The arrows are journal records, so what is durable at each arrow is the arrow itself. CLOSED means
that nothing of the order can trade any more while some of its fills are not final; DONE that all
are. An order that is DONE keeps its id for ever: a fill that still names it is booked, and one
that turns up alive is taken up again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from overround.errors import InvariantError
from overround.execute.lifetable import ARROWS, OrderEvent, OrderState
from overround.layout.intent import BUY
from overround.ledger.records import (
    Ack,
    Cancel,
    Done,
    Intent,
    IntentKey,
    Record,
    Reject,
    Sent,
    Signed,
    Unknown,
)

__all__ = ["DUST_LOTS", "LEADS", "Order", "OrderState", "advance", "check", "event_of"]

DUST_LOTS: Final = 10_000
"""0.01 share: the venue may leave or overfill that much; less than that open counts as filled."""

_TAKING: Final = (2, 3)
"""FOK and FAK never rest."""


_TRADING: Final = frozenset({OrderState.SIGNED, OrderState.SENT, OrderState.UNKNOWN,
                             OrderState.DELAYED})  # fmt: skip
"""A taking order may still trade, for all its cash."""


@dataclass(slots=True)
class Order:
    """An intent and what became of it. Changed by ``advance`` and ``Orders.apply`` alone."""

    intent: Intent
    state: OrderState = OrderState.NEW
    signed: Signed | None = None
    attempts: int = 0
    cancel_asked: bool = False
    acknowledged: bool = False
    """Whether the venue ever said that it has it."""
    trades_expected: set[str] = field(default_factory=set)
    trades_seen: set[str] = field(default_factory=set)
    matched_lots: int = 0
    """Shares the venue says were matched; ``filled_lots`` is what its trades have shown."""
    filled_lots: int = 0
    """Of all fills, failed ones too: what of the order is used up."""
    spent_micro: int = 0
    """Cash that its fills have cost, fees included; a BUY's only."""
    refused: bool = False
    reason: int = 0
    text: str = ""
    touched_ns: int = 0
    """Monotonic time of its last record in this process; 0 for what was replayed."""
    sent_ns: int = 0
    """When its last byte may have left; set again by a restart."""
    cancelled_ns: int = 0
    """When the venue last answered that it is cancelled, to this process; 0 if it never did."""
    in_flight: bool = False
    """Whether a request of this process still waits for its answer."""
    expires_ns: int = 0
    """Until when it may be sent; 0 for what was replayed: never again."""
    intent_at: int = 0
    """Place of its INTENT record in the journal."""
    signed_at: int = 0
    """Place of its SIGNED record in the journal, 0 before."""
    key: IntentKey = field(init=False)
    """Of its intent."""

    def __post_init__(self) -> None:
        self.key = self.intent.key

    @property
    def order_id(self) -> str:
        """The digest, empty until it is signed."""
        return self.signed.order_id if self.signed is not None else ""

    @property
    def taking(self) -> bool:
        """Whether it trades at once or never."""
        return self.intent.order_type in _TAKING

    @property
    def size_lots(self) -> int:
        """Shares signed for; as wished while unsigned."""
        if self.signed is None:
            return self.intent.size_lots
        buys = self.intent.side == BUY
        return self.signed.taker_micro if buys else self.signed.maker_micro

    @property
    def fills_complete(self) -> bool:
        """Whether every trade the venue told of has been seen."""
        return (
            self.trades_expected <= self.trades_seen
            and self.filled_lots + DUST_LOTS > self.matched_lots
        )

    @property
    def open_lots(self) -> int:
        """Shares that may still be bought or sold by it, as far as can be known."""
        if self.state in (OrderState.NEW, OrderState.DONE):
            return 0
        if self.state is OrderState.CLOSED:
            return 0 if self.fills_complete else max(0, self.matched_lots - self.filled_lots)
        return max(0, self.size_lots - self.filled_lots)

    @property
    def reserved_micro(self) -> int:
        """Cash its open part can cost at most, fee included; rounded up."""
        return self.claim[0]

    @property
    def claim(self) -> tuple[int, int]:
        """What it may still take from the account: ``reserved_micro`` and ``open_lots``."""
        open_lots = self.open_lots
        if self.signed is None or self.state in (OrderState.NEW, OrderState.DONE):
            return 0, open_lots
        if self.taking and self.intent.side == BUY and self.state in _TRADING:
            # It spends its cash whatever it gets for it: at better prices more shares.
            return max(0, self.signed.reserved_micro - self.spent_micro), open_lots
        return -(-self.signed.reserved_micro * open_lots // self.size_lots), open_lots


LEADS: Final = {(arrow.state, arrow.event): arrow.leads for arrow in ARROWS}

_OF_ACK: Final = {
    "delayed": OrderEvent.DELAYED,
    "duplicated": OrderEvent.DUPLICATED,
}
_OF_RECORD: Final[dict[type[Record], OrderEvent]] = {
    Signed: OrderEvent.SIGNED,
    Sent: OrderEvent.SENT,
    Reject: OrderEvent.REJECTED,
    Unknown: OrderEvent.SILENCE,
    Done: OrderEvent.ENDED,
}


def event_of(order: Order, record: Record) -> OrderEvent | None:
    """Return what a record says of an order, None if it is none of an order's."""
    if isinstance(record, Ack):
        return _OF_ACK.get(record.status) or _taken(order, record)
    if isinstance(record, Cancel):
        return OrderEvent.CANCEL_ASKED if record.asked else OrderEvent.GONE
    return _OF_RECORD.get(type(record))


def _taken(order: Order, ack: Ack) -> OrderEvent:
    if order.taking and ack.status not in ("live", "unmatched"):
        return OrderEvent.TRADED
    if ack.source == "response":
        return OrderEvent.LIVE_ANSWERED
    return OrderEvent.LIVE_SEEN


def check(order: Order, record: Record) -> OrderState:
    """Return the state that a record leads to; as now where it says nothing of an order's life.

    Raises InvariantError if the table has no such arrow.
    """
    event = event_of(order, record)
    if event is None:
        return order.state
    leads = LEADS.get((order.state, event))
    if leads is None:
        raise InvariantError(
            f"order {order.intent.key} {order.order_id}: {type(record).__name__}"
            f" cannot follow state {order.state.name}"
        )
    return leads


def advance(order: Order, record: Record) -> None:
    """Move an order by one record. Raises InvariantError if the table has no such arrow."""
    leads = check(order, record)
    order.state = leads
    if isinstance(record, Signed):
        order.signed = record
    elif isinstance(record, Sent):
        order.attempts = record.attempt
    elif isinstance(record, Ack):
        order.acknowledged = True
        order.trades_expected.update(record.trade_ids)
        order.matched_lots = max(order.matched_lots, record.matched_lots)
    elif isinstance(record, Unknown):
        order.text = record.cause
    elif isinstance(record, Cancel):
        order.cancel_asked = order.cancel_asked or record.asked
        if not record.asked:
            order.matched_lots = max(order.matched_lots, record.matched_lots)
    elif isinstance(record, Reject):
        order.reason, order.text = record.reason, record.text
    elif isinstance(record, Done):
        order.refused = record.refused
        order.reason = record.reason or order.reason
        order.text = record.text or order.text
