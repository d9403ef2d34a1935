"""Doubt and death: unknown outcomes are resolved by proof, restarts know what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.desk import (
    RUN,
    SHARE,
    Desk,
    S,
    accepted,
    duplicate,
    lose,
    maker_trade,
    market,
    order_event,
    refusals,
    rejected,
    rest,
    taker_trade,
)
from overround.decide.risk import RefusalCode
from overround.execute.order import Order, OrderState
from overround.execute.resolve import RemedyKind, resend
from overround.ledger.journal import replay
from overround.ledger.records import Kind, decode
from overround.observe.metrics import Value
from overround.venues.contract import OrderType, Side
from overround.venues.polymarket.answers import no_answer
from overround.venues.polymarket.records import OrderEvent, TradeState
from overround.venues.polymarket.records import OrderState as VenueState

FEE = 125_000  # 5 % of ten shares at one half


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


# -- unknown outcomes ---------------------------------------------------------------------


def test_an_unknown_outcome_keeps_its_reservation_until_proof(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    assert order.state is OrderState.UNKNOWN
    for _ in range(5):
        desk.tick(599)
        desk.resolver.resolve(order, None, desk.now_ns)
        assert desk.store.reserved_micro() == 5 * SHARE + 2 * FEE
    desk.tick(10)
    desk.resolver.resolve(order, None, desk.now_ns)
    assert order.state is OrderState.DONE
    assert desk.store.reserved_micro() == 0


def test_a_wanted_order_is_repeated_byte_for_byte_and_only_once(desk: Desk) -> None:
    first = lose(desk)
    order = desk.order(0)
    desk.tick(10)
    remedy = desk.resolver.resolve(order, None, desk.now_ns)
    assert remedy is not None
    assert remedy.kind is RemedyKind.RESEND
    again = resend(order)
    assert desk.core.begin(again)
    assert again.request == first.request
    assert desk.store.tally[Value.ORDERS_RESENT] == 1
    desk.core.answer(again, [no_answer(order.order_id, "lost again")])
    desk.tick(10)
    remedy = desk.resolver.resolve(order, None, desk.now_ns)
    assert remedy is not None
    assert remedy.kind is RemedyKind.CANCEL


def test_duplicated_means_accepted_and_is_never_repeated(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    desk.tick(1)
    again = resend(order)
    desk.core.begin(again)
    desk.core.answer(again, [duplicate(order.order_id)])
    assert order.state is OrderState.UNKNOWN
    assert desk.store.tally[Value.ORDERS_ACCEPTED] == 1
    desk.tick(1)
    remedy = desk.resolver.resolve(order, None, desk.now_ns)
    assert remedy is None or remedy.kind is RemedyKind.CANCEL
    desk.settlement.on_trade(taker_trade(order.order_id, market(3)))
    desk.tick(1)
    desk.resolver.resolve(order, None, desk.now_ns)
    assert order.state is OrderState.CLOSED


def test_a_refused_repeat_proves_nothing_of_the_first_copy(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    again = resend(order)
    desk.core.begin(again)
    desk.core.answer(again, [rejected(order.order_id)])
    assert order.state is OrderState.UNKNOWN


def test_an_answer_asked_for_before_the_last_byte_left_proves_nothing(desk: Desk) -> None:
    asked_ns = desk.now_ns
    desk.tick(5_000)
    lose(desk)
    desk.tick(5_000)
    assert desk.resolver.resolve(desk.order(0), None, asked_ns) is None
    assert desk.order(0).state is OrderState.UNKNOWN


def test_a_killed_executor_cancels_instead_of_repeating(desk: Desk) -> None:
    lose(desk)
    desk.kill = True
    desk.tick(1)
    remedy = desk.resolver.resolve(desk.order(0), None, desk.now_ns)
    assert remedy is not None
    assert remedy.kind is RemedyKind.CANCEL


def test_a_resting_order_of_unknown_outcome_is_found_and_taken_up(desk: Desk) -> None:
    lose(desk, desk.intent(0, order_type=int(OrderType.GTC), price_ticks=4_700))
    order = desk.order(0)
    desk.tick(1)
    listed = order_event(order.order_id, market(3), OrderEvent.LISTING)
    assert desk.resolver.sweep([listed], desk.now_ns) == ([], [])
    assert order.state is OrderState.LIVE


def test_a_trade_of_an_order_given_up_is_still_booked(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    desk.tick(5_000)
    desk.resolver.resolve(order, None, desk.now_ns)
    assert order.state is OrderState.DONE
    desk.settlement.on_trade(taker_trade(order.order_id, market(3), state=TradeState.CONFIRMED))
    assert desk.store.positions.lots(market(3).token_yes) == 10 * SHARE
    listed = order_event(order.order_id, market(3), OrderEvent.LISTING)
    remedies, differences = desk.resolver.sweep([listed], desk.now_ns)
    assert [one.kind for one in remedies] == [RemedyKind.CANCEL]
    assert len(differences) == 1


# -- restarts -----------------------------------------------------------------------------


def test_a_restart_knows_what_was_never_sent_and_what_may_have_been(desk: Desk) -> None:
    desk.core.take(desk.plan(0, 3)[:1])  # waiting for legs
    desk.core.take([desk.intent(5)])  # signed
    desk.send(desk.intent(6))  # sent
    rest(desk, 7)
    assert desk.restart() == 1
    states = {sequence: desk.order(sequence).state for sequence in (0, 5, 6, 7)}
    assert states == {
        0: OrderState.DONE, 5: OrderState.DONE, 6: OrderState.UNKNOWN, 7: OrderState.LIVE
    }  # fmt: skip
    assert desk.order(0).reason == desk.order(5).reason == RefusalCode.RESTART


def test_after_a_restart_an_unknown_order_is_cancelled_not_repeated(desk: Desk) -> None:
    desk.send(desk.intent(0))
    desk.restart()
    desk.tick(1)
    remedy = desk.resolver.resolve(desk.order(0), None, desk.now_ns)
    assert remedy is not None
    assert remedy.kind is RemedyKind.CANCEL


def test_after_a_restart_the_late_legs_of_a_dead_plan_do_not_trade(desk: Desk) -> None:
    legs = desk.plan(0, 3)
    desk.core.take(legs[:2])
    desk.restart()
    assert desk.core.take(legs) == []  # two duplicates and one new leg
    assert desk.news.counts[Value.INTENTS_DUPLICATE] == 2
    desk.tick(500)
    desk.core.expire_plans()
    assert not desk.store.working


def test_the_loss_limit_counts_from_the_start_of_the_run_across_restarts(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    desk.settlement.on_trade(taker_trade(order_id, market(3), state=TradeState.CONFIRMED))
    assert desk.store.loss_micro() == 5 * SHARE + FEE
    desk.restart()
    assert desk.store.loss_micro() == 5 * SHARE + FEE


def test_money_and_counters_are_the_same_after_a_restart(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    desk.core.answer(submission, [accepted(order_id, "matched", "t1")])
    desk.settlement.on_trade(taker_trade(order_id, market(3)))
    rest(desk, 1)
    desk.core.take([desk.intent(2, size_lots=SHARE)])
    before = desk.store.positions.view(), desk.store.reserved_micro(), dict(desk.store.tally)
    desk.restart()
    after = desk.store.positions.view(), desk.store.reserved_micro(), dict(desk.store.tally)
    assert after == before
    assert after[2][Value.INTENTS_TAKEN] == 3
    assert after[2][Value.ORDERS_ACCEPTED] == after[2][Value.ORDERS_SENT] == 2


def test_an_unknown_order_that_a_cancel_took_away_was_there(desk: Desk) -> None:
    lose(desk, desk.intent(0, order_type=int(OrderType.GTC), price_ticks=4_700))
    order = desk.order(0)
    desk.settlement.gone(order, "canceled")
    desk.settlement.close(order)
    assert order.state is OrderState.DONE
    assert desk.store.tally[Value.ORDERS_ACCEPTED] == 1


def test_a_sale_is_limited_to_confirmed_shares_less_open_sales(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    desk.core.answer(submission, [accepted(order_id, "matched", "t1")])
    desk.settlement.on_trade(taker_trade(order_id, market(3)))
    sale = {"side": int(Side.SELL), "price_ticks": 4_800, "size_lots": 6 * SHARE}
    desk.core.take([desk.intent(1, **sale)])
    assert refusals(desk) == [RefusalCode.BALANCE]  # pending shares cannot be sold
    desk.settlement.on_trade(taker_trade(order_id, market(3), state=TradeState.CONFIRMED))
    assert len(desk.core.take([desk.intent(2, **sale)])) == 1
    desk.core.take([desk.intent(3, **sale)])
    assert refusals(desk) == [RefusalCode.BALANCE] * 2


def test_the_run_and_key_of_an_intent_are_in_the_journal(desk: Desk) -> None:
    desk.core.take([desk.intent(4)])
    intent = next(decode(r) for r in replay(desk.folder) if r.kind == Kind.INTENT)
    assert intent.key == (RUN, 2, 4)  # type: ignore[attr-defined]
    assert desk.now_ns // S == 1_000


def test_a_cancel_of_an_order_still_waiting_to_be_sent_keeps_it_here(desk: Desk) -> None:
    (waiting,) = desk.core.take([desk.intent(0)])
    assert desk.order(0).state is OrderState.SIGNED
    desk.core.take([desk.intent(1, flags=2, target=0, expires_ns=0)])
    assert desk.core.cancels == []
    assert not desk.core.begin(waiting)
    assert desk.order(0).state is OrderState.DONE
    assert refusals(desk) == [RefusalCode.EXPIRED]


def test_an_order_that_two_errands_would_repeat_is_repeated_once(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    desk.tick(10)
    remedies = [desk.resolver.resolve(order, None, desk.now_ns) for _ in range(2)]
    assert [one.kind for one in remedies if one is not None] == [RemedyKind.RESEND] * 2
    assert desk.core.begin(resend(order))
    assert not desk.core.begin(resend(order))
    assert desk.store.tally[Value.ORDERS_RESENT] == 1


def test_an_order_found_meanwhile_is_not_repeated(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    again = resend(order)
    desk.settlement.on_trade(taker_trade(order.order_id, market(3)))
    desk.resolver.resolve(order, None, desk.now_ns)
    assert order.state is not OrderState.UNKNOWN
    assert not desk.core.begin(again)


# -- orders the venue holds ---------------------------------------------------------------


def hold(desk: Desk) -> Order:
    submission = desk.send(desk.intent(0, order_type=int(OrderType.GTC), price_ticks=5_000))
    desk.core.answer(submission, [accepted(submission.order_ids[0], "delayed")])
    order = desk.order(0)
    assert isinstance(order, Order)
    assert order.state is OrderState.DELAYED
    desk.tick(1)
    return order


def test_an_order_the_venue_holds_is_in_no_listing_and_not_gone(desk: Desk) -> None:
    order = hold(desk)
    reserved = desk.store.reserved_micro()
    desk.tick(60_000)
    assert desk.resolver.sweep([], desk.now_ns) == ([], [])
    held = order_event(order.order_id, market(3), OrderEvent.PLACEMENT, state=VenueState.DELAYED)
    desk.settlement.on_order(held)
    assert desk.resolver.resolve(order, held, desk.now_ns) is None
    assert (order.state, desk.store.reserved_micro()) == (OrderState.DELAYED, reserved)
    assert desk.resolver.doubtful() == [order]


def test_a_held_order_that_rests_at_last_is_live(desk: Desk) -> None:
    order = hold(desk)
    listed = order_event(order.order_id, market(3), OrderEvent.LISTING)
    desk.resolver.sweep([listed], desk.now_ns)
    assert order.state is OrderState.LIVE
    assert desk.resolver.doubtful() == []


def test_a_held_order_is_ended_by_its_absence_after_the_quiet_time_alone(desk: Desk) -> None:
    order = hold(desk)
    assert desk.resolver.resolve(order, None, desk.now_ns) is None
    assert order.state is OrderState.DELAYED
    desk.tick(3_000)
    assert desk.resolver.resolve(order, None, desk.now_ns) is None
    assert order.state is OrderState.DONE


def test_a_lost_answer_of_a_held_order_is_found_as_held(desk: Desk) -> None:
    lose(desk, desk.intent(0, order_type=int(OrderType.GTC), price_ticks=5_000))
    order = desk.order(0)
    desk.tick(1)
    held = order_event(order.order_id, market(3), OrderEvent.LISTING, state=VenueState.DELAYED)
    desk.resolver.resolve(order, held, desk.now_ns)
    assert order.state is OrderState.DELAYED


# -- what came after the question ---------------------------------------------------------


def test_a_part_filled_after_the_look_up_leaves_the_rest_in_doubt(desk: Desk) -> None:
    lose(desk, desk.intent(0, order_type=int(OrderType.GTC), price_ticks=5_000))
    order = desk.order(0)
    desk.tick(1)
    asked_ns = desk.now_ns  # not there yet; it comes, fills in part and rests
    desk.tick(1)
    desk.settlement.on_trade(taker_trade(order.order_id, market(3), size_lots=4 * SHARE))
    desk.resolver.resolve(order, None, asked_ns)
    assert order.state is OrderState.UNKNOWN
    assert order.open_lots == 6 * SHARE
    desk.tick(1)
    desk.resolver.resolve(order, None, desk.now_ns)
    assert order.state is OrderState.CLOSED


def test_an_order_taken_for_gone_that_is_listed_open_is_taken_up_and_cancelled(desk: Desk) -> None:
    order = rest(desk)
    desk.settlement.on_trade(maker_trade(order.order_id, market(3), size_lots=4 * SHARE))
    desk.settlement.gone(order, "canceled")
    assert (order.state, order.open_lots) == (OrderState.CLOSED, 0)
    desk.tick(1)
    listed = order_event(order.order_id, market(3), OrderEvent.LISTING, matched_lots=4 * SHARE)
    asked_ns = desk.now_ns
    desk.tick(1)
    remedies, _ = desk.resolver.sweep([listed], asked_ns)
    assert [one.kind for one in remedies] == [RemedyKind.CANCEL]
    assert (order.state, order.open_lots) == (OrderState.LIVE, 6 * SHARE)
