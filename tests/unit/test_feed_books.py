"""What the feed engine does with bursts, trust, hashes and answers of the REST side."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from oracle.book import BookTwin
from oracle.frames import MARKET, NO, T0, YES, VenueBook, spaced, usual_book
from oracle.segments import SegmentBox
from overround._native import ffi
from overround.book.engine import NEVER_NS, FeedEngine
from overround.layout.board import Proof, UntrustCause
from overround.layout.region import RegionKind
from overround.observe.metrics import Value
from overround.shm.segment import Segment
from overround.shm.slots import Slots

MS = 1_000_000
BURST_NS = 2 * MS
SHARE = 1_000_000


class Rig:
    """One market in an engine beside the venue's own book, and a hand-driven clock."""

    def __init__(
        self, *, audit_every: int = 1, board: Segment | None = None, **members: object
    ) -> None:
        self.venue: VenueBook = usual_book(**members)
        self.engine = FeedEngine(
            markets_capacity=4, burst_ns=BURST_NS, audit_every=audit_every, board=board
        )
        tick = round(float(self.venue.tick) * 10_000)
        self.engine.add_market(0, MARKET, YES, NO, tick, self.venue.min_size, None)
        self.now_ns = 1_000 * MS
        self.passed = self.failed = 0

    @property
    def state(self):
        return self.engine.market_state(0)

    def frame(self, frame: bytes, after_ms: float = 10):
        self.now_ns += int(after_ms * MS)
        return self._note(self.engine.on_frame(frame, self.now_ns))

    def flush(self, after_ms: float = 0):
        self.now_ns += int(after_ms * MS)
        return self._note(self.engine.flush(self.now_ns))

    def _note(self, result):
        self.passed += result.hash_passed
        self.failed += result.hash_failed
        return result

    def open(self) -> Rig:
        assert self.frame(self.venue.opening(T0)).hash_passed == 2
        assert self.state.trusted
        return self

    def expect_book(self) -> None:
        for outcome in (0, 1):
            assert self.engine.levels(0, outcome) == self.venue.token_book(outcome).levels()

    def counter(self, value: Value) -> int:
        return self.engine.counter(value)


@pytest.fixture
def rig() -> Rig:
    return Rig().open()


def test_a_market_is_untrusted_until_a_whole_book_comes():
    rig = Rig()
    assert (rig.state.trusted, rig.state.cause) == (0, UntrustCause.START)
    rig.frame(rig.venue.change((0, 5_200), epoch_ms=T0))
    assert not rig.state.trusted
    rig.frame(rig.venue.opening(T0 + 1))
    assert (rig.state.trusted, rig.state.proof) == (1, Proof.HASH)
    rig.expect_book()


def test_a_change_is_applied_published_and_verified_in_one_call(rig: Rig):
    rig.venue.set(0, 5_200, 5 * SHARE)
    result = rig.frame(rig.venue.change((0, 5_200), epoch_ms=T0 + 5))
    assert (result.changes, result.published, result.hash_passed) == (2, 1, 2)
    assert rig.engine.next_deadline() == NEVER_NS
    rig.expect_book()


def test_swapped_duplicates_change_nothing_and_verify_again(rig: Rig):
    rig.venue.set(1, 5_400, 0)
    rig.frame(rig.venue.change((1, 5_400), epoch_ms=T0 + 5))
    again = rig.frame(rig.venue.change((1, 5_400), epoch_ms=T0 + 5, swapped=True))
    assert (again.published, again.hash_passed, again.hash_failed) == (0, 2, 0)
    rig.expect_book()


def split_burst(rig: Rig) -> list[bytes]:
    """Three bids vanish at once; each frame declares the final book, as the venue does."""
    for ticks in (5_200, 5_100):
        rig.venue.set(0, ticks, 0)
    rig.venue.set(1, 5_300, 7 * SHARE)
    return [
        rig.venue.change(level, epoch_ms=T0 + 5) for level in ((0, 5_200), (1, 5_300), (0, 5_100))
    ]


def test_inside_a_burst_nothing_is_published_until_the_declared_prices_agree(rig: Rig):
    frames = split_burst(rig)
    assert [rig.frame(frame, 0.1).published for frame in frames] == [0, 0, 1]
    assert (rig.passed, rig.failed) == (2 + 6, 0)
    rig.flush(5)
    assert rig.state.trusted
    rig.expect_book()


def test_a_book_crossed_inside_a_burst_is_not_shown_and_keeps_its_trust(rig: Rig):
    rig.venue.set(0, 5_200, 0)
    rig.venue.set(0, 5_400, 9 * SHARE)
    rig.venue.set(1, 5_400, 0)
    frames = [
        rig.venue.change(level, epoch_ms=T0 + 5) for level in ((0, 5_400), (0, 5_200), (1, 5_400))
    ]
    assert [rig.frame(frame, 0.1).published for frame in frames] == [0, 0, 1]
    rig.flush(5)
    assert rig.state.trusted


def test_a_print_inside_a_burst_does_not_show_the_unjudged_book():
    with SegmentBox() as box:
        segment = box.make(RegionKind.BOARD, 4)
        board = Slots(segment)
        rig = Rig(board=segment).open()
        before = board.load(0)
        frames = split_burst(rig)
        rig.frame(frames[0], 0.1)
        rig.frame(rig.venue.trade(5_300, SHARE, T0 + 5), 0.1)
        during = board.load(0)
        assert before is not None
        assert during is not None
        for side in ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "flags"):
            assert (during[side] == before[side]).all(), side
        for frame in frames[1:]:
            rig.frame(frame, 0.1)
        after = board.load(0)
        assert after is not None
        assert (after["ask_ticks"][0], after["last_trade_ticks"]) == (5_300, 5_300)
        rig.frame(rig.venue.trade(5_200, SHARE, T0 + 9))  # outside a burst it shows at once
        after = board.load(0)
        assert after is not None
        assert after["last_trade_ticks"] == 5_200


def test_a_burst_ends_without_a_further_frame(rig: Rig):
    first = split_burst(rig)[0]
    rig.frame(first)
    assert rig.engine.next_deadline() == rig.now_ns + BURST_NS
    rig.flush(1)
    assert rig.state.trusted
    assert rig.flush(1).resync == 1
    assert (rig.state.trusted, rig.state.cause) == (0, UntrustCause.DISAGREE)
    assert rig.engine.take_resync() == [0]
    assert rig.engine.take_resync() == []
    assert rig.counter(Value.UNTRUSTED_DISAGREE) == 1


def test_a_later_timestamp_ends_a_burst(rig: Rig):
    rig.frame(split_burst(rig)[0])
    rig.frame(rig.venue.change((0, 5_000), epoch_ms=T0 + 6), 0.1)
    assert rig.state.cause == UntrustCause.DISAGREE
    assert not rig.state.trusted


def test_a_book_still_crossed_at_burst_end_loses_trust(rig: Rig):
    crossing = json.loads(rig.venue.change((0, 5_200), epoch_ms=T0 + 5))
    for entry in crossing["price_changes"]:
        for member in ("best_bid", "best_ask", "hash"):
            del entry[member]
        entry["price"] = "0.58" if entry["side"] == "BUY" else "0.42"
    rig.frame(spaced(crossing))
    rig.flush(3)
    assert (rig.state.trusted, rig.state.cause) == (0, UntrustCause.CROSSED)


def test_trust_comes_back_with_a_whole_book(rig: Rig):
    rig.engine.untrust(0, UntrustCause.SILENCE, rig.now_ns)
    assert not rig.state.trusted
    rig.frame(rig.venue.opening(T0 + 9))
    assert rig.state.trusted
    assert rig.engine.take_resync() == []  # answered before anybody asked
    assert rig.engine.trusted_count == 1


def test_a_missed_update_is_found_by_its_hash_and_asked_again(rig: Rig):
    rig.venue.set(0, 5_000, 3 * SHARE)  # this one is lost: deep in the book, best prices agree
    rig.venue.set(1, 5_500, 4 * SHARE)
    rig.frame(rig.venue.change((1, 5_500), epoch_ms=T0 + 5))
    rig.flush(3)
    assert rig.state.trusted, "the mismatch may still be explained by a print"
    rig.flush(250)
    assert (rig.failed, rig.state.trusted, rig.state.cause) == (2, 0, UntrustCause.HASH)
    assert rig.engine.take_resync() == [0]


def test_a_burst_of_many_hashes_leaves_no_entry_out(rig: Rig):
    """Forty frames of one timestamp, each with its own hash, on a book that missed an update."""
    rig.venue.set(0, 5_000, 7 * SHARE)  # nobody tells us
    for shares in range(1, 41):
        rig.venue.set(0, 5_100, shares * SHARE)
        rig.frame(rig.venue.change((0, 5_100), epoch_ms=T0 + 1), after_ms=0.1)
    rig.flush(3)
    rig.flush(250)
    for token in rig.state.tokens:
        assert (token.hash_passed, token.hash_failed, token.hash_unchecked) == (1, 40, 0)
    assert (rig.state.trusted, rig.state.cause) == (0, UntrustCause.HASH)


def test_a_mismatch_waits_for_the_print_that_explains_it(rig: Rig):
    rig.venue.last = "0.54"
    rig.venue.set(1, 5_400, 200 * SHARE)
    rig.frame(rig.venue.change((1, 5_400), epoch_ms=T0 + 5))
    rig.flush(3)
    assert (rig.passed, rig.failed) == (2, 0)
    rig.frame(rig.venue.trade(5_400, 10 * SHARE, T0 + 42), 37)
    assert (rig.passed, rig.failed) == (4, 0)
    rig.flush(300)
    assert rig.state.trusted


def test_the_print_may_be_formatted_otherwise_in_the_hash(rig: Rig):
    rig.venue.last = "0.540"
    rig.venue.set(1, 5_400, 200 * SHARE)
    rig.frame(rig.venue.change((1, 5_400), epoch_ms=T0 + 5))
    rig.frame(rig.venue.trade(4_600, 10 * SHARE, T0 + 42, outcome=1), 37)
    assert rig.failed == 0
    rig.frame(rig.venue.trade(5_400, 10 * SHARE, T0 + 43), 1)
    assert (rig.passed, rig.failed) == (4, 0)


def test_both_values_of_neg_risk_are_tried_and_the_right_one_learned():
    rig = Rig(neg_risk=True).open()
    assert rig.state.recipe.neg_risk == 1


def test_only_sampled_bursts_are_audited():
    rig = Rig(audit_every=4)
    rig.frame(rig.venue.opening(T0))
    for i in range(1, 12):
        rig.venue.set(0, 5_200, i * SHARE)
        rig.frame(rig.venue.change((0, 5_200), epoch_ms=T0 + i))
    assert rig.passed == 2 * 3
    assert Rig(audit_every=0).frame(rig.venue.opening(T0)).hash_passed == 0


def test_changes_older_than_the_snapshot_are_dropped_and_counted(rig: Rig):
    stale = rig.venue.change((0, 5_000), epoch_ms=T0 - 1)
    rig.venue.set(0, 5_000, 0)
    rig.frame(rig.venue.opening(T0 + 1))
    assert rig.frame(stale).stale == 2
    rig.expect_book()


def test_best_bid_ask_never_changes_trust(rig: Rig):
    wrong = {"event_type": "best_bid_ask", "market": MARKET, "asset_id": YES}
    rig.frame(spaced(wrong | {"best_bid": "0.1", "best_ask": "0.2", "timestamp": str(T0 + 3)}))
    rig.flush(10)
    assert rig.state.trusted


def test_a_tick_change_regrids_and_waits_for_a_snapshot(rig: Rig):
    rig.frame(rig.venue.tick_change("0.001", T0 + 4))
    assert (rig.state.trusted, rig.state.cause) == (0, UntrustCause.TICK)
    assert rig.state.recipe.tick_ticks == 10
    rig.expect_book()
    rig.venue.tick = "0.001"
    rig.venue.set(0, 5_215, 8 * SHARE)
    rig.frame(rig.venue.opening(T0 + 8))
    assert rig.state.trusted
    rig.frame(rig.venue.tick_change("0.001", T0 + 8))
    assert rig.state.trusted, "the other token announces what is already done"
    rig.expect_book()


def test_an_off_tick_price_regrids_by_itself(rig: Rig):
    rig.venue.set(0, 5_215, 8 * SHARE)
    rig.frame(rig.venue.change((0, 5_215), epoch_ms=T0 + 5))
    assert rig.state.trusted
    rig.expect_book()


def test_an_older_rest_book_proves_nothing(rig: Rig):
    older = rig.venue.rest(T0 + 3)
    rig.venue.set(0, 5_200, 5 * SHARE)
    rig.frame(rig.venue.change((0, 5_200), epoch_ms=T0 + 5))
    rig.engine.on_rest_books(older, rig.now_ns + MS)
    assert rig.counter(Value.REST_OLDER) == 2
    assert (rig.state.trusted, rig.state.proof) == (1, Proof.HASH)
    rig.expect_book()


def test_the_same_rest_book_proves_ours(rig: Rig):
    rig.engine.on_rest_books(rig.venue.rest(T0 + 3), rig.now_ns + MS)
    assert rig.counter(Value.REST_SAME) == 2
    assert rig.state.trusted
    assert rig.state.proved_ns == rig.now_ns + MS


def test_a_newer_and_different_rest_book_replaces_ours_and_is_counted(rig: Rig):
    rig.venue.set(1, 5_400, 0)
    rig.engine.on_rest_books(rig.venue.rest(T0 + 3), rig.now_ns + MS)
    assert rig.counter(Value.UNTRUSTED_REST) == rig.counter(Value.REST_DIFFERENT) == 1
    assert (rig.state.trusted, rig.state.untrusted_ns) == (1, rig.now_ns + MS)
    rig.expect_book()
    late = rig.venue.change((0, 5_200), epoch_ms=T0 + 2)
    assert rig.frame(late).stale == 2, "spliced by timestamp"


def test_a_snapshot_older_than_a_poll_begins_the_stream_anew(rig: Rig):
    rig.venue.set(0, 5_000, 0)
    rig.engine.on_rest_books(rig.venue.rest(T0 + 900), rig.now_ns)
    rig.engine.untrust(0, UntrustCause.SILENCE, rig.now_ns)
    rig.venue.set(0, 5_000, 9 * SHARE)
    rig.frame(rig.venue.opening(T0 + 500))
    assert rig.state.trusted
    rig.venue.set(0, 5_000, 8 * SHARE)
    assert rig.frame(rig.venue.change((0, 5_000), epoch_ms=T0 + 501)).stale == 0
    rig.expect_book()


def test_a_poll_that_agrees_leaves_the_stream_as_it_was(rig: Rig):
    rig.engine.on_rest_books(rig.venue.rest(T0 + 900), rig.now_ns)
    assert rig.state.proof == Proof.HASH
    rig.venue.set(0, 5_200, 5 * SHARE)
    assert rig.frame(rig.venue.change((0, 5_200), epoch_ms=T0 + 5)).stale == 0
    rig.expect_book()


def test_a_reconnect_forgets_the_snapshot_so_that_any_next_one_counts(rig: Rig):
    rig.engine.untrust(0, UntrustCause.RECONNECT, rig.now_ns)
    assert (rig.state.trusted, rig.state.has_snapshot) == (0, 0)
    assert rig.engine.take_resync() == [], "whoever reconnects subscribes anyway"
    rig.frame(rig.venue.opening(T0 - 50))
    assert rig.state.trusted


def test_a_resolved_market_says_so(rig: Rig):
    done = {"event_type": "market_resolved", "market": MARKET, "winning_asset_id": NO}
    assert rig.frame(spaced(done)).resolved == 1
    assert rig.state.status == 3


def test_unknown_assets_are_counted_and_cost_nothing(rig: Rig):
    other = VenueBook(market="0x" + "cc" * 32, yes="5" * 77, no="6" * 77)
    assert rig.frame(other.opening(T0)).unknown_assets == 2
    assert rig.engine.markets_count == 1


def test_two_megabytes_and_more_are_counted_not_fatal(rig: Rig):
    assert rig.frame(b"[" + b" " * 2**21 + b"]").malformed == 0
    small = FeedEngine(markets_capacity=1, frame_bytes_max=1_000)
    assert small.on_frame(b"[" + b" " * 2_000 + b"]", 1).malformed == 1
    assert small.counter(Value.MALFORMED_TOO_LARGE) == 1
    assert rig.frame(b"\x00" * 2**21).malformed == 1


def test_book_text_is_what_the_venue_hashes(rig: Rig):
    for outcome in (0, 1):
        text = rig.engine.book_text(0, outcome, T0)
        assert hashlib.sha1(text).hexdigest() == rig.venue.hash(outcome, T0)


def test_markets_that_cannot_be_added_are_refused(rig: Rig):
    add = rig.engine.add_market
    for arguments in (
        (0, "0xnew", "1", "2"),
        (1, MARKET, "1", "2"),
        (1, "0xnew", YES, "2"),
        (1, "0xnew", "", "2"),
        (4, "0xnew", "1", "2"),
        (1, "0x" + "f" * 80, "1", "2"),
        (1, "0xnew", "1", "2", 3),
    ):
        with pytest.raises(ValueError, match="cannot be added"):
            add(*arguments)
    with pytest.raises(IndexError):
        rig.engine.market_state(3)
    assert rig.engine.find(NO) == 0
    assert rig.engine.find("nobody") == -1


@pytest.mark.recorded
def test_every_recorded_hash_verifies_but_those_of_the_market_that_missed_one(recorded: Path):
    engine = FeedEngine(markets_capacity=8, learn=True)
    twin = BookTwin()
    passed = failed = 0
    lines = (recorded / "polymarket_ws/raw_3markets_20260927.ndjson").read_bytes().splitlines()
    for n, line in enumerate(filter(None, lines), 1):
        result = engine.on_frame(line, n)
        twin.on_frame(line)
        passed, failed = passed + result.hash_passed, failed + result.hash_failed
        assert (result.malformed, result.unknown_events) == (0, 0)
        for token, book in twin.books.items():
            index = engine.find(token)
            ours = ffi.string(engine.market_state(index).tokens[0].token).decode()
            assert engine.levels(index, int(ours != token)) == book.levels()
    result = engine.flush(NEVER_NS)
    assert (passed + result.hash_passed, failed + result.hash_failed) == (68, 16)
    trusted = {
        ffi.string(engine.market_state(i).condition_id)[:6]: bool(engine.market_state(i).trusted)
        for i in range(3)
    }
    assert trusted == {b"0x690f": False, b"0xefa1": True, b"0xaace": True}
    assert engine.counter(Value.UNTRUSTED_HASH) == 1


@pytest.mark.recorded
def test_recorded_bursts_verify_at_the_recorded_pace(recorded: Path):
    document = json.loads((recorded / "polymarket_ws/raw_bursts_tennis_20260911.json").read_text())
    engine = FeedEngine(markets_capacity=1)
    engine.add_market(0, document["market"], *document["assets"], 10)
    passed = failed = entries = 0
    for batch in document["batches"]:
        start_ns = batch["frames"][0]["mono_ns"]
        last = {"last_trade_price": batch["last_trade_price_in_hash"], "event_type": "book"}
        opening = [c | {"market": document["market"]} | last for c in batch["checkpoint"]]
        frames = [(json.dumps(opening).encode(), start_ns - MS)]
        frames += [(frame["raw"].encode(), frame["mono_ns"]) for frame in batch["frames"]]
        for frame, recv_ns in frames:
            while engine.next_deadline() <= recv_ns:
                failed += engine.flush(engine.next_deadline()).hash_failed
            result = engine.on_frame(frame, recv_ns)
            passed, failed = passed + result.hash_passed, failed + result.hash_failed
            entries += frame.count(b'"hash"')
        assert engine.market_state(0).trusted
    assert (passed, failed) == (entries, 0)


@pytest.mark.recorded
def test_every_recorded_rest_book_verifies(recorded: Path):
    path = recorded / "polymarket_rest/negrisk_event_fed-june-2026_clob-books.json"
    engine = FeedEngine(markets_capacity=8, learn=True)
    result = engine.on_rest_books(path.read_bytes(), 1)
    assert (result.hash_passed, result.hash_failed, result.books) == (10, 0, 10)
    assert engine.trusted_count == 5
