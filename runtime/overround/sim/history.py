"""What the exchange remembers of members' orders and trades, within bounds.

Open orders and unsettled trades are always known. Of finished orders and settled trades only the
latest stay, so a venue that runs for days does not grow. The ids of forgotten orders stay known a
good deal longer: an old signed order that is sent again is refused, not traded again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from overround.sim.records import OrderRecord, TradeRecord

__all__ = ["HISTORY_KEPT", "History"]

HISTORY_KEPT = 50_000
"""Finished orders, and settled trades, kept for queries: at most some 200 MB of both."""

FORGOTTEN_MAX = 1_000_000
"""Ids of forgotten orders known at least half this long (eight bytes of each): some 64 MB."""


def _short(order_id: str) -> int:
    return int(order_id[2:18], 16)


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
        self._forgotten: set[int] = set()
        self._forgotten_before: set[int] = set()
        self._of: dict[int, dict[str, TradeRecord]] = {}
        self._accounts: dict[str, tuple[int, ...]] = {}

    def knows(self, order_id: str) -> bool:
        """Return whether an order of this id was ever accepted, as far as memory goes."""
        if order_id in self.orders:
            return True
        short = _short(order_id)
        return short in self._forgotten or short in self._forgotten_before

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
        self._forgotten.add(_short(oldest))
        if len(self._forgotten) > FORGOTTEN_MAX // 2:
            self._forgotten_before, self._forgotten = self._forgotten, set()

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
