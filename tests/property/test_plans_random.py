"""Whatever fills, fails and moves: a plan never comes to more than the worst case it stated."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.desk import SHARE, market
from oracle.plan_rig import PlanRig, slow_worst
from overround.config.schema import Execute
from overround.execute.executor import Submission
from overround.execute.intents import RingIntent
from overround.execute.planbook import Piece, PlanOutcome, worst_micro
from overround.layout.intent import BUY, SELL, IntentFlag
from overround.ledger.positions import FillState
from overround.ledger.records import MarketNote, PlanBegun

HELD = 60 * SHARE
SEEDS = 150
pieces = st.builds(
    Piece,
    condition_id=st.integers(0, 4).map(lambda index: market(index).condition_id),
    outcome=st.integers(0, 1),
    side=st.integers(0, 1),
    lots=st.integers(0, 40).map(lambda n: n * SHARE),
    cash_micro=st.integers(0, 40 * SHARE).map(lambda n: n * 2),
    fee_micro=st.integers(0, SHARE).map(lambda n: n * 2),
)
NOTES = {market(index).condition_id: market(index).note() for index in range(5)}


def note(condition_id: str) -> MarketNote | None:
    return NOTES.get(condition_id)


@given(st.lists(pieces, max_size=5), st.lists(pieces, max_size=4))
@settings(max_examples=150, deadline=None)
def test_the_worst_case_is_the_least_over_every_world_and_part(
    sure: list[Piece], maybe: list[Piece]
) -> None:
    assert worst_micro(sure, maybe, note) == slow_worst(sure, maybe, NOTES)


def plan_of(random: Random) -> list[dict[str, int]]:
    """Two or three legs over different tokens, most of one size, sometimes sales."""
    tokens = [(index, outcome) for index in range(5) for outcome in (0, 1)]
    if random.random() < 0.5:
        chosen = [(index, 0) for index in range(3)]  # the complete set
    else:
        chosen = random.sample(tokens, random.choice((2, 3)))
    flags = int(IntentFlag.ORDERED) if random.random() < 0.2 else 0
    shares = random.randint(8, 30)
    return [
        {
            "market": index,
            "outcome": outcome,
            "side": SELL if random.random() < 0.15 else BUY,
            "size_lots": (2 * shares if random.random() < 0.15 else shares) * SHARE,
            "price_ticks": random.choice((400, 2_000, 5_000, 5_200, 9_000)),
            "flags": flags,
        }
        for index, outcome in chosen
    ]


class _Run:
    """One plan's life; every step ends with the check."""

    def __init__(self, rig: PlanRig, random: Random) -> None:
        self.rig = rig
        self.random = random
        self.waiting: list[Submission] = []
        self.begun: PlanBegun | None = None

    def hold_what_is_sold(self, legs: list[dict[str, int]]) -> None:
        sold = [leg for leg in legs if leg["side"] == SELL]
        for number, leg in enumerate(sold):
            wish = {"market": leg["market"], "outcome": leg["outcome"], "size_lots": HELD}
            self.rig.quote(leg["market"], 5_000, 5_000)
            one = self.rig.intent(1_000 + number, **wish)
            self.rig.answer(self.rig.send(one), [HELD])
        self.rig.final()

    def send(self, legs: list[dict[str, int]]) -> bool:
        messages: list[RingIntent] = [
            self.rig.intent(at, plan=0, leg=at, legs=len(legs), **leg)
            for at, leg in enumerate(legs)
        ]
        self.waiting = [one for one in self.rig.core.take(messages) if self.rig.core.begin(one)]
        self.begun = self.rig.begun[0] if self.rig.begun else None
        return bool(self.waiting)

    def answer(self) -> None:
        if not self.waiting:
            return
        submission = self.waiting.pop(0)
        better = self.random.choice((0, 0, 300))
        lots = []
        price = 0
        for order in submission.orders:
            share = self.random.choice((0, 0, 5, 10, 10, 10))
            lots.append(order.size_lots * share // 10 // 10_000 * 10_000)
        if better and len({order.intent.price_ticks for order in submission.orders}) == 1:
            intent = submission.orders[0].intent
            if all(order.intent.side == intent.side for order in submission.orders):
                price = intent.price_ticks + (-better if intent.side == BUY else better)
        self.rig.answer(submission, lots, price)

    def settle(self) -> None:
        if self.rig.trades:
            one = self.random.choice(sorted(self.rig.trades))
            self.rig.final([one], failed=self.random.random() < 0.2)

    def move(self) -> None:
        bid = self.random.choice((200, 1_000, 3_000, 5_000, 7_000, 9_000))
        lots = self.random.choice((0, 6, 20, 100)) * SHARE
        self.rig.quote(self.random.randrange(5), bid, bid + 200, lots)

    def step(self) -> None:
        self.waiting += self.rig.step(self.random.choice((30, 200, 1_000)))

    def check(self) -> None:
        assert self.begun is not None
        fills = self.rig.store.positions.fills_of
        orders = [o for o in self.rig.store.by_key.values() if o.intent.plan == 0]
        sure = [
            Piece.of(f) for o in orders for f, s in fills(o.order_id) if s is FillState.CONFIRMED
        ]
        maybe = [
            Piece.of(f) for o in orders for f, s in fills(o.order_id) if s is FillState.PENDING
        ]
        assert worst_micro(sure, maybe, note) >= -self.begun.worst_micro
        assert worst_micro([*sure, *maybe], (), note) >= -self.begun.worst_micro

    def finish(self) -> tuple[PlanOutcome, int]:
        """Every fill settles now: the plan ends, and says so in one record."""
        for _ in range(200):
            while self.waiting:
                submission = self.waiting.pop(0)
                full = self.random.random() < 0.7
                lots = [full * order.size_lots // 10_000 * 10_000 for order in submission.orders]
                self.rig.answer(submission, lots)
            self.rig.final()
            if self.rig.ended:
                break
            self.waiting += self.rig.step(1_000)
        (ended,) = self.rig.ended
        assert ended.pnl_micro >= -self.begun.worst_micro  # type: ignore[union-attr]
        self.check()
        return PlanOutcome(ended.outcome), ended.repairs


def live(rig: PlanRig, random: Random) -> tuple[PlanOutcome, int] | None:
    """Run one plan from beginning to end; None if the gate refused it."""
    run, legs = _Run(rig, random), plan_of(random)
    run.hold_what_is_sold(legs)
    for leg in legs:  # so that each leg could be taken at its price
        at = leg["price_ticks"] if leg["outcome"] == 0 else 10_000 - leg["price_ticks"]
        rig.quote(leg["market"], at, at)
    if not run.send(legs):
        return None
    for _ in range(random.randint(1, 16)):
        random.choice((run.answer, run.settle, run.move, run.step, run.step))()
        run.check()
    return run.finish()


@pytest.mark.parametrize("repair", ["complete", "unwind"])
def test_whatever_happens_a_plan_stays_within_its_worst_case(tmp_path: Path, repair: str) -> None:
    execute = Execute(plan_repair=repair, plan_deadline_ms=20_000)
    seen: Counter[tuple[PlanOutcome, bool]] = Counter()
    for seed in range(SEEDS):
        rig = PlanRig(tmp_path / f"{seed}", execute=execute)
        try:
            ended = live(rig, Random(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, repair {repair}") from error
        finally:
            rig.close()
        if ended is not None:
            seen[ended[0], ended[1] > 0] += 1
    assert {outcome for outcome, _ in seen} >= set(PlanOutcome) - {
        PlanOutcome.COMPLETED if repair == "unwind" else PlanOutcome.NOTHING
    }, seen
    assert sum(number for (_, repaired), number in seen.items() if repaired) > SEEDS // 5, seen
