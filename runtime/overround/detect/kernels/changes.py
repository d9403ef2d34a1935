"""A batch of ring records into the detector's private columns, in one call.

Records come as rows of eight 64-bit words (the ``changes`` layout, little-endian), because a
plain array costs a tenth of a structured one to hand over. Word 2 is market | version << 32,
word 4 is bid | ask << 16 | flags << 32, words 5 and 6 are the sizes; a test compares these
positions with the layout.
"""

from __future__ import annotations

from typing import Any

from numba import int32, int64, uint8, uint32

from overround.detect.kernels.compiled import kernel

_FLAGS_JUDGED = 1 | 4 | 8
"""TRUSTED, CROSSED and RESOLVED: a book counts as trusted when the first stands alone."""
_TRUSTED = 1
_HALF_RANGE = 2**31


@kernel(
    int64(
        int64[:, ::1], int64, int64[::1], uint8[::1], uint8[::1],
        int32[::1], int32[::1], int64[::1], int64[::1], int32[::1],
    ),
)  # fmt: skip
def apply_changes(
    words: Any,
    count: int,
    version_seen: Any,
    mark: Any,
    trusted: Any,
    bid_ticks: Any,
    ask_ticks: Any,
    bid_lots: Any,
    ask_lots: Any,
    out_touched: Any,
) -> int:
    """Apply ``count`` records; return how many markets changed, listed once each.

    A record whose version is not newer than the one seen (32-bit, wrapping) is skipped: after
    a sweep of the board the ring may still hold older states. Markets beyond the columns are
    skipped. ``mark`` is one byte a market, all zero on entry and on return.
    """
    touched = 0
    for row in range(count):
        market = uint32(words[row, 2])
        if market >= version_seen.shape[0]:
            continue
        version = (words[row, 2] >> 32) & 0xFFFFFFFF
        ahead = (version - version_seen[market]) & 0xFFFFFFFF
        if ahead == 0 or ahead >= _HALF_RANGE:
            continue
        version_seen[market] = version
        packed = words[row, 4]
        flags = (packed >> 32) & 0xFFFFFFFF
        trusted[market] = uint8(flags & _FLAGS_JUDGED == _TRUSTED)
        bid_ticks[market] = packed & 0xFFFF
        ask_ticks[market] = (packed >> 16) & 0xFFFF
        bid_lots[market] = words[row, 5]
        ask_lots[market] = words[row, 6]
        if mark[market] == 0:
            mark[market] = 1
            out_touched[touched] = market
            touched += 1
    for at in range(touched):
        mark[uint32(out_touched[at])] = 0
    return touched
