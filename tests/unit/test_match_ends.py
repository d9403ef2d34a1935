"""How markets end and what comes of their tokens: exact sums, worked by hand."""

from __future__ import annotations

import pytest

from oracle.match_desk import ALICE, BOB, BUY, CAROL, NO, NOW_MS, SELL, SHARE, YES, Desk, code_of
from oracle.match_desk import trades_of as trades
from overround.errors import InvariantError
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.types import (
    DoneReason,
    LevelChanged,
    MarketResolved,
    MarketRules,
    OrderDone,
    OrderType,
    RebatePaid,
    RejectCode,
    TickChanged,
    no_fee,
)

DAY_MS = 86_400_000
TODAY = NOW_MS // DAY_MS


def a_set(size: int = 3) -> Accounts:
    """Alice with 10 NO of every market of a set and nothing else."""
    accounts = Accounts()
    accounts.define_set(0, tuple(range(size)))
    for market in range(size):
        accounts.grant(ALICE, market, NO, 10 * SHARE)
    return accounts


def lots(accounts: Accounts, market: int) -> tuple[int, int]:
    holding = accounts.holding(ALICE)
    return holding.token(market, YES).lots, holding.token(market, NO).lots


def test_two_nos_of_three_become_one_cash_and_the_third_yes() -> None:
    accounts = a_set()
    assert accounts.convert(ALICE, 0, (0, 2), 4 * SHARE)
    assert accounts.holding(ALICE).cash_micro == 4 * SHARE
    assert [lots(accounts, market) for market in range(3)] == [
        (0, 6 * SHARE), (4 * SHARE, 10 * SHARE), (0, 6 * SHARE),
    ]  # fmt: skip
    accounts.check()


def test_converting_one_no_brings_no_cash_and_all_of_them_no_yes() -> None:
    accounts = a_set()
    assert accounts.convert(ALICE, 0, (1,), SHARE)
    assert (accounts.holding(ALICE).cash_micro, lots(accounts, 0)[0]) == (0, SHARE)
    assert accounts.convert(ALICE, 0, (0, 1, 2), SHARE)
    assert (accounts.holding(ALICE).cash_micro, lots(accounts, 0)[0]) == (2 * SHARE, SHARE)
    assert not accounts.convert(ALICE, 0, (1,), 9 * SHARE)
    accounts.check()


@pytest.mark.parametrize("markets", [(), (0, 0), (0, 7)])
def test_only_distinct_members_of_a_set_convert(markets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be converted"):
        a_set().convert(ALICE, 0, markets, SHARE)


@pytest.mark.parametrize("winner", [0, 1, 2])
def test_whoever_wins_the_advance_comes_back_and_conversion_changed_nobodys_worth(
    winner: int,
) -> None:
    accounts = a_set()
    accounts.convert(ALICE, 0, (0, 2), 4 * SHARE)
    for market in range(3):
        accounts.resolve(market, 10_000 if market == winner else 0)
        accounts.check()
    for market in range(3):
        accounts.redeem(ALICE, market)
    accounts.check()
    assert accounts.holding(ALICE).cash_micro == 20 * SHARE  # as 10 NO each would have made
    assert accounts.advances_micro == {0: 0}


def test_a_set_has_exactly_one_winner_and_no_halves() -> None:
    accounts = a_set(2)
    with pytest.raises(ValueError, match="0 or 1"):
        accounts.resolve(0, 5_000)
    accounts.resolve(0, 0)
    with pytest.raises(ValueError, match="has to win"):
        accounts.resolve(1, 0)
    with pytest.raises(ValueError, match="being resolved"):
        accounts.convert(ALICE, 0, (1,), SHARE)
    accounts.resolve(1, 10_000)
    with pytest.raises(ValueError, match="resolved already"):
        accounts.resolve(1, 10_000)
    other = a_set(2)
    other.resolve(0, 10_000)
    with pytest.raises(ValueError, match="is the winner"):
        other.resolve(1, 10_000)


def test_odd_lots_at_a_half_leave_half_a_micro_unit_as_dust() -> None:
    accounts = Accounts()
    accounts.deposit(ALICE, 100)
    accounts.split(ALICE, 0, 100)
    accounts.grant(ALICE, 0, YES, 7)
    with pytest.raises(ValueError, match="not resolved"):
        accounts.redeem(ALICE, 0)
    accounts.resolve(0, 5_000)
    assert accounts.redeem(ALICE, 0) == 103  # 100 pairs and 3.5
    assert accounts.redeem(ALICE, 0) == 0
    accounts.check()


def test_check_notices_collateral_gone_after_resolution() -> None:
    accounts = a_set()
    accounts.convert(ALICE, 0, (0,), SHARE)
    accounts.resolve(1, 0)
    accounts.collateral_micro[1] -= 1
    accounts.fees_micro += 1
    with pytest.raises(InvariantError, match="market 1"):
        accounts.check()
    accounts.collateral_micro[1] += 1
    accounts.advances_micro[0] += 1
    with pytest.raises(InvariantError):
        accounts.check()


def test_resolution_cancels_orders_refuses_new_ones_and_lets_trades_settle() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 6_000, 20)
    trade = trades(desk.submit(BOB, BUY, YES, 6_000, 10))[0]
    events = desk.engine.resolve(0, 10_000)
    assert [type(event) for event in events] == [LevelChanged, OrderDone, MarketResolved]
    assert events[1].reason == DoneReason.MARKET_RESOLVED
    assert code_of(desk.submit(BOB, BUY, YES, 6_000, 10)) == RejectCode.MARKET_CLOSED
    before = desk.accounts.holding(BOB).cash_micro
    assert desk.accounts.redeem(BOB, 0) == 100 * SHARE
    desk.engine.settle(trade.trade_id, True)
    desk.engine.check()
    assert desk.accounts.redeem(BOB, 0) == 10 * SHARE
    paid = trade.cash_micro + trade.fee_micro
    assert desk.accounts.holding(BOB).cash_micro == before + 110 * SHARE - paid
    with pytest.raises(ValueError, match="already"):
        desk.engine.resolve(0, 0)


def test_a_fee_takes_effect_at_its_moment() -> None:
    desk = Desk()
    desk.engine.schedule_fee(0, NOW_MS + 1_000, 10_000)
    desk.engine.schedule_fee(0, NOW_MS + 1_000, 70_000)
    desk.submit(ALICE, SELL, YES, 5_000, 40)
    fees = []
    for late_ms in (0, 999, 1_000):
        order = desk.order(BOB, BUY, YES, 5_000, 10)
        fees.append(trades(desk.engine.submit(order, NOW_MS + late_ms))[0].fee_micro)
    assert fees == [125_000, 125_000, 175_000]
    assert desk.engine.rules(0).fee_rate_ppm == 70_000


def rebate_desk() -> Desk:
    desk = Desk(MarketRules(0, 100, SHARE, False, 50_000, 1, rebate_ppm=250_000), cash=10**12)
    for account in (ALICE, BOB):
        desk.accounts.split(account, 0, 1_000 * SHARE)
    return desk


def test_makers_share_a_quarter_of_the_days_fees_by_their_fee_equivalents() -> None:
    desk = rebate_desk()
    desk.submit(ALICE, SELL, YES, 5_000, 300)
    desk.submit(BOB, BUY, NO, 5_000, 100)
    desk.submit(BOB, SELL, YES, 8_000, 200)
    for kind in (5_000, 8_000):
        for trade in trades(desk.submit(CAROL, BUY, YES, kind, 400 if kind == 5_000 else 200)):
            desk.engine.settle(trade.trade_id, True)
    fees = 400 * 12_500 + 200 * 8_000
    assert desk.accounts.fees_micro == fees
    assert desk.engine.rebates.shares(TODAY - 1) == []
    # 300 and 100 shares at a half, 200 at 0.8: equivalents 3.75, 1.25 + 1.6 of 6.6 dollars.
    shares = desk.engine.rebates.shares(TODAY)
    assert [(s.account, s.cash_micro) for s in shares] == [(ALICE, 937_500), (BOB, 712_500)]
    assert desk.engine.pay_rebates(TODAY) == []  # nobody has a dollar coming
    assert (desk.accounts.fees_micro, desk.engine.rebates.shares(TODAY)) == (fees, [])
    desk.engine.check()


def test_a_dollar_is_paid_and_undone_trades_do_not_count() -> None:
    desk = rebate_desk()
    desk.submit(ALICE, SELL, YES, 5_000, 900)
    trade = trades(desk.submit(CAROL, BUY, YES, 5_000, 400))[0]
    undone = trades(desk.submit(CAROL, BUY, YES, 5_000, 400))[0]
    desk.engine.settle(trade.trade_id, True)
    desk.engine.settle(undone.trade_id, False)
    assert [share.cash_micro for share in desk.engine.rebates.shares(TODAY)] == [1_250_000]
    before = desk.accounts.holding(ALICE).cash_micro
    assert desk.engine.pay_rebates(TODAY) == [RebatePaid(TODAY, 0, ALICE, 1_250_000)]
    assert desk.accounts.holding(ALICE).cash_micro == before + 1_250_000
    assert desk.engine.pay_rebates(TODAY) == []
    desk.engine.check()


@pytest.mark.parametrize(
    ("price", "finer"), [(9_600, False), (9_700, True), (400, False), (300, True)]
)
def test_a_trade_beyond_96_or_4_cents_makes_the_grid_finer(price: int, finer: bool) -> None:
    desk = Desk(MarketRules(0, 100, SHARE, False, 0, 1, fine_tick_ticks=10))
    desk.submit(ALICE, SELL, YES, price, 50)
    events = desk.submit(BOB, BUY, YES, price, 50)
    assert (TickChanged(0, 100, 10) in events) == finer
    assert desk.engine.rules(0).tick_ticks == (10 if finer else 100)


def test_a_resting_quote_beyond_the_bounds_leaves_the_grid() -> None:
    desk = Desk(MarketRules(0, 100, SHARE, False, 0, 1, fine_tick_ticks=10))
    desk.submit(ALICE, SELL, YES, 9_900, 50)
    assert desk.engine.rules(0).tick_ticks == 100
    with pytest.raises(ValueError, match="does not divide"):
        MatchingEngine(Accounts(), no_fee).add_market(MarketRules(0, 25, 1, fine_tick_ticks=10))


def test_money_moved_away_takes_the_youngest_buys_with_it() -> None:
    desk = Desk(cash=100 * SHARE)
    for shares in (100, 40, 20):
        desk.submit(ALICE, BUY, YES, 5_000, shares)
    desk.submit(ALICE, SELL, YES, 9_000, 10)
    events = desk.engine.force_withdraw(ALICE, 30 * SHARE)
    assert [(e.order.id, e.reason) for e in events or [] if isinstance(e, OrderDone)] == [
        ("o3", DoneReason.NOT_ENOUGH_BALANCE)
    ]
    desk.engine.check()
    assert desk.engine.force_withdraw(ALICE, 71 * SHARE) is None
    assert len(desk.engine.open_orders(ALICE)) == 3
    assert desk.engine.force_withdraw(ALICE, 70 * SHARE) is not None
    assert [order.side for order in desk.engine.open_orders(ALICE)] == [SELL]
    desk.engine.check()


def test_what_an_unsettled_trade_owes_cannot_be_moved() -> None:
    desk = Desk(cash=10 * SHARE)
    desk.submit(ALICE, SELL, YES, 5_000, 10)
    desk.submit(BOB, BUY, YES, 5_000, 10, OrderType.FAK)
    assert desk.engine.force_withdraw(BOB, 6 * SHARE) is None
