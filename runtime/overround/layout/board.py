"""The ``board`` slots: the latest book of each market, sixteen levels a side, best first."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

LEVELS_MAX = 16
"""Levels a side in a slot; ``truncated`` counts those left out."""


class Proof(IntEnum):
    """What a book was last compared with; same as ``enum ovr_proof``."""

    NONE = 0
    SNAPSHOT = 1
    BBO = 2
    HASH = 3
    SEQUENCE = 4
    POLLED = 5


class UntrustCause(IntEnum):
    """Why a book lost trust; same as ``enum ovr_untrust_cause``."""

    NONE = 0
    START = 1
    DISAGREE = 2
    CROSSED = 3
    HASH = 4
    TICK = 5
    RECONNECT = 6
    SILENCE = 7
    REST = 8
    SNAPSHOT_TIMEOUT = 9
    WRITER_RESTART = 10


BOARD = np.dtype(
    [
        ("sequence", "<u8"),  # odd while written; version = sequence / 2
        ("market", "<u4"),
        ("status", "<u2"),  # catalog.MarketStatus
        ("tick_ticks", "<u2"),
        ("recv_ns", "<u8"),
        ("publish_ns", "<u8"),
        ("venue_epoch_ms", "<u8"),
        ("flags", "<u4"),  # change.BookFlag
        ("proof", "<u2"),  # Proof
        ("cause", "<u2"),  # UntrustCause of the last loss of trust
        ("proved_sequence", "<u8"),  # event_sequence of the state that was proved
        ("proved_ns", "<u8"),
        ("event_sequence", "<u8"),
        ("last_trade_ticks", "<u2"),
        ("last_trade_side", "<u2"),
        ("bid_levels", "<u2"),  # filled entries of the arrays below
        ("ask_levels", "<u2"),
        ("truncated", "<u4"),
        ("pad", "<u4"),
        ("last_trade_lots", "<i8"),
        ("last_trade_epoch_ms", "<u8"),
        ("bid_ticks", "<u2", (LEVELS_MAX,)),
        ("ask_ticks", "<u2", (LEVELS_MAX,)),
        ("bid_lots", "<i8", (LEVELS_MAX,)),
        ("ask_lots", "<i8", (LEVELS_MAX,)),
        ("spare", "<u8", (3,)),
    ]
)
