"""Small guards of the executor that only a rare order of events needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from oracle.desk import (
    CASH,
    OWNER,
    SHARE,
    STRANGER,
    Desk,
    accepted,
    kinds,
    lose,
    market,
    order_event,
    refusals,
    rest,
    taker_trade,
)
from overround.config.schema import Risk
from overround.decide.risk import RefusalCode
from overround.execute.order import OrderState
from overround.execute.resolve import resend
from overround.execute.settle import Settlement
from overround.layout.intent import SELL
from overround.ledger.records import Kind
from overround.observe.metrics import Value
from overround.venues.contract import Side
from overround.venues.polymarket.records import MakerOrder, OrderEvent, TradeState


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def buy_ten(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    desk.core.answer(submission, [accepted(order_id, "matched", "t0")])
    desk.settlement.on_trade(taker_trade(order_id, market(3), "t0", state=TradeState.CONFIRMED))


def test_shares_whose_sale_waits_for_settlement_are_not_sold_again(desk: Desk) -> None:
    buy_ten(desk)
    sale = desk.send(desk.intent(1, side=SELL, price_ticks=4_800))
    (order_id,) = sale.order_ids
    desk.core.answer(sale, [accepted(order_id, "matched", "t1")])
    desk.settlement.on_trade(
        taker_trade(order_id, market(3), "t1", side=Side.SELL, price_ticks=4_800)
    )
    assert desk.core.take([desk.intent(2, side=SELL, price_ticks=4_800)]) == []
    assert refusals(desk) == [RefusalCode.BALANCE]


def test_an_order_is_not_ended_while_its_request_waits_for_the_answer(desk: Desk) -> None:
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    order = desk.order(0)
    desk.settlement.on_trade(taker_trade(order_id, market(3), state=TradeState.CONFIRMED))
    desk.settlement.on_order(
        order_event(order_id, market(3), OrderEvent.CANCELLATION, matched_lots=10 * SHARE)
    )
    assert (order.in_flight, order.state) == (True, OrderState.CLOSED)
    desk.core.answer(submission, [accepted(order_id, "matched", "t1")])
    desk.settlement.close(order)
    assert order.state is OrderState.DONE


def test_a_repeat_that_never_left_says_nothing_of_the_first_copy(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    again = resend(order)
    assert desk.core.begin(again)
    desk.core.unsent(again, "connection refused")
    assert (order.state, order.in_flight) == (OrderState.UNKNOWN, False)
    assert Kind.REJECT not in kinds(desk)


def test_an_order_that_turns_up_after_its_end_is_counted_as_open_again(desk: Desk) -> None:
    order = rest(desk)
    desk.settlement.gone(order, "canceled")
    desk.settlement.close(order)
    assert (order.state, desk.store.reserved_micro()) == (OrderState.DONE, 0)
    desk.tick(1)
    listed = order_event(order.order_id, market(3), OrderEvent.PLACEMENT)
    desk.resolver.sweep([listed], desk.now_ns)
    assert (order.state, order.cancel_asked) == (OrderState.LIVE, True)
    assert desk.store.reserved_micro() > 0


def test_a_taker_pays_the_rest_of_the_unit_where_a_set_was_minted(desk: Desk) -> None:
    info = market(3)
    submission = desk.send(desk.intent(0))
    (order_id,) = submission.order_ids
    legs = [
        MakerOrder(
            order_id=f"0xmaker{number}", owner=STRANGER, maker_address="0x9",
            token_id=info.token(outcome), side=side, price_ticks=ticks, matched_lots=5 * SHARE,
        )
        for number, (outcome, side, ticks) in enumerate(
            [(0, Side.SELL, 4_900), (1, Side.BUY, 5_200)]
        )
    ]  # fmt: skip
    trade = msgspec.structs.replace(
        taker_trade(order_id, info), owner=OWNER, maker_orders=tuple(legs)
    )
    desk.core.answer(submission, [accepted(order_id, "matched", "t1")])
    desk.settlement.on_trade(trade)
    ((fill, _),) = desk.store.positions.fills()
    assert fill.cash_micro == 2_450_000 + (5_000_000 - 2_600_000)
    assert desk.store.positions.view().cash_micro == CASH - fill.cash_micro - fill.fee_micro


def test_cancels_above_their_rate_wait_and_none_is_dropped(tmp_path: Path) -> None:
    limits = Risk(same_in_flight_max=9, cancels_per_s_max=1, cancels_burst_max=1)
    desk = Desk(tmp_path, limits=limits)
    for number in range(3):
        submission = desk.send(desk.intent(number, order_type=0, price_ticks=4_800))
        desk.core.answer(submission, [accepted(submission.order_ids[0], "live")])
    for number in (0, 1, 1, 2):
        desk.core.take([desk.intent(10 + number, flags=2, target=number)])
    desk.core.release_cancels()
    assert [one.intent.sequence for one in desk.core.cancels] == [0]
    assert desk.news.counts[Value.CANCELS_DELAYED] == 2
    desk.tick(1_000)
    desk.core.release_cancels()
    desk.settlement.gone(desk.order(2), "filled", desk.order(2).size_lots)
    desk.settlement.close(desk.order(2))
    desk.tick(1_000)
    desk.core.release_cancels()
    assert [one.intent.sequence for one in desk.core.cancels][:2] == [0, 1]
    desk.close()


def test_a_trade_of_a_key_that_was_replaced_is_known_by_its_wallet(desk: Desk) -> None:
    lose(desk)
    order = desk.order(0)
    trade = taker_trade(order.order_id, market(3), state=TradeState.CONFIRMED)
    settlement = Settlement(
        desk.store, desk.markets, desk.news, owner="the new key", wallet=trade.maker_address,
        clock=lambda: desk.now_ns,
    )  # fmt: skip
    settlement.on_trade(trade)
    assert desk.store.positions.lots(market(3).token_yes) == 10 * SHARE
