"""What does the risk gate cost per order?

Question: how long does one order pass the gate, with how many own orders and positions about,
and which part of that are the exposure rules (market, set, strategy, account; worst case).
Input: a FAK BUY of 10 YES inside every limit, on an account with positions in 200 markets (40
sets of five) and so many open orders in the order's own market; each round admits and ends one
order. ``test_rules_alone`` is the gate without own-order and exposure rules; the difference to
``test_admit`` is what they cost. Read ratios: the microseconds are those of a shared machine.

Run: .venv/bin/pytest bench/micro/bench_gate.py --benchmark-columns=min,median,iqr,rounds
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from overround.config.schema import Mode, Risk
from overround.decide.exposure import Claim, Exposures
from overround.decide.risk import AccountView, BookView, MarketView, OrderView, RiskGate

SHARE = 1_000_000
WIDE = 10**15
LIMITS = Risk(orders_per_s_max=10**9, orders_burst_max=10**9, open_orders_max=10**6)
MARKET = MarketView(True, 100, 5 * SHARE, True, SHARE)
BOOK = BookView(True, True, 4, 4_800, 5_000, 100 * SHARE, 100 * SHARE)
ACCOUNT = AccountView(WIDE, 0, 0, WIDE, 0)
SETS = [tuple(f"{event}-{member}" for member in range(5)) for event in range(40)]
keys = itertools.count()


def account(open_orders: int) -> Exposures:
    own = Exposures()
    for members in SETS:
        for condition in members:
            own.note(condition, members)
            own.trade(0, condition, 0, 0, 10 * SHARE, 4 * SHARE, 100_000)
    for number in range(open_orders):
        ticks = 4_000 + 100 * (number % 8)
        claim = Claim("0-0", 0, 0, ticks, SHARE, SHARE * ticks // 10_000, False, False)
        own.claim(("resting", number), 0, claim)
    return own


def admit(gate: RiskGate, condition: str) -> int:
    key = next(keys)
    order = OrderView(0, 0, 5_000, 10 * SHARE, WIDE, 4, takes=True, key=key, condition_id=condition)
    refusal = gate.admit(
        order, MARKET, BOOK, ACCOUNT, cost_micro=5_200_000, now_ns=key, killed=False
    )
    assert refusal is None, refusal
    return key


@pytest.mark.parametrize("open_orders", [0, 10, 40])
def test_admit(benchmark: Any, open_orders: int) -> None:
    gate = RiskGate(LIMITS, Mode.SIM, own=account(open_orders))

    def one() -> None:
        gate.own.release(admit(gate, "0-0"), 0)

    benchmark(one)


def test_rules_alone(benchmark: Any) -> None:
    gate = RiskGate(LIMITS, Mode.SIM)
    gate._own_orders = lambda order: None  # type: ignore[assignment,method-assign]
    gate._exposure = lambda order, cost: None  # type: ignore[assignment,method-assign]
    benchmark(admit, gate, "0-0")
