"""Rolling signals against what statistics says of the same prices."""

from __future__ import annotations

from statistics import fmean, pstdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround.detect.kernels.signals import BAND_WIDTH, update_signals


class Signals:
    """One price's state."""

    def __init__(self, window: int, weight: float) -> None:
        self.window, self.sums = np.zeros(window, np.int64), np.zeros(4, np.int64)
        self.ewma, self.out = np.array([0.0, weight, 0.0]), np.zeros(4)

    def update(self, tick: int) -> list[float]:
        score = update_signals(tick, self.window, self.sums, self.ewma, self.out)
        assert score == self.out[0]
        return self.out.tolist()


@settings(max_examples=100)
@given(st.integers(1, 9), st.lists(st.integers(0, 10_000), min_size=1, max_size=60))
def test_every_update_says_what_a_recomputation_says(window: int, ticks: list[int]):
    signals, average = Signals(window, 0.25), float(ticks[0])
    for n, tick in enumerate(ticks, 1):
        score, lower, upper, smooth = signals.update(tick)
        held = ticks[max(0, n - window) : n]
        mean, deviation = fmean(held), pstdev(held)
        average += 0.25 * (tick - average)
        assert smooth == pytest.approx(average)
        assert lower == pytest.approx(mean - BAND_WIDTH * deviation, abs=1e-6)
        assert upper == pytest.approx(mean + BAND_WIDTH * deviation, abs=1e-6)
        assert score == pytest.approx((tick - mean) / deviation if deviation else 0.0, abs=1e-6)


def test_however_many_updates_later_the_sums_are_exact():
    signals = Signals(16, 0.1)
    for _ in range(20_000):
        for tick in (1, 9_999, 5_000):
            signals.update(tick)
    assert signals.sums[0] == int(signals.window.sum())
    assert signals.sums[1] == int((signals.window**2).sum())


def test_the_largest_prices_in_the_longest_window_do_not_overflow():
    signals = Signals(2**18, 0.1)
    signals.window[:] = 10_000
    signals.sums[:] = 10_000 * 2**18, 10_000**2 * 2**18, 2**18, 0
    signals.ewma[:] = 10_000, 0.1, 2.0**-18
    assert signals.update(10_000) == [0, 10_000, 10_000, pytest.approx(10_000)]
    score, lower, _, _ = signals.update(0)
    assert score == pytest.approx(-np.sqrt(2**18 - 1))
    assert lower < 10_000


def test_a_price_that_stays_leaves_every_signal_at_rest():
    signals = Signals(8, 0.1)
    for _ in range(50_000):
        score, lower, upper, average = signals.update(5_431)
        assert (score, lower, upper) == (0, 5_431, 5_431)
    assert average == pytest.approx(5_431, rel=1e-12)
