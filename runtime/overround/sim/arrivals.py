"""When things happen in one market: a self-exciting process with three memories.

Recorded counts cluster on every scale (Fano factor of one-second counts 50 to 190, slow decay of
the autocorrelation), which one exponential kernel cannot give. Each event raises the intensity
by three parts that fade with 5 ms, 1 s and 30 s. Kernels and branching are our choice, not
fitted values.
"""

from __future__ import annotations

import math
from random import Random

__all__ = ["Arrivals"]

KERNELS = ((0.005, 0.25), (1.0, 0.40), (30.0, 0.25))
"""(time constant in s, expected direct offspring); the sum, 0.9, is the branching ratio."""

SURGE = 12.0
"""No event excites further while the intensity is this many times its mean (plus a floor)."""

SURGE_FLOOR_PER_S = 400.0


class Arrivals:
    """Event times in seconds, ascending; ``mean_per_s`` is the long-run rate."""

    __slots__ = ("_base", "_excited", "_limit", "_random", "time_s")

    def __init__(self, mean_per_s: float, random: Random) -> None:
        self._random = random
        branching = sum(part for _, part in KERNELS)
        self._base = mean_per_s * (1.0 - branching)
        self._excited = [mean_per_s * part for _, part in KERNELS]
        self._limit = SURGE * mean_per_s + SURGE_FLOOR_PER_S
        self.time_s = 0.0

    def advance(self) -> float:
        """Draw the next event (by thinning) and return its time in seconds."""
        excited = self._excited
        while True:
            bound = self._base + sum(excited)
            step = self._random.expovariate(bound)
            self.time_s += step
            for i, (constant, _) in enumerate(KERNELS):
                excited[i] *= math.exp(-step / constant)
            intensity = self._base + sum(excited)
            if self._random.random() * bound <= intensity:
                if intensity < self._limit:
                    for i, (constant, part) in enumerate(KERNELS):
                        excited[i] += part / constant
                return self.time_s
