"""The matching engine's rules, one claim a test."""

from __future__ import annotations

import pytest

from oracle.match_desk import (
    ALICE,
    BOB,
    BUY,
    CAROL,
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
from overround.errors import InvariantError
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.types import (
    BookSide,
    DoneReason,
    LastTrade,
    LegForm,
    LevelChanged,
    MarketRules,
    Matched,
    Order,
    OrderAccepted,
    OrderDone,
    OrderStatus,
    OrderType,
    RejectCode,
    TickChanged,
    Top,
    TradeSettled,
    no_fee,
)

# -- the book ----------------------------------------------------------------------------


def test_buying_no_offers_yes_at_the_mirrored_price() -> None:
    desk = Desk()
    events = desk.submit(ALICE, BUY, NO, 4800, 10)
    assert events[1:] == [LevelChanged(0, BookSide.ASK, 5200, 10 * SHARE)]
    desk.submit(BOB, SELL, NO, 5500, 20)
    assert desk.engine.top(0) == Top(4500, 20 * SHARE, 5200, 10 * SHARE)
    assert desk.engine.depth(0) == ([(4500, 20 * SHARE)], [(5200, 10 * SHARE)])


def test_an_empty_market_shows_the_empty_top() -> None:
    assert Desk().engine.top(0) == Top(0, 0, 10_000, 0)
    assert Desk().engine.last_trade(0) is None


def test_depth_is_best_first_on_both_sides_across_bitmap_words() -> None:
    desk = Desk(MarketRules(0, 1, SHARE))
    prices = (1, 126, 127, 128, 129, 4_000, 4_991)
    for price in prices:
        desk.submit(ALICE, BUY, YES, price, 2)
        desk.submit(BOB, BUY, NO, price, 2)
    bids, asks = desk.engine.depth(0)
    assert [price for price, _ in bids] == sorted(prices, reverse=True)
    assert [price for price, _ in asks] == sorted(10_000 - price for price in prices)


# -- matching ----------------------------------------------------------------------------


def test_better_price_then_earlier_order_comes_first() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5300, 10, id="worse")
    desk.submit(ALICE, SELL, YES, 5200, 10, id="first")
    desk.submit(BOB, BUY, NO, 4800, 10, id="second")
    events = desk.submit(CAROL, BUY, YES, 5300, 25)
    met = [(leg.order.id, leg.size_lots) for t in trades_of(events) for leg in t.legs]
    assert met == [("first", 10 * SHARE), ("second", 10 * SHARE), ("worse", 5 * SHARE)]
    assert [trade.price_ticks for trade in trades_of(events)] == [5200, 5300]


def test_the_taker_keeps_the_price_improvement() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 4000, 10)
    (trade,) = trades_of(desk.submit(BOB, BUY, YES, 9000, 10))
    assert (trade.price_ticks, trade.cash_micro) == (4000, 4 * SHARE)


def test_events_tell_the_trade_the_filled_maker_and_the_level_in_order() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5200, 10, id="maker")
    events = desk.submit(BOB, BUY, YES, 5200, 15, id="taker")
    maker, taker = desk.engine.orders["maker"], desk.engine.orders["taker"]
    assert events[0] == OrderAccepted(taker)
    assert isinstance(events[1], Matched)
    assert events[2:] == [
        OrderDone(maker, DoneReason.FILLED),
        LevelChanged(0, BookSide.ASK, 5200, 0),
        LevelChanged(0, BookSide.BID, 5200, 5 * SHARE),
    ]
    assert (maker.status, taker.status) == (OrderStatus.FILLED, OrderStatus.LIVE)
    assert (taker.filled_lots, taker.remaining_lots) == (10 * SHARE, 5 * SHARE)
    assert desk.engine.last_trade(0) == LastTrade(YES, BUY, 5200, 10 * SHARE)


def test_a_normal_trade_moves_tokens_cash_and_fee_on_confirmation() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5000, 100)
    (trade,) = trades_of(desk.submit(BOB, BUY, YES, 5000, 100))
    assert trade.legs[0].form == LegForm.NORMAL
    # 100 shares at one half, five per cent: the fact sheet's table says 1.25.
    assert trade.fee_micro == 1_250_000
    assert desk.engine.settle(trade.trade_id, True) == [TradeSettled(trade.trade_id, 0, True)]
    desk.engine.check()
    alice, bob = desk.accounts.holding(ALICE), desk.accounts.holding(BOB)
    assert (alice.cash_micro, alice.token(0, YES).lots) == (1_050 * SHARE, 0)
    assert (bob.cash_micro, bob.token(0, YES).lots) == (950 * SHARE - 1_250_000, 200 * SHARE)
    assert desk.accounts.fees_micro == 1_250_000


def test_two_buyers_mint_a_pair_from_one_unit_of_collateral() -> None:
    desk = Desk()
    desk.submit(ALICE, BUY, NO, 4800, 10)
    before = desk.accounts.collateral_micro[0]
    (trade,) = trades_of(desk.submit(BOB, BUY, YES, 5300, 10))
    (leg,) = trade.legs
    assert (leg.form, leg.outcome, leg.price_ticks) == (LegForm.MINT, NO, 4800)
    assert (trade.price_ticks, trade.cash_micro) == (5200, 5_200_000)
    desk.engine.settle(trade.trade_id, True)
    desk.engine.check()
    assert desk.accounts.collateral_micro[0] == before + 10 * SHARE
    assert desk.accounts.holding(ALICE).token(0, NO).lots == 110 * SHARE


def test_two_sellers_merge_a_pair_and_share_the_unit() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, NO, 4500, 10)
    before = desk.accounts.collateral_micro[0]
    (trade,) = trades_of(desk.submit(BOB, SELL, YES, 5000, 10))
    (leg,) = trade.legs
    assert (leg.form, leg.cash_micro) == (LegForm.MERGE, 4_500_000)
    assert (trade.price_ticks, trade.cash_micro) == (5500, 5_500_000)
    desk.engine.settle(trade.trade_id, True)
    desk.engine.check()
    assert desk.accounts.collateral_micro[0] == before - 10 * SHARE


def test_a_mint_of_odd_lots_still_sums_to_the_unit() -> None:
    desk = Desk(MarketRules(0, 1, 1))
    desk.submit(ALICE, BUY, NO, 3333, 7.000_001)
    (trade,) = trades_of(desk.submit(BOB, BUY, YES, 6667, 7.000_001))
    assert trade.legs[0].cash_micro + trade.cash_micro == 7_000_001
    desk.engine.settle(trade.trade_id, True)
    desk.engine.check()


def test_an_account_may_trade_with_itself_and_only_pays_the_fee() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5000, 10)
    (trade,) = trades_of(desk.submit(ALICE, BUY, YES, 5000, 10))
    desk.engine.settle(trade.trade_id, True)
    desk.engine.check()
    alice = desk.accounts.holding(ALICE)
    assert alice.cash_micro == 1_000 * SHARE - trade.fee_micro
    assert alice.token(0, YES).lots == 100 * SHARE


def test_a_sell_never_pays_more_fee_than_it_receives() -> None:
    accounts = Accounts()
    engine = MatchingEngine(accounts, lambda *_: 50 * SHARE)
    engine.add_market(MarketRules(0, 100, SHARE))
    accounts.deposit(ALICE, 100 * SHARE)
    accounts.grant(BOB, 0, YES, 10 * SHARE)
    engine.submit(Order("a", ALICE, 0, YES, BUY, 5000, 10 * SHARE), NOW_MS)
    (trade,) = trades_of(engine.submit(Order("b", BOB, 0, YES, SELL, 5000, 10 * SHARE), NOW_MS))
    assert trade.fee_micro == trade.cash_micro == 5 * SHARE
    engine.settle(trade.trade_id, True)
    engine.check()


# -- order types -------------------------------------------------------------------------


def test_fok_fills_whole_or_leaves_no_trace() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5000, 10)
    before = desk.engine.state_hash()
    events = desk.submit(BOB, BUY, YES, 5000, 10.01, OrderType.FOK)
    assert code_of(events) == RejectCode.FOK_NOT_FILLED
    assert desk.engine.state_hash() == before
    events = desk.submit(BOB, BUY, YES, 5000, 10, OrderType.FOK)
    assert isinstance(events[-1], OrderDone)
    assert events[-1].reason == DoneReason.FILLED


def test_fak_fills_what_it_can_and_drops_the_rest() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5000, 10)
    events = desk.submit(BOB, BUY, YES, 5000, 30, OrderType.FAK, id="fak")
    assert events[-1] == OrderDone(desk.engine.orders["fak"], DoneReason.KILLED)
    assert desk.engine.orders["fak"].filled_lots == 10 * SHARE
    assert desk.engine.top(0) == Top(0, 0, 10_000, 0)
    events = desk.submit(BOB, BUY, YES, 5000, 30, OrderType.FAK)
    assert code_of(events) == RejectCode.FAK_NO_MATCH


def test_post_only_rests_or_is_refused_but_never_takes() -> None:
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 5000, 10)
    crossing = desk.submit(BOB, BUY, YES, 5000, 10, post_only=True)
    assert code_of(crossing) == RejectCode.POST_ONLY_CROSSES
    mirrored = desk.submit(BOB, SELL, NO, 5000, 10, post_only=True)
    assert code_of(mirrored) == RejectCode.POST_ONLY_CROSSES
    assert desk.submit(BOB, BUY, YES, 4900, 10, post_only=True)[1:]
    killable = desk.submit(BOB, BUY, YES, 4900, 10, OrderType.FAK, post_only=True)
    assert code_of(killable) == RejectCode.INVALID_POST_ONLY


def test_gtd_expires_a_minute_before_its_time_and_oldest_first() -> None:
    desk = Desk()
    gtd = OrderType.GTD
    desk.submit(ALICE, BUY, YES, 4000, 10, gtd, id="late", expires_epoch_s=NOW_S + 301)
    desk.submit(ALICE, BUY, YES, 4100, 10, gtd, id="b", expires_epoch_s=NOW_S + 300)
    desk.submit(ALICE, BUY, YES, 4200, 10, gtd, id="c", expires_epoch_s=NOW_S + 300)
    assert desk.engine.expire(NOW_S + 239) == []
    done = [e for e in desk.engine.expire(NOW_S + 240) if isinstance(e, OrderDone)]
    assert [(e.order.id, e.reason) for e in done] == [
        ("b", DoneReason.EXPIRED),
        ("c", DoneReason.EXPIRED),
    ]
    assert desk.engine.orders["b"].status == OrderStatus.EXPIRED
    assert [order.id for order in desk.engine.open_orders(ALICE)] == ["late"]
    desk.engine.check()


def test_notes_of_cancelled_gtd_orders_do_not_pile_up() -> None:
    desk = Desk()
    for number in range(5_000):
        order = desk.order(
            ALICE, BUY, YES, 4000, 10, OrderType.GTD,
            id=f"g{number}", expires_epoch_s=NOW_S + 10_000,
        )  # fmt: skip
        desk.engine.submit(order, NOW_MS)
        desk.engine.cancel(order.id)
    assert len(desk.engine._expiries) <= 1024


# -- cancelling, ticks, closing ------------------------------------------------------------


def test_cancel_tells_the_level_and_is_silent_the_second_time() -> None:
    desk = Desk()
    desk.submit(ALICE, BUY, YES, 4000, 10, id="a")
    desk.submit(BOB, BUY, YES, 4000, 5)
    order = desk.engine.orders["a"]
    assert desk.engine.cancel("a") == [
        LevelChanged(0, BookSide.BID, 4000, 5 * SHARE),
        OrderDone(order, DoneReason.CANCELED),
    ]
    assert desk.engine.cancel("a") == []
    assert desk.engine.cancel("never seen") == []


def test_cancel_all_takes_one_account_oldest_first_and_can_name_a_market() -> None:
    desk = Desk()
    desk.engine.add_market(MarketRules(1, 100, 5 * SHARE))
    desk.submit(ALICE, BUY, YES, 4000, 10, id="a")
    desk.submit(BOB, BUY, YES, 4000, 10, id="other")
    elsewhere = Order("b", ALICE, 1, YES, BUY, 4000, 10 * SHARE)
    desk.engine.submit(elsewhere, NOW_MS)
    desk.submit(ALICE, BUY, YES, 4100, 10, id="c")
    done = [e for e in desk.engine.cancel_all(ALICE, 1) if isinstance(e, OrderDone)]
    assert [event.order.id for event in done] == ["b"]
    done = [e for e in desk.engine.cancel_all(ALICE) if isinstance(e, OrderDone)]
    assert [event.order.id for event in done] == ["a", "c"]
    assert [order.id for order in desk.engine.open_orders(BOB)] == ["other"]


def test_a_finer_tick_keeps_all_orders_and_a_coarser_one_drops_those_off_it() -> None:
    desk = Desk()
    assert desk.engine.set_tick(0, 10) == [TickChanged(0, 100, 10)]
    assert desk.engine.set_tick(0, 10) == []
    desk.submit(ALICE, BUY, YES, 4010, 10, id="off")
    desk.submit(ALICE, BUY, YES, 4000, 10, id="on")
    events = desk.engine.set_tick(0, 100)
    assert events[-1] == OrderDone(desk.engine.orders["off"], DoneReason.TICK_CHANGED)
    assert desk.engine.depth(0)[0] == [(4000, 10 * SHARE)]
    desk.engine.check()


def test_a_tick_must_divide_one() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        Desk().engine.set_tick(0, 300)
    with pytest.raises(ValueError, match="exists already"):
        Desk().engine.add_market(MarketRules(0, 100, 1))


def test_a_closed_market_is_empty_and_refuses() -> None:
    desk = Desk()
    desk.submit(ALICE, BUY, YES, 4000, 10)
    events = desk.engine.close_market(0)
    assert isinstance(events[-1], OrderDone)
    assert events[-1].reason == DoneReason.MARKET_CLOSED
    assert code_of(desk.submit(ALICE, BUY, YES, 4000, 10)) == RejectCode.MARKET_CLOSED
    assert desk.accounts.holding(ALICE).reserved_micro == 0


# -- proof -------------------------------------------------------------------------------


def test_the_same_commands_give_the_same_hash_and_another_order_another() -> None:
    def run(*prices: int) -> str:
        desk = Desk()
        for price in prices:
            desk.submit(ALICE, BUY, YES, price, 10)
        return desk.engine.state_hash()

    assert run(4000, 4100) == run(4000, 4100)
    assert run(4000, 4100) != run(4100, 4000)


def test_the_check_notices_a_lost_reservation_a_wrong_level_and_a_crossed_book() -> None:
    desk = Desk()
    desk.submit(ALICE, BUY, YES, 4000, 10)
    desk.accounts.holding(ALICE).reserved_micro -= 1
    with pytest.raises(InvariantError, match="need 4000000"):
        desk.engine.check()
    desk = Desk()
    desk.submit(ALICE, SELL, YES, 6000, 10)
    desk.accounts.holding(ALICE).token(0, YES).reserved_lots += 1
    with pytest.raises(InvariantError, match="lots, its orders and trades need"):
        desk.engine.check()
    desk = Desk()
    desk.submit(ALICE, BUY, YES, 4000, 10)
    desk.engine._markets[0].book.sides[0].levels[4000].size_lots += 1
    with pytest.raises(InvariantError, match="price 4000"):
        desk.engine.check()
    desk = Desk()
    desk.submit(ALICE, BUY, YES, 4000, 10)
    desk.engine._markets[0].book.add(desk.order(BOB, SELL, YES, 3900, 10))
    with pytest.raises(InvariantError, match="crossed"):
        desk.engine.check()


def test_finished_orders_are_kept_up_to_the_limit() -> None:
    accounts = Accounts()
    engine = MatchingEngine(accounts, no_fee, done_orders_max=2)
    engine.add_market(MarketRules(0, 100, SHARE))
    accounts.deposit(ALICE, 100 * SHARE)
    for number in range(4):
        engine.submit(Order(f"o{number}", ALICE, 0, YES, BUY, 4000, SHARE), NOW_MS)
        if number < 3:
            engine.cancel(f"o{number}")
    assert list(engine.orders) == ["o1", "o2", "o3"]
