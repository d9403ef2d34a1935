"""What the matching engine refuses, and what it demands in cash and tokens."""

from __future__ import annotations

import pytest

from oracle.match_desk import (
    ALICE,
    BOB,
    BUY,
    NO,
    NOW_MS,
    NOW_S,
    SELL,
    SHARE,
    YES,
    Desk,
    code_of,
    trades_of,
)
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.types import (
    MarketRules,
    Order,
    OrderAccepted,
    OrderStatus,
    OrderType,
    RejectCode,
    no_fee,
)

# -- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"market": 7}, RejectCode.UNKNOWN_MARKET),
        ({"size_lots": 0}, RejectCode.INVALID_PAYLOAD),
        ({"size_lots": 2**63}, RejectCode.INVALID_PAYLOAD),
        ({"filled_lots": 1}, RejectCode.INVALID_PAYLOAD),
        ({"price_ticks": 5050}, RejectCode.BREAKS_TICK),
        ({"price_ticks": 0}, RejectCode.BREAKS_TICK),
        ({"price_ticks": 10_000}, RejectCode.BREAKS_TICK),
        ({"price_ticks": -100}, RejectCode.BREAKS_TICK),
        ({"size_lots": 5 * SHARE - 1}, RejectCode.BELOW_MIN_SIZE),
        ({"expires_epoch_s": NOW_S + 600}, RejectCode.INVALID_EXPIRATION),
        (
            {"order_type": OrderType.GTD, "expires_epoch_s": NOW_S + 179},
            RejectCode.INVALID_EXPIRATION,
        ),
        ({"order_type": OrderType.GTD}, RejectCode.INVALID_EXPIRATION),
        ({"account": 99}, RejectCode.NOT_ENOUGH_BALANCE),
    ],
)
def test_a_bad_order_is_refused_with_its_code(changes: dict[str, int], code: RejectCode) -> None:
    desk = Desk()
    order = desk.order(ALICE, BUY, YES, 5000, 10)
    for name, value in changes.items():
        setattr(order, name, value)
    before = desk.engine.state_hash()
    assert code_of(desk.engine.submit(order, NOW_MS)) == code
    assert order.status == OrderStatus.REJECTED
    assert desk.engine.state_hash() == before


def test_a_gtd_three_minutes_ahead_is_just_accepted() -> None:
    desk = Desk()
    events = desk.submit(ALICE, BUY, YES, 4000, 10, OrderType.GTD, expires_epoch_s=NOW_S + 180)
    assert isinstance(events[0], OrderAccepted)


def test_a_marketable_buy_must_be_worth_a_dollar_and_a_resting_one_need_not() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 1000, 20)
    below = desk.submit(BOB, BUY, YES, 1000, 9.99)
    assert code_of(below) == RejectCode.BELOW_MARKETABLE_MIN
    assert trades_of(desk.submit(BOB, BUY, YES, 1000, 10))
    assert isinstance(desk.submit(BOB, BUY, YES, 500, 10)[0], OrderAccepted)
    killable = desk.submit(BOB, BUY, YES, 500, 10, OrderType.FAK)
    assert code_of(killable) == RejectCode.BELOW_MARKETABLE_MIN
    assert trades_of(desk.submit(BOB, SELL, YES, 500, 5))


def test_a_duplicate_is_refused_live_or_done_and_leaves_the_original_alone() -> None:
    desk = Desk()
    order = desk.order(ALICE, BUY, YES, 4000, 10)
    desk.engine.submit(order, NOW_MS)
    assert code_of(desk.engine.submit(order, NOW_MS)) == RejectCode.DUPLICATED
    assert order.status == OrderStatus.LIVE
    desk.engine.cancel(order.id)
    assert code_of(desk.engine.submit(order, NOW_MS)) == RejectCode.DUPLICATED


def test_a_rejected_order_may_come_again() -> None:
    desk = Desk()
    order = desk.order(ALICE, BUY, YES, 5000, 10, OrderType.FAK)
    assert code_of(desk.engine.submit(order, NOW_MS)) == RejectCode.FAK_NO_MATCH
    desk.submit(BOB, SELL, YES, 5000, 10)
    assert trades_of(desk.engine.submit(order, NOW_MS))


# -- balance -----------------------------------------------------------------------------


def test_open_orders_reserve_and_cancelling_frees() -> None:
    desk = Desk(cash=10 * SHARE)
    desk.submit(ALICE, BUY, YES, 5000, 10, id="a")
    desk.submit(ALICE, BUY, NO, 4000, 10)
    assert desk.accounts.holding(ALICE).available_micro == 1 * SHARE
    (refusal,) = desk.submit(ALICE, BUY, YES, 1100, 10)
    assert refusal[1:] == (RejectCode.NOT_ENOUGH_BALANCE, 1_100_000, 1_000_000)
    desk.engine.cancel("a")
    assert isinstance(desk.submit(ALICE, BUY, YES, 1100, 10)[0], OrderAccepted)


def test_tokens_on_offer_cannot_be_offered_twice() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 6000, 60)
    (refusal,) = desk.submit(ALICE, SELL, YES, 6000, 41)
    assert refusal[1:] == (RejectCode.NOT_ENOUGH_BALANCE, 41 * SHARE, 40 * SHARE)
    assert isinstance(desk.submit(ALICE, SELL, NO, 6000, 100)[0], OrderAccepted)


def test_a_buy_that_trades_now_needs_its_worst_fee_too() -> None:
    desk = Desk(cash=5 * SHARE)
    desk.submit(ALICE, SELL, YES, 5000, 10)
    (refusal,) = desk.submit(BOB, BUY, YES, 5000, 10)
    assert refusal[1:] == (RejectCode.NOT_ENOUGH_BALANCE, 5_125_000, 5_000_000)
    # The same order resting would be a maker: no fee, and it fits.
    assert isinstance(desk.submit(BOB, BUY, YES, 4900, 10)[0], OrderAccepted)


def test_the_limit_counts_even_where_the_fill_would_be_cheaper() -> None:
    desk = Desk(cash=5 * SHARE)
    desk.submit(ALICE, SELL, YES, 1000, 10)
    assert code_of(desk.submit(BOB, BUY, YES, 9000, 10)) == RejectCode.NOT_ENOUGH_BALANCE


def test_a_mint_that_rounds_up_past_the_limit_is_covered_or_refused() -> None:
    for cash, accepted in ((4_666_902, False), (4_666_903, True)):
        accounts = Accounts()
        engine = MatchingEngine(accounts, no_fee)
        engine.add_market(MarketRules(0, 1, 1))
        accounts.deposit(ALICE, 10 * SHARE)
        accounts.deposit(BOB, cash)
        # Three makers whose cash rounds down: the taker pays up three times, a micro-unit
        # more than its whole size at its limit.
        for number in range(3):
            lots = 2_333_333 + number
            engine.submit(Order(f"m{number}", ALICE, 0, NO, BUY, 3333, lots), NOW_MS)
        order = Order("t", BOB, 0, YES, BUY, 6667, 7_000_002)
        events = engine.submit(order, NOW_MS)
        engine.check()
        assert isinstance(events[0], OrderAccepted) == accepted, events


def test_unsettled_tokens_cannot_be_sold_and_an_undone_trade_returns_everything() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5000, 100)
    (trade,) = trades_of(desk.submit(BOB, BUY, YES, 5000, 100))
    assert desk.accounts.holding(BOB).token(0, YES).incoming_lots == 100 * SHARE
    assert code_of(desk.submit(BOB, SELL, YES, 5000, 101)) == RejectCode.NOT_ENOUGH_BALANCE
    desk.engine.settle(trade.trade_id, False)
    desk.engine.check()
    for account in (ALICE, BOB):
        holding = desk.accounts.holding(account)
        assert (holding.cash_micro, holding.reserved_micro) == (1_000 * SHARE, 0)
        assert holding.token(0, YES).available_lots == 100 * SHARE
    assert desk.engine.settle(trade.trade_id, True) == []
    assert trade.taker_order.status == OrderStatus.FILLED
