"""What a share is worth, now and in a moment: the value a market's traders quote around.

Recorded mids are played there and back again, so that a long run never jumps. Other lone markets
jump by a few ticks now and then, the busier the more often: of a hot market's seconds a third
see a move, as recorded. Outcomes of a complete set stay where they are, because moving one alone
would open an arbitrage. The future is known to whoever asks: informed traders do.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

from overround.sim.catalog import SimMarket

__all__ = ["FairValue", "JumpingValue", "RecordedValue", "StillValue", "fair_value"]

VALUE_TICKS_MIN, VALUE_TICKS_MAX = 500, 9_500
"""Values stay inside this range: beyond it the tick would change."""

JUMPS_PER_FRAME = 0.006
"""Jumps of the value a frame of the market; a market of 60 frames a second jumps every 2.8 s."""

JUMPS_PER_S_MAX = 0.4
JUMP_MORE_SHARE = 0.45
"""A jump is one tick, two with this chance, three with its square ..."""

JUMP_TICKS_MAX = 15

MEMORY_S = 10.0
"""How far back a jumping value is remembered: more than anybody looks ahead."""


class FairValue(Protocol):
    """A value in price ticks as a function of the flow's own time, which never runs back."""

    def at(self, time_s: float) -> int:
        """Return the value at a time."""


class StillValue:
    """A value that never moves."""

    __slots__ = ("_ticks",)

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks

    def at(self, time_s: float) -> int:
        """Return the value."""
        return self._ticks


class RecordedValue:
    """A recorded path of one mid a second, played forth and back."""

    __slots__ = ("_market",)

    def __init__(self, market: SimMarket) -> None:
        self._market = market

    def at(self, time_s: float) -> int:
        """Return the recorded mid, kept inside the range."""
        path = self._market.mid_path_ticks
        turn = int(time_s) % (2 * len(path) - 1)
        ticks = path[min(turn, 2 * len(path) - 2 - turn)]
        return min(max(ticks, VALUE_TICKS_MIN), VALUE_TICKS_MAX)


class JumpingValue:
    """Jumps at exponential intervals by geometric numbers of ticks, reflected at the ends."""

    __slots__ = ("_jumps", "_last", "_next_s", "_per_s", "_random", "_tick", "_ticks")

    def __init__(
        self, ticks: int, tick_ticks: int, per_s: float, start_s: float, random: Random
    ) -> None:
        self._random = random
        self._per_s = per_s
        self._tick = tick_ticks
        self._ticks = self._last = ticks
        self._next_s = start_s + random.expovariate(per_s)
        self._jumps: deque[tuple[float, int]] = deque()

    def at(self, time_s: float) -> int:
        """Return the value; one may look back by MEMORY_S from the last time asked about."""
        while self._next_s <= time_s:
            self._last = self._jumped(self._last)
            self._jumps.append((self._next_s, self._last))
            self._next_s += self._random.expovariate(self._per_s)
        while self._jumps and self._jumps[0][0] <= time_s - MEMORY_S:
            self._ticks = self._jumps.popleft()[1]
        value = self._ticks
        for jump_s, ticks in self._jumps:
            if jump_s > time_s:
                break
            value = ticks
        return value

    def _jumped(self, ticks: int) -> int:
        random = self._random
        steps = 1
        while steps < JUMP_TICKS_MAX and random.random() < JUMP_MORE_SHARE:
            steps += 1
        moved = ticks + (steps if random.random() < 0.5 else -steps) * self._tick
        if moved > VALUE_TICKS_MAX:
            moved = 2 * VALUE_TICKS_MAX - moved
        return 2 * VALUE_TICKS_MIN - moved if moved < VALUE_TICKS_MIN else moved


def fair_value(
    market: SimMarket, start_ticks: int, frames_per_s: float, start_s: float, random: Random
) -> FairValue:
    """Return the value of a market that will send so many frames a second from a time on."""
    if market.mid_path_ticks:
        return RecordedValue(market)
    per_s = min(JUMPS_PER_FRAME * frames_per_s, JUMPS_PER_S_MAX)
    inside = VALUE_TICKS_MIN < start_ticks < VALUE_TICKS_MAX
    if market.event.set_id or not per_s or not inside:
        return StillValue(start_ticks)
    return JumpingValue(start_ticks, market.rules.tick_ticks, per_s, start_s, random)
