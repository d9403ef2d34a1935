"""What the venue tells of our orders and trades, from the user channel and from listings alike.

Fills are booked from trades only, keyed (trade id, own order id), under ids we know. Both
sources may repeat, overtake each other or arrive after an order is done: every step is
idempotent, and a final state never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from overround.errors import VenueError
from overround.execute.executor import acknowledge, ended
from overround.execute.markets import Markets
from overround.execute.news import News, ReportKind
from overround.execute.order import DUST_LOTS, Order, OrderState
from overround.execute.store import Store
from overround.layout.intent import BUY
from overround.ledger.positions import FillState
from overround.ledger.records import Ack, Cancel, Failed, Fill, Settled
from overround.observe.metrics import Histogram, Value
from overround.venues.polymarket.fees import fee_micro
from overround.venues.polymarket.records import (
    OrderEvent,
    OwnFill,
    TradeState,
    UserOrder,
    UserTrade,
    own_fills,
)
from overround.venues.polymarket.records import OrderState as VenueState

__all__ = ["Settlement"]

STRANGERS_MAX: Final = 4_096
"""Foreign ids remembered so that each is told once; beyond it the memory begins anew."""


class Settlement:
    """Books trades and order events of one account."""

    def __init__(
        self,
        store: Store,
        markets: Markets,
        news: News,
        *,
        owner: str,
        wallet: str = "",
        clock: Callable[[], int],
    ) -> None:
        """``owner`` is the API key; ``wallet`` also knows trades of a key that was replaced."""
        self._store = store
        self._markets = markets
        self._news = news
        self._owner = owner
        self._wallet = wallet
        self._clock = clock
        self._matched_ns: dict[tuple[str, str], int] = {}
        self._strangers: set[str] = set()

    def use_owner(self, owner: str) -> None:
        """Take up another API key; trades of the old one are known by the wallet."""
        self._owner = owner

    def apply(self, events: Sequence[UserOrder | UserTrade]) -> None:
        """Apply the events of one frame."""
        for event in events:
            if isinstance(event, UserTrade):
                self.on_trade(event)
            else:
                self.on_order(event)

    def on_trade(self, trade: UserTrade) -> int:
        """Book a trade's part in our orders; return how many records that made."""
        try:
            fills = own_fills(trade, self._owner, self._wallet)
        except VenueError as error:
            self._stranger(trade.trade_id, str(error))
            return 0
        made = 0
        for fill in fills:
            if self._is_over(fill):
                continue  # listed again, as all since the oldest open order are
            order = self._store.by_id.get(fill.order_id)
            if order is None:
                self._stranger(fill.order_id, f"trade {trade.trade_id} names an order not ours")
                continue
            made += self._book(order, fill)
            made += self.close(order)
        return made

    def _is_over(self, fill: OwnFill) -> bool:
        """Return whether a fill is final, as told, and its order out of memory."""
        state = self._store.retired_fill(fill.trade_id, fill.order_id)
        if state is None:
            return False
        told = fill.state is TradeState.CONFIRMED
        return not fill.state.final or (state is FillState.CONFIRMED) == told

    def _stranger(self, name: str, text: str) -> None:
        if name not in self._strangers:
            if len(self._strangers) >= STRANGERS_MAX:
                self._strangers.clear()
            self._strangers.add(name)
            self._news.count(Value.RECONCILE_DIFFERENCES)
            self._news.notice("not ours", text=text)

    def _book(self, order: Order, fill: OwnFill) -> int:
        now_ns = self._clock()
        key = (fill.trade_id, fill.order_id)
        known = self._store.positions.fill(*key)
        made = 0
        if known is None:
            booked = self._fill(order, fill)
            self._store.commit(booked, now_ns)
            self._matched_ns[key] = now_ns
            self._tell(ReportKind.FILL, order, booked)
            known, made = (booked, FillState.PENDING), 1
        booked, state = known
        if not fill.state.final:
            return made
        confirmed = fill.state is TradeState.CONFIRMED
        if state is not FillState.PENDING:
            if (state is FillState.CONFIRMED) != confirmed:
                self._stranger("/".join(key), f"{fill.state.name} after {state.name}: {key}")
            return made
        self._store.commit(Settled(*key) if confirmed else Failed(*key), now_ns)
        self._news.time(
            Histogram.ACK_TO_SETTLED, max(0, now_ns - self._matched_ns.pop(key, now_ns))
        )
        self._tell(ReportKind.SETTLED if confirmed else ReportKind.FAILED, order, booked)
        if not confirmed:
            self._news.notice(
                "trade failed: its fill is reversed",
                trade=fill.trade_id, order=fill.order_id, size_lots=booked.size_lots,
            )  # fmt: skip
        return made + 1

    def _fill(self, order: Order, fill: OwnFill) -> Fill:
        intent = order.intent
        fee = self._fee(intent.condition_id, fill) if fill.taker else 0
        return Fill(
            trade_id=fill.trade_id,
            order_id=fill.order_id,
            token=intent.token,
            condition_id=intent.condition_id,
            outcome=intent.outcome,
            side=intent.side,
            price_ticks=fill.price_ticks,
            size_lots=fill.size_lots,
            cash_micro=fill.cash_micro,
            fee_micro=fee if intent.side == BUY else min(fee, fill.cash_micro),
            maker=not fill.taker,
            status=fill.state.name,
            match_epoch_ms=fill.match_epoch_ms,
        )

    def _fee(self, condition_id: str, fill: OwnFill) -> int:
        found = self._markets.find(fill.token_id)
        if found is not None and found[0].fee_known:
            rate, exponent = found[0].fee_rate_ppm, found[0].fee_exponent
        else:  # gone from the catalog: what the journal noted before its first order
            note = self._store.positions.known_market(condition_id)
            rate, exponent = (note.fee_rate_ppm, note.fee_exponent) if note else (0, 1)
        return fee_micro(fill.size_lots, fill.price_ticks, rate, exponent)

    def _tell(self, kind: ReportKind, order: Order, fill: Fill) -> None:
        self._news.report(
            kind, order.intent, order_id=fill.order_id, price_ticks=fill.price_ticks,
            size_lots=fill.size_lots, fee_micro=fill.fee_micro,
        )  # fmt: skip

    def on_order(self, event: UserOrder) -> None:
        """Apply an order event of the user channel (not of a listing)."""
        order = self._store.by_id.get(event.order_id)
        if order is None:
            self._stranger(event.order_id, f"order {event.order_id} is not ours")
            return
        if order.state in (OrderState.NEW, OrderState.SIGNED):
            self._stranger(event.order_id, f"order {event.order_id} was never sent")
            return
        now_ns = self._clock()
        if event.event is OrderEvent.CANCELLATION:
            self.gone(order, event.state_text or "canceled", event.matched_lots)
        elif event.event is OrderEvent.PLACEMENT:
            # In flight the answer tells more; a taking order is judged by its trades.
            held = event.state is VenueState.DELAYED
            doubtful = order.state is OrderState.UNKNOWN or (
                order.state is OrderState.DELAYED and not held
            )
            if doubtful and not order.taking:
                ack = Ack(order.order_id, "delayed" if held else "live", source="user")
                acknowledge(self._store, self._news, order, ack, now_ns)
        elif event.matched_lots + DUST_LOTS > order.size_lots and order.state is OrderState.LIVE:
            self.gone(order, "filled", event.matched_lots)
        self.close(order)

    def cancelled(self, order: Order) -> None:
        """Note that the venue answered a cancel of it: nothing of it rests any more.

        What it had traded before is told by an event, a look-up or a listing, which then end it
        (``gone``); until then all of it stays reserved.
        """
        unsent = order.state in (OrderState.NEW, OrderState.SIGNED)
        if unsent or order.state in (OrderState.CLOSED, OrderState.DONE):
            return
        self._was_there(order, "canceled")
        if not order.cancel_asked:  # a cancel-all named it: it is not wanted again
            self._store.commit(Cancel(order.order_id, True, "canceled"), self._clock())
        order.cancelled_ns = self._clock()

    def _was_there(self, order: Order, reason: str) -> None:
        """Acknowledge what is gone; a taking order may be killed without ever having been there."""
        was_there = order.state is OrderState.UNKNOWN or (
            order.state is OrderState.SENT and not order.taking
        )
        if was_there and not order.acknowledged:
            ack = Ack(order.order_id, "live", source=reason)
            acknowledge(self._store, self._news, order, ack, self._clock())

    def gone(self, order: Order, reason: str, matched_lots: int = 0) -> None:
        """Note that nothing of an order rests at the venue any more, and what it had matched."""
        if order.state in (OrderState.CLOSED, OrderState.DONE) and (
            matched_lots <= order.matched_lots
        ):
            return
        self._was_there(order, reason)
        unfilled = order.size_lots - max(order.filled_lots, matched_lots) >= DUST_LOTS
        self._store.commit(Cancel(order.order_id, False, reason, matched_lots), self._clock())
        if unfilled:
            self._news.report(ReportKind.CANCELED, order.intent, order_id=order.order_id)

    def close(self, order: Order) -> int:
        """End an order if nothing of it can change any more; return the records made."""
        if order.state is OrderState.LIVE and order.filled_lots + DUST_LOTS > order.size_lots:
            self.gone(order, "filled", order.filled_lots)
        if order.state is not OrderState.CLOSED or order.in_flight or not order.fills_complete:
            return 0
        fills = self._store.positions.fills_of(order.order_id)
        if any(state is FillState.PENDING for _, state in fills):
            return 0
        self._store.commit(ended(order, "complete"), self._clock())
        return 1

    def overdue(self, now_epoch_ms: int, limit_ms: int) -> list[Fill]:
        """Return the fills that have waited for settlement longer than ``limit_ms``."""
        return [
            fill
            for fill in self._store.positions.pending()
            if now_epoch_ms - fill.match_epoch_ms > limit_ms
        ]
