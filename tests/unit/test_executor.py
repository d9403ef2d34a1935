"""The executor's core: journal before send, once per intent, whole plans, honest outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from oracle.desk import (
    CASH,
    SHARE,
    Desk,
    accepted,
    kinds,
    maker_trade,
    market,
    order_event,
    refusals,
    rejected,
    rest,
    taker_trade,
)
from overround.config.schema import Mode, Risk
from overround.decide.risk import BookView, RefusalCode
from overround.execute.order import OrderState
from overround.execute.resolve import RemedyKind
from overround.layout.report import ReportKind
from overround.ledger.journal import replay
from overround.ledger.records import Kind, decode
from overround.observe.metrics import Value
from overround.venues.contract import OrderType
from overround.venues.polymarket.fees import fee_micro
from overround.venues.polymarket.records import OrderEvent, TradeState
from overround.venues.polymarket.records import OrderState as VenueState

FEE = 125_000  # 5 % of ten shares at one half


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_intent_signature_and_send_are_journaled_before_the_bytes_may_leave(desk: Desk) -> None:
    (submission,) = desk.core.take([desk.intent(0)])
    assert kinds(desk) == [Kind.INTENT, Kind.SIGNED]
    assert desk.core.begin(submission)
    assert kinds(desk) == [Kind.INTENT, Kind.SIGNED, Kind.SENT]
    request = submission.request
    assert (request.method, request.path) == ("POST", "/order")
    signed = next(decode(r) for r in replay(desk.folder) if r.kind == Kind.SIGNED)
    assert request.body == signed.body  # type: ignore[attr-defined]


def test_a_matched_order_is_done_when_its_trades_are_settled(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    desk.core.answer(submission, [accepted(order_id, "matched", "t1", taking_micro=10 * SHARE)])
    order = desk.order(0)
    assert (order.state, order.open_lots) == (OrderState.CLOSED, 10 * SHARE)
    desk.settlement.on_trade(taker_trade(order_id, market(3)))
    assert (order.state, order.reserved_micro) == (OrderState.CLOSED, 0)
    assert desk.store.positions.view().cash_micro == CASH - 5 * SHARE - FEE
    desk.settlement.on_trade(taker_trade(order_id, market(3), state=TradeState.CONFIRMED))
    assert order.state is OrderState.DONE
    assert desk.store.positions.lots(market(3).token_yes) == 10 * SHARE
    told = [kind for kind, _, _ in desk.news.reports]
    assert told == [
        ReportKind.SENT, ReportKind.ACCEPTED, ReportKind.FILL, ReportKind.SETTLED
    ]  # fmt: skip


def test_the_same_intent_seen_again_is_counted_and_never_sent_again(desk: Desk) -> None:
    intent = desk.intent(0)
    desk.send(intent)
    assert desk.core.take([intent]) == []
    desk.restart()
    assert desk.core.take([intent]) == []
    assert desk.news.counts[Value.INTENTS_DUPLICATE] == 1
    assert kinds(desk).count(Kind.SENT) == 1


def test_the_same_intent_signs_to_the_same_bytes_and_another_run_to_others(tmp_path: Path) -> None:
    bodies = []
    for run in (1, 1, 2):
        desk = Desk(tmp_path / f"{len(bodies)}")
        desk.core._run_id = run
        (submission,) = desk.core.take([desk.intent(0)])
        bodies.append(submission.request.body)
        desk.close()
    assert bodies[0] == bodies[1] != bodies[2]


def test_a_plan_waits_for_its_legs_and_goes_out_as_one_batch(desk: Desk) -> None:
    legs = desk.plan(0, 3)
    assert desk.core.take(legs[:2]) == []
    (submission,) = desk.core.take(legs[2:])
    assert submission.request.path == "/orders"
    bodies = msgspec.json.decode(submission.request.body)
    tokens = [body["order"]["tokenId"] for body in bodies]
    assert tokens == [market(leg).token_yes for leg in range(3)]


def test_legs_may_arrive_out_of_order(desk: Desk) -> None:
    legs = desk.plan(0, 3)
    (submission,) = desk.core.take([legs[2], legs[0], legs[1]])
    assert [order.intent.leg for order in submission.orders] == [0, 1, 2]


def test_one_refused_leg_refuses_the_whole_plan(desk: Desk) -> None:
    desk.markets.books[1] = BookView(True, False, 4, 4_800, 5_000, SHARE, SHARE)
    assert desk.core.take(desk.plan(0, 3)) == []
    assert refusals(desk) == [
        RefusalCode.PLAN, RefusalCode.BOOK_UNTRUSTED, RefusalCode.PLAN
    ]  # fmt: skip
    assert Kind.SIGNED not in kinds(desk)


def test_a_plan_without_all_its_legs_is_refused_at_its_expiry(desk: Desk) -> None:
    desk.core.take(desk.plan(0, 3)[:2])
    assert desk.core.expire_plans() == 0
    desk.tick(500)
    assert desk.core.expire_plans() == 1
    assert refusals(desk) == [RefusalCode.PLAN] * 2
    assert not desk.store.working


def test_a_plan_is_judged_with_what_its_own_legs_take(tmp_path: Path) -> None:
    one_leg = 5 * SHARE + 2 * FEE
    limits = Risk(account_notional_max_micro=3 * one_leg - 1)
    desk = Desk(tmp_path, limits=limits)
    assert desk.core.take(desk.plan(0, 3)) == []
    assert refusals(desk)[2] == RefusalCode.ACCOUNT_NOTIONAL
    assert len(desk.core.take(desk.plan(10, 2))) == 1
    desk.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"market": 99}, RefusalCode.MARKET_UNKNOWN),
        ({"account": 3}, RefusalCode.MALFORMED),
        ({"side": 7}, RefusalCode.MALFORMED),
        ({"legs": 0}, RefusalCode.MALFORMED),
        ({"leg": 1}, RefusalCode.MALFORMED),
        ({"flags": 1, "order_type": 3}, RefusalCode.MALFORMED),
        ({"price_ticks": 0}, RefusalCode.MALFORMED),
        ({"size_lots": 0}, RefusalCode.MALFORMED),
        ({"expires_ns": 0}, RefusalCode.EXPIRED),
        ({"ingress_epoch": 2}, RefusalCode.BOOK_REPLACED),
        ({"price_ticks": 5_001}, RefusalCode.TICK),
        ({"size_lots": SHARE}, RefusalCode.MIN_SIZE),
        ({"side": 1, "price_ticks": 4_800}, RefusalCode.BALANCE),
        ({"order_type": int(OrderType.GTD)}, RefusalCode.UNBUILDABLE),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_code(
    desk: Desk, changes: dict[str, int], code: RefusalCode
) -> None:
    assert desk.core.take([desk.intent(0, **changes)]) == []
    assert refusals(desk) == [code]
    assert kinds(desk) == [Kind.INTENT, Kind.DONE]


def test_nothing_is_sent_before_the_account_was_reconciled(desk: Desk) -> None:
    desk.core.ready = False
    assert desk.core.take([desk.intent(0)]) == []
    assert refusals(desk) == [RefusalCode.NOT_READY]


def test_the_kill_latch_stops_what_was_already_signed(desk: Desk) -> None:
    (submission,) = desk.core.take([desk.intent(0)])
    desk.kill = True
    assert not desk.core.begin(submission)
    assert refusals(desk) == [RefusalCode.KILLED]
    assert kinds(desk) == [Kind.INTENT, Kind.SIGNED, Kind.DONE]


def test_what_waited_too_long_for_its_turn_is_not_sent(desk: Desk) -> None:
    (submission,) = desk.core.take([desk.intent(0)])
    desk.tick(501)
    assert not desk.core.begin(submission)
    assert refusals(desk) == [RefusalCode.EXPIRED]
    assert desk.store.tally[Value.INTENTS_EXPIRED] == 1


def test_shadow_signs_and_journals_and_never_submits(tmp_path: Path) -> None:
    desk = Desk(tmp_path, mode=Mode.SHADOW)
    assert desk.core.take([desk.intent(0)]) == []
    assert kinds(desk) == [Kind.INTENT, Kind.SIGNED, Kind.DONE]
    assert refusals(desk) == [RefusalCode.SHADOW]
    desk.close()


def test_a_loss_beyond_the_limit_trips_the_kill_latch(tmp_path: Path) -> None:
    desk = Desk(tmp_path, limits=Risk(loss_max_micro=5 * SHARE))
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    desk.core.answer(submission, [accepted(order_id, "matched", "t1")])
    desk.settlement.on_trade(taker_trade(order_id, market(3)))
    desk.core.take([desk.intent(1)])
    assert refusals(desk) == [RefusalCode.LOSS]
    assert len(desk.tripped) == 1
    desk.close()


@pytest.mark.parametrize("limit_ticks", [500, 5_000, 9_000])
def test_a_taking_purchase_reserves_the_fee_of_any_better_price(
    desk: Desk, limit_ticks: int
) -> None:
    desk.markets.books[3] = BookView(
        True, True, 4, limit_ticks - 100, limit_ticks, 100 * SHARE, 100 * SHARE
    )
    desk.send(desk.intent(0, price_ticks=limit_ticks, size_lots=100 * SHARE))
    order = desk.order(0)
    assert order.signed is not None
    cash = order.signed.maker_micro
    for ticks in range(100, limit_ticks + 1, 100):  # its cash buys the more, the less they cost
        bought = cash * 10_000 // ticks
        assert cash + fee_micro(bought, ticks, 50_000) <= desk.store.reserved_micro(), ticks


def test_a_refused_order_is_done_and_frees_its_reservation(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    assert desk.store.reserved_micro() == 5 * SHARE + 2 * FEE
    desk.core.answer(submission, [rejected(submission.order_ids[0])])
    assert desk.order(0).state is OrderState.DONE
    assert desk.store.reserved_micro() == 0


def test_without_a_connection_nothing_left_and_the_order_is_done(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    desk.core.unsent(submission, "connection refused")
    assert desk.order(0).state is OrderState.DONE


# -- resting orders -----------------------------------------------------------------------


def test_a_makers_fill_is_booked_under_its_own_token_and_side_without_fee(desk: Desk) -> None:
    order = rest(desk)
    desk.settlement.on_trade(maker_trade(order.order_id, market(3), size_lots=4 * SHARE))
    (fill, _) = desk.store.positions.fills_of(order.order_id)[0]
    assert (fill.token, fill.side, fill.price_ticks) == (market(3).token_yes, 0, 4_700)
    assert (fill.size_lots, fill.cash_micro, fill.fee_micro) == (4 * SHARE, 1_880_000, 0)
    assert (order.state, order.open_lots) == (OrderState.LIVE, 6 * SHARE)


def test_a_filled_resting_order_ends_when_all_its_trades_settled(desk: Desk) -> None:
    order = rest(desk)
    for trade_id, size in (("a", 4 * SHARE), ("b", 6 * SHARE)):
        trade = maker_trade(order.order_id, market(3), trade_id, size_lots=size)
        desk.settlement.on_trade(trade)
    assert order.state is OrderState.CLOSED
    for trade_id, size in (("b", 6 * SHARE), ("a", 4 * SHARE)):
        assert order.state is OrderState.CLOSED
        desk.settlement.on_trade(
            maker_trade(
                order.order_id, market(3), trade_id, size_lots=size, state=TradeState.CONFIRMED
            )
        )
    assert order.state is OrderState.DONE


def test_a_failed_trade_is_reversed_to_the_micro_unit(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    desk.core.answer(submission, [accepted(order_id, "matched", "t1")])
    desk.settlement.on_trade(taker_trade(order_id, market(3)))
    desk.settlement.on_trade(taker_trade(order_id, market(3), state=TradeState.FAILED))
    view = desk.store.positions.view()
    assert (view.cash_micro, view.pnl_micro, view.pending_fills) == (CASH, 0, 0)
    assert desk.order(0).state is OrderState.DONE
    assert desk.store.tally[Value.FILLS_FAILED] == 1


def test_final_states_never_go_back(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    for state in (TradeState.CONFIRMED, TradeState.MATCHED, TradeState.MINED, TradeState.FAILED):
        desk.settlement.on_trade(taker_trade(order_id, market(3), state=state))
    assert desk.store.positions.lots(market(3).token_yes) == 10 * SHARE
    assert desk.store.tally[Value.FILLS] == desk.store.tally[Value.FILLS_SETTLED] == 1
    assert desk.news.counts[Value.RECONCILE_DIFFERENCES] == 1


def test_a_strategys_cancel_goes_to_the_venue_and_is_never_dropped(desk: Desk) -> None:
    order = rest(desk)
    desk.kill = True  # cancels pass every gate
    desk.core.take([desk.intent(1, flags=2, target=0, expires_ns=0)])
    assert desk.core.cancels == [order]
    assert order.cancel_asked
    event = order_event(
        order.order_id, market(3), OrderEvent.CANCELLATION, state=VenueState.CANCELED
    )
    desk.settlement.on_order(event)
    assert order.state is OrderState.DONE
    assert desk.store.tally[Value.ORDERS_CANCELED] == 1


@pytest.mark.parametrize(("order_type", "there"), [(OrderType.GTC, True), (OrderType.FAK, False)])
def test_what_was_cancelled_before_its_answer_came_had_been_there_unless_it_takes(
    desk: Desk, order_type: OrderType, there: bool
) -> None:
    submission = desk.send(desk.intent(0, order_type=int(order_type), price_ticks=5_000))
    (order_id,) = submission.order_ids
    desk.settlement.on_order(
        order_event(order_id, market(3), OrderEvent.CANCELLATION, state=VenueState.CANCELED)
    )
    assert desk.order(0).acknowledged is there
    assert desk.order(0).state is OrderState.CLOSED  # its request still waits for the answer


def test_a_cancel_that_races_a_fill_waits_for_the_fill(desk: Desk) -> None:
    order = rest(desk)
    event = order_event(
        order.order_id, market(3), OrderEvent.CANCELLATION,
        state=VenueState.CANCELED, matched_lots=4 * SHARE,
    )  # fmt: skip
    desk.settlement.on_order(event)
    assert order.state is OrderState.CLOSED
    desk.settlement.on_trade(
        maker_trade(order.order_id, market(3), size_lots=4 * SHARE, state=TradeState.CONFIRMED)
    )
    assert order.state is OrderState.DONE


def test_an_order_that_vanished_from_the_listing_is_closed_and_one_sent_since_is_not(
    desk: Desk,
) -> None:
    order = rest(desk)
    desk.tick(5)
    asked_ns = desk.now_ns
    desk.tick(5)
    late = rest(desk, 1)
    _, differences = desk.resolver.sweep([], asked_ns)
    assert (order.state, late.state) == (OrderState.DONE, OrderState.LIVE)
    assert differences == [f"order {order.order_id} is gone"]


def test_a_lost_cancel_is_asked_for_again(desk: Desk) -> None:
    order = rest(desk)
    desk.core.request_cancel(order, "strategy")
    desk.tick(1)
    listed = order_event(order.order_id, market(3), OrderEvent.LISTING)
    remedies, _ = desk.resolver.sweep([listed], desk.now_ns)
    assert [(one.kind, one.order) for one in remedies] == [(RemedyKind.CANCEL, order)]


def test_orders_and_trades_that_are_not_ours_are_told_once_and_not_booked(desk: Desk) -> None:
    for _ in range(2):
        desk.settlement.on_trade(taker_trade("0xforeign", market(3)))
        desk.settlement.on_order(order_event("0xalien", market(3), OrderEvent.PLACEMENT))
    assert desk.news.counts[Value.RECONCILE_DIFFERENCES] == 2
    assert not list(desk.store.positions.fills())
