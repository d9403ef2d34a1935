"""A store that lets ended orders leave memory knows what one knows that keeps them all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.ledger_history import SHARE, history, life
from overround.errors import InvariantError
from overround.execute.order import Order
from overround.execute.retired import KeySpans
from overround.execute.store import Store
from overround.ledger.journal import Journal, JournalRecord
from overround.ledger.records import (
    Ack,
    Fill,
    Intent,
    IntentKey,
    Kind,
    Record,
    Settled,
    Signed,
    decode,
)

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
        [(key, face(order)) for key, order in sorted(store.working.items())],
        list(store.fills()),
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 40))
def test_orders_that_left_memory_are_known_as_well_as_those_that_stayed(
    seed: int, done_max: int, orders: int
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        every, few = Path(scratch) / "every", Path(scratch) / "few"
        keys: set[IntentKey] = set()
        ids: set[str] = set()
        with journal(every) as one, journal(few) as other:
            keeps, forgets = Store(one), Store(other, done_max=done_max)
            for record in records(seed, orders):
                assert commit(keeps, record) == commit(forgets, record)
                forgets.retire()
                keys |= {record.key} if isinstance(record, Intent) else set()
                ids |= {record.order_id} if isinstance(record, Signed) else set()
            assert sums(keeps) == sums(forgets)
            assert len(forgets.by_key) <= len(forgets.working) + done_max + pending(forgets)
        with journal(few) as one, journal(every) as other:
            again, whole = Store(one, done_max=done_max), Store(other)
            assert sums(again) == sums(forgets) == sums(whole)
            assert all(key in again.by_key for key in keys)
            for order_id in sorted(ids & set(whole.by_id)):
                assert face(again.by_id[order_id]) == face(whole.by_id[order_id])
            assert sums(again) == sums(whole)  # also with all of them back
            assert not again.retired


def journal(folder: Path) -> Journal:
    return Journal(folder, segment_bytes=65_536, sync_policy="none")


def commit(store: Store, record: Record) -> bool:
    """Commit a record where it may stand; return whether it may."""
    try:
        store.commit(record, 0)
    except InvariantError:
        return False
    return True


def pending(store: Store) -> int:
    """Ended orders that must stay: a fill of theirs is not final, or not seen."""
    return sum(not store._may_go(order) for order in store.by_key.values())


KEYS = st.builds(IntentKey, st.integers(1, 2), st.integers(0, 1), st.integers(0, 12))


@given(st.lists(KEYS))
def test_spans_are_the_set_of_what_was_added(added: list[IntentKey]) -> None:
    spans = KeySpans()
    for key in added:
        spans.add(key)
    for run in (1, 2):
        for producer in (0, 1):
            here = [IntentKey(run, producer, sequence) for sequence in range(15)]
            assert [key in spans for key in here] == [key in added for key in here]
    gaps = sum(IntentKey(r, p, s + 1) not in added for r, p, s in set(added))
    assert len(spans) == gaps  # no two of them touch
