"""Sizes of orders as recorded: lognormal, mostly whole shares, often a multiple of five."""

from __future__ import annotations

from random import Random

from overround.units import LOTS_PER_SHARE

__all__ = ["draw_size_lots", "level_scale"]

FIVES_SHARE = 0.24
WHOLE_SHARE = 0.56

HUMP = (0.35, 0.65, 1.2, 1.8, 2.3, 2.6, 2.6, 2.2, 1.6, 1.2, 0.9, 0.7, 0.55, 0.45, 0.35, 0.3)
"""Size of the nth level relative to the book's: recorded books are deepest at the fourth to the
seventh level, not at the best price."""

HUMP_TAIL = 0.2
"""The same for all levels beyond."""


def level_scale(depth: int) -> float:
    """Return the relative size of the level ``depth`` steps behind the best price."""
    return HUMP[depth] if depth < len(HUMP) else HUMP_TAIL


def draw_size_lots(random: Random, log_mean: float, log_deviation: float, scale: float) -> int:
    """Return a size: lognormal shares, 56 % whole, another 24 % multiples of five."""
    shares = random.lognormvariate(log_mean, log_deviation) * scale
    kind = random.random()
    if kind < FIVES_SHARE:
        return max(round(shares / 5), 1) * 5 * LOTS_PER_SHARE
    if kind < FIVES_SHARE + WHOLE_SHARE:
        return max(round(shares), 1) * LOTS_PER_SHARE
    return max(round(shares * 100), 1) * (LOTS_PER_SHARE // 100)
