"""An order's life as data: in which state what may happen, where it leads, what is done about it.

``ARROWS`` is the whole machine. Each arrow is one journal record, appended before anything acts
on it, so what is durable at an arrow is the arrow itself; what has no arrow is a broken
invariant. ``execute.order`` walks it, ``docs/reference/orders.md`` is made from it, and
``tests/property/test_executor_model.py`` explores it.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, NamedTuple

__all__ = ["ARROWS", "STATE_TEXTS", "Arrow", "OrderEvent", "OrderState"]


class OrderState(IntEnum):
    """Where an order stands, as far as the journal knows."""

    NEW = 1
    SIGNED = 2
    SENT = 3
    UNKNOWN = 4
    DELAYED = 5
    LIVE = 6
    CLOSED = 7
    DONE = 8


class OrderEvent(Enum):
    """What a record says of an order. The value is the record and when it is written."""

    SIGNED = "Signed: id and exact body, before SENT"
    SENT = "Sent: before the first byte of this attempt"
    LIVE_ANSWERED = "Ack live, unmatched, or matched of an order that may rest: in the answer"
    LIVE_SEEN = "Ack live: by a look-up, a listing or the user channel"
    DELAYED = "Ack delayed: the venue holds the order before it may match"
    TRADED = "Ack matched of a FOK or FAK order: nothing of it rests"
    DUPLICATED = "Ack duplicated: these bytes were there before"
    REJECTED = "Reject: refused for certain, or provably no byte left"
    SILENCE = "Unknown: bytes left and no usable answer came"
    CANCEL_ASKED = "Cancel asked: before the cancel leaves"
    GONE = "Cancel: nothing of it rests at the venue any more, and what it traded is told"
    ENDED = "Done: with its reason; refused where it never became an order"


class Arrow(NamedTuple):
    """One row: in ``state``, ``event`` leads to ``leads``; ``action`` is what is done then."""

    state: OrderState
    event: OrderEvent
    leads: OrderState
    action: str


STATE_TEXTS: Final = {
    OrderState.NEW: ("INTENT is durable", "nothing at the venue; a restart ends it unsent"),
    OrderState.SIGNED: ("id and bytes are durable", "never sent; a restart ends it unsent"),
    OrderState.SENT: (
        "bytes may be under way",
        "all of it reserved; a restart makes it UNKNOWN",
    ),
    OrderState.UNKNOWN: (
        "it may exist",
        "all of it reserved; looked up by id, resent with identical bytes while wanted, else "
        "cancelled by id; ended only by proof, or absence after unknown_quiet_ms",
    ),
    OrderState.DELAYED: (
        "the venue has it, not in the book",
        "reserved; looked up by id until it rests, trades, or is not found after "
        "unknown_quiet_ms; no listing shows it, no cancel takes it",
    ),
    OrderState.LIVE: (
        "it rests at the venue",
        "its open part is reserved, also after a cancel was answered: until an event, a look-up "
        "or a listing tells what it had traded",
    ),
    OrderState.CLOSED: (
        "nothing of it can trade any more",
        "trades that are told of but not seen stay reserved; waits until every fill is final",
    ),
    OrderState.DONE: (
        "every fill is final",
        "nothing reserved; its id is known for ever: a late fill is still booked",
    ),
}
"""What is durable in a state, and what holds while it lasts."""

_S, _E = OrderState, OrderEvent
_AT_VENUE: Final = (_S.SENT, _S.UNKNOWN, _S.DELAYED, _S.LIVE)


def _acks() -> list[Arrow]:
    """The venue has it: believed in any state in which bytes may have left."""
    rows = []
    for state in _AT_VENUE:
        rows += [
            Arrow(state, _E.LIVE_ANSWERED, _S.LIVE, "reported accepted; its trades are expected"),
            Arrow(state, _E.LIVE_SEEN, _S.LIVE, "reported accepted; cancelled if not wanted"),
            Arrow(state, _E.DELAYED, _S.DELAYED, "reported accepted; compared until it is there"),
            Arrow(state, _E.TRADED, _S.CLOSED, "its trades are awaited, then their settlement"),
            Arrow(state, _E.DUPLICATED, _S.UNKNOWN, "looked up: the first copy's fate is unknown"),
        ]
    late = "none: the user channel was faster than the answer"
    again = "taken up again: a listing shows it open; cancelled"
    rows += [
        Arrow(_S.CLOSED, _E.LIVE_ANSWERED, _S.CLOSED, late),
        Arrow(_S.CLOSED, _E.LIVE_SEEN, _S.LIVE, again),
        Arrow(_S.DONE, _E.LIVE_ANSWERED, _S.LIVE, "taken up again"),
        Arrow(_S.DONE, _E.LIVE_SEEN, _S.LIVE, "turned up after its end: cancelled"),
    ]
    for state in (_S.CLOSED, _S.DONE):
        rows += [
            Arrow(state, event, state, "expected trades are noted")
            for event in (_E.DELAYED, _E.TRADED, _E.DUPLICATED)
        ]
    return rows


def _ends() -> list[Arrow]:
    rows = [
        Arrow(_S.SENT, _E.REJECTED, _S.DONE, "reported; the reservation is free"),
        Arrow(_S.SENT, _E.SILENCE, _S.UNKNOWN, "reported; looked up at once, then ever slower"),
        Arrow(_S.UNKNOWN, _E.SILENCE, _S.UNKNOWN, "looked up again"),
    ]
    for state in (*_AT_VENUE, _S.CLOSED, _S.DONE):
        rows.append(Arrow(state, _E.CANCEL_ASKED, state, "cancelled by id; never resent"))
        leads = _S.DONE if state is _S.DONE else _S.CLOSED
        rows.append(Arrow(state, _E.GONE, leads, "ends once its fills are complete and final"))
    unsent = "reported refused: it never left"
    rows += [Arrow(state, _E.ENDED, _S.DONE, unsent) for state in (_S.NEW, _S.SIGNED)]
    rows += [
        Arrow(_S.SENT, _E.ENDED, _S.DONE, "its end is proved"),
        Arrow(_S.UNKNOWN, _E.ENDED, _S.DONE, "proved absent: not found after the quiet time"),
        Arrow(_S.DELAYED, _E.ENDED, _S.DONE, "its end is proved"),
        Arrow(_S.LIVE, _E.ENDED, _S.DONE, "its end is proved"),
        Arrow(_S.CLOSED, _E.ENDED, _S.DONE, "every fill is final: reservations are free"),
    ]
    return rows


ARROWS: Final[tuple[Arrow, ...]] = (
    Arrow(_S.NEW, _E.SIGNED, _S.SIGNED, "sent, unless killed, expired or cancelled by now"),
    Arrow(_S.SIGNED, _E.SENT, _S.SENT, "the bytes leave"),
    Arrow(_S.UNKNOWN, _E.SENT, _S.SENT, "the identical bytes leave once more"),
    *_acks(),
    *_ends(),
)
"""Every arrow there is."""

assert len({(arrow.state, arrow.event) for arrow in ARROWS}) == len(ARROWS)
