"""The ``catalog`` slots: append-only markets; a slot number is a market's index for ever."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

SET_NONE = 0xFFFF_FFFF
"""``set_index`` of a market that belongs to no set."""


class MarketStatus(IntEnum):
    """Life of a market."""

    ACTIVE = 1
    CLOSED = 2
    RESOLVED = 3


CATALOG = np.dtype(
    [
        ("sequence", "<u8"),
        ("market", "<u4"),  # its own index
        ("venue", "<u2"),
        ("status", "<u2"),  # MarketStatus
        ("tick_ticks", "<u2"),
        ("neg_risk", "u1"),
        ("fee_exponent", "u1"),
        ("taker_delay_ms", "<u4"),
        ("min_size_lots", "<i8"),
        ("fee_rate_ppm", "<u4"),  # rate in millionths
        ("set_index", "<u4"),  # SET_NONE if none
        ("set_size", "<u2"),
        ("set_position", "<u2"),
        ("set_complete", "u1"),  # exactly one member pays out
        ("fee_known", "u1"),
        ("shard", "<u2"),
        ("condition_id", "S66"),
        ("token_yes", "S80"),
        ("token_no", "S80"),
        ("slug", "S96"),
        ("spare", "S14"),
    ]
)
