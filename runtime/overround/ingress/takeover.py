"""Withdraws trust from every book a dead ingress left, before its region is usable again."""

from __future__ import annotations

from overround.layout.board import UntrustCause
from overround.layout.change import BookFlag
from overround.shm.segment import Segment
from overround.shm.slots import Slots

__all__ = ["distrust_board"]


def distrust_board(board: Segment) -> int:
    """Store every trusted slot of an owned board as untrusted; return how many there were.

    Call between ``take_over`` and the first ``beat``: until then no reader acts on the board,
    afterwards a slot says so itself, whether or not its market is ever subscribed again.
    """
    slots = Slots(board)
    withdrawn = 0
    for index in range(slots.count):
        record = slots.load(index)
        if record is None or not int(record["flags"]) & BookFlag.TRUSTED:
            continue
        record["flags"] = int(record["flags"]) & ~int(BookFlag.TRUSTED)
        record["cause"] = UntrustCause.WRITER_RESTART
        slots.store(index, record)
        withdrawn += 1
    return withdrawn
