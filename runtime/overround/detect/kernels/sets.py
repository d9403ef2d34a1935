"""Exhaustive sets on best prices: which complete sets cost less than they pay?

Exactly one outcome of a set pays 1. Buying every YES at its ask pays 1 per set; buying every
NO at one minus its bid pays n - 1. Money is counted in units of 1e-14 dollars per share,
because a price is a multiple of 1e-4 and a fee ``rate * p * (1 - p)`` one of
1e-6 * 1e-4 * 1e-4: sums are exact, and a set of 900 legs still fits 64 bits.

A set is a hit when every leg is alive (trusted and sound), the smallest best size reaches the
set's own minimum, and the edge is positive and at least ``threshold``.
"""

from __future__ import annotations

from typing import Any

from numba import boolean, int32, int64, uint8, uint32, uint64

from overround.detect.kernels.compiled import inlined, kernel

BUY_ALL = 1
SELL_ALL = 2

_TICK = 10_000_000_000
"""One price tick (1e-4) in units of 1e-14."""
_UNIT = 100_000_000_000_000
"""A payoff of 1 in units of 1e-14."""
_PAR = 10_000
"""Ticks in a unit payoff."""
_FEW = uint64(8)
"""Legs that are not worth a vector."""


@inlined
def _may_pay(at: Any, last: Any, members: Any, bid_ticks: Any, ask_ticks: Any) -> Any:
    """Say whether the prices of the members from ``at`` to before ``last`` could make a hit.

    Fees are never negative, so asks that sum to one or more cannot be one, nor bids that sum to one
    or less. Nearly every set ends here, before fees, sizes and liveness are looked at.

    All is unsigned: a signed index may mean "from the end", which costs a look at each. A few legs
    have a loop of their own, or each small set would pay for the set-up of vectors.
    """
    asks = uint64(0)
    bids = uint64(0)
    if last - at < _FEW:
        while at < last:
            leg = uint32(members[at])
            asks += uint64(uint32(ask_ticks[leg]))
            bids += uint64(uint32(bid_ticks[leg]))
            at += uint64(1)
    else:
        while at < last:
            leg = uint32(members[at])
            asks += uint64(uint32(ask_ticks[leg]))
            bids += uint64(uint32(bid_ticks[leg]))
            at += uint64(1)
    return (asks < uint64(_PAR)) | (bids > uint64(_PAR))


@kernel(
    boolean(
        int64, int32[::1], int32[::1], uint8[::1],
        int32[::1], int32[::1], int64[::1], int64[::1], int64[::1], int64[::1],
    ),
)  # fmt: skip
def _price_set(
    index: int,
    offsets: Any,
    members: Any,
    alive: Any,
    bid_ticks: Any,
    ask_ticks: Any,
    bid_lots: Any,
    ask_lots: Any,
    rate_ppm: Any,
    out: Any,
) -> bool:
    """Write buy edge, buy size, sell edge, sell size of one set; false if a leg is dead."""
    first: int = offsets[index]
    last: int = offsets[index + 1]
    buy_edge = _UNIT
    sell_edge = -_UNIT
    buy_lots = 2**63 - 1
    sell_lots = 2**63 - 1
    for at in range(first, last):
        market = members[at]
        if alive[market] == 0:
            return False
        ask = ask_ticks[market]
        bid = bid_ticks[market]
        rate = rate_ppm[market]
        buy_edge -= ask * _TICK + rate * ask * (_PAR - ask)
        sell_edge += bid * _TICK - rate * bid * (_PAR - bid)
        buy_lots = min(buy_lots, ask_lots[market])
        sell_lots = min(sell_lots, bid_lots[market])
    out[0] = buy_edge
    out[1] = buy_lots
    out[2] = sell_edge
    out[3] = sell_lots
    return last > first


@kernel(
    int64(
        int64, int64, int64, int64[::1], int64[::1],
        int32[::1], int32[::1], int64[::1], int64[::1],
    ),
)  # fmt: skip
def _emit(
    count: int,
    index: int,
    threshold: int,
    priced: Any,
    min_lots: Any,
    out_set: Any,
    out_kind: Any,
    out_edge: Any,
    out_lots: Any,
) -> int:
    """Append the hits of one priced set to the outputs and return the new count."""
    floor = max(threshold, 1)
    smallest = max(min_lots[index], 1)
    for side in range(2):
        edge = priced[2 * side]
        lots = priced[2 * side + 1]
        if edge >= floor and lots >= smallest and count < out_set.shape[0]:
            out_set[count] = index
            out_kind[count] = BUY_ALL + side
            out_edge[count] = edge
            out_lots[count] = lots
            count += 1
    return count


_OUTPUTS = (int32[::1], int32[::1], int64[::1], int64[::1])
_BOOKS = (uint8[::1], int32[::1], int32[::1], int64[::1], int64[::1], int64[::1])


@kernel(
    int64(
        int32[::1], int64, int32[::1], int32[::1], int32[::1], int32[::1], int64[::1], uint8[::1],
        *_BOOKS, int64, int64[::1], *_OUTPUTS,
    ),
)  # fmt: skip
def scan_touched(
    touched: Any,
    touched_count: int,
    market_offsets: Any,
    market_sets: Any,
    offsets: Any,
    members: Any,
    min_lots: Any,
    mark: Any,
    alive: Any,
    bid_ticks: Any,
    ask_ticks: Any,
    bid_lots: Any,
    ask_lots: Any,
    rate_ppm: Any,
    threshold: int,
    scanned: Any,
    out_set: Any,
    out_kind: Any,
    out_edge: Any,
    out_lots: Any,
) -> int:
    """Scan the sets that hold a touched market, each once; return the number of hits.

    ``mark`` is one byte a set, all zero on entry and on return; ``scanned[0]`` grows by the
    number of sets looked at.
    """
    priced = scanned[1:]
    count = 0
    for pass_index in range(2):
        for at in range(touched_count):
            market = uint64(touched[at])
            last_link = uint64(market_offsets[market + uint64(1)])
            for link in range(uint64(market_offsets[market]), last_link):
                index = uint32(market_sets[link])
                if pass_index == 1:
                    mark[index] = 0
                elif mark[index] == 0:
                    mark[index] = 1
                    scanned[0] += 1
                    first = uint64(offsets[index])
                    last = uint64(offsets[uint64(index) + uint64(1)])
                    if _may_pay(first, last, members, bid_ticks, ask_ticks) and _price_set(
                        index, offsets, members, alive,
                        bid_ticks, ask_ticks, bid_lots, ask_lots, rate_ppm, priced,
                    ):  # fmt: skip
                        count = _emit(
                            count, index, threshold, priced, min_lots,
                            out_set, out_kind, out_edge, out_lots,
                        )  # fmt: skip
    return count


@kernel(
    int64(int32[::1], int32[::1], int64[::1], *_BOOKS, int64, int64[::1], *_OUTPUTS),
)  # fmt: skip
def scan_all(
    offsets: Any,
    members: Any,
    min_lots: Any,
    alive: Any,
    bid_ticks: Any,
    ask_ticks: Any,
    bid_lots: Any,
    ask_lots: Any,
    rate_ppm: Any,
    threshold: int,
    scanned: Any,
    out_set: Any,
    out_kind: Any,
    out_edge: Any,
    out_lots: Any,
) -> int:
    """Scan every set in order of its index; return the number of hits.

    ``scanned[0]`` grows by the number of sets; the four further words are scratch.
    """
    priced = scanned[1:]
    count = 0
    last = uint64(offsets[0])
    for index in range(offsets.shape[0] - 1):
        first, last = last, uint64(offsets[index + 1])
        if _may_pay(first, last, members, bid_ticks, ask_ticks) and _price_set(
            index, offsets, members, alive,
            bid_ticks, ask_ticks, bid_lots, ask_lots, rate_ppm, priced,
        ):  # fmt: skip
            count = _emit(
                count, index, threshold, priced, min_lots,
                out_set, out_kind, out_edge, out_lots,
            )  # fmt: skip
    scanned[0] += offsets.shape[0] - 1
    return count
