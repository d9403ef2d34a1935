"""The ``targets`` slots: the quotes a strategy wants to stand in a market, one slot a market.

Prices are of the YES token. A side of no shares is not wanted. The slot is void from
``expires_ns`` on, while its owner is silent, and once the board it names was replaced.
"""

from __future__ import annotations

from enum import IntFlag

import numpy as np


class TargetFlag(IntFlag):
    """Bits of ``flags``."""

    GTD = 1  # the venue too is told when the quotes end


TARGET = np.dtype(
    [
        ("sequence", "<u8"),
        ("strategy", "<u4"),
        ("market", "<u4"),
        ("bid_ticks", "<u2"),
        ("ask_ticks", "<u2"),
        ("flags", "<u4"),
        ("bid_lots", "<i8"),
        ("ask_lots", "<i8"),
        ("updated_ns", "<u8"),
        ("expires_ns", "<u8"),  # quotes must not outlive it; 0 in an empty slot
        ("ingress_epoch", "<u8"),  # of the board the quotes were made on
    ]
)
