"""Taker fees: the stated rounding, exactly, and rates as data with an effective time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oracle.campaign import venue_fee
from overround.errors import VenueError
from overround.venues.polymarket.fees import FeeRate, FeeSchedule, fee_micro

SHARES_100 = 100_000_000

rates = st.integers(0, 1_000_000)
prices = st.integers(0, 10_000)
sizes = st.integers(0, 10**14)
exponents = st.integers(0, 4)


def exact(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int) -> Fraction:
    """Return the fee in micro-units before rounding, as the rule is written."""
    price = Fraction(price_ticks, 10_000)
    return size_lots * Fraction(rate_ppm, 10**6) * (price * (1 - price)) ** exponent


@pytest.mark.parametrize(
    ("rate_ppm", "fees"),
    [
        (70_000, ("0.63", "1.47", "1.75", "0.3325")),
        (50_000, ("0.45", "1.05", "1.25", "0.2375")),
        (40_000, ("0.36", "0.84", "1.00", "0.19")),
        (0, ("0", "0", "0", "0")),
    ],
)
def test_published_fees_of_a_hundred_shares(rate_ppm: int, fees: tuple[str, ...]) -> None:
    for price_ticks, fee in zip((1000, 3000, 5000, 9500), fees, strict=True):
        assert fee_micro(SHARES_100, price_ticks, rate_ppm) == int(Fraction(fee) * 10**6)


@given(sizes, prices, rates, exponents)
def test_fee_is_the_exact_product_rounded_half_up_to_five_decimals(
    size_lots: int, price_ticks: int, rate_ppm: int, exponent: int
) -> None:
    fee = fee_micro(size_lots, price_ticks, rate_ppm, exponent)
    product = exact(size_lots, price_ticks, rate_ppm, exponent)
    assert fee % 10 == 0
    if product < 10:
        assert fee == 0
    else:
        assert -5 < fee - product <= 5


@given(sizes, prices, rates)
def test_both_outcomes_cost_the_same(size_lots: int, price_ticks: int, rate_ppm: int) -> None:
    assert fee_micro(size_lots, price_ticks, rate_ppm) == fee_micro(
        size_lots, 10_000 - price_ticks, rate_ppm
    )


def test_corners_of_the_rounding() -> None:
    # 0.25 x 1 share x rate: 40 ppm is 10 micro, 39 ppm is 9.75 and costs nothing
    assert fee_micro(1_000_000, 5000, 40) == 10
    assert fee_micro(1_000_000, 5000, 39) == 0
    assert fee_micro(1_000_000, 5000, 60) == 20  # 15 goes up
    assert fee_micro(1_000_000, 5000, 59) == 10  # 14.75 goes down
    assert fee_micro(1_000_000, 0, 70_000) == 0
    assert fee_micro(1_000_000, 10_000, 70_000) == 0


def test_schedule_gives_the_rate_in_force() -> None:
    schedule = FeeSchedule([FeeRate(2_000, 50_000), FeeRate(1_000, 30_000)])
    assert schedule.at(999) is None
    assert schedule.fee_micro(SHARES_100, 5000, 999) is None
    assert schedule.fee_micro(SHARES_100, 5000, 1_000) == 750_000
    assert schedule.fee_micro(SHARES_100, 5000, 1_999) == 750_000
    assert schedule.fee_micro(SHARES_100, 5000, 2_000) == 1_250_000
    assert schedule.fee_micro(SHARES_100, 5000, 2_000, taker=False) == 0
    both = FeeSchedule([FeeRate(0, 40_000, taker_only=False)])
    assert both.fee_micro(SHARES_100, 5000, 1, taker=False) == 1_000_000


def test_schedule_learns_only_what_is_new() -> None:
    schedule = FeeSchedule([FeeRate(1_000, 30_000)])
    assert schedule.learn(FeeRate(5_000, 30_000)) is schedule
    grown = schedule.learn(FeeRate(5_000, 50_000))
    assert len(grown) == 2
    assert len(schedule) == 1
    assert grown.learn(FeeRate(5_000, 60_000)).at(6_000) == FeeRate(5_000, 60_000)


@example(10_000, 9_900, 70_000, 1)
@given(st.one_of(sizes, st.integers(0, 100_000)), prices, rates, exponents)
def test_the_twin_of_the_exchange_charges_the_same(
    size_lots: int, price_ticks: int, rate_ppm: int, exponent: int
) -> None:
    fee = fee_micro(size_lots, price_ticks, rate_ppm, exponent)
    assert venue_fee(size_lots, price_ticks, rate_ppm, exponent) == fee


def test_schedule_survives_its_encoding() -> None:
    schedule = FeeSchedule([FeeRate(0, 70_000, 2, False), FeeRate(9, 50_000)])
    assert FeeSchedule.decode(schedule.encode()) == schedule
    assert hash(FeeSchedule.decode(schedule.encode())) == hash(schedule)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'[{"rate_ppm":1}]',
        b'[{"from_epoch_ms":0,"rate_ppm":-1}]',
        b'[{"from_epoch_ms":0,"rate_ppm":1000001}]',
        b'[{"from_epoch_ms":0,"rate_ppm":1,"exponent":99}]',
        b'[{"from_epoch_ms":0,"rate_ppm":1},{"from_epoch_ms":0,"rate_ppm":2}]',
        b'[{"from_epoch_ms":0,"rate_ppm":0.05}]',
    ],
)
def test_unusable_schedule_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(VenueError):
        FeeSchedule.decode(data)
