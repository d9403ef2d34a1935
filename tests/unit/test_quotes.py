"""Quotes: what stands follows what is wanted, by the table of rules; a core without a venue."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from oracle.desk import (
    RUN,
    SHARE,
    maker_trade,
    market,
    order_event,
    taker_trade,
)
from oracle.quote_desk import INFO, PRODUCER, QuoteRig
from overround.config.schema import Execute
from overround.decide.risk import BookView, RefusalCode
from overround.decide.targets import TargetWriter
from overround.execute.order import Order, OrderState
from overround.layout.intent import OWN_SEQUENCE
from overround.observe.metrics import Value
from overround.shm.slots import Slots
from overround.venues.contract import OrderType
from overround.venues.polymarket.records import OrderEvent, TradeState

TEN, TWENTY = 10 * SHARE, 20 * SHARE


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[QuoteRig]:
    rig = QuoteRig(tmp_path)
    rig.watch()
    yield rig
    rig.end()


def shown(orders: Sequence[Order]) -> list[tuple[int, int, int, int]]:
    """(outcome, side, ticks, lots) of orders."""
    return [
        (o.intent.outcome, o.intent.side, o.intent.price_ticks, o.intent.size_lots) for o in orders
    ]


def test_both_sides_are_placed_in_one_post_only_request(rig: QuoteRig) -> None:
    rig.want((4_700, TEN), (5_100, TEN))
    rig.tick(10)
    rig.segment.beat(rig.now_ns)
    (submission,) = rig.quotes.step()
    # Without shares an ask is a purchase of the other token.
    assert shown(submission.orders) == [(0, 0, 4_700, TEN), (1, 0, 4_900, TEN)]
    bodies = json.loads(submission.request.body)
    assert [one["postOnly"] for one in bodies] == [True, True]
    assert [one["orderType"] for one in bodies] == ["GTC", "GTC"]
    assert all(order.intent.sequence >= OWN_SEQUENCE for order in submission.orders)
    assert rig.news.counts[Value.QUOTES_PLACED] == 2


def test_nothing_is_done_while_wanted_and_working_agree(rig: QuoteRig) -> None:
    rig.want((4_700, TEN), (5_100, TEN))
    assert len(rig.turn()) == 2
    for _ in range(5):
        rig.want((4_700, TEN), (5_100, TEN))
        assert rig.turn(400) == []
    assert rig.core.cancels == []


def test_a_retreat_is_cancelled_at_once_and_replaced_when_that_is_confirmed(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    rig.turn()
    rig.want((4_600, TEN))
    assert rig.turn() == []
    assert rig.turn() == []  # the cancel is not confirmed yet
    assert shown(rig.cancelled()) == [(0, 0, 4_700, TEN)]
    assert shown(rig.turn()) == [(0, 0, 4_600, TEN)]
    assert rig.news.counts[Value.QUOTES_CANCELED] == 1


def test_an_advance_waits_for_the_minimum_life(rig: QuoteRig) -> None:
    rig.want((4_600, TEN))
    rig.turn()
    rig.want((4_700, TEN))
    rig.turn(100)
    assert rig.core.cancels == []
    rig.turn(500)
    assert shown(rig.cancelled()) == [(0, 0, 4_600, TEN)]
    assert shown(rig.turn()) == [(0, 0, 4_700, TEN)]


def test_a_price_within_the_hysteresis_keeps_its_place(tmp_path: Path) -> None:
    rig = QuoteRig(tmp_path, execute=Execute(quote_hysteresis_ticks=100))
    rig.watch()
    rig.want((4_600, TEN))
    rig.turn()
    for bid in (4_700, 4_500, 4_600):
        rig.want((bid, TEN))
        assert rig.turn(1_000) == []
        assert rig.core.cancels == []
    rig.want((4_400, TEN))
    rig.turn()
    assert len(rig.cancelled()) == 1
    rig.end()


def test_a_bid_never_meets_an_ask_that_hysteresis_keeps(tmp_path: Path) -> None:
    rig = QuoteRig(tmp_path, execute=Execute(quote_hysteresis_ticks=300))
    rig.watch()
    rig.markets.books[3] = BookView(True, True, 4, 4_000, 6_000, TEN, TEN)
    rig.want(None, (5_000, TEN))
    rig.turn()
    rig.want((5_000, TEN), (5_200, TEN))
    assert rig.turn(600) == []
    rig.want((4_900, TEN), (5_200, TEN))
    assert shown(rig.turn()) == [(0, 0, 4_900, TEN)]
    rig.end()


def test_more_size_is_a_second_order_and_less_takes_the_newest_away(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (first,) = rig.turn()
    rig.want((4_700, TWENTY))
    (second,) = rig.turn()
    assert second.intent.size_lots == TEN
    rig.want((4_700, TEN))
    rig.turn()
    assert rig.cancelled() == [second]
    assert first.state is OrderState.LIVE


def test_a_side_never_has_more_than_four_orders(rig: QuoteRig) -> None:
    for tens in range(1, 5):
        rig.want((4_700, tens * TEN))
        rig.turn()
    rig.want((4_700, 5 * TEN))
    assert rig.turn() == []
    (newest,) = rig.cancelled()
    (merged,) = rig.turn()
    assert merged.intent.size_lots == 2 * TEN
    assert merged.intent.sequence > newest.intent.sequence
    assert rig.turn() == []


def test_small_differences_of_size_change_nothing(rig: QuoteRig) -> None:
    rig.want((4_700, TWENTY))
    rig.turn()
    for lots in (TWENTY + SHARE, TWENTY - SHARE, TWENTY):
        rig.want((4_700, lots))
        assert rig.turn() == []
        assert rig.core.cancels == []


def test_a_filled_part_is_placed_again_only_for_a_newer_target(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    rig.settlement.on_trade(maker_trade(order.order_id, INFO, size_lots=6 * SHARE))
    assert rig.turn(200) == []
    rig.want((4_700, TEN))
    (again,) = rig.turn()
    assert again.intent.size_lots == 6 * SHARE


def test_a_quote_filled_whole_is_placed_again_only_for_a_newer_target(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    trade = maker_trade(order.order_id, INFO)
    rig.settlement.on_trade(trade)
    final = maker_trade(order.order_id, INFO, state=TradeState.CONFIRMED)
    rig.settlement.on_trade(final)
    assert order.state is OrderState.DONE
    assert rig.turn(200) == []
    rig.want((4_700, TEN))
    assert len(rig.turn()) == 1


def test_a_side_not_wanted_any_more_is_cancelled_and_the_other_stays(rig: QuoteRig) -> None:
    rig.want((4_700, TEN), (5_100, TEN))
    bid, ask = rig.turn()
    rig.want((4_700, TEN), None)
    rig.turn()
    assert rig.cancelled() == [ask]
    assert rig.turn() == []
    assert bid.state is OrderState.LIVE


def void(rig: QuoteRig, cause: str) -> None:
    if cause == "expired":
        rig.tick(60_000)
    elif cause == "silent":
        rig.beating = False
        rig.tick(600)
    elif cause == "withdrawn":
        rig.targets.withdraw(1, 3)
    elif cause == "replaced board":
        rig.markets.books[3] = BookView(True, True, 6, 4_800, 5_000, TEN, TEN)
    elif cause == "untrusted":
        rig.markets.books[3] = BookView(True, False, 4, 4_800, 5_000, TEN, TEN)
    elif cause == "stale":
        rig.markets.books[3] = BookView(False, True, 4, 4_800, 5_000, TEN, TEN)
    elif cause == "closed":
        rig.markets.infos[3] = market(3, active=False)
    elif cause == "new writer":
        rig.targets = TargetWriter(Slots(rig.segment), clock=lambda: rig.now_ns)


@pytest.mark.parametrize(
    "cause",
    [
        "expired", "silent", "withdrawn", "replaced board", "untrusted", "stale", "closed",
        "new writer",
    ],
)  # fmt: skip
def test_a_void_target_takes_every_quote_away(rig: QuoteRig, cause: str) -> None:
    rig.want((4_700, TEN), (5_100, TEN))
    both = rig.turn()
    void(rig, cause)
    assert rig.turn(150) == []
    assert rig.cancelled() == both
    assert rig.turn(1_000) == []


def test_a_price_that_would_take_stands_one_tick_behind(rig: QuoteRig) -> None:
    rig.want((5_200, TEN), (5_300, TEN))
    assert shown(rig.turn())[0] == (0, 0, 4_900, TEN)


def test_prices_off_the_tick_move_away_from_the_other_side(rig: QuoteRig) -> None:
    rig.want((4_650, TEN), (5_150, TEN))
    assert [one[2] for one in shown(rig.turn())] == [4_600, 4_800]


def test_a_coarser_tick_moves_what_stands(rig: QuoteRig) -> None:
    rig.want((4_650, TEN))
    rig.markets.infos[3] = market(3, tick_ticks=10)
    assert shown(rig.turn()) == [(0, 0, 4_650, TEN)]
    rig.markets.infos[3] = market(3, tick_ticks=100)
    rig.turn(150)
    assert len(rig.cancelled()) == 1
    assert shown(rig.turn()) == [(0, 0, 4_600, TEN)]


def test_shares_that_are_held_are_sold_before_the_other_token_is_bought(rig: QuoteRig) -> None:
    rig.hold(0, TWENTY)
    rig.want((4_700, TEN), (5_100, TWENTY))
    assert shown(rig.turn()) == [(0, 0, 4_700, TEN), (0, 1, 5_100, TWENTY)]


def test_a_bid_sells_the_other_token_where_that_is_held(rig: QuoteRig) -> None:
    rig.hold(1, TEN)
    rig.want((4_700, TEN), (5_100, TEN))
    assert shown(rig.turn()) == [(1, 1, 5_300, TEN), (1, 0, 4_900, TEN)]


@pytest.mark.parametrize("answer", ["rejected", ""])
def test_a_refused_quote_rests_before_it_is_tried_again(rig: QuoteRig, answer: str) -> None:
    if not answer:
        rig.markets.infos[3] = market(3, fee_known=False)  # the gate says no
    rig.want((4_700, TEN))
    rig.turn(answer=answer)
    assert rig.turn(100) == []
    rig.markets.infos[3] = market(3)
    assert rig.turn(100) == []
    assert len(rig.turn(600)) == 1
    if not answer:
        assert RefusalCode.FEE_UNKNOWN in {reason for _, _, reason in rig.news.reports}


def test_an_unknown_outcome_blocks_the_market_until_it_is_known(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn(answer="lost")
    rig.want((4_500, TEN))
    assert rig.turn(200) == []
    assert rig.core.cancels == []
    listed = order_event(order.order_id, INFO, OrderEvent.LISTING)
    rig.resolver.resolve(order, listed, rig.now_ns)
    assert order.state is OrderState.LIVE
    rig.turn()
    assert rig.cancelled() == [order]
    assert shown(rig.turn()) == [(0, 0, 4_500, TEN)]


def test_a_restart_goes_on_with_the_quotes_it_finds(rig: QuoteRig) -> None:
    rig.want((4_700, TEN), (5_100, TEN))
    both = [order.order_id for order in rig.turn()]
    rig.restart()
    assert rig.turn() == []
    rig.want((4_600, TEN))
    rig.turn()
    assert [order.order_id for order in rig.cancelled()] == both
    assert shown(rig.turn()) == [(0, 0, 4_600, TEN)]


def test_what_was_filled_while_nobody_looked_is_not_placed_beside_what_rests(
    rig: QuoteRig,
) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    rig.restart()
    trade = maker_trade(order.order_id, INFO, size_lots=6 * SHARE)
    rig.settlement.on_trade(trade)  # by the first comparison
    rig.quotes = rig.desk()
    rig.watch()
    assert rig.turn(200) == []
    rig.want((4_700, TEN))
    assert shown(rig.turn()) == [(0, 0, 4_700, 6 * SHARE)]


@pytest.mark.parametrize("after", [False, True], ids=["before the death", "after it"])
def test_a_quote_filled_whole_is_not_placed_again_by_a_restart(rig: QuoteRig, after: bool) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    trade = maker_trade(order.order_id, INFO, state=TradeState.CONFIRMED)
    if not after:
        rig.settlement.on_trade(trade)
    rig.restart()
    if after:
        rig.settlement.on_trade(trade)
        rig.quotes = rig.desk()
        rig.watch()
    assert rig.turn(200) == []
    rig.want((4_700, TEN))
    assert shown(rig.turn()) == [(0, 0, 4_700, TEN)]


def test_what_was_filled_before_the_target_was_written_is_placed_by_a_restart(
    rig: QuoteRig,
) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    trade = maker_trade(order.order_id, INFO, state=TradeState.CONFIRMED)  # long ago
    rig.settlement.on_trade(trade)
    rig.tick(10_000)
    rig.want((4_700, TEN))
    rig.restart()
    assert shown(rig.turn()) == [(0, 0, 4_700, TEN)]


def test_a_target_older_than_what_is_remembered_is_not_placed_from(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    rig.tick(1)
    rig.restart()
    rig.store.retired = [object()]  # type: ignore[assignment]
    assert rig.turn() == []
    rig.want((4_700, TEN))
    assert shown(rig.turn()) == [(0, 0, 4_700, TEN)]


def test_quotes_of_another_run_are_cancelled(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    rig.run_id = RUN + 1
    rig.restart()
    rig.want((4_700, TEN))
    assert rig.turn() == []  # the old one still rests
    assert [one.order_id for one in rig.cancelled()] == [order.order_id]
    assert shown(rig.turn()) == [(0, 0, 4_700, TEN)]


def test_a_quote_that_turns_up_after_its_end_is_waited_for(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn(answer="lost")
    rig.tick(5_000)
    rig.resolver.resolve(order, None, rig.now_ns)
    assert order.state is OrderState.DONE
    rig.turn()
    assert rig.turn(10) == []  # one that failed rests for a while
    rig.tick(1)
    listed = order_event(order.order_id, INFO, OrderEvent.LISTING)
    rig.resolver.sweep([listed], rig.now_ns)
    assert (order.state, order.cancel_asked) == (OrderState.LIVE, True)
    assert rig.turn(1_000) == []
    event = order_event(order.order_id, INFO, OrderEvent.CANCELLATION)
    rig.settlement.on_order(event)
    assert shown(rig.turn(1_000)) == [(0, 0, 4_700, TEN)]


def test_the_kill_latch_places_nothing_and_cancels_what_is_not_wanted(rig: QuoteRig) -> None:
    rig.want((4_700, TEN), (5_100, TEN))
    both = rig.turn()
    rig.kill = True
    rig.want((4_600, TEN), (5_100, TEN))
    assert rig.turn() == []
    assert rig.cancelled() == both[:1]
    assert rig.turn(200) == []


def test_a_gtd_quote_states_its_end_by_the_venues_rule(rig: QuoteRig) -> None:
    rig.want((4_700, TEN), life_ms=3_600_000, gtd=True)
    (order,) = rig.turn(answer="")
    assert order.intent.order_type == OrderType.GTD
    assert order.intent.expiration_s == (rig.now_ms - 10 + 3_600_000) // 1_000 + 60
    assert order.signed is not None
    body = json.loads(order.signed.body)
    assert body["order"]["expiration"] == str(order.intent.expiration_s)
    assert body["orderType"] == "GTD"


def test_a_short_gtd_quote_states_the_least_the_venue_takes(rig: QuoteRig) -> None:
    rig.want((4_700, TEN), life_ms=5_000, gtd=True)
    (order,) = rig.turn()
    assert order.intent.expiration_s == rig.now_ms // 1_000 + 185
    rig.turn(5_000)
    assert rig.cancelled() == [order]  # we end it where the venue would be late


def test_a_quote_without_an_end_is_replaced_where_one_is_wanted(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    rig.want((4_700, TEN), life_ms=300_000, gtd=True)
    rig.turn()
    assert rig.cancelled() == [order]
    (again,) = rig.turn()
    assert again.intent.order_type == OrderType.GTD
    rig.want((4_700, TEN))
    assert rig.turn() == []
    assert rig.core.cancels == []


@pytest.mark.parametrize("ahead_s", [179, 180, 600])
def test_a_gtd_intent_goes_out_if_the_venue_would_take_its_end(rig: QuoteRig, ahead_s: int) -> None:
    end_s = rig.now_ms // 1_000 + ahead_s
    intent = rig.intent(7, order_type=int(OrderType.GTD), price_ticks=4_700, expiration_s=end_s)
    submissions = rig.core.take([intent])
    if ahead_s < 180:
        assert submissions == []
        assert rig.news.reports[-1][2] == RefusalCode.UNBUILDABLE
        return
    body = json.loads(submissions[0].request.body)
    assert (body["orderType"], body["order"]["expiration"]) == ("GTD", str(end_s))


def test_several_markets_share_requests_of_fifteen_orders(rig: QuoteRig) -> None:
    for index in range(5):
        rig.want((4_000, TEN), (6_000, TEN), index=index)
    rig.tick(10)
    rig.segment.beat(rig.now_ns)
    submissions = rig.quotes.step()
    assert [len(one.orders) for one in submissions] == [10]
    assert len({order.intent.sequence for order in submissions[0].orders}) == 10


def test_a_strategys_own_cancel_reaches_a_quote(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    cancel = rig.intent(5, flags=2, target=order.intent.sequence)
    rig.core.take([cancel])
    assert rig.cancelled() == [order]


def test_fills_of_quotes_are_the_producers_own(rig: QuoteRig) -> None:
    rig.want((4_700, TEN))
    (order,) = rig.turn()
    assert order.intent.producer == PRODUCER
    assert order.intent.strategy == 1
    assert taker_trade(order.order_id, INFO).taker_order_id == order.order_id
