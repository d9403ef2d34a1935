"""The ``reports`` ring: what became of an order. News only; the journal is the truth."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class ReportKind(IntEnum):
    """What happened to an order."""

    SENT = 1
    ACCEPTED = 2
    REJECTED = 3
    FILL = 4
    SETTLED = 5
    FAILED = 6
    CANCELED = 7
    UNKNOWN = 8
    REFUSED = 9


REPORT = np.dtype(
    [
        ("sequence", "<u8"),
        ("epoch_ns", "<u8"),  # wall clock
        ("plan", "<u8"),
        ("producer", "<u4"),
        ("kind", "<u2"),  # ReportKind
        ("reason", "<u2"),
        ("producer_sequence", "<u8"),
        ("account", "<u4"),
        ("market", "<u4"),
        ("outcome", "u1"),
        ("side", "u1"),
        ("price_ticks", "<u2"),
        ("pad", "<u4"),
        ("size_lots", "<i8"),
        ("fee_micro", "<i8"),
        ("order_id", "u1", (32,)),  # the EIP-712 digest; not text, so not an S field
        ("spare", "<u8", (3,)),
    ]
)
