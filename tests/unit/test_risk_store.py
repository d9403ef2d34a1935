"""What the gate knows of positions and orders is what the journal says, live and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.desk import SHARE, Desk, accepted, market, refusals, rest, taker_trade
from overround.config.schema import Risk
from overround.decide.risk import RefusalCode
from overround.layout.intent import SELL
from overround.venues.contract import Side
from overround.venues.polymarket.records import TradeState

LIMITS = Risk(same_in_flight_max=9)


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, limits=LIMITS)
    yield desk
    desk.close()


def numbers(desk: Desk) -> list[object]:
    own = desk.store.own.exposures
    scopes = [own.account, *(own.strategies[one] for one in sorted(own.strategies))]
    return [
        [
            (scope.totals.lots, scope.totals.cost_micro, scope.totals.worst_micro)
            for scope in scopes
        ],
        dict(own.account.claims),
    ]


def fill(desk: Desk, sequence: int, state: TradeState, **changes: object) -> None:
    submission = desk.send(desk.intent(sequence, **changes))
    (order_id,) = submission.order_ids
    desk.core.answer(submission, [accepted(order_id, "matched", f"t{sequence}")])
    where = market(int(changes.get("market", 3)))  # type: ignore[call-overload]
    side = Side(changes.get("side", Side.BUY))
    trade = taker_trade(
        order_id, where, f"t{sequence}", side=side, state=state,
        price_ticks=int(changes.get("price_ticks", 5_000)),  # type: ignore[call-overload]
    )  # fmt: skip
    desk.settlement.on_trade(trade)


def test_a_restart_knows_the_exposure_that_the_dead_process_knew(desk: Desk) -> None:
    fill(desk, 0, TradeState.CONFIRMED)
    fill(desk, 1, TradeState.MATCHED, market=0, strategy=4)
    fill(desk, 2, TradeState.FAILED, market=1)
    fill(desk, 3, TradeState.CONFIRMED, side=SELL, price_ticks=4_800)
    desk.send(desk.intent(5, market=2))  # no answer: it stays open
    rest(desk, 6)
    own = desk.store.own.exposures
    assert own.account.held_worst_micro() == desk.store.positions.view().worst_micro
    assert len(own.account.claims) == 2
    assert own.strategy(4).totals.lots == 10 * SHARE
    before = numbers(desk)
    assert desk.store.own.exposures.account.totals.loss_micro > 5 * SHARE
    desk.restart()
    assert numbers(desk) == before


def test_a_failed_trade_leaves_no_exposure(desk: Desk) -> None:
    fill(desk, 0, TradeState.FAILED)
    totals = desk.store.own.exposures.account.totals
    assert (totals.lots, totals.cost_micro, totals.worst_micro) == (0, 0, 0)


def test_legs_of_a_plan_are_judged_with_the_legs_before_them(tmp_path: Path) -> None:
    # A loss of 5.25 a leg, of which two may be lost: only one member wins.
    desk = Desk(tmp_path, limits=Risk(event_loss_max_micro=9 * SHARE))
    assert desk.core.take(desk.plan(0, 3)) == []
    assert RefusalCode.EVENT_LOSS in refusals(desk)
    assert desk.store.own.exposures.account.claims == {}
    assert desk.store.own.exposures.account.totals.worst_micro == 0
    desk.close()
    roomy = Desk(tmp_path / "roomy", limits=Risk(event_loss_max_micro=16 * SHARE))
    assert len(roomy.core.take(roomy.plan(0, 3))) == 1
    assert len(roomy.store.own.exposures.account.claims) == 3
    roomy.close()


def test_the_same_order_twice_in_flight_is_refused_until_it_is_answered(tmp_path: Path) -> None:
    desk = Desk(tmp_path, limits=Risk())
    first = desk.send(desk.intent(0, order_type=0, price_ticks=4_800))
    assert desk.core.take([desk.intent(1, order_type=0, price_ticks=4_800)]) == []
    assert refusals(desk) == [RefusalCode.DUPLICATE]
    desk.core.answer(first, [accepted(first.order_ids[0], "live")])
    assert len(desk.core.take([desk.intent(2, order_type=0, price_ticks=4_800)])) == 1
    desk.close()


def test_a_quote_that_would_meet_an_own_one_on_the_other_token_is_refused(desk: Desk) -> None:
    bid = desk.send(desk.intent(0, order_type=0, price_ticks=4_800))
    desk.core.answer(bid, [accepted(bid.order_ids[0], "live")])
    assert desk.core.take([desk.intent(1, order_type=0, outcome=1, price_ticks=5_200)]) == []
    assert refusals(desk) == [RefusalCode.SELF_CROSS]
    assert len(desk.core.take([desk.intent(2, order_type=0, outcome=1, price_ticks=5_100)])) == 1
