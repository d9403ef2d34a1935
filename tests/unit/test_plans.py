"""Plans: the worst case before the first leg, repairs within it, one outcome, restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from oracle.desk import RUN, SHARE, market, order_event, refusals
from oracle.plan_rig import PlanRig
from overround.config.schema import Execute
from overround.decide.risk import BookView, Refusal, RefusalCode
from overround.execute.order import OrderState
from overround.execute.planbook import PlanOutcome
from overround.layout.intent import OWN_SEQUENCE, IntentFlag
from overround.ledger.records import Kind
from overround.observe.metrics import Value
from overround.venues.contract import OrderType
from overround.venues.polymarket.records import OrderEvent

TEN = 10 * SHARE
FEE_BOUND = 100
"""Rounding that each possible order is charged with."""


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[PlanRig]:
    rig = PlanRig(tmp_path)
    yield rig
    rig.close()


def test_the_worst_case_is_journaled_before_the_first_leg_is_signed(rig: PlanRig) -> None:
    rig.begin_plan(3)
    kinds = rig.kinds
    assert kinds.index(Kind.PLAN) < kinds.index(Kind.SIGNED) < kinds.index(Kind.SENT)
    (begun,) = rig.begun
    # Two of three legs at 50 cents and two of slip can be for nothing, each with 5 % of fee.
    leg = 10 * 520_000 + 10 * 26_000 + FEE_BOUND
    assert begun.worst_micro == 2 * leg


def test_a_plan_above_its_limit_is_refused_whole_and_nothing_is_signed(tmp_path: Path) -> None:
    rig = PlanRig(tmp_path, execute=Execute(plan_worst_max_micro=10_000_000))
    assert rig.core.take(rig.plan(0, 3)) == []
    assert refusals(rig) == [RefusalCode.PLAN_WORST] * 3
    assert not rig.begun
    assert not rig.store.plans.open
    rig.close()


def test_a_plan_of_which_every_leg_fills_is_one_trade(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN] * 3, price=3_000)
    assert rig.step() == []
    assert not rig.ended  # not before every fill is final
    rig.final()
    assert rig.step() == []
    (ended,) = rig.ended
    assert ended.outcome == PlanOutcome.WHOLE
    assert ended.cash_micro == -9 * SHARE
    assert ended.pnl_micro == TEN - 9 * SHARE - ended.fees_micro
    assert not rig.store.plans.open


def test_a_missed_leg_is_completed_where_that_is_better_than_selling_back(rig: PlanRig) -> None:
    submission = rig.begin_plan(3)
    rig.answer(submission, [TEN, TEN, 0])
    rig.quote(2, 5_000, 5_100)
    (repair,) = rig.step()
    (order,) = repair.orders
    intent = order.intent
    assert (intent.token, intent.side) == (market(2).token_yes, 0)
    assert (intent.price_ticks, intent.size_lots) == (5_100, TEN)
    assert intent.sequence >= OWN_SEQUENCE
    assert intent.plan == 0
    rig.answer(repair, [TEN])
    rig.final()
    assert rig.step() == []
    assert rig.outcomes == [PlanOutcome.COMPLETED]
    assert rig.ended[0].repairs == 1
    assert rig.store.tally[Value.PLANS_REPAIRED] == 1


def test_filled_legs_are_sold_back_where_completing_costs_too_much(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    rig.quote(2, 6_000, 6_100)  # beyond the slip of two cents
    assert rig.step() == []  # shares that are not settled cannot be sold
    rig.final()
    sales = rig.step()
    assert [one.orders[0].intent.price_ticks for one in sales] == [4_800, 4_800]
    for sale in sales:
        rig.answer(sale, [TEN])
    rig.final()
    rig.step()
    assert rig.outcomes == [PlanOutcome.UNWOUND]
    (ended,) = rig.ended
    assert ended.cash_micro == -2 * 200_000
    assert ended.pnl_micro == ended.cash_micro - ended.fees_micro
    assert -ended.pnl_micro <= rig.begun[0].worst_micro


def test_a_leg_is_not_sold_back_far_below_its_price(rig: PlanRig) -> None:
    submission = rig.begin_plan(2)
    rig.answer(submission, [TEN, 0])
    rig.quote(1, 6_000, 6_100)
    rig.quote(0, 3_900, 5_000)
    rig.final()
    assert rig.step() == []
    rig.tick(10_000)
    rig.step()
    assert rig.outcomes == [PlanOutcome.LEFT]
    assert rig.news.notices[-1] == "plan ended"


def test_a_plan_whose_every_leg_missed_ends_as_nothing(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [0, 0, 0])
    rig.step()
    assert rig.outcomes == [PlanOutcome.NOTHING]
    assert (rig.ended[0].pnl_micro, rig.ended[0].repairs) == (0, 0)


def test_a_fill_that_fails_is_judged_as_if_it_never_was(rig: PlanRig) -> None:
    trades = rig.answer(rig.begin_plan(3), [TEN] * 3)
    assert rig.step() == []
    rig.final(trades[:1], failed=True)
    (repair,) = rig.step()
    assert repair.orders[0].intent.token == market(0).token_yes


def test_nothing_is_repaired_while_an_outcome_is_unknown(rig: PlanRig) -> None:
    from overround.venues.polymarket.answers import no_answer

    submission = rig.begin_plan(2)
    rig.core.answer(submission, [no_answer(one, "lost") for one in submission.order_ids])
    assert rig.step() == []
    assert not rig.ended


def test_the_policies_unwind_and_leave(tmp_path: Path) -> None:
    unwind = PlanRig(tmp_path / "a", execute=Execute(plan_repair="unwind"))
    unwind.answer(unwind.begin_plan(2), [TEN, 0])
    assert unwind.step() == []
    unwind.final()
    (sale,) = unwind.step()
    assert sale.orders[0].intent.side == 1
    unwind.close()
    leave = PlanRig(tmp_path / "b", execute=Execute(plan_repair="leave"))
    leave.answer(leave.begin_plan(2), [TEN, 0])
    leave.final()
    assert leave.step() == []
    assert leave.outcomes == [PlanOutcome.LEFT]
    leave.close()


def test_a_plan_may_ask_to_be_left_alone(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(2, flags=int(IntentFlag.LEAVE)), [TEN, 0])
    rig.final()
    assert rig.step() == []
    assert rig.outcomes == [PlanOutcome.LEFT]


def test_a_repair_that_missed_is_tried_again_at_the_new_price(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    (repair,) = rig.step()
    rig.answer(repair, [0])
    assert rig.plans.step() == []  # not at once
    rig.quote(2, 5_000, 5_200)
    (again,) = rig.step()
    assert again.orders[0].intent.price_ticks == 5_200


def test_completing_a_plan_that_would_not_gain_by_it_is_not_tried(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(2), [TEN, 0])  # two of a set of three: the third may win
    assert rig.step() == []
    rig.final()
    (sale,) = rig.step()
    assert sale.orders[0].intent.side == 1


def test_books_without_trust_repair_nothing(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(2), [TEN, 0])
    for index in range(2):
        rig.markets.books[index] = BookView(True, False, 4, 4_800, 5_000, TEN, TEN)
    rig.final()
    assert rig.step() == []


def test_the_kill_latch_stops_repairs(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(2), [TEN, 0])
    rig.kill = True
    assert rig.step() == []


def test_repairs_the_gate_refuses_do_not_use_up_a_plans_repairs(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    rig.core.gate.stop = Refusal(RefusalCode.DRAWDOWN, "held for a while")
    for _ in range(40):
        assert rig.step() == []
    rig.core.gate.stop = None
    assert len(rig.step()) == 1


def test_a_stop_makes_no_repairs_to_refuse(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    before = rig.kinds
    rig.core.ready = False
    assert rig.step() == []
    assert rig.kinds == before


def test_legs_of_an_ordered_plan_leave_one_after_the_other(rig: PlanRig) -> None:
    first = rig.begin_plan(3, flags=int(IntentFlag.ORDERED))
    assert [one.intent.leg for one in first.orders] == [0]
    assert rig.step() == []
    rig.answer(first, [TEN])
    (second,) = rig.step(20)
    assert [one.intent.leg for one in second.orders] == [1]
    rig.answer(second, [TEN])
    (third,) = rig.step(20)
    rig.answer(third, [TEN])
    rig.final()
    rig.step()
    assert rig.outcomes == [PlanOutcome.WHOLE]


def test_the_first_leg_says_that_a_plan_is_ordered(rig: PlanRig) -> None:
    first, second = rig.plan(0, 2, flags=int(IntentFlag.ORDERED))
    submission = rig.send(first, second._replace(flags=0))
    rig.answer(submission, [0])
    assert rig.step() == []
    rig.step()
    assert rig.store.reserved_micro() == 0
    assert rig.outcomes == [PlanOutcome.NOTHING]


def test_an_ordered_plan_stops_at_the_leg_that_missed(rig: PlanRig) -> None:
    first = rig.begin_plan(3, flags=int(IntentFlag.ORDERED))
    rig.answer(first, [0])
    rig.step()
    assert refusals(rig) == [RefusalCode.PLAN] * 2
    rig.step()
    assert rig.outcomes == [PlanOutcome.NOTHING]


def test_a_leg_that_expires_before_its_turn_is_refused_and_the_rest_repaired(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(2, flags=int(IntentFlag.ORDERED)), [TEN])
    assert rig.step(600) == []  # released too late: refused as expired
    assert refusals(rig) == [RefusalCode.EXPIRED]
    rig.final()
    (sale,) = rig.step()
    assert (sale.orders[0].intent.token, sale.orders[0].intent.side) == (market(0).token_yes, 1)


def test_a_resting_leg_is_cancelled_at_the_deadline(rig: PlanRig) -> None:
    from oracle.desk import accepted

    submission = rig.begin_plan(2, order_type=int(OrderType.GTC), price_ticks=4_700)
    ids = submission.order_ids
    rig.core.answer(submission, [accepted(one, "live") for one in ids])
    assert rig.step() == []
    assert rig.core.cancels == []
    rig.step(10_000)
    assert [order.order_id for order in rig.core.cancels] == list(ids)
    for index, one in enumerate(ids):
        event = order_event(one, market(index), OrderEvent.CANCELLATION)
        rig.settlement.on_order(event)
    rig.step()
    assert rig.outcomes == [PlanOutcome.NOTHING]


def test_a_restart_in_the_middle_goes_on_by_the_journal(rig: PlanRig) -> None:
    trades = rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    rig.restart()
    (repair,) = rig.step()
    assert repair.orders[0].intent.token == market(2).token_yes
    rig.restart()  # its outcome is unknown now: nothing else is tried
    assert rig.step() == []
    (order,) = [one for one in rig.store.by_key.values() if one.state is OrderState.UNKNOWN]
    assert order.intent.run_id == RUN
    plan = next(iter(rig.store.plans.open.values()))
    assert [leg.intent.leg for leg in plan.legs] == [0, 1, 2]
    assert plan.repairs == [order]
    assert trades


def test_a_plan_that_died_before_its_send_ends_as_nothing(rig: PlanRig) -> None:
    rig.core.take(rig.plan(0, 2))
    assert len(rig.begun) == 1
    rig.restart()
    rig.step()
    assert rig.outcomes == [PlanOutcome.NOTHING]


def test_the_repair_of_another_runs_plan_belongs_to_that_plan(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    rig.restart()
    rig.core._run_id = rig.plans._run_id = RUN + 1
    (repair,) = rig.step()
    intent = repair.orders[0].intent
    assert (intent.run_id, intent.plan_run_id) == (RUN + 1, RUN)
    rig.answer(repair, [TEN])
    rig.restart()
    rig.core._run_id = rig.plans._run_id = RUN + 1
    rig.final()
    rig.step()
    assert rig.outcomes == [PlanOutcome.COMPLETED]


def test_two_legs_of_one_token_are_left_as_they_fill(rig: PlanRig) -> None:
    legs = [leg._replace(market=0) for leg in rig.plan(0, 2)]
    rig.answer(rig.send(*legs), [TEN, 0])
    rig.final()
    assert rig.step() == []
    assert rig.outcomes == [PlanOutcome.LEFT]


def test_repairs_of_one_plan_end(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    tried = 0
    while submissions := rig.step():
        for submission in submissions:
            tried += len(submission.orders)
            rig.answer(submission, [0] * len(submission.orders))
    assert tried == 32


def test_no_repair_is_made_that_could_exceed_the_worst_case_stated(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(3), [TEN, TEN, 0])
    plan = next(iter(rig.store.plans.open.values()))
    assert plan.begun is not None
    plan.begun = msgspec.structs.replace(plan.begun, worst_micro=TEN)
    assert rig.step() == []


def test_a_plan_whose_every_fill_failed_ends_as_nothing(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(2), [TEN, TEN])
    rig.final(failed=True)
    rig.step()
    assert rig.outcomes == [PlanOutcome.NOTHING]
    assert rig.ended[0].cash_micro == 0


def test_a_plan_in_a_market_that_left_the_catalog_ends_at_its_deadline(rig: PlanRig) -> None:
    rig.answer(rig.begin_plan(2), [TEN, 0])
    rig.final()
    del rig.markets.infos[1]
    assert rig.step() == []
    assert not rig.ended
    rig.step(10_000)
    assert rig.outcomes == [PlanOutcome.LEFT]
