"""The ``changes`` ring: the top of one YES-side book, one cache line a record."""

from __future__ import annotations

from enum import IntFlag
from typing import Any

import numpy as np


class BookFlag(IntFlag):
    """Bits of ``flags`` in changes and board; same as ``enum ovr_book_flag``."""

    TRUSTED = 1
    SNAPSHOT = 2
    CROSSED = 4
    RESOLVED = 8


_JUDGED = int(BookFlag.TRUSTED | BookFlag.CROSSED | BookFlag.RESOLVED)
_TRUSTED = int(BookFlag.TRUSTED)


def is_sound(flags: Any) -> Any:
    """Return whether a book may be traded on: trusted, and neither crossed nor resolved.

    ``flags`` is one book's as an int, or an array of many.
    """
    return flags & _JUDGED == _TRUSTED


CHANGE = np.dtype(
    [
        ("sequence", "<u8"),  # 2n+2 for record n; the region's own
        ("recv_ns", "<u8"),
        ("market", "<u4"),  # catalog index
        ("version", "<u4"),  # low half of board sequence / 2 after the same publish
        ("venue_epoch_ms", "<u8"),
        ("bid_ticks", "<u2"),  # empty side: 0, size 0
        ("ask_ticks", "<u2"),  # empty side: 10000, size 0
        ("flags", "<u4"),  # BookFlag
        ("bid_lots", "<i8"),
        ("ask_lots", "<i8"),
        ("event_sequence", "<u8"),
    ]
)
