"""An executor process that is broken on purpose: ``python -m oracle.order_campaign_sabotage``.

Takes the name of the sabotage before the arguments of ``overround.supervise.child``. Each breaks
one promise of the order path and nothing else, so that the campaign has something to find.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from overround.execute import account, order, settle
from overround.execute.build import OrderBuilder
from overround.execute.executor import Submission
from overround.execute.lifetable import OrderEvent
from overround.execute.order import Order, OrderState
from overround.execute.settle import Settlement
from overround.execute.store import Store
from overround.ledger.records import Fill, Record, Sent, Settled, Signed
from overround.supervise import child
from overround.venues.polymarket.records import OwnFill, UserTrade

__all__ = ["SABOTAGES"]

SKIPPED_EVERY: Final = 3


def new_salt() -> None:
    """An order of unknown outcome is signed anew instead of being repeated."""
    salts = itertools.count(1)
    signings: dict[tuple[int, ...], Callable[[int], Signed]] = {}
    stores: list[Store] = []
    sign, start = OrderBuilder.sign, Store.__init__

    def remember(self: OrderBuilder, intent: Any, market: Any, prepared: Any, *rest: Any) -> Signed:
        def again(number: int) -> Signed:
            other = msgspec.structs.replace(intent, sequence=intent.sequence + number * 10**9)
            made = sign(self, other, market, prepared, *rest)
            return msgspec.structs.replace(made, sequence=intent.sequence)

        signings[intent.key] = again
        return sign(self, intent, market, prepared, *rest)

    def know(self: Store, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **named)
        stores.append(self)

    def resend(one: Order) -> Submission:
        again = signings.get(one.intent.key)
        if again is not None and one.state is OrderState.UNKNOWN:  # else it is on its way already
            stores[-1].commit(again(next(salts)), one.touched_ns)
        return Submission((one,), attempt=one.attempts + 1)

    order.LEADS[OrderState.UNKNOWN, OrderEvent.SIGNED] = OrderState.SIGNED
    OrderBuilder.sign = remember  # type: ignore[method-assign]
    Store.__init__ = know  # type: ignore[method-assign]
    account.resend = resend


def skip_journal() -> None:
    """Bytes of one order in three leave without a record that they do."""
    commit, numbers = Store.commit_ahead, itertools.count(1)
    for (state, event), leads in list(order.LEADS.items()):
        if state is OrderState.SENT:
            order.LEADS.setdefault((OrderState.SIGNED, event), leads)

    def skip(self: Store, record: Record, now_ns: int) -> int:
        if isinstance(record, Sent) and not next(numbers) % SKIPPED_EVERY:
            self._apply(record, now_ns)
            return 0
        return commit(self, record, now_ns)

    Store.commit_ahead = skip  # type: ignore[method-assign]


def ignore_failed() -> None:
    """A trade that failed is booked as if it had settled."""
    settle.Failed = Settled  # type: ignore[misc,assignment]


def taker_side() -> None:
    """A maker's fill is booked with the side of the taker who hit it."""
    book, hear = Settlement._fill, Settlement.on_trade
    heard: list[UserTrade] = []

    def listen(self: Settlement, trade: UserTrade) -> int:
        heard[:] = [trade]
        return hear(self, trade)

    def wrong(self: Settlement, one: Order, fill: OwnFill) -> Fill:
        made = book(self, one, fill)
        return msgspec.structs.replace(made, side=int(heard[0].side)) if made.maker else made

    Settlement.on_trade = listen  # type: ignore[method-assign]
    Settlement._fill = wrong  # type: ignore[method-assign]


SABOTAGES: Final[dict[str, Callable[[], None]]] = {
    "new-salt": new_salt,
    "skip-journal": skip_journal,
    "ignore-failed": ignore_failed,
    "taker-side": taker_side,
}

if __name__ == "__main__":
    SABOTAGES[sys.argv[1]]()
    sys.exit(child.main(sys.argv[2:]))
