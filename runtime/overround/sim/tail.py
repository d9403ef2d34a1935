"""The long tail of markets: one stream of events for all of them, dealt out by weight.

Thousands of markets with an event a minute or less would each need arrivals of their own; one
stream costs the same however many there are. Events come in runs: often the market that had
the last one has the next one too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random

__all__ = ["Tail"]

STAY_SHARE = 0.6
"""How often an event belongs to the market of the one before."""


class Tail:
    """Deals events to markets, ``weights`` being their long-run shares (any scale, above 0)."""

    __slots__ = ("_indices", "_last", "_random", "_sums")

    def __init__(self, indices: Sequence[int], weights: Sequence[float], random: Random) -> None:
        self._indices = indices
        self._sums = list(accumulate(weights))
        self._random = random
        self._last = indices[0]

    def draw(self) -> int:
        """Return the market of the next event."""
        if self._random.random() >= STAY_SHARE:
            at = bisect_right(self._sums, self._random.random() * self._sums[-1])
            self._last = self._indices[min(at, len(self._indices) - 1)]
        return self._last
