"""A look into an executor's journal at the moment its orders arrive.

An executor must have written an order's SIGNED and SENT records before the first byte of the
order leaves it. The exchange can tell: what is not in the journal's files when the bytes are
here was not written before. Journal and exchange are on one machine, so both see one page cache.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from overround.ledger.follow import Follower
from overround.ledger.records import Record, Sent, decode

__all__ = ["JournalWatch"]

RECORDS_AT_ONCE = 4_096


class JournalWatch:
    """Order ids that a journal holds as signed and as sent. ``unjournaled`` counts the others."""

    def __init__(self, folder: Path) -> None:
        """Watch ``folder``, which need not exist yet."""
        self.unjournaled = 0
        self._follower = Follower(folder)
        self._signed: set[str] = set()
        self._sent: set[str] = set()

    def missing(self, order_ids: list[str]) -> dict[str, list[str]]:
        """Return which of "signed" and "sent" each order lacks, and count the orders that lack one.

        Reads what was appended since the last call. JournalDamage if the journal is damaged.
        """
        while found := self._follower.poll(RECORDS_AT_ONCE):
            for raw in found:
                try:
                    self._note(decode(raw))
                except (ValueError, KeyError, msgspec.DecodeError):
                    continue  # a kind of a newer executor: no order is sent by it
        lacks = {}
        for order_id in order_ids:
            names = [] if order_id in self._signed else ["signed"]
            if order_id not in self._sent:
                names.append("sent")
            if names:
                lacks[order_id] = names
        self.unjournaled += len(lacks)
        return lacks

    def _note(self, record: Record) -> None:
        if isinstance(record, Sent):
            self._sent.update(record.order_ids)
        elif hasattr(record, "body"):  # the exact bytes of an order: SIGNED, or one of the pool
            self._signed.add(getattr(record, "order_id", ""))

    def close(self) -> None:
        """Give the files back."""
        self._follower.close()
