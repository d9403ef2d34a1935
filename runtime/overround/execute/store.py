"""Everything the executor knows, folded from the journal: orders by key and id, and positions.

``commit`` is the only way anything changes: it appends the record, then applies it. Opening a
store replays the journal through the same ``apply``, so a restart knows what the dead process
knew, no more and no less.

Orders that are done and settled leave memory once enough others ended after them
(``execute.done_orders_max``). Whoever asks for one by its id gets it back, read from the journal:
for those who ask it never left.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter
from typing import Final

import msgspec

from overround.decide.risk import RefusalCode
from overround.errors import InvariantError
from overround.execute.checkpoint import ThawError, freeze, thaw
from overround.execute.order import DUST_LOTS, Order, OrderState, advance, check
from overround.execute.own import OwnOrders
from overround.execute.planbook import PlanBook, plan_key
from overround.execute.retired import (
    KeySpans,
    OrdersById,
    OrdersByKey,
    Retired,
    RetiredOrders,
    trade_hash,
)
from overround.layout.intent import BUY
from overround.ledger.journal import (
    Checkpoint,
    Journal,
    JournalDamage,
    JournalRecord,
    read_record,
)
from overround.ledger.positions import FillState, Positions
from overround.ledger.records import (
    Ack,
    Adjusted,
    Cancel,
    Done,
    Failed,
    Fill,
    Findings,
    Intent,
    IntentKey,
    MarketNote,
    PlanBegun,
    PlanEnded,
    Pooled,
    PoolVoid,
    Reconcile,
    Record,
    Reject,
    RiskMark,
    Sent,
    Settled,
    Signed,
    Start,
    Unknown,
    decode,
    encode,
)
from overround.observe.metrics import Value

__all__ = ["Store"]

RETIRE_EVERY: Final = 1_024
"""Records of a replay between two looks at what may leave memory."""


class Store:
    """Orders and positions of one journal.

    ``done_max`` orders that are done and settled stay in memory; None keeps all of them.
    """

    def __init__(self, journal: Journal, *, done_max: int | None = None) -> None:
        self.journal = journal
        self.positions = Positions()
        self.plans = PlanBook()
        self.own = OwnOrders()
        """Exposure by market, set, strategy and account, open orders included."""
        self._done_max = done_max
        self._done: deque[Order] = deque()
        """What has ended, oldest first; what was taken up again since is passed over."""
        self._spans = KeySpans()
        self.retired = RetiredOrders()
        self.by_key: dict[IntentKey, Order] = OrdersByKey(self._spans)
        self.by_id: dict[str, Order] = OrdersById(self.retired, self._recall)
        self.working: dict[IntentKey, Order] = {}
        """Every order that is not DONE, oldest first."""
        self.start_worst_micro = 0
        """Worst-case P&L when the present run began: the loss limit counts from here."""
        self.touched_ns = 0
        """When a record last spoke of a signed order; 0 for what was replayed."""
        self.opened = False
        """Whether the opening balance is known."""
        self.tally: Counter[Value] = Counter()
        """Counters of the present run, also across restarts: each is a count of records."""
        self.pool_number = 0
        """The highest number of a pooled order that the journal knows."""
        self._pool_floor = 0
        """Numbers up to this one were signed by processes that are dead."""
        self._unsummed: list[Order] = []
        self._claims: dict[IntentKey, tuple[int, int]] = {}
        self._reserved_micro = 0
        self._open_lots: Counter[tuple[str, int]] = Counter()
        self._run_id: int | None = None
        self.replayed = 0
        """Records read to come here, those behind a checkpoint alone."""
        self._replayed: int | None = None
        """Place of the record that is replayed; None when live."""
        self._last: JournalRecord | None = None
        self._live = False
        self._thaw()
        self._replay()

    def _replay(self) -> None:
        raw = None
        for count, raw in enumerate(self.journal.records):
            record = decode(raw)
            self._replayed = raw.place
            self._check_once(record)
            self._apply(record, 0)
            self.settle()
            if count % RETIRE_EVERY == 0:
                self.retire()
            self.replayed += 1
        self._last = raw or self._last
        self._replayed = None
        self.retire()

    def _thaw(self) -> None:
        """Begin with the journal's checkpoint, or with all its records if that is of no use."""
        checkpoint = self.journal.checkpoint
        if checkpoint is None:
            return
        try:
            state = thaw(checkpoint.state, _FROZEN)
        except ThawError:
            self.journal.refuse_checkpoint()
            return
        self.by_key.update(state.pop("by_key"))
        self.by_id.update(state.pop("by_id"))
        self._spans.spans, self.retired.rows = state.pop("spans"), state.pop("rows")
        for name, value in state.items():
            setattr(self, name, value)
        self._last = checkpoint.last

    def checkpoint(self) -> Checkpoint | None:
        """Return what the replay led to, None for an empty journal. Before any ``commit``."""
        assert not self._live, "a live store knows what no record says"
        if self._last is None:
            return None
        state = {name: getattr(self, name) for name in _FROZEN - _OTHER}
        state |= {
            "by_key": dict(self.by_key.items()), "by_id": dict(self.by_id.items()),
            "spans": self._spans.spans, "rows": self.retired.rows,
        }  # fmt: skip
        return Checkpoint(self._last, freeze(state))

    def commit(self, record: Record, now_ns: int) -> int:
        """Append a record, apply it, and return its journal sequence.

        InvariantError, with nothing written, if the order's table has no arrow for it: a journal
        that holds such a record could never be replayed.
        """
        self.settle()
        sequence = self.commit_ahead(record, now_ns)
        self.settle()
        return sequence

    def commit_ahead(self, record: Record, now_ns: int) -> int:
        """As ``commit``, but leave the order's part in the sums to the next ``settle``.

        For SIGNED and SENT of an order whose bytes are waiting: every sum settles before it is
        read, and the gate has counted an order that it let through.
        """
        orders = self.orders_of(record)
        for order in orders:
            check(order, record)
        self._check_once(record)
        sequence = self.journal.append(*encode(record))
        self._live = True
        self._apply(record, now_ns, orders)
        return sequence

    def _place(self) -> int:
        """Return where the journal has the record that is applied now."""
        return self.journal.last_place if self._replayed is None else self._replayed

    def settle(self) -> None:
        """Bring every sum up to the last record."""
        while self._unsummed:
            order = self._unsummed.pop()
            self.own.follow(order, *self._claim(order))

    def orders_of(self, record: Record) -> list[Order]:
        """Return the orders a record speaks of; empty if it speaks of none we know."""
        # Unions are built anew at each look, so these are tuples: this runs between a decision
        # and its bytes.
        if isinstance(record, Sent):
            return [self.by_id[order_id] for order_id in record.order_ids]
        if isinstance(record, _BY_KEY):
            found = self.by_key.get(record.key)
        elif isinstance(record, _BY_ID):
            found = self.by_id.get(record.order_id)
        else:
            return []
        return [] if found is None else [found]

    def _apply(self, record: Record, now_ns: int, orders: list[Order] | None = None) -> None:
        if isinstance(record, Intent):
            self._add(record, now_ns)
        elif isinstance(record, _OF_ORDERS):
            self._apply_orders(record, now_ns, orders or self.orders_of(record))
        else:
            self._apply_other(record, now_ns)

    def _apply_other(self, record: Record, now_ns: int) -> None:
        if isinstance(record, _OF_MONEY):
            self._apply_money(record, now_ns)
            return
        if isinstance(record, _OF_POOL):
            if isinstance(record, Pooled):  # by an older executor
                self.pool_number = max(self.pool_number, record.number)
            return
        if isinstance(record, RiskMark):
            self.own.apply_mark(record)
            if record.worst_micro is not None:
                self.start_worst_micro = record.worst_micro
            return
        if isinstance(record, _OF_PLANS):
            self.plans.apply(record)
            self.tally[Value.PLANS_BEGUN] += isinstance(record, PlanBegun)
            return
        raise InvariantError(f"no rule for a journal record: {record!r:.200}")

    def _apply_orders(self, record: Record, now_ns: int, orders: list[Order]) -> None:
        if not orders:
            raise InvariantError(f"journal speaks of an order it never had: {record!r:.200}")
        for order in orders:
            if isinstance(record, Signed):
                self.by_id[record.order_id] = order
                order.signed_at = self._place()
                self.pool_number = max(self.pool_number, record.pool)
            else:
                self._count(record, order)
            ended = order.state is OrderState.DONE
            advance(order, record)
            order.touched_ns = now_ns
            if isinstance(record, Sent):
                order.sent_ns = now_ns
            if order.signed is not None:
                self.touched_ns = now_ns
            if order.state is OrderState.DONE:
                self.working.pop(order.key, None)
                self.plans.done(order)
                if not ended:
                    self._done.append(order)
                if order.signed is not None and order.signed.body:
                    # It is never sent again, and the journal has its bytes: half the memory.
                    order.signed = msgspec.structs.replace(order.signed, body=b"")
            else:
                self.working[order.key] = order
            self._unsummed.append(order)

    def _check_once(self, record: Record) -> None:
        """Refuse an id that serves another intent already, and orders of a dead process's pool."""
        if isinstance(record, Signed):
            dead = 0 < record.pool <= self._pool_floor
            if dead or record.order_id in self.by_id:
                raise InvariantError(f"order {record.order_id} is used twice: {record.key}")

    def _add(self, intent: Intent, now_ns: int) -> None:
        order = Order(intent)
        if order.key in self.by_key:
            raise InvariantError(f"intent {order.key} is in the journal already")
        self.tally[Value.INTENTS_TAKEN] += 1
        self.by_key[order.key] = self.working[order.key] = order
        order.touched_ns, order.intent_at = now_ns, self._place()
        self.tally[Value.PLANS_REPAIRED] += self.plans.add(order)
        self._claim(order)

    def _claim(self, order: Order) -> tuple[int, int]:
        """Keep the sums of what working orders may still cost and trade; return its part."""
        claim = order.claim
        held = self._claims.get(order.key, (0, 0))
        if claim == held:
            return claim
        self._claims[order.key] = claim
        if claim == (0, 0):
            del self._claims[order.key]
        self._reserved_micro += claim[0] - held[0]
        self._open_lots[order.intent.token, order.intent.side] += claim[1] - held[1]
        return claim

    def _apply_money(self, record: Record, now_ns: int) -> None:
        if isinstance(record, _OF_TRADES):
            self.by_id.get(record.order_id)  # back into memory, with the fills that it has
        changed = self.positions.apply(record)
        if changed and isinstance(record, _OF_TRADES):
            self.tally[_MONEY[type(record)]] += 1
        if isinstance(record, Start):
            self._pool_floor = self.pool_number
        if isinstance(record, Start) and record.run_id != self._run_id:
            self._run_id = record.run_id
            self.tally.clear()
            self.start_worst_micro = self.positions.view().worst_micro
        elif isinstance(record, Reconcile) and record.opening:
            self.opened = True
        elif isinstance(record, Fill) and changed:
            self.positions.set_place(record, self._place())
            order = self.by_id.get(record.order_id)
            self.own.trade(record, order)
            if order is not None:
                order.filled_lots += record.size_lots
                if record.side == BUY:
                    order.spent_micro += record.cash_micro + record.fee_micro
                order.trades_seen.add(record.trade_id)
                order.touched_ns = self.touched_ns = now_ns
                self.own.follow(order, *self._claim(order))
        elif isinstance(record, Failed) and changed:
            booked = self.positions.fill(record.trade_id, record.order_id)
            if booked is not None:
                self.own.trade(booked[0], self.by_id.get(record.order_id), reverse=True)
        elif isinstance(record, Adjusted):
            self.own.adjust(record)
        elif isinstance(record, MarketNote):
            self.own.note(record)

    # -- what leaves memory --------------------------------------------------------------

    def retire(self) -> int:
        """Let orders go beyond those that are to be kept, oldest first; return how many went.

        Each leaves only when nothing of it can change by itself: done, no fill pending, none
        told of and not seen, no request under way, its plan ended.
        """
        if self._done_max is None:
            return 0
        gone = 0
        for _ in range(len(self._done) - self._done_max):
            order = self._done.popleft()
            if order.state is not OrderState.DONE or self.by_key.get(order.key) is not order:
                continue
            if self._may_go(order):
                self._let_go(order)
                gone += 1
            else:
                self._done.append(order)
        return gone

    def _may_go(self, order: Order) -> bool:
        if order.in_flight or not order.fills_complete:
            return False
        if self.plans.open and plan_key(order.intent) in self.plans.open:
            return False
        fills = self.positions.fills_of(order.order_id) if order.signed is not None else ()
        return all(state is not FillState.PENDING for _, state in fills)

    def _let_go(self, order: Order) -> None:
        del self.by_key[order.key]
        self._spans.add(order.key)
        if order.signed is None:
            return  # it never had an id: nothing can speak of it any more
        order_id = order.order_id
        del self.by_id[order_id]
        fills = tuple(
            (trade_hash(fill.trade_id), place, state)
            for fill, state, place in self.positions.forget(order_id)
        )
        self.retired.put(
            order_id,
            Retired(
                order.intent_at, order.signed_at, order.filled_lots, order.matched_lots,
                order.spent_micro, order.touched_ns, order.reason, order.attempts,
                order.cancel_asked, order.acknowledged, order.refused, fills,
            ),
        )  # fmt: skip

    def _recall(self, order_id: str) -> Order | None:
        """Bring a retired order back into memory, None if there never was one."""
        row = self.retired.get(order_id)
        if row is None:
            return None
        intent, signed = self._read(row.intent_at), self._read(row.signed_at)
        fills = [self._read_fill(place) for _, place, _ in row.fills]
        if (
            not isinstance(intent, Intent)
            or not isinstance(signed, Signed)
            or (signed.order_id, signed.key) != (order_id, intent.key)
        ):
            raise JournalDamage(f"order {order_id} is not where the journal had it")
        order = Order(
            intent, OrderState.DONE, msgspec.structs.replace(signed, body=b""), row.attempts,
            row.cancel_asked, row.acknowledged,
        )  # fmt: skip
        order.matched_lots, order.filled_lots = row.matched_lots, row.filled_lots
        order.refused, order.reason, order.touched_ns = row.refused, row.reason, row.touched_ns
        order.spent_micro, order.intent_at, order.signed_at = row.spent_micro, *row[:2]
        self.retired.pop(order_id)  # not before all of it could be read
        for fill, (_, place, state) in zip(fills, row.fills, strict=True):
            self.positions.recall(fill, state, place)
            order.trades_seen.add(fill.trade_id)
        order.trades_expected = set(order.trades_seen)
        self.by_key[order.key] = self.by_id[order_id] = order
        self._done.append(order)
        return order

    def _read(self, place: int) -> Record:
        return decode(read_record(self.journal.folder, place))

    def _read_fill(self, place: int) -> Fill:
        fill = self._read(place)
        if not isinstance(fill, Fill):
            raise JournalDamage(f"a fill is not where the journal had it: {fill!r:.200}")
        return fill

    def retired_fill(self, trade_id: str, order_id: str) -> FillState | None:
        """Return where a fill of an order that left memory stands, None if it is none of one's."""
        return self.retired.fill(order_id, trade_id)

    def fills(self) -> Iterator[tuple[Fill, FillState]]:
        """Every fill ever booked, in the order of the journal, wherever it is kept."""
        held = sorted(self.positions.places(), key=itemgetter(0))
        gone = ((place, None, state) for place, state in self.retired.fill_places())
        for place, fill, state in merge(held, gone, key=itemgetter(0)):
            yield fill or self._read_fill(place), state

    def _count(self, record: Record, order: Order) -> None:
        """Count what a record is about to do to an order."""
        if isinstance(record, Sent):
            self.tally[Value.ORDERS_SENT if record.attempt == 1 else Value.ORDERS_RESENT] += 1
        elif isinstance(record, Ack):
            self.tally[Value.ORDERS_ACCEPTED] += not order.acknowledged
        elif isinstance(record, Reject):
            self.tally[Value.ORDERS_REJECTED] += 1
        elif isinstance(record, Unknown):
            self.tally[Value.ORDERS_UNKNOWN] += 1
        elif isinstance(record, Cancel) and not record.asked:
            ended = order.state in (OrderState.CLOSED, OrderState.DONE)
            filled = max(order.filled_lots, record.matched_lots)
            rest = order.size_lots - filled >= DUST_LOTS
            self.tally[Value.ORDERS_CANCELED] += rest and not ended
        elif isinstance(record, Done) and record.refused:
            late = record.reason == RefusalCode.EXPIRED
            self.tally[Value.INTENTS_EXPIRED if late else Value.INTENTS_REFUSED] += 1

    def reserved_micro(self) -> int:
        """Return the cash that working orders may still cost."""
        self.settle()
        return self._reserved_micro

    def open_lots(self, token: str, side: int) -> int:
        """Return the shares of a token that working orders may still buy (0) or sell (1)."""
        self.settle()
        return self._open_lots[token, side]

    def position_cost_micro(self) -> int:
        """Return the cash that stands in positions and in purchases not yet settled."""
        held = sum(max(0, item.cost_micro) for item in self.positions.holdings.values())
        return held + self.positions.pending_buy_micro

    def loss_micro(self) -> int:
        """Return the worst-case loss since the run began, pending fills included; at least 0."""
        return max(0, self.start_worst_micro - self.positions.view().worst_micro)

    def in_state(self, *states: OrderState) -> Iterable[Order]:
        """Return the working orders in any of these states, oldest first."""
        return [order for order in self.working.values() if order.state in states]


_OTHER: Final = frozenset({"by_key", "by_id", "spans", "rows"})
_FROZEN: Final = _OTHER | {
    "positions", "plans", "own", "working", "start_worst_micro", "opened", "tally", "pool_number",
    "_pool_floor", "_claims", "_reserved_micro", "_open_lots", "_run_id", "_done",
}  # fmt: skip
"""All that records lead to; the rest of a store is the process's own."""
_BY_KEY = (Signed, Done, Intent)
_BY_ID = (Ack, Reject, Unknown, Cancel, Fill, Settled, Failed)
_OF_ORDERS = (Signed, Sent, Ack, Reject, Unknown, Cancel, Done)
_OF_MONEY = (Fill, Settled, Failed, MarketNote, Reconcile, Start, Adjusted, Findings)
_OF_TRADES = (Fill, Settled, Failed)
_OF_PLANS = (PlanBegun, PlanEnded)
_OF_POOL = (Pooled, PoolVoid)
_MONEY = {
    Fill: Value.FILLS,
    Settled: Value.FILLS_SETTLED,
    Failed: Value.FILLS_FAILED,
}
