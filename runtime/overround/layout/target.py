"""The ``targets`` slots: the quotes a strategy wants to stand in a market."""

from __future__ import annotations

import numpy as np

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
        ("spare", "<u8", (2,)),
    ]
)
