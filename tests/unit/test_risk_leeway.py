"""What the gate says in numbers it also says in words: a leeway admits nothing else."""

from __future__ import annotations

from random import Random

import pytest

from overround.config.schema import Mode, Risk
from overround.decide.exposure import Claim
from overround.decide.risk import (
    AccountView,
    BookView,
    MarketView,
    OrderView,
    Refusal,
    RiskGate,
)

SHARE = 1_000_000
BOOK = BookView(True, True, 1, 9_999, 1, 10**12, 10**12)
"""Everything can be taken: the book has its say elsewhere."""
WIDE = Risk(
    collar_ticks=10_000, order_notional_max_micro=10**15, market_position_max_lots=10**15,
    account_notional_max_micro=10**15, market_notional_max_micro=10**15,
    event_loss_max_micro=10**15, strategy_loss_max_micro=10**15, account_loss_max_micro=10**15,
    market_loss_max_micro=10**15, event_position_max_lots=10**15, event_notional_max_micro=10**15,
    strategy_position_max_lots=10**15, strategy_notional_max_micro=10**15,
    account_position_max_lots=10**15, loss_max_micro=10**15,
)  # fmt: skip
"""Refuses nothing of what follows but what its own orders forbid."""


def limits(random: Random) -> Risk:
    """Return limits of which some bite."""

    def some(tight: int, wide: int) -> int:
        return random.choice([tight * SHARE, wide * SHARE, wide * SHARE])

    return Risk(
        collar_ticks=10_000,
        order_size_max_lots=some(8, 100), order_notional_max_micro=some(5, 500),
        market_position_max_lots=some(25, 1_000), account_notional_max_micro=some(30, 500),
        market_notional_max_micro=some(20, 500), event_loss_max_micro=some(15, 500),
        strategy_loss_max_micro=some(12, 500), account_loss_max_micro=some(20, 500),
        open_orders_max=random.choice([3, 64]), market_open_orders_max=random.choice([2, 16]),
        same_in_flight_max=random.choice([1, 2]), self_cross_allowed=random.random() < 0.1,
    )  # fmt: skip


def claims(random: Random, gate: RiskGate) -> None:
    """Give the account open orders and fills, in two markets."""
    for number in range(random.randrange(4)):
        lots = random.randrange(1, 8) * SHARE
        claim = Claim(
            random.choice("ab"), random.randrange(2), random.randrange(2),
            random.choice([4_000, 5_000, 6_000]), lots, lots // 2,
            random.random() < 0.3, random.random() < 0.5,
        )  # fmt: skip
        gate.own.claim(number, random.randrange(2), claim)
    for _ in range(random.randrange(3)):
        lots = random.randrange(1, 20) * SHARE
        gate.own.trade(
            random.randrange(2), random.choice("ab"), random.randrange(2), random.randrange(2),
            lots, random.randrange(lots), 0,
        )  # fmt: skip


def order(random: Random) -> tuple[OrderView, int]:
    """Return an order and what it may cost."""
    side, ticks = random.randrange(2), random.choice([4_000, 5_000, 5_050, 6_000, 9_950])
    lots = random.randrange(1, 12) * SHARE
    worth = lots * ticks // 10_000
    view = OrderView(
        random.randrange(2), side, ticks, lots, 2**62, 1, takes=random.random() < 0.3, key="new",
        condition_id="a", strategy=random.randrange(2),
        proceeds_micro=worth - lots // 50 if side else 0,
    )  # fmt: skip
    return view, 0 if side else worth + lots // 50


def account(random: Random) -> AccountView:
    """Return an account that may be short of something."""
    return AccountView(
        random.choice([4, 500]) * SHARE, random.choice([0, 25]) * SHARE,
        random.choice([0, 20]) * SHARE, random.choice([0, 5, 100]) * SHARE, 0,
    )  # fmt: skip


def both(
    gate: RiskGate, view: OrderView, cost: int, views: tuple[AccountView, AccountView]
) -> tuple[bool, Refusal | None]:
    """Return what the leeway says, and then what the gate says."""
    market = MarketView(True, 100, 5 * SHARE, True, SHARE)
    leeway = gate.leeway("a", view.strategy, market, views, 1)
    room = leeway is not None and leeway.admits(
        view.outcome, view.side, view.price_ticks, view.size_lots, takes=view.takes,
        cost_micro=cost, proceeds_micro=view.proceeds_micro,
    )  # fmt: skip
    refusal = gate.admit(
        view, market, BOOK, views[view.outcome], cost_micro=cost, now_ns=1, killed=False
    )
    return room, refusal


@pytest.mark.parametrize("seed", range(4))
def test_a_leeway_admits_nothing_that_the_gate_refuses(seed: int) -> None:
    random = Random(seed)
    seen = {True: 0, False: 0}
    for _ in range(1_500):
        gate = RiskGate(limits(random), Mode.SIM)
        claims(random, gate)
        one = account(random)
        view, cost = order(random)
        # Cash, cost and loss are the account's; shares are those of each token.
        other = AccountView(one.cash_free_micro, one.notional_micro, 0, 7 * SHARE, one.loss_micro)
        room, refusal = both(gate, view, cost, (one, other))
        assert not room or refusal is None, (view, refusal)
        seen[room] += 1
    assert min(seen.values()) > 100, seen


@pytest.mark.parametrize("seed", range(2))
def test_where_no_scope_is_full_both_say_the_same(seed: int) -> None:
    random = Random(seed)
    for _ in range(1_000):
        gate = RiskGate(WIDE, Mode.SIM)
        claims(random, gate)
        view, cost = order(random)
        one = account(random)
        room, refusal = both(gate, view, cost, (one, one))
        assert room == (refusal is None), (view, refusal)
