"""Mirror alarm: a trusted book whose best bid reaches its best ask.

YES and NO are one book, so ``YES ask + NO ask < 1`` is the same statement as
``YES bid > YES ask``. No venue rests such a book: seeing it means that our copy is wrong.
"""

from __future__ import annotations

from typing import Any

from numba import int32, int64, njit, uint8


@njit(
    int64(
        int32[::1], int64, uint8[::1], int32[::1], int32[::1], int64[::1], int64[::1],
        uint8[::1], int32[::1],
    ),
    cache=True, nogil=True,
)  # fmt: skip
def scan_mirror(
    touched: Any,
    touched_count: int,
    trusted: Any,
    bid_ticks: Any,
    ask_ticks: Any,
    bid_lots: Any,
    ask_lots: Any,
    alive: Any,
    out_market: Any,
) -> int:
    """Set ``alive`` of each touched market; return how many trusted ones turned up crossed.

    Alive is trusted and not crossed. A crossed market is reported at every change that leaves
    it crossed. An empty side (no size) crosses nothing.
    """
    count = 0
    for at in range(touched_count):
        market = touched[at]
        crossed = (
            bid_lots[market] > 0 and ask_lots[market] > 0 and bid_ticks[market] >= ask_ticks[market]
        )
        alive[market] = uint8(trusted[market] != 0 and not crossed)
        if crossed and trusted[market] != 0:
            out_market[count] = market
            count += 1
    return count
