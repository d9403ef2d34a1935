"""What a complete set is worth at a size: exact integers, fees included, rounded against us."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

from overround.units import MICRO_PER_UNIT, PRICE_TICKS_MAX

FeeRule = Callable[[int, int, int, int], int]
"""(size_lots, price_ticks, rate_ppm, exponent) -> taker fee in micro-units."""

FEE_STEP_MICRO = 10
"""Venues state fees with five decimals."""

LOT_STEP = 10_000
"""Orders are multiples of 0.01 share."""


def fee_bound_micro(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int = 1) -> int:
    """Return the taker fee in micro-units, rounded up to five decimals; 0 or more.

    An upper bound of what a venue charges whichever way it rounds: an edge that survives it
    survives the venue's own rule.
    """
    scale = PRICE_TICKS_MAX**2
    curve: int = (price_ticks * (PRICE_TICKS_MAX - price_ticks)) ** exponent
    step: int = FEE_STEP_MICRO * MICRO_PER_UNIT * scale**exponent
    return -(-size_lots * rate_ppm * curve // step) * FEE_STEP_MICRO


def size_step_lots(prices_ticks: tuple[int, ...], cost_step_micro: int) -> int:
    """Return the smallest common size step at which every leg costs whole cost steps.

    A marketable buy is stated in whole cents by the venue, so a size that costs a fraction of
    one cannot be sent as it is. The result is a multiple of 0.01 share, at least that.
    """
    step = LOT_STEP
    for price_ticks in prices_ticks:
        # 0.01 share at one tick (1e-4) costs one micro-unit, so the price is the step's cost.
        leg = LOT_STEP * (cost_step_micro // gcd(cost_step_micro, price_ticks))
        step = step * leg // gcd(step, leg)
    return step
