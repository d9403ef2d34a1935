"""Prices, sizes and cash convert exactly or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround import units


@pytest.mark.parametrize(
    ("text", "ticks"),
    [("0", 0), ("1", 10_000), ("0.5", 5_000), ("0.001", 10), ("0.0001", 1), ("0.870", 8_700)],
)
def test_prices_land_on_the_grid(text: str, ticks: int):
    assert units.parse_price(text) == ticks


@pytest.mark.parametrize(
    "text", ["", ".", ".5", "5.", "1.0001", "0.00001", "-0.5", "1e-3", "0,5", " 0.5", "nan", "٠.٥"]
)
def test_other_texts_are_refused(text: str):
    with pytest.raises(ValueError):
        units.parse_price(text)


@given(st.integers(0, 10_000))
def test_price_text_round_trips_and_is_shortest(ticks: int):
    text = units.format_price(ticks)
    assert units.parse_price(text) == ticks
    assert Decimal(text) == Decimal(ticks) / 10_000
    assert "." not in text or not text.endswith("0")


@given(st.integers(0, units.SIZE_LOTS_MAX))
def test_size_text_round_trips(lots: int):
    assert units.parse_size(units.format_size(lots)) == lots


def test_sizes_beyond_64_bits_are_refused():
    with pytest.raises(ValueError, match="64 bits"):
        units.parse_size("9223372036854.775808")


@given(st.integers(0, 10**7), st.integers(0, 10_000))
def test_notional_of_hundredths_is_exact(hundredths: int, ticks: int):
    lots = hundredths * 10_000
    assert units.notional_micro(lots, ticks) * 10_000 == lots * ticks
    assert (
        units.notional_micro(lots, ticks) + units.notional_micro(lots, units.mirror_ticks(ticks))
        == lots
    )
