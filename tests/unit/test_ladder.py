"""The native ladder against a dict, at every step size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround._native import ffi, lib

GRID = lib.OVR_LADDER_GRID
STEPS = [1, 10, 25, 50, 100, 1_000]


class Ladder:
    def __init__(self, step: int) -> None:
        self.memory = ffi.new("int64_t[]", lib.OVR_LADDER_BYTES // 8)
        self.native = ffi.new("struct ovr_ladder *")
        self.scratch = ffi.new("struct ovr_level[]", 2 * lib.OVR_LADDER_LEVELS_MAX)
        lib.ovr_ladder_init(self.native, self.memory, step)

    def set(self, side: int, ticks: int, lots: int) -> int:
        return int(lib.ovr_ladder_set(self.native, side, ticks, lots))

    def depth(self, side: int, most: int = GRID) -> list[tuple[int, int]]:
        out = ffi.new("struct ovr_level[]", lib.OVR_LADDER_LEVELS_MAX)
        count = lib.ovr_ladder_depth(self.native, side, out, most)
        return [(out[i].price_ticks, out[i].size_lots) for i in range(count)]

    def best(self) -> tuple[int, int]:
        return lib.ovr_ladder_best_bid(self.native), lib.ovr_ladder_best_ask(self.native)

    def regrid(self, step: int) -> None:
        lib.ovr_ladder_regrid(self.native, step, self.scratch)


def expect(ladder: Ladder, twin: dict[tuple[int, int], int]) -> None:
    bids = sorted(((p, q) for (s, p), q in twin.items() if s == 0), reverse=True)
    asks = sorted((p, q) for (s, p), q in twin.items() if s == 1)
    assert ladder.depth(0) == bids
    assert ladder.depth(1) == asks
    assert ladder.best() == (bids[0][0] if bids else 0, asks[0][0] if asks else GRID)
    assert [ladder.native.sides[s].count for s in (0, 1)] == [len(bids), len(asks)]
    assert ladder.depth(0, 2) == bids[:2]


operations = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(1, GRID - 1), st.sampled_from([0, 0, 1, 7, 2**63 - 1])
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STEPS), operations, st.sampled_from(STEPS))
def test_levels_and_best_prices_are_those_of_a_dict(step: int, operations: list, then: int):
    ladder = Ladder(step)
    twin: dict[tuple[int, int], int] = {}
    for side, ticks, lots in operations:
        price = max(step, ticks // step * step) if step < GRID else ticks
        changed = twin.get((side, price), 0) != lots
        assert ladder.set(side, price, lots) == int(changed)
        twin.pop((side, price), None)
        if lots:
            twin[side, price] = lots
    expect(ladder, twin)
    ladder.regrid(then)
    expect(ladder, twin)
    assert all(price % ladder.native.step == 0 for _, price in twin)
    lib.ovr_ladder_clear(ladder.native)
    expect(ladder, {})
    assert not any(ladder.memory)


def test_a_price_between_the_steps_is_refused_until_a_regrid():
    ladder = Ladder(100)
    ladder.set(0, 5_000, 3)
    assert ladder.set(0, 5_001, 4) == -1
    assert lib.ovr_ladder_get(ladder.native, 0, 5_001) == 0
    ladder.regrid(lib.ovr_ladder_fit(100, 5_001))
    assert ladder.native.step == 1
    assert ladder.set(0, 5_001, 4) == 1
    assert ladder.depth(0) == [(5_001, 4), (5_000, 3)]


def test_coarsening_keeps_the_step_that_its_levels_need():
    ladder = Ladder(10)
    ladder.set(1, 5_550, 9)
    ladder.regrid(100)
    assert ladder.native.step == 50
    assert ladder.depth(1) == [(5_550, 9)]


@pytest.mark.parametrize("step", STEPS)
def test_every_level_of_the_grid_can_be_held_and_is_walked_in_order(step: int):
    ladder = Ladder(step)
    prices = range(step, GRID, step)
    for price in prices:
        ladder.set(0, price, price)
        ladder.set(1, price, price)
    assert ladder.depth(0) == [(p, p) for p in reversed(prices)]
    assert ladder.depth(1) == [(p, p) for p in prices]


def test_only_multiples_of_the_step_are_levels_whatever_the_step():
    """The division by the step is a multiplication: right for every price, or it is no division."""
    for step in (n for n in range(1, GRID // 2 + 1) if GRID % n == 0):
        ladder = Ladder(step)
        beyond = (GRID + step, 2**16 * step, 2**32 - 1)
        answers = [ladder.set(0, price, 0) for price in (*range(GRID + 1), *beyond)]
        wanted = [0 if price % step == 0 else -1 for price in range(GRID + 1)]
        assert answers == [*wanted, *(-1 for _ in beyond)]
