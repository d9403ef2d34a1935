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


@njit(
    int64(
        int64, int64, int64,
        uint8[::1], int32[::1], int32[::1], int64[::1], int64[::1], uint8[::1], int32[::1],
    ),
    cache=True, nogil=True,
)  # fmt: skip
def _crossed(
    first: int,
    last: int,
    count: int,
    trusted: Any,
    bid_ticks: Any,
    ask_ticks: Any,
    bid_lots: Any,
    ask_lots: Any,
    alive: Any,
    out_market: Any,
) -> int:
    """Take ``alive`` from the crossed markets of a range, report the trusted ones of them."""
    for market in range(first, last):
        if bid_ticks[market] >= ask_ticks[market] and bid_lots[market] > 0 and ask_lots[market] > 0:
            alive[market] = 0
            if trusted[market] != 0:
                out_market[count] = market
                count += 1
    return count


@njit(
    int64(
        uint8[::1], int32[::1], int32[::1], int64[::1], int64[::1], uint8[::1], int32[::1],
    ),
    cache=True, nogil=True,
)  # fmt: skip
def sweep_mirror(
    trusted: Any,
    bid_ticks: Any,
    ask_ticks: Any,
    bid_lots: Any,
    ask_lots: Any,
    alive: Any,
    out_market: Any,
) -> int:
    """Do what ``scan_mirror`` does for every market, with ``trusted`` 0 or 1.

    The first loop has no branch and no counter, so it becomes vectors; it leaves in ``alive`` where
    bid and ask touch. The second looks at eight markets at a time, and at sizes only there.
    """
    markets = trusted.shape[0]
    for market in range(markets):
        alive[market] = uint8(bid_ticks[market] >= ask_ticks[market])
    count = 0
    eights = markets // 8
    touching = alive[: 8 * eights].view(int64)
    sound = trusted[: 8 * eights].view(int64)
    for eight in range(eights):
        found = touching[eight]
        touching[eight] = sound[eight]
        if found != 0:
            count = _crossed(
                8 * eight, 8 * eight + 8, count,
                trusted, bid_ticks, ask_ticks, bid_lots, ask_lots, alive, out_market,
            )  # fmt: skip
    for market in range(8 * eights, markets):
        alive[market] = trusted[market]
    return _crossed(
        8 * eights, markets, count,
        trusted, bid_ticks, ask_ticks, bid_lots, ask_lots, alive, out_market,
    )  # fmt: skip
