"""Worst cases kept by differences against the twin that enumerates every state and subset."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.exposure import SlowBook, Trade
from overround.config.schema import Mode, Risk
from overround.decide.codes import RefusalCode
from overround.decide.exposure import Claim, Exposures
from overround.decide.risk import AccountView, BookView, MarketView, OrderView, RiskGate

S = 1_000_000_000
SHARE = 1_000_000
TRIO = ("a", "b", "c", "never touched")
SETS: dict[str, tuple[str, ...]] = {
    "a": TRIO, "b": TRIO, "c": TRIO, "lone": (), "other": (),
}  # fmt: skip
MARKETS = tuple(SETS)
"""One member of the set is in no order and no note: it may win all the same."""


def new_exposures() -> Exposures:
    found = Exposures()
    for condition, members in SETS.items():
        found.note(condition, members)
    return found


def buy(condition: str, outcome: int, ticks: int, shares: int, **changes: object) -> Claim:
    lots = shares * SHARE
    return Claim(condition, outcome, 0, ticks, lots, lots * ticks // 10_000)._replace(**changes)


def test_a_purchase_can_lose_its_cost_and_both_sides_of_a_market_only_the_overround():
    own = new_exposures()
    own.claim(1, 0, buy("lone", 0, 4_000, 10))
    assert own.account.market("lone").loss_micro == 4 * SHARE
    own.claim(2, 0, buy("lone", 1, 5_000, 10))
    assert own.account.market("lone").loss_micro == 5 * SHARE  # only one of them may fill
    own.trade(0, "lone", 0, 0, 10 * SHARE, 4 * SHARE, 0)
    own.release(1, 0)
    # 10 YES for 4; the NO order fills only where it hurts: where YES wins.
    assert own.account.market("lone").loss_micro == 4 * SHARE
    own.trade(0, "lone", 1, 0, 10 * SHARE, 7 * SHARE, 0)
    own.release(2, 0)
    assert own.account.market("lone").loss_micro == SHARE
    assert own.strategy(0).totals.loss_micro == own.account.totals.loss_micro == SHARE


def test_one_half_is_an_outcome_of_its_own():
    own = new_exposures()
    own.trade(0, "lone", 0, 0, 10 * SHARE, 4 * SHARE, 0)
    own.claim(1, 0, Claim("lone", 0, 1, 4_500, 10 * SHARE, 4_500_000))
    # sold at 4.5: certain. Not sold: 0, 5 or 10. Sold and half: 4.5.
    assert own.account.market("lone").loss_micro == 4 * SHARE
    own.claim(2, 0, buy("lone", 1, 6_000, 10))
    # YES unsold, NO bought: 10 for 10 paid; NO bought and YES sold and YES wins: 4.5 - 10.
    assert own.account.market("lone").loss_micro == 5_500_000


def test_a_complete_set_is_judged_by_its_winners():
    own = new_exposures()
    for condition in ("a", "b"):
        own.trade(0, condition, 0, 0, 10 * SHARE, 3 * SHARE, 0)
    assert own.account.event("a").loss_micro == 6 * SHARE  # c wins, which we never touched
    own.trade(0, "c", 0, 0, 10 * SHARE, 3 * SHARE, 0)
    assert own.account.event("a").loss_micro == 9 * SHARE  # the fourth wins
    assert own.account.market("a").loss_micro == 3 * SHARE


def test_a_market_that_turns_out_to_be_of_a_set_moves_there():
    own = Exposures()
    own.trade(7, "a", 0, 0, 10 * SHARE, 3 * SHARE, 0)
    own.trade(7, "b", 0, 0, 10 * SHARE, 3 * SHARE, 0)
    assert own.account.totals.loss_micro == 6 * SHARE
    for condition in ("a", "b"):
        own.note(condition, ("a", "b"))
    for scope in (own.account, own.strategy(7)):
        assert scope.totals.worst_micro == 4 * SHARE
        assert scope.event("a") is scope.event("b")


def test_losses_of_a_day_count_from_its_mark():
    own = new_exposures()
    own.trade(3, "lone", 0, 0, 10 * SHARE, 4 * SHARE, 0)
    assert own.bases() == ((-1, -4 * SHARE), (3, -4 * SHARE))
    own.rebase(own.bases())
    assert own.account.totals.loss_micro == own.strategy(3).totals.loss_micro == 0
    own.claim(1, 3, buy("lone", 0, 5_000, 2))
    assert own.account.totals.loss_micro == SHARE


orders = st.builds(
    lambda condition, outcome, side, ticks, shares, takes, in_flight: Claim(
        condition, outcome, side, ticks, shares * SHARE, shares * ticks * 100, takes, in_flight
    ),
    st.sampled_from(MARKETS), st.integers(0, 1), st.integers(0, 1),
    st.integers(1, 99).map(lambda cents: 100 * cents), st.integers(1, 20),
    st.booleans(), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["claim", "release", "trade", "reverse"]),
                  st.integers(0, 3), st.integers(0, 1), orders),
        max_size=14,
    )
)  # fmt: skip
def test_numbers_agree_with_the_twin_after_every_step(steps: list[tuple[str, int, int, Claim]]):
    own, slow = new_exposures(), SlowBook(dict(SETS))
    for kind, key, strategy, claim in steps:
        if kind == "claim":
            own.release(key, slow.claims.get(key, (strategy, claim))[0])
            own.claim(key, strategy, claim)
            slow.claims[key] = (strategy, claim)
        elif kind == "release":
            owner, _ = slow.claims.pop(key, (strategy, claim))
            own.release(key, owner)
        elif kind == "trade":
            trade = Trade(strategy, *claim[:3], claim.lots, claim.cash_micro, key * 1_000)
            own.trade(*vars(trade).values())
            slow.trades.append(trade)
        elif slow.trades:
            gone = slow.trades.pop(key % len(slow.trades))
            signs = vars(gone) | {"lots": -gone.lots, "cash_micro": -gone.cash_micro,
                                  "fee_micro": -gone.fee_micro}  # fmt: skip
            own.trade(*signs.values())
        scopes = [(set(MARKETS), None, own.account.totals)]
        scopes += [(set(MARKETS), one, own.strategy(one).totals) for one in (0, 1)]
        scopes += [(set(TRIO), None, own.account.event("a"))]
        for conditions, owner, totals in scopes:
            seen = (totals.lots, totals.cost_micro, totals.loss_micro)
            assert seen == slow.numbers(conditions, owner)
        held = SlowBook(slow.sets, slow.trades)
        assert max(0, -own.account.held_worst_micro()) == held.numbers(set(MARKETS))[2]


LIMITS = Risk(
    order_notional_max_micro=10**12, market_position_max_lots=10**12,
    account_notional_max_micro=10**12, loss_max_micro=10**12, collar_ticks=10_000,
    orders_per_s_max=10**6, orders_burst_max=10**6, open_orders_max=5, market_open_orders_max=3,
    market_notional_max_micro=9 * SHARE, market_loss_max_micro=5 * SHARE,
    event_position_max_lots=30 * SHARE, event_notional_max_micro=14 * SHARE,
    event_loss_max_micro=8 * SHARE, strategy_position_max_lots=35 * SHARE,
    strategy_notional_max_micro=14 * SHARE, strategy_loss_max_micro=7 * SHARE,
    account_position_max_lots=45 * SHARE, account_loss_max_micro=9 * SHARE,
)  # fmt: skip
MARKET = MarketView(active=True, tick_ticks=100, min_size_lots=1, fee_known=True)
BOOK = BookView(True, True, 4, 5_000, 5_000, 10**12, 10**12)
ACCOUNT = AccountView(10**15, 0, 0, 10**15, 0)


def ask(gate: RiskGate, key: object, strategy: int, claim: Claim) -> RefusalCode | None:
    buys = claim.side == 0
    order = OrderView(
        claim.outcome, claim.side, claim.price_ticks, claim.lots, 2 * S, 4, key=key,
        condition_id=claim.condition_id, strategy=strategy, takes=False,
        proceeds_micro=0 if buys else claim.cash_micro,
    )  # fmt: skip
    cost = claim.cash_micro if buys else 0
    refusal = gate.admit(order, MARKET, BOOK, ACCOUNT, cost_micro=cost, now_ns=S, killed=False)
    return None if refusal is None else refusal.code


@pytest.mark.parametrize("seed", range(12))
def test_the_gate_says_what_the_slow_oracle_says(seed: int):
    random = Random(seed)
    gate, slow = RiskGate(LIMITS, Mode.SIM), SlowBook(dict(SETS))
    gate.own = new_exposures()
    seen = set()
    for step in range(80):
        strategy = random.randrange(2)
        ticks, shares = 100 * random.randrange(5, 96), random.randrange(1, 12)
        claim = Claim(
            random.choice(MARKETS), random.randrange(2), int(random.random() < 0.3), ticks,
            shares * SHARE, shares * ticks * 100,
        )  # fmt: skip
        if slow.claims and random.random() < 0.1:  # the same again
            claim = random.choice(list(slow.claims.values()))[1]._replace(in_flight=True)
        expected = slow.verdict(step, strategy, claim, LIMITS)
        assert ask(gate, step, strategy, claim) is expected, (seed, step, claim)
        seen.add(expected)
        if expected is None:
            slow.claims[step] = (strategy, claim)
        _live_on(random, gate, slow)
    assert len(seen) > 4, seen


def _live_on(random: Random, gate: RiskGate, slow: SlowBook) -> None:
    """Acknowledge, fill or end some order."""
    if not slow.claims or random.random() < 0.4:
        return
    key = random.choice(list(slow.claims))
    strategy, claim = slow.claims[key]
    if claim.in_flight and random.random() < 0.5:
        slow.claims[key] = (strategy, claim._replace(in_flight=False))
        gate.own.claim(key, strategy, slow.claims[key][1])
        return
    del slow.claims[key]
    gate.own.release(key, strategy)
    if random.random() < 0.6:
        trade = Trade(strategy, *claim[:3], claim.lots, claim.cash_micro, 1_000)
        slow.trades.append(trade)
        gate.own.trade(*vars(trade).values())
