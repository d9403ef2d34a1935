"""Lives of orders with what may come after their end, and all that a store knows of them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec

from oracle.ledger_history import SHARE, history, life
from overround.errors import InvariantError
from overround.execute.order import Order
from overround.execute.store import Store
from overround.ledger.journal import JournalRecord
from overround.ledger.records import Ack, Fill, Intent, Kind, Record, Settled, decode

__all__ = ["commit", "face", "records", "sums"]

HEAD = 7
"""Records of a history before its first order."""


def late_life(random: Random, number: int) -> Iterator[Record]:
    """A life with what may come after its end: a new fill, an old one again, a listing."""
    intent: Intent | None = None
    last: Fill | None = None
    for record in life(random, number):
        intent = record if isinstance(record, Intent) else intent
        last = record if isinstance(record, Fill) else last
        yield record
    if last is None:
        return
    assert intent is not None
    yield from ([last] if random.random() < 0.3 else [])
    if random.random() < 0.4:
        late = msgspec.structs.replace(last, trade_id=f"late-{number}", size_lots=SHARE)
        yield late
        yield Settled(late.trade_id, late.order_id)
    if random.random() < 0.2:
        yield Ack(last.order_id, "live", (last.trade_id, f"late-{number}"), source="listing")


def records(seed: int, orders: int) -> Iterator[Record]:
    """The head of a journal, then lives with their late ends, a few at a time."""
    random = Random(seed)
    for number, (kind, payload) in enumerate(history(seed, 0)):
        assert kind in set(Kind)
        assert number < HEAD
        yield _decode(kind, payload)
    lives: list[Iterator[Record]] = []
    begun = 0
    while lives or begun < orders:
        if begun < orders and len(lives) < 12 and random.random() < 0.3:
            lives.append(late_life(random, begun))
            begun += 1
        if lives:
            chosen = random.choice(lives)
            record = next(chosen, None)
            if record is None:
                lives.remove(chosen)
            else:
                yield record


def _decode(kind: int, payload: bytes) -> Record:
    return decode(JournalRecord(0, 0, kind, payload, 0, 0))


def face(order: Order) -> tuple[object, ...]:
    """What is known of an order, but what a restart forgets and the last words about it."""
    return (
        order.intent, order.state, order.signed, order.attempts, order.cancel_asked,
        order.acknowledged, order.matched_lots, order.filled_lots, order.spent_micro,
        order.refused, order.reason, order.fills_complete, order.trades_seen, order.claim,
    )  # fmt: skip


def sums(store: Store) -> tuple[object, ...]:
    """Every sum and set that a store keeps."""
    own, positions = store.own.exposures, store.positions
    return (
        positions.view(), positions.holdings, positions.booked, positions.pending(),
        positions.pending_buy_micro, +store.tally, store.reserved_micro(), store.pool_number,
        store.loss_micro(), store.opened, dict(own.account.claims), own.bases(),
        own.account.held(), sorted(own.strategies), store.own.mark, store.plans.open,
        +store._open_lots, store._run_id, store._pool_floor,
        [(key, face(order)) for key, order in sorted(store.working.items())],
        list(store.fills()),
    )  # fmt: skip


def commit(store: Store, record: Record) -> bool:
    """Commit a record where it may stand; return whether it may."""
    try:
        store.commit(record, 0)
    except InvariantError:
        return False
    return True
