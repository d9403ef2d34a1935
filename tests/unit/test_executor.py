"""The executor's core: journal before send, once per intent, whole plans, honest outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from oracle.desk import (
    CASH,
    RUN,
    SHARE,
    Desk,
    S,
    accepted,
    duplicate,
    maker_trade,
    market,
    order_event,
    rejected,
    taker_trade,
)
from overround.config.schema import Mode, Risk
from overround.decide.risk import BookView, RefusalCode
from overround.execute.order import OrderState
from overround.execute.resolve import RemedyKind, resend
from overround.layout.report import ReportKind
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


def kinds(desk: Desk) -> list[Kind]:
    skipped = (Kind.START, Kind.RECONCILE, Kind.MARKET)
    found = [Kind(record.kind) for record in replay(desk.folder)]
    return [kind for kind in found if kind not in skipped]


def refusals(desk: Desk) -> list[int]:
    return [reason for kind, _, reason in desk.news.reports if kind is ReportKind.REFUSED]


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
    one_leg = 5 * SHARE + FEE
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
        ({"price_ticks": 0}, RefusalCode.MALFORMED),
        ({"size_lots": 0}, RefusalCode.MALFORMED),
        ({"expires_ns": 0}, RefusalCode.EXPIRED),
        ({"ingress_epoch": 2}, RefusalCode.BOOK_REPLACED),
        ({"price_ticks": 5_001}, RefusalCode.TICK),
        ({"size_lots": SHARE}, RefusalCode.MIN_SIZE),
        ({"side": 1}, RefusalCode.BALANCE),
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


def test_a_refused_order_is_done_and_frees_its_reservation(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    assert desk.store.reserved_micro() == 5 * SHARE + FEE
    desk.core.answer(submission, [rejected(submission.order_ids[0])])
    assert desk.order(0).state is OrderState.DONE
    assert desk.store.reserved_micro() == 0


def test_without_a_connection_nothing_left_and_the_order_is_done(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    desk.core.unsent(submission, "connection refused")
    assert desk.order(0).state is OrderState.DONE


# -- unknown outcomes ---------------------------------------------------------------------


def lose(desk: Desk, *intents: object):  # type: ignore[no-untyped-def]
    submission = desk.send(*(intents or (desk.intent(0),)))  # type: ignore[arg-type]
    desk.core.answer(submission, [no_answer(one, "lost") for one in submission.order_ids])
    return submission


def test_an_unknown_outcome_keeps_its_reservation_until_proof(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    assert order.state is OrderState.UNKNOWN
    for _ in range(5):
        desk.tick(599)
        desk.resolver.resolve(order, None, desk.now_ns)
        assert desk.store.reserved_micro() == 5 * SHARE + FEE
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


# -- resting orders -----------------------------------------------------------------------


def rest(desk: Desk, sequence: int = 0):  # type: ignore[no-untyped-def]
    submission = desk.send(desk.intent(sequence, order_type=int(OrderType.GTC), price_ticks=4_700))
    desk.core.answer(submission, [accepted(submission.order_ids[0], "live")])
    order = desk.order(sequence)
    assert order.state is OrderState.LIVE
    return order


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
