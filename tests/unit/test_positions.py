"""Positions: pending until confirmed, reversed when failed, redeemed at their worst."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.layout.intent import BUY, SELL
from overround.ledger.positions import FillState, Positions
from overround.ledger.records import (
    Failed,
    Fill,
    MarketNote,
    Reconcile,
    Record,
    Settled,
)

SHARE = 1_000_000
SET = ("0xa", "0xb", "0xc")


def fill(trade: str, **changes: object) -> Fill:
    values: dict[str, object] = {
        "trade_id": trade,
        "order_id": "0x1",
        "token": "11",
        "condition_id": "0xa",
        "outcome": 0,
        "side": BUY,
        "price_ticks": 4_000,
        "size_lots": 10 * SHARE,
        "cash_micro": 4 * SHARE,
        "fee_micro": 120_000,
        "maker": False,
        "status": "MATCHED",
        "match_epoch_ms": 5,
        **changes,
    }
    return Fill(**values)  # type: ignore[arg-type]


def positions(*records: Record) -> Positions:
    result = Positions()
    result.apply(Reconcile(100 * SHARE, 0, 0, (), True))
    for record in records:
        result.apply(record)
    return result


def test_a_match_is_pending_and_not_yet_profit_or_position():
    found = positions(fill("t"))
    view = found.view()
    assert (found.lots("11"), found.lots("11", pending=True)) == (0, 10 * SHARE)
    assert (view.pnl_micro, view.fees_micro, view.pending_fills) == (0, 0, 1)
    assert view.cash_micro == view.spendable_micro == 100 * SHARE - 4_120_000
    assert view.worst_micro == -4_120_000


def test_confirmed_makes_position_and_failed_leaves_no_trace():
    confirmed = positions(fill("t"), Settled("t", "0x1"))
    assert confirmed.lots("11") == 10 * SHARE
    assert confirmed.view().pnl_micro == -4_120_000
    failed = positions(fill("t"), Failed("t", "0x1"))
    assert failed.view() == positions().view()
    assert failed.lots("11", pending=True) == 0


def test_what_a_sale_will_bring_cannot_be_spent_before_it_settles():
    sale = fill("t", side=SELL)
    assert positions(sale).view().spendable_micro == 100 * SHARE
    assert positions(sale).view().cash_micro == 100 * SHARE + 3_880_000
    assert positions(sale, Settled("t", "0x1")).view().spendable_micro == 103_880_000


def test_one_trade_may_fill_two_orders_but_each_only_once():
    found = positions(fill("t"), fill("t"), fill("t", order_id="0x2"))
    assert found.lots("11", pending=True) == 20 * SHARE
    assert [one.order_id for one, _ in found.fills()] == ["0x1", "0x2"]


def test_contradictions_are_counted_and_change_nothing():
    found = positions(fill("t"), Failed("t", "0x1"))
    assert not found.apply(Settled("t", "0x1"))
    assert not found.apply(Settled("unheard", "0x1"))
    assert found.conflicts == 2
    assert found.fill("t", "0x1") == (fill("t"), FillState.FAILED)


def test_a_complete_set_redeems_for_one_whoever_wins():
    note = [MarketNote(one, one + "y", one + "n", SET) for one in SET]
    legs = [fill(one, condition_id=one, token=one + "y") for one in SET]
    settled = [Settled(one, "0x1") for one in SET]
    found = positions(*note, *legs, *settled)
    assert found.redemption_worst_micro() == 10 * SHARE
    assert found.view().pnl_micro == 10 * SHARE - 3 * 4_120_000
    # without one leg the missing outcome may win: nothing is certain
    assert positions(*note, *legs[:2], *settled).redemption_worst_micro() == 0
    # without the note each market stands alone
    assert positions(*legs, *settled).redemption_worst_micro() == 0


def test_all_no_of_a_set_redeem_for_all_but_one():
    note = [MarketNote(one, one + "y", one + "n", SET) for one in SET]
    legs = [fill(one, condition_id=one, token=one + "n", outcome=1) for one in SET]
    found = positions(*note, *legs, *[Settled(one, "0x1") for one in SET])
    assert found.redemption_worst_micro() == 20 * SHARE


def test_yes_and_no_of_one_market_redeem_for_one():
    found = positions(
        fill("t"), fill("u", token="12", outcome=1), Settled("t", "0x1"), Settled("u", "0x1")
    )
    assert found.redemption_worst_micro() == 10 * SHARE


@given(
    holdings=st.dictionaries(
        st.tuples(st.sampled_from([*SET, "0xd"]), st.sampled_from([0, 1])),
        st.integers(0, 50 * SHARE),
    )
)
def test_the_worst_redemption_is_the_minimum_over_every_outcome_of_the_world(
    holdings: dict[tuple[str, int], int],
):
    records: list[Record] = [MarketNote(one, one + "y", one + "n", SET) for one in SET]
    for (condition, outcome), lots in holdings.items():
        name = f"{condition}{outcome}"
        records.append(
            fill(name, condition_id=condition, token=name, outcome=outcome, size_lots=lots)
        )
        records.append(Settled(name, "0x1"))
    worlds = []
    for winner in SET:
        for lone in (0, 1, None):
            paid = 0
            for (condition, outcome), lots in holdings.items():
                if condition == "0xd":
                    paid += lots // 2 if lone is None else lots * (outcome == lone)
                else:
                    paid += lots * ((condition == winner) == (outcome == 0))
            worlds.append(paid)
    assert positions(*records).redemption_worst_micro() == min(worlds)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_final_books_do_not_depend_on_the_order_of_news(order: tuple[int, ...]):
    pairs = [(fill(f"t{n}", price_ticks=n), Settled(f"t{n}", "0x1")) for n in range(4)]
    records = [record for n in order for record in pairs[n]]
    assert positions(*records).view() == positions(*[r for pair in pairs for r in pair]).view()
