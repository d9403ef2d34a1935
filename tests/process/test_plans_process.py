"""Plans of a real executor at the real exchange: a missed leg completed, sold back, remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.audit import audit
from oracle.executor_rig import SHARE, Rig
from overround.config.schema import Execute
from overround.execute.planbook import PlanOutcome
from overround.execute.process import JOURNAL_FOLDER
from overround.ledger.journal import replay
from overround.ledger.records import Kind, PlanBegun, PlanEnded, Record, decode
from overround.observe.metrics import Value

MARKET = 6
SIZE = 20 * SHARE


def rig_with(folder: Path, **settings: object) -> Rig:
    quick = {"unknown_quiet_ms": 300, "reconcile_interval_ms": 500}
    execute = Execute(**quick, **settings)  # type: ignore[arg-type]
    return Rig(folder, execute=execute)


@pytest.fixture(name="rig")
def fixture_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = rig_with(tmp_path)
    yield rig
    rig.close()


def pretend_bid(rig: Rig, above_ticks: int) -> None:
    """Publish a bid better than the exchange has: who buys NO on it will miss."""
    row = rig.board.load(MARKET)
    assert row is not None
    row["bid_ticks"][0] += above_ticks
    rig.board.store(MARKET, row)


def push_pair(rig: Rig) -> None:
    """Buy YES at its ask and NO at what the published bid makes of it."""
    bid, ask = rig.top(MARKET)
    first = rig.producer.next_sequence
    for leg, (outcome, price) in enumerate(((0, ask), (1, 10_000 - bid))):
        rig.push(
            market=MARKET, plan=first, leg=leg, legs=2, outcome=outcome, price_ticks=price,
            size_lots=SIZE,
        )  # fmt: skip


def records(rig: Rig, *kinds: Kind) -> list[Record]:
    found = [decode(raw) for raw in replay(rig.folder / JOURNAL_FOLDER) if raw.kind in kinds]
    return [one for one in found if isinstance(one, PlanBegun | PlanEnded)]


def ended(rig: Rig) -> PlanEnded:
    rig.until(lambda: bool(records(rig, Kind.PLAN_END)))
    (one,) = records(rig, Kind.PLAN_END)
    assert isinstance(one, PlanEnded)
    (begun,) = records(rig, Kind.PLAN)
    assert isinstance(begun, PlanBegun)
    assert one.pnl_micro >= -begun.worst_micro
    return one


def finish(rig: Rig) -> None:
    rig.wait_settled()
    assert rig.stop() == 0
    found = audit(rig.folder / JOURNAL_FOLDER, rig.venue.log(), rig.address)
    assert found.clean, found


def test_a_missed_leg_is_made_good_at_the_next_price(rig: Rig) -> None:
    tick = rig.tick(MARKET)
    pretend_bid(rig, tick)
    rig.start()
    push_pair(rig)
    rig.until(lambda: rig.count(Value.FILLS) >= 1)
    rig.publish_books()
    one = ended(rig)
    assert one.outcome in (PlanOutcome.COMPLETED, PlanOutcome.UNWOUND)
    assert one.repairs >= 1
    rig.until(lambda: rig.count(Value.PLANS_BEGUN) == 1)
    rig.until(lambda: rig.count(Value.PLANS_REPAIRED) == one.repairs)
    finish(rig)


def test_what_was_filled_is_sold_back_where_that_is_the_rule(tmp_path: Path) -> None:
    rig = rig_with(tmp_path, plan_repair="unwind")
    try:
        pretend_bid(rig, rig.tick(MARKET))
        rig.start()
        push_pair(rig)
        rig.until(lambda: rig.count(Value.FILLS) >= 1)
        rig.publish_books()
        assert ended(rig).outcome == PlanOutcome.UNWOUND
        finish(rig)
    finally:
        rig.close()


def test_a_killed_executor_goes_on_with_its_plan(rig: Rig) -> None:
    pretend_bid(rig, rig.tick(MARKET))
    rig.start()
    push_pair(rig)
    rig.until(lambda: rig.count(Value.FILLS) >= 1)
    rig.kill()
    rig.publish_books()
    rig.start()
    # Settled shares may be sold back as well as completed, whichever is better by then.
    assert ended(rig).outcome in (PlanOutcome.COMPLETED, PlanOutcome.UNWOUND)
    finish(rig)


def test_an_answer_that_got_lost_is_cleared_up_before_anything_is_repaired(rig: Rig) -> None:
    rig.start()
    rig.venue.control("faults", path="/orders", method="POST", lose=True, count=1)
    push_pair(rig)
    one = ended(rig)
    assert (one.outcome, one.repairs) == (PlanOutcome.WHOLE, 0)
    rig.until(lambda: rig.count(Value.ORDERS_UNKNOWN) == 2)
    finish(rig)
