"""The ``account`` slots: the summary of an account, and one slot a position."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class AccountKind(IntEnum):
    """What a slot describes."""

    SUMMARY = 1
    POSITION = 2


ACCOUNT = np.dtype(
    [
        ("sequence", "<u8"),
        ("kind", "<u2"),  # AccountKind
        ("outcome", "u1"),
        ("pad", "u1"),
        ("account", "<u4"),
        ("market", "<u4"),
        ("pad2", "<u4"),
        ("confirmed_lots", "<i8"),
        ("pending_lots", "<i8"),
        ("open_lots", "<i8"),
        ("cost_micro", "<i8"),
        ("cash_micro", "<i8"),
        ("reserved_micro", "<i8"),
        ("fees_micro", "<i8"),
        ("pnl_micro", "<i8"),
        ("spare", "<u8", (5,)),
    ]
)
