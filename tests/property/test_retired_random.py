"""A store that lets ended orders leave memory knows what one knows that keeps them all."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.order_lives import commit, face, records, sums
from overround.execute.retired import KeySpans
from overround.execute.store import Store
from overround.ledger.journal import Journal
from overround.ledger.records import Intent, IntentKey, Signed


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
