"""When things happen in one market: a self-exciting process under a changing mood.

Recorded counts cluster on every scale: the Fano factor is 17 to 35 for counts of 100 ms and 56 to
186 for counts of a second, whose autocorrelation is near 0.5, 0.35 and 0.3 at lags of 1, 10 and
30 s. Self-excitation alone gives a Fano factor near 4 at these rates, because many events average
out. So each event excites the next ones (5 ms and half a second of memory), and the rate at which
chains start follows three lognormal moods: a flicker, a swing and a tide. Thin markets flicker
more: the recorded variation of a second's count over its mean grows as the mean falls. The
constants are fitted by hand; ``scripts/calibration`` prints what the whole flow makes of them.
"""

from __future__ import annotations

import math
from random import Random

__all__ = ["Arrivals"]

KERNELS = ((0.005, 0.25), (0.5, 0.15))
"""(time constant in s, expected direct offspring); the sum, 0.4, is the branching ratio."""

MOODS = ((0.12, 0.95), (4.0, 0.2), (250.0, 0.6))
"""(time constant in s, deviation of the log rate); the first one's is for a very busy market."""

FLICKER_THIN_PER_S = 22.0
"""The variance of the first mood grows by so much over the mean rate, up to the bound."""

FLICKER_MAX = 1.5
"""Bound of the first mood's deviation."""

MOOD_MAX = 2.0
"""Moods count up to so many deviations: recorded seconds never had ten times the mean."""

CALM_START = 0.4
"""Moods start this close to their mean effect, so that a short run keeps to its rate."""

MOOD_STEP_S = 0.05
"""Longest time over which the moods are taken as constant."""


def _log_mean(deviation: float) -> float:
    """Return the log of the mean of exp(deviation x mood), the mood being bounded."""
    steps = 200
    total = weights = 0.0
    for step in range(-steps, steps + 1):
        mood = 5.0 * step / steps
        weight = math.exp(-mood * mood / 2.0)
        weights += weight
        total += weight * math.exp(deviation * min(max(mood, -MOOD_MAX), MOOD_MAX))
    return math.log(total / weights)


class Arrivals:
    """Event times in seconds, ascending; ``mean_per_s`` is the long-run rate."""

    __slots__ = ("_base", "_excited", "_moods", "_random", "_shape", "time_s")

    def __init__(self, mean_per_s: float, random: Random) -> None:
        self._random = random
        self._base = mean_per_s * (1.0 - sum(part for _, part in KERNELS))
        self._excited = [mean_per_s * part for _, part in KERNELS]
        flicker = math.sqrt(MOODS[0][1] ** 2 + FLICKER_THIN_PER_S / mean_per_s)
        shape = ((MOODS[0][0], min(flicker, FLICKER_MAX)), *MOODS[1:])
        self._shape = tuple((constant, part, _log_mean(part)) for constant, part in shape)
        self._moods = [
            center / part + random.gauss(0.0, CALM_START) for _, part, center in self._shape
        ]
        self.time_s = 0.0

    def _intensity(self) -> float:
        log_rate = 0.0
        for mood, (_, deviation, center) in zip(self._moods, self._shape, strict=True):
            log_rate += deviation * min(max(mood, -MOOD_MAX), MOOD_MAX) - center
        return self._base * math.exp(log_rate) + sum(self._excited)

    def _pass(self, step_s: float) -> None:
        self.time_s += step_s
        for i, (constant, _) in enumerate(KERNELS):
            self._excited[i] *= math.exp(-step_s / constant)

    def _shift_moods(self, step_s: float) -> None:
        for i, (constant, _, _) in enumerate(self._shape):
            keep = math.exp(-step_s / constant)
            noise = math.sqrt(1.0 - keep * keep)
            self._moods[i] = keep * self._moods[i] + noise * self._random.gauss(0.0, 1.0)

    def advance(self) -> float:
        """Draw the next event (by thinning) and return its time in seconds."""
        while True:
            bound = self._intensity()
            step_s = self._random.expovariate(bound)
            if step_s > MOOD_STEP_S:
                self._pass(MOOD_STEP_S)
                self._shift_moods(MOOD_STEP_S)
                continue
            self._pass(step_s)
            accepted = self._random.random() * bound <= self._intensity()
            self._shift_moods(step_s)
            if accepted:
                for i, (constant, part) in enumerate(KERNELS):
                    self._excited[i] += part / constant
                return self.time_s
