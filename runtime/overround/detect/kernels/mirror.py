"""Mirror alarm: a trusted book whose best bid reaches its best ask.

YES and NO are one book, so ``YES ask + NO ask < 1`` is the same statement as
``YES bid > YES ask``. No venue rests such a book: seeing it means that our copy is wrong.
"""

from __future__ import annotations

from typing import Any

from numba import int32, int64, uint8, uint32, uint64

from overround.detect.kernels.compiled import inlined, kernel

_ONES = uint64(0x0101010101010101)


@inlined
def _two_sided(market: Any, bid_lots: Any, ask_lots: Any) -> Any:
    """Say whether both sides hold something. An empty side crosses nothing.

    ``market`` is unsigned: a signed index may mean "from the end", which costs a look at each.
    """
    return bid_lots[market] > 0 and ask_lots[market] > 0


@kernel(
    int64(
        int32[::1], int64, uint8[::1], int32[::1], int32[::1], int64[::1], int64[::1],
        uint8[::1], int32[::1],
    ),
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
    it crossed.
    """
    count = 0
    for at in range(touched_count):
        market = uint32(touched[at])
        alive[market] = trusted[market]
        if bid_ticks[market] >= ask_ticks[market] and _two_sided(market, bid_lots, ask_lots):
            alive[market] = 0
            if trusted[market] != 0:
                out_market[count] = market
                count += 1
    return count


@kernel(
    int64(
        uint8[::1], int32[::1], int32[::1], int64[::1], int64[::1], uint8[::1], int32[::1],
    ),
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

    The first loop has no branch and no counter, so it becomes vectors; where bid and ask of a
    trusted book touch, it leaves ``alive`` unlike ``trusted``. The second compares the two eight
    markets at a time, and looks at sizes only there.
    """
    markets = trusted.shape[0]
    for market in range(markets):
        alive[market] = trusted[market] & uint8(bid_ticks[market] < ask_ticks[market])
    eights = uint64(markets // 8)
    sound = trusted[: 8 * eights].view(uint64)
    kept = alive[: 8 * eights].view(uint64)
    count = 0
    for eight in range(eights):
        unlike = sound[eight] ^ kept[eight]
        while unlike != uint64(0):
            lowest = unlike & (~unlike + uint64(1))
            unlike ^= lowest
            # One bit a byte below it, summed into the top byte: the index of its byte.
            byte = (((lowest - uint64(1)) & _ONES) * _ONES) >> uint64(56)
            market = uint64(8) * eight + byte
            if _two_sided(market, bid_lots, ask_lots):
                out_market[count] = market
                count += 1
            else:
                alive[market] = 1
    for last in range(uint64(8) * eights, uint64(markets)):
        if trusted[last] != alive[last]:
            if _two_sided(last, bid_lots, ask_lots):
                out_market[count] = last
                count += 1
            else:
                alive[last] = 1
    return count
