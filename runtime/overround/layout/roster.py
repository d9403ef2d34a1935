"""The ``roster`` slots: every region and process of a run; how a process finds all the rest."""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np


class RosterKind(IntEnum):
    """What a slot describes."""

    REGION = 1
    PROCESS = 2


class Wait(IntEnum):
    """How a process waits for work."""

    UNSET = 0
    SLEEP = 1
    ADAPTIVE = 2  # spins a moment, then sleeps
    SPIN = 3  # never sleeps


class WaitReason(IntEnum):
    """Why it waits like that; ``host.place`` has the words."""

    UNKNOWN = 0
    ASKED = 1
    ONE_CORE = 2
    FEW_CORES = 3
    CORES_TAKEN = 4
    ISOLATED = 5
    NOT_ISOLATED = 6
    LOOP = 7
    SHARED_CPU = 8


class SeatReason(IntEnum):
    """Why a process sits where it sits; ``host.place`` has the words."""

    UNKNOWN = 0
    ASKED = 1
    OFF = 2
    FEW_CORES = 3
    ISOLATED = 4
    CARD_NODE = 5
    OWN_CORE = 6
    NO_CORE_LEFT = 7


class Wish(IntFlag):
    """What else was asked of the machine for a process."""

    NONE = 0
    PARTITION = 1
    FIFO = 2
    JEMALLOC = 4


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
        ("wait", "<u2"),  # Wait
        ("wait_reason", "<u2"),  # WaitReason
        ("seat_reason", "<u2"),  # SeatReason
        ("wishes", "<u8"),  # bits of Wish
        ("spare", "<u8", (7,)),
    ]
)
