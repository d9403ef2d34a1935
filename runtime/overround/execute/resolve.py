"""Unknown outcomes and open orders, settled by what the venue's listings prove.

"Not found" proves nothing while bytes may be under way. So an order of unknown outcome is asked
for by its id; if it is not there it is sent again with identical bytes while it is still wanted,
else cancelled by id; only an answer to a question asked ``quiet`` after its last byte may end
it. It keeps its id for ever: should it turn up later it is taken up again, and cancelled.

A listing is judged only by what was true when it was asked for: an order touched since then is
left to the next one. Listings that are not complete are not used at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from overround.clock import NS_PER_MS
from overround.decide.risk import RefusalCode
from overround.execute.executor import Submission, acknowledge, ended
from overround.execute.news import News
from overround.execute.order import Order, OrderState
from overround.execute.settle import Settlement
from overround.execute.store import Store
from overround.ledger.records import Ack, Cancel, Unknown
from overround.venues.polymarket.records import OrderState as VenueState
from overround.venues.polymarket.records import UserOrder

__all__ = ["Remedy", "RemedyKind", "Resolver", "resend"]

RESENDS_MAX: Final = 1
"""Repeats of identical bytes: one tells whether the first copy arrived."""


CANCEL_TOLD_NS: Final = 200 * NS_PER_MS
"""A cancelled order that no event has told of for so long is looked up."""

_DOUBTFUL: Final = (OrderState.UNKNOWN, OrderState.DELAYED)
_ENDED: Final = (OrderState.CLOSED, OrderState.DONE)


class RemedyKind(Enum):
    """What is to be done at the venue."""

    RESEND = "resend"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing to be done about one order."""

    kind: RemedyKind
    order: Order


class Resolver:
    """Decides about orders whose state at the venue is in doubt."""

    def __init__(
        self,
        store: Store,
        settlement: Settlement,
        news: News,
        *,
        quiet_ns: int,
        clock: Callable[[], int],
        killed: Callable[[], bool],
    ) -> None:
        self._store = store
        self._settlement = settlement
        self._news = news
        self._quiet_ns = quiet_ns
        self._clock = clock
        self._killed = killed

    def restart(self) -> int:
        """Sort out what the last process left behind; return how many outcomes are unknown.

        What has no SENT record never left. What has one and no answer is unknown; its last
        byte is taken to have left just now.
        """
        now_ns = self._clock()
        unknown = 0
        for order in list(self._store.working.values()):
            order.sent_ns = order.touched_ns = now_ns
            if order.state in (OrderState.NEW, OrderState.SIGNED):
                text = f"restarted while {order.state.name}: never sent"
                record = ended(order, text, refused=True, reason=RefusalCode.RESTART)
                self._store.commit(record, now_ns)
            elif order.state is OrderState.SENT:
                self._store.commit(Unknown(order.order_id, "the executor died"), now_ns)
                unknown += 1
            elif order.state is OrderState.UNKNOWN:
                unknown += 1
            else:
                self._settlement.close(order)
        return unknown

    def doubtful(self) -> list[Order]:
        """Return the orders to be looked up by id, oldest first: unknown, held, or cancelled.

        One that the venue holds is in no listing, may match any moment and cannot be cancelled.
        One that it said is cancelled may have traded before, if no event says what.
        """
        old_ns = self._clock() - CANCEL_TOLD_NS
        return [
            order
            for order in self._store.in_state(*_DOUBTFUL, OrderState.LIVE)
            if not order.in_flight
            and (order.state is not OrderState.LIVE or 0 < order.cancelled_ns <= old_ns)
        ]

    def waits(self) -> bool:
        """Return whether an order is to be looked up, or will be if no event comes before."""
        return any(
            order.state is not OrderState.LIVE or order.cancelled_ns
            for order in self._store.in_state(*_DOUBTFUL, OrderState.LIVE)
        )

    def oldest_unsettled_ms(self) -> int | None:
        """Return the wall time (ms) from which trades must be listed; None if none matters."""
        times = [order.intent.created_epoch_ms for order in self._store.working.values()]
        times += [fill.match_epoch_ms for fill in self._store.positions.pending()]
        return min(times, default=None)

    def resolve(self, order: Order, found: UserOrder | None, asked_ns: int) -> Remedy | None:
        """Judge one doubtful order by a look-up begun at ``asked_ns``.

        The trades must have been listed, completely, after the look-up.
        """
        if order.in_flight or order.sent_ns > asked_ns:
            return None
        if order.cancelled_ns and order.state in (*_DOUBTFUL, OrderState.LIVE):
            self._cancelled(order, found, asked_ns)
            return None
        if order.state not in _DOUBTFUL:
            return None
        now_ns = self._clock()
        if found is not None and not found.done:
            self._found(order, found, now_ns)
            return None
        matched_lots = found.matched_lots if found is not None else 0
        if order.trades_seen or matched_lots:
            if not order.taking and order.touched_ns > asked_ns:
                return None  # it may have come, and the rest of it rest, after the look-up
            trade_ids = found.trade_ids if found is not None else ()
            ack = Ack(order.order_id, "matched", trade_ids, matched_lots, source="trades")
            acknowledge(self._store, self._news, order, ack, now_ns)
            self._settlement.gone(order, "matched", matched_lots)
            self._settlement.close(order)
            return None
        young = asked_ns - order.sent_ns < self._quiet_ns
        if order.state is OrderState.DELAYED:
            if not young:
                self._settlement.gone(order, "gone")
                self._settlement.close(order)
            return None
        if young:
            return self._press(order, now_ns)
        self._store.commit(ended(order, "not found after quiet"), now_ns)
        return None

    def _cancelled(self, order: Order, found: UserOrder | None, asked_ns: int) -> None:
        """Judge an order that the venue said is cancelled by a look-up."""
        if order.cancelled_ns > asked_ns:
            return
        if found is not None and not found.done:
            order.cancelled_ns = 0  # it said so, and it rests: the next comparison cancels again
            return
        matched_lots = found.matched_lots if found is not None else 0
        self._settlement.gone(order, "canceled", matched_lots)
        self._settlement.close(order)

    def _found(self, order: Order, found: UserOrder, now_ns: int) -> None:
        held = order.taking or found.state is VenueState.DELAYED
        if held and order.state is OrderState.DELAYED:
            return
        status = "delayed" if held else "live"
        ack = Ack(order.order_id, status, found.trade_ids, found.matched_lots, source="look-up")
        acknowledge(self._store, self._news, order, ack, now_ns)
        self._settlement.close(order)

    def _press(self, order: Order, now_ns: int) -> Remedy | None:
        wanted = now_ns < order.expires_ns and not self._killed() and not order.cancel_asked
        if wanted and order.attempts <= RESENDS_MAX and not order.acknowledged:
            return Remedy(RemedyKind.RESEND, order)
        if order.cancel_asked:
            return None
        self._store.commit(Cancel(order.order_id, True, "unknown outcome"), now_ns)
        return Remedy(RemedyKind.CANCEL, order)

    def sweep(self, listing: Sequence[UserOrder], asked_ns: int) -> tuple[list[Remedy], list[str]]:
        """Compare a complete listing of open orders, begun at ``asked_ns``, with ours.

        The trades must have been listed after it. Returns what to do and what differed.
        """
        remedies: list[Remedy] = []
        differences: list[str] = []
        found = {one.order_id: one for one in listing}
        for order_id, one in found.items():
            order = self._store.by_id.get(order_id)
            if order is None:
                differences.append(f"open order {order_id} is not ours")
            elif order.state in _ENDED and order.touched_ns <= asked_ns:
                differences.append(f"order {order_id} was done and is open")
                remedies.append(self._revive(order, one))
        for order in list(self._store.working.values()):
            if order.in_flight or order.touched_ns > asked_ns:
                continue
            listed = found.get(order.order_id)
            if order.state is OrderState.UNKNOWN or (listed and order.state is OrderState.DELAYED):
                remedy = self.resolve(order, listed, asked_ns)
                if remedy is not None:
                    remedies.append(remedy)
            elif order.state is OrderState.LIVE and listed is None:
                if not order.cancelled_ns:
                    differences.append(f"order {order.order_id} is gone")
                self._settlement.gone(order, "canceled" if order.cancelled_ns else "gone")
                self._settlement.close(order)
            else:
                self._settlement.close(order)
                if order.cancel_asked and order.state is OrderState.LIVE:
                    remedies.append(Remedy(RemedyKind.CANCEL, order))  # the first one got lost
        return remedies, differences

    def _revive(self, order: Order, one: UserOrder) -> Remedy:
        now_ns = self._clock()
        order.cancelled_ns = 0
        ack = Ack(order.order_id, "live", one.trade_ids, one.matched_lots, source="listing")
        self._store.commit(ack, now_ns)
        self._store.commit(Cancel(order.order_id, True, "turned up after its end"), now_ns)
        return Remedy(RemedyKind.CANCEL, order)


def resend(order: Order) -> Submission:
    """Return the submission that repeats an order's identical bytes."""
    return Submission((order,), attempt=order.attempts + 1)
