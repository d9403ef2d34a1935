"""A made-up venue session through the engine: its books must stay those of the slow twin.

The session splits changes over several frames of one timestamp, repeats them swapped, refreshes
whole books, prints trades, and now and then loses a frame. Whatever comes, our levels equal the
twin's; a session without loss verifies every hash and never loses trust; a loss that still
differs at the end is never trusted.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.book import BookTwin
from oracle.frames import MARKET, NO, T0, YES, VenueBook, spaced, usual_book
from overround.book.engine import NEVER_NS, FeedEngine

SHARE = 1_000_000
MS = 1_000_000

bids = st.tuples(st.just(0), st.integers(1, 52).map(lambda n: n * 100))
asks = st.tuples(st.just(1), st.integers(54, 99).map(lambda n: n * 100))
sizes = st.sampled_from([0, 0, SHARE, 5 * SHARE, 35_250_000, 7_590 * SHARE])
level = st.tuples(st.one_of(bids, asks), sizes)
step = st.one_of(
    st.tuples(st.just("change"), st.lists(level, min_size=1, max_size=4)),
    st.tuples(st.just("together"), st.lists(level, min_size=1, max_size=4)),
    st.tuples(st.just("duplicate"), st.lists(level, min_size=1, max_size=1)),
    st.tuples(st.just("refresh"), st.lists(level, min_size=1, max_size=2)),
    st.tuples(st.just("trade"), st.lists(level, min_size=1, max_size=1)),
)


def play(venue: VenueBook, kind: str, levels: list, epoch_ms: int) -> list[bytes]:
    """Change the venue's book and return the frames it sends about it."""
    touched = []
    for (side, ticks), lots in levels:
        venue.set(side, ticks, lots)
        touched.append((side, ticks))
    if kind == "trade":
        venue.last = "0.54"
        frames = [venue.change(touched[0], epoch_ms=epoch_ms)]
        frames += [spaced(venue.book(outcome, epoch_ms)) for outcome in (0, 1)]
        return [*frames, venue.trade(5_400, SHARE, epoch_ms + 40)]
    if kind == "refresh":
        return [spaced(venue.book(outcome, epoch_ms)) for outcome in (1, 0)]
    if kind == "together":
        return [venue.change(*touched, epoch_ms=epoch_ms)]
    frames = [venue.change(one, epoch_ms=epoch_ms) for one in touched]
    if kind == "duplicate":
        frames.append(venue.change(touched[0], epoch_ms=epoch_ms, swapped=True))
    return frames


def new_engine() -> FeedEngine:
    engine = FeedEngine(markets_capacity=2)
    engine.add_market(0, MARKET, YES, NO, 100, "5", None)
    return engine


@settings(max_examples=120, deadline=None)
@given(st.lists(step, max_size=12), st.booleans())
def test_a_whole_session_verifies_and_equals_the_twin(steps: list, neg_risk: bool):
    venue, engine, twin = usual_book(neg_risk=neg_risk), new_engine(), BookTwin()
    now_ns = passed = failed = entries = 0
    opening = ("opening", [])
    for n, (kind, levels) in enumerate([opening, *steps]):
        epoch_ms = T0 + 50 * n
        frames = [venue.opening(T0)] if n == 0 else play(venue, kind, levels, epoch_ms)
        for frame in frames:
            now_ns += MS
            result = engine.on_frame(frame, now_ns)
            assert (result.malformed, result.unknown_events) == (0, 0)
            passed, failed = passed + result.hash_passed, failed + result.hash_failed
            entries += frame.count(b'"hash"')
            twin.on_frame(frame)
        # Between the two books of a refresh the twin's tokens differ; ours are one book.
        for outcome, token in enumerate((YES, NO)):
            assert engine.levels(0, outcome) == twin.books[token].levels()
        assert engine.market_state(0).trusted
    result = engine.flush(NEVER_NS)
    assert (passed + result.hash_passed, failed + result.hash_failed) == (entries, 0)
    assert engine.market_state(0).trusted


@settings(max_examples=120, deadline=None)
@given(st.lists(step, min_size=1, max_size=10), st.data())
def test_a_lost_frame_never_leaves_a_wrong_book_trusted(steps: list, data: st.DataObject):
    venue, engine = usual_book(), new_engine()
    frames = [venue.opening(T0)]
    for n, (kind, levels) in enumerate(steps, 1):
        frames += play(venue, kind, levels, T0 + 50 * n)
    # The proof of the end: one last change, so that what was lost before has a hash to fail.
    frames += play(venue, "change", [((0, 100), 11 * SHARE)], T0 + 900)
    lost = data.draw(st.integers(1, max(1, len(frames) - 2)), label="lost frame")
    for n, frame in enumerate(frames):
        if n != lost or len(frames) == 2:
            engine.on_frame(frame, MS * (n + 1))
    engine.flush(NEVER_NS)
    right = engine.levels(0, 0) == venue.token_book(0).levels()
    assert right or not engine.market_state(0).trusted
    resync = engine.take_resync()
    assert right or resync == [0]
    engine.on_frame(venue.opening(T0 + 2_000), MS * 1_000)
    assert engine.market_state(0).trusted
    assert engine.levels(0, 0) == venue.token_book(0).levels()
