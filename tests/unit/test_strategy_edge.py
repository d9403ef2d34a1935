"""Exact worth of a set at a size, and the sizes that can be sent as they are."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.decide.edge import LOT_STEP, fee_bound_micro, size_step_lots
from overround.decide.strategy import Signal, SignalKind, SignalLeg
from overround.units import notional_up_micro
from overround.venues.polymarket.amounts import taking_step_lots
from overround.venues.polymarket.fees import fee_micro

SHARE = 1_000_000


@pytest.mark.parametrize(
    ("shares", "price_ticks", "rate_ppm", "micro"),
    [
        (100, 5_000, 70_000, 1_750_000),
        (100, 100, 40_000, 39_600),
        (10, 6_500, 70_000, 159_250),
        (1, 300, 70_000, 2_040),  # exactly 2,037: rounded up to five decimals
        (7, 3_700, 50_000, 81_590),
        (0, 5_000, 70_000, 0),
        (100, 10_000, 70_000, 0),
        (100, 0, 70_000, 0),
    ],
)
def test_fee_bound_has_the_known_answers(
    shares: int, price_ticks: int, rate_ppm: int, micro: int
) -> None:
    assert fee_bound_micro(shares * SHARE, price_ticks, rate_ppm) == micro


@given(st.integers(0, 10**12), st.integers(0, 10_000), st.integers(0, 10**6), st.integers(0, 3))
def test_fee_bound_is_the_least_multiple_of_ten_micro_not_below_the_exact_fee(
    size: int, price: int, rate: int, exponent: int
) -> None:
    share = Fraction(price, 10_000)
    exact = Fraction(size) * Fraction(rate, 10**6) * (share * (1 - share)) ** exponent
    bound = fee_bound_micro(size, price, rate, exponent)
    assert exact <= bound < exact + 10
    assert bound % 10 == 0


@given(st.integers(0, 10**9), st.integers(0, 10_000))
def test_cost_is_exact_for_whole_hundredths_of_a_share(hundredths: int, price: int) -> None:
    size = hundredths * LOT_STEP
    assert notional_up_micro(size, price) * 10_000 == size * price


@given(st.lists(st.integers(1, 9_999), min_size=1, max_size=5))
def test_the_size_step_costs_whole_cents_on_every_leg_and_half_of_it_does_not(
    prices: list[int],
) -> None:
    step = size_step_lots(tuple(prices), 10_000)
    assert step % LOT_STEP == 0
    assert all(notional_up_micro(step, price) % 10_000 == 0 for price in prices)
    for divisor in (2, 5):
        smaller = step // divisor
        if smaller % LOT_STEP == 0:
            assert any(notional_up_micro(smaller, price) % 10_000 for price in prices)


@given(st.lists(st.integers(1, 9_999), min_size=1, max_size=6))
def test_the_size_step_is_the_one_the_venue_module_takes(prices: list[int]) -> None:
    assert size_step_lots(tuple(prices), 10_000) == taking_step_lots(*prices)


@given(st.integers(1, 10**9), st.integers(1, 9_999), st.sampled_from([0, 40_000, 70_000]))
def test_the_fee_bound_is_never_below_the_venue_rule(
    hundredths: int, price: int, rate: int
) -> None:
    size = hundredths * LOT_STEP
    charged = fee_micro(size, price, rate, 1)
    assert charged <= fee_bound_micro(size, price, rate, 1) <= charged + 10


def test_size_steps_of_the_usual_ticks() -> None:
    assert size_step_lots((4_100, 2_800), 10_000) == SHARE
    assert size_step_lots((5_000,), 10_000) == 20_000
    assert size_step_lots((370,), 10_000) == 10 * SHARE
    assert size_step_lots((4_100, 123), 10_000) == 100 * SHARE
    assert size_step_lots((4_100, 123), 1) == LOT_STEP


def leg(price_ticks: int, rate_ppm: int) -> SignalLeg:
    return SignalLeg(0, 0, price_ticks, 100 * SHARE, 5 * SHARE, rate_ppm, 1, 2, 2)


def signal(kind: SignalKind, rate_ppm: int, *prices: int) -> Signal:
    return Signal(
        kind=kind,
        set_id=1,
        legs=tuple(leg(price, rate_ppm) for price in prices),
        payoff_units=1 if kind == SignalKind.BUY_ALL else len(prices) - 1,
        size_lots=100 * SHARE,
        seen_ns=1,
        event_recv_ns=0,
        fee=fee_bound_micro,
    )


@pytest.mark.parametrize(
    ("rate_ppm", "micro"),
    [(0, 4_000_000), (40_000, 1_301_600), (50_000, 627_000), (70_000, -722_200)],
)
def test_edge_of_buying_all_has_the_known_answers(rate_ppm: int, micro: int) -> None:
    found = signal(SignalKind.BUY_ALL, rate_ppm, 4_100, 2_800, 1_700, 1_000)
    assert found.edge_micro(100 * SHARE) == micro


@pytest.mark.parametrize(
    ("rate_ppm", "micro"), [(0, 4_000_000), (40_000, 1_117_600), (50_000, 397_000)]
)
def test_edge_of_selling_all_has_the_known_answers(rate_ppm: int, micro: int) -> None:
    found = signal(SignalKind.SELL_ALL, rate_ppm, 5_800, 7_000, 8_100, 8_700)
    assert found.edge_micro(100 * SHARE) == micro
