"""How a process is placed on the machine: the numbers that stand in its roster row."""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = ["SeatReason", "Wait", "WaitReason", "Wish"]


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
