"""Strategies' cancels within their rate: what is above it waits its turn, none is dropped."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

from overround.decide.risk import RefusalCode, RiskGate
from overround.execute.news import News
from overround.execute.order import Order, OrderState
from overround.observe.metrics import Value

__all__ = ["CancelQueue"]


class CancelQueue:
    """At most one entry for each working order, oldest first."""

    def __init__(self, gate: RiskGate, news: News, clock: Callable[[], int]) -> None:
        self._gate = gate
        self._news = news
        self._clock = clock
        self._late: dict[Hashable, Order] = {}

    def admit(self, order: Order) -> bool:
        """Return whether an order's cancel may be asked for now; if not it is kept."""
        if order.key in self._late:
            return False
        if self._gate.admit_cancel(self._clock()):
            return True
        self._late[order.key] = order
        self._news.count(Value.CANCELS_DELAYED)
        self._news.notice("cancel delayed", code=RefusalCode.CANCEL_RATE.name)
        return False

    def due(self) -> Iterator[Order]:
        """Yield the kept ones that the rate allows by now, those that ended meanwhile apart."""
        while self._late:
            key = next(iter(self._late))
            if self._late[key].state is OrderState.DONE:
                del self._late[key]
            elif self._gate.admit_cancel(self._clock()):
                yield self._late.pop(key)
            else:
                return
