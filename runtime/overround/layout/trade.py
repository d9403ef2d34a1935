"""The ``trades`` ring: prints and market events; nothing in it may be conflated."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class TradeKind(IntEnum):
    """What happened; same as ``enum ovr_trade_kind``."""

    PRINT = 1  # price_ticks, size_lots, side, outcome of a trade
    TICK = 2  # value: the new tick_ticks
    NEW = 3
    RESOLVED = 4  # outcome: the winner
    TRUST_LOST = 5  # cause: board.UntrustCause
    TRUST_GAINED = 6


TRADE = np.dtype(
    [
        ("sequence", "<u8"),
        ("recv_ns", "<u8"),
        ("market", "<u4"),
        ("kind", "<u2"),  # TradeKind
        ("cause", "<u2"),
        ("venue_epoch_ms", "<u8"),
        ("price_ticks", "<u2"),
        ("side", "u1"),  # 0 BUY, 1 SELL: the taker's
        ("outcome", "u1"),  # 0 YES, 1 NO
        ("value", "<u4"),
        ("size_lots", "<i8"),
        ("event_sequence", "<u8"),
        ("spare", "<u8"),
    ]
)
