"""The ``intents`` rings: what a producer wants done, one leg a record."""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np

YES, NO = 0, 1
"""``outcome``: the first and the second token of a condition."""
BUY, SELL = 0, 1
"""``side``."""
OWN_SEQUENCE = 1 << 62
"""Producer sequences of the executor's own intents (quotes, repairs of plans) begin here: no
producer's ring ever comes this far."""


class IntentFlag(IntFlag):
    """Bits of ``flags``."""

    POST_ONLY = 1
    CANCEL = 2  # target_sequence names the intent to cancel; never expires
    ORDERED = 4  # of a plan: its legs leave one after the other, each when the last is filled
    LEAVE = 8  # of a plan: what it missed is neither completed nor sold back
    QUOTE = 16  # made by the executor for a target: it stands as long as that wants it


class OrderType(IntEnum):
    """How long an order lives."""

    GTC = 0
    GTD = 1
    FOK = 2
    FAK = 3


INTENT = np.dtype(
    [
        ("sequence", "<u8"),
        ("producer_sequence", "<u8"),  # with producer: the key of exactly-once
        ("created_ns", "<u8"),
        ("expires_ns", "<u8"),
        ("seen_ns", "<u8"),
        ("event_recv_ns", "<u8"),
        ("board_sequence", "<u8"),  # of the slot the decision was made on
        ("ingress_epoch", "<u8"),  # of the board when it was made
        ("plan", "<u8"),  # producer_sequence of the first leg
        ("producer", "<u4"),  # index in the roster
        ("account", "<u4"),
        ("strategy", "<u4"),
        ("market", "<u4"),
        ("leg", "<u2"),  # 0 .. legs - 1
        ("legs", "<u2"),
        ("outcome", "u1"),  # 0 YES, 1 NO
        ("side", "u1"),  # 0 BUY, 1 SELL
        ("order_type", "u1"),  # OrderType
        ("flags", "u1"),  # IntentFlag
        ("price_ticks", "<u2"),
        ("pad", "<u2", (3,)),
        ("size_lots", "<i8"),
        ("edge_micro", "<i8"),
        ("target_sequence", "<u8"),
        ("expiration_s", "<u8"),  # wall time a GTD order states; 0 for every other
        ("spare", "<u8", (7,)),
    ]
)
