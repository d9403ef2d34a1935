"""What the exchange remembers of members' orders and trades, within bounds.

Open orders and unsettled trades are always known. Of finished orders and settled trades only the
latest stay, so a venue that runs for days does not grow. The ids of forgotten orders stay known a
good deal longer: an old signed order that is sent again is refused, not traded again.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable

from overround.sim.records import OrderRecord, TradeRecord

__all__ = ["HISTORY_KEPT", "History"]

HISTORY_KEPT = 50_000
"""Finished orders, and settled trades, kept for queries: some 200 MB of both at most."""

FORGOTTEN_BITS = 20
"""Two tables of 2**20 eight-byte places (16 MB) know the last half to one million ids."""


class _Marks:
    """A set of eight-byte marks of ids, of fixed size; ``full`` at half its places."""

    __slots__ = ("_count", "_mask", "_places")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._places = array("Q", bytes(8 << bits))
        self._count = 0

    @property
    def full(self) -> bool:
        return 2 * self._count > self._mask

    def _find(self, order_id: str) -> tuple[int, int]:
        mark = int(order_id[2:18], 16) or 1  # ids are digests: any 64 bits of them are random
        place = mark & self._mask
        while self._places[place] not in (0, mark):
            place = (place + 1) & self._mask
        return place, mark

    def add(self, order_id: str) -> None:
        place, mark = self._find(order_id)
        self._places[place] = mark
        self._count += 1

    def __contains__(self, order_id: str) -> bool:
        place, mark = self._find(order_id)
        return self._places[place] == mark


class History:
    """Orders and trades by id. ``orders`` and ``trades`` are to be read, never changed."""

    def __init__(self, kept: int = HISTORY_KEPT) -> None:
        """Keep ``kept`` finished orders and as many settled trades, at least one."""
        if kept < 1:
            raise ValueError(f"a history of {kept} orders")
        self.orders: dict[str, OrderRecord] = {}
        self.trades: dict[str, TradeRecord] = {}
        self._kept = kept
        self._done: deque[str] = deque()
        self._settled: deque[TradeRecord] = deque()
        self._forgotten = self._forgotten_before = _Marks(FORGOTTEN_BITS)
        self._of: dict[int, dict[str, TradeRecord]] = {}
        self._accounts: dict[str, tuple[int, ...]] = {}

    def knows(self, order_id: str) -> bool:
        """Return whether an order of this id was ever accepted, as far as memory goes."""
        if order_id in self.orders:
            return True
        return order_id in self._forgotten or order_id in self._forgotten_before

    def add_order(self, record: OrderRecord) -> None:
        """Note an accepted order."""
        self.orders[record.order.id] = record

    def order_done(self, order_id: str) -> None:
        """Note that an order is finished; the oldest finished one may go."""
        self._done.append(order_id)
        if len(self._done) <= self._kept:
            return
        oldest = self._done.popleft()
        if self.orders.pop(oldest, None) is None:
            return
        if self._forgotten.full:
            self._forgotten_before, self._forgotten = self._forgotten, _Marks(FORGOTTEN_BITS)
        self._forgotten.add(oldest)

    def add_trade(self, record: TradeRecord, accounts: Iterable[int]) -> None:
        """Note a trade of these members' accounts."""
        self.trades[record.id] = record
        parties = self._accounts[record.id] = tuple(accounts)
        for account in parties:
            self._of.setdefault(account, {})[record.id] = record

    def trade_settled(self, record: TradeRecord) -> None:
        """Note that a trade is final; the oldest final one may go."""
        self._settled.append(record)
        if len(self._settled) <= self._kept:
            return
        oldest = self._settled.popleft().id
        self.trades.pop(oldest, None)
        for account in self._accounts.pop(oldest, ()):
            self._of[account].pop(oldest, None)

    def trades_of(self, account: int) -> list[TradeRecord]:
        """Return an account's remembered trades, oldest first."""
        return list(self._of.get(account, {}).values())
