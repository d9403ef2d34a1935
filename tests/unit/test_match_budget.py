"""BUYs that name cash: how many lots a budget buys, against buying them one by one."""

from __future__ import annotations

import random

import pytest

from overround.match.budget import lots_for_cash, size_by_cash
from overround.match.types import Order, OrderType, Outcome, Side


def bought_one_by_one(asks: list[tuple[int, int]], limit: int, budget: int) -> int:
    """The dearest way: lot after lot, a level's bill rounded up once."""
    lots = 0
    for price, size in asks:
        here = 0
        while price <= limit and here < size and -(-(here + 1) * price // 10_000) <= budget:
            here += 1
        budget -= -(-here * price // 10_000)
        lots += here
        if here < size:
            break
    return lots


@pytest.mark.parametrize("seed", range(200))
def test_a_budget_buys_what_single_lots_would(seed: int) -> None:
    rng = random.Random(seed)
    prices = sorted(rng.sample(range(1, 10_000), rng.randrange(1, 5)))
    asks = [(price, rng.randrange(1, 40)) for price in prices]
    limit, budget = rng.randrange(1, 10_000), rng.randrange(60)
    lots, left = lots_for_cash(asks, limit, budget)
    assert lots == bought_one_by_one(asks, limit, budget)
    assert 0 <= left <= budget


@pytest.mark.parametrize(
    ("outcome", "size"),
    [(Outcome.YES, 10_000_000 + 10_000_000), (Outcome.NO, 20_000_000 + 2_500_000)],
)
def test_a_no_buyer_reads_the_bids_mirrored(outcome: Outcome, size: int) -> None:
    depth = ([(6_000, 20_000_000)], [(2_000, 10_000_000)])
    order = Order("o", 1, 0, outcome, Side.BUY, 4_000, 1, OrderType.FAK)
    budget = 6_000_000 if outcome == Outcome.YES else 9_000_000
    assert size_by_cash(order, depth, budget) == size
