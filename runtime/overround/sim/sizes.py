"""Sizes of orders as recorded: lognormal, mostly whole shares, often a multiple of five."""

from __future__ import annotations

from random import Random

from overround.units import LOTS_PER_SHARE

__all__ = ["draw_size_lots"]

FIVES_SHARE = 0.24
WHOLE_SHARE = 0.56


def draw_size_lots(random: Random, log_mean: float, log_deviation: float, scale: float) -> int:
    """Return a size: lognormal shares, 56 % whole, another 24 % multiples of five."""
    shares = random.lognormvariate(log_mean, log_deviation) * scale
    kind = random.random()
    if kind < FIVES_SHARE:
        return max(round(shares / 5), 1) * 5 * LOTS_PER_SHARE
    if kind < FIVES_SHARE + WHOLE_SHARE:
        return max(round(shares), 1) * LOTS_PER_SHARE
    return max(round(shares * 100), 1) * (LOTS_PER_SHARE // 100)
