"""The table of an order's life: every arrow leads where it should, and no other exists."""

from __future__ import annotations

import itertools

import pytest

from overround.errors import InvariantError
from overround.execute.order import Order, OrderState, advance
from overround.ledger.records import (
    Ack,
    Cancel,
    Done,
    Intent,
    Record,
    Reject,
    Sent,
    Signed,
    Unknown,
)

SHARE = 1_000_000
INTENT = Intent(
    run_id=1, producer=2, sequence=3, plan=3, leg=0, legs=1, account=0, strategy=1, token="11",
    condition_id="0xa", outcome=0, side=0, order_type=3, flags=0, price_ticks=5_000,
    size_lots=10 * SHARE, edge_micro=0, created_epoch_ms=5,
)  # fmt: skip
SIGNED = Signed(1, 2, 3, "0x9", 7, 5, 5 * SHARE, 10 * SHARE, 5_200_000, b"{}")
SENT = Sent(("0x9",))
MATCHED = Ack("0x9", "matched", ("t1",), 10 * SHARE)
LIVE = Ack("0x9", "live")
DELAYED = Ack("0x9", "delayed")
TWICE = Ack("0x9", "duplicated")
REJECT = Reject("0x9", 18, "no")
UNKNOWN = Unknown("0x9", "lost")
ASKED = Cancel("0x9", True, "wanted")
GONE = Cancel("0x9", False, "gone")
DONE = Done(1, 2, 3, "0x9", False, 0, "complete")
PATHS: dict[OrderState, tuple[Record, ...]] = {
    OrderState.NEW: (),
    OrderState.SIGNED: (SIGNED,),
    OrderState.SENT: (SIGNED, SENT),
    OrderState.UNKNOWN: (SIGNED, SENT, UNKNOWN),
    OrderState.DELAYED: (SIGNED, SENT, DELAYED),
    OrderState.LIVE: (SIGNED, SENT, LIVE),
    OrderState.CLOSED: (SIGNED, SENT, MATCHED),
    OrderState.DONE: (SIGNED, SENT, REJECT),
}
ARROWS: dict[OrderState, dict[str, OrderState]] = {
    OrderState.NEW: {"SIGNED": OrderState.SIGNED, "DONE": OrderState.DONE},
    OrderState.SIGNED: {"SENT": OrderState.SENT, "DONE": OrderState.DONE},
    OrderState.SENT: {
        "MATCHED": OrderState.CLOSED, "LIVE": OrderState.LIVE, "DELAYED": OrderState.DELAYED,
        "TWICE": OrderState.UNKNOWN, "REJECT": OrderState.DONE, "UNKNOWN": OrderState.UNKNOWN,
        "ASKED": OrderState.SENT, "GONE": OrderState.CLOSED, "DONE": OrderState.DONE,
    },
    OrderState.UNKNOWN: {
        "SENT": OrderState.SENT, "MATCHED": OrderState.CLOSED, "LIVE": OrderState.LIVE,
        "DELAYED": OrderState.DELAYED, "TWICE": OrderState.UNKNOWN,
        "UNKNOWN": OrderState.UNKNOWN, "ASKED": OrderState.UNKNOWN, "GONE": OrderState.CLOSED,
        "DONE": OrderState.DONE,
    },
    OrderState.DELAYED: {
        "MATCHED": OrderState.CLOSED, "LIVE": OrderState.LIVE, "DELAYED": OrderState.DELAYED,
        "TWICE": OrderState.UNKNOWN, "ASKED": OrderState.DELAYED, "GONE": OrderState.CLOSED,
        "DONE": OrderState.DONE,
    },
    OrderState.LIVE: {
        "MATCHED": OrderState.CLOSED, "LIVE": OrderState.LIVE, "DELAYED": OrderState.DELAYED,
        "TWICE": OrderState.UNKNOWN, "ASKED": OrderState.LIVE, "GONE": OrderState.CLOSED,
        "DONE": OrderState.DONE,
    },
    OrderState.CLOSED: {
        "MATCHED": OrderState.CLOSED, "LIVE": OrderState.CLOSED, "DELAYED": OrderState.CLOSED,
        "TWICE": OrderState.CLOSED, "ASKED": OrderState.CLOSED, "GONE": OrderState.CLOSED,
        "DONE": OrderState.DONE,
    },
    OrderState.DONE: {
        "MATCHED": OrderState.DONE, "LIVE": OrderState.LIVE, "DELAYED": OrderState.DONE,
        "TWICE": OrderState.DONE, "ASKED": OrderState.DONE, "GONE": OrderState.DONE,
    },
}  # fmt: skip
RECORDS = {
    "SIGNED": SIGNED, "SENT": SENT, "MATCHED": MATCHED, "LIVE": LIVE, "DELAYED": DELAYED,
    "TWICE": TWICE, "REJECT": REJECT, "UNKNOWN": UNKNOWN, "ASKED": ASKED, "GONE": GONE,
    "DONE": DONE,
}  # fmt: skip


def order_in(state: OrderState) -> Order:
    order = Order(INTENT)
    for record in PATHS[state]:
        advance(order, record)
    assert order.state is state
    return order


@pytest.mark.parametrize(("state", "name"), list(itertools.product(OrderState, RECORDS)))
def test_every_pair_of_state_and_record_is_an_arrow_or_our_bug(state: OrderState, name: str):
    order = order_in(state)
    leads = ARROWS[state].get(name)
    if leads is None:
        with pytest.raises(InvariantError, match="cannot follow state"):
            advance(order, RECORDS[name])
        assert order.state is state
    else:
        advance(order, RECORDS[name])
        assert order.state is leads


def test_nothing_is_reserved_before_signing_and_everything_while_in_doubt():
    reserved = {state: order_in(state).reserved_micro for state in OrderState}
    doubtful = {
        OrderState.SIGNED, OrderState.SENT, OrderState.UNKNOWN, OrderState.DELAYED,
        OrderState.LIVE, OrderState.CLOSED,
    }  # fmt: skip
    assert {state for state, micro in reserved.items() if micro == 5_200_000} == doubtful
    assert reserved[OrderState.NEW] == reserved[OrderState.DONE] == 0


def test_a_closed_order_stays_reserved_only_for_trades_it_has_not_seen():
    order = order_in(OrderState.CLOSED)
    order.filled_lots = 4 * SHARE
    assert order.open_lots == 6 * SHARE
    assert order.reserved_micro == 3_120_000
    order.filled_lots = 10 * SHARE
    order.trades_seen.add("t1")
    assert order.fills_complete
    assert order.open_lots == order.reserved_micro == 0


def test_a_live_order_reserves_what_is_left_rounded_up():
    order = order_in(OrderState.LIVE)
    order.filled_lots = 3_333_333
    assert order.open_lots == 6_666_667
    assert order.reserved_micro == -(-5_200_000 * 6_666_667 // (10 * SHARE))


def test_the_user_channel_may_be_faster_than_the_answer():
    order = order_in(OrderState.SENT)
    advance(order, GONE)
    advance(order, MATCHED)
    assert order.state is OrderState.CLOSED
    assert order.trades_expected == {"t1"}
