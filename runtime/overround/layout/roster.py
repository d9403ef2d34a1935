"""The ``roster`` slots: every region and process of a run; how a process finds all the rest."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class RosterKind(IntEnum):
    """What a slot describes."""

    REGION = 1
    PROCESS = 2


ROSTER = np.dtype(
    [
        ("sequence", "<u8"),
        ("kind", "<u2"),  # RosterKind
        ("role", "<u2"),  # of a region: its region.RegionKind
        ("shard", "<u2"),
        ("state", "<u2"),
        ("generation", "<u4"),
        ("pid", "<u4"),
        ("start_ticks", "<u8"),  # with pid: the identity of a process
        ("restarts", "<u4"),
        ("cpu", "<i4"),  # -1 when not pinned
        ("name", "S48"),  # process name, or region key such as "board-0"
        ("segment", "S96"),  # name of the segment
        ("node", "<i2"),  # memory node asked for, -1 none
        ("wait", "<u2"),  # seat.Wait
        ("wait_reason", "<u2"),  # seat.WaitReason
        ("seat_reason", "<u2"),  # seat.SeatReason
        ("wishes", "<u8"),  # bits of seat.Wish
        ("spare", "<u8", (7,)),
    ]
)
