"""Rolling signals of one price: z-score and Bollinger bands over a window, and an EWMA.

Sums of a window are kept as integers, so they cannot drift however long a process runs; only what
is handed out is floating point. One update costs the same whatever the window. Nothing is fused
(no ``fastmath``), so every machine gets the same digits.

For strategies, which call it from a compiled loop of their own: a call from Python costs more than
a hundred updates. The runtime itself judges prices alone and calls it nowhere.
"""

from __future__ import annotations

import math
from typing import Any

from numba import float64, int64, uint64

from overround.detect.kernels.compiled import kernel

BAND_WIDTH = 2.0
"""Bollinger bands lie so many standard deviations from the mean."""


@kernel(
    float64(int64, int64[::1], int64[::1], float64[::1], float64[::1]),
    error_model="numpy",
)  # fmt: skip
def update_signals(tick: int, window: Any, sums: Any, ewma: Any, out: Any) -> float:
    """Take one price in ticks; return its z-score, 0 while the window knows one value only.

    ``window`` holds the last prices, at most 2**18 of them, ``sums`` their sum, the sum of their
    squares, how many there are and where the next goes. ``ewma`` is the average, the weight of a
    new price and one over the number held. All but the weight begin as zeros. ``out`` gets z-score,
    lower band, upper band and average. Until the window is full its statistics are those of what it
    holds; the first price starts the average.
    """
    size = window.shape[0]
    at = uint64(sums[3])
    old = window[at]
    window[at] = tick
    at += uint64(1)
    sums[3] = 0 if at == uint64(size) else int64(at)
    count = sums[2]
    if count < size:
        old = 0
        count += 1
        sums[2] = count
        ewma[2] = 1.0 / count
        if count == 1:
            ewma[0] = tick
    total = sums[0] + tick - old
    squares = sums[1] + tick * tick - old * old
    sums[0] = total
    sums[1] = squares
    scale = ewma[2]  # a division each would keep the divider busy that the other two need
    mean = total * scale
    deviation = math.sqrt(squares * count - total * total) * scale
    # The next tick waits for this: of the three steps only two need the average before.
    average = ewma[0] * (1.0 - ewma[1]) + ewma[1] * tick
    ewma[0] = average
    score = (tick - mean) / deviation if deviation > 0 else 0.0
    out[0] = score
    out[1] = mean - BAND_WIDTH * deviation
    out[2] = mean + BAND_WIDTH * deviation
    out[3] = average
    return score
