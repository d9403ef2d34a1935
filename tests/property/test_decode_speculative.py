"""The forms the venue writes, and frames that differ from them by a few bytes.

A blank in front makes the fast decoder give up, so the same frame passes through the general one:
both must say the same, and what the slow twin says. So must the fast one as processors without
AVX2 run it.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracle.decoder import decode
from oracle.frames import T0, usual_book
from oracle.native_decoder import NativeDecoder

NATIVE = NativeDecoder(events=16, changes=4_096)
BASE = NativeDecoder(events=16, changes=4_096, base=True)
SHARE = 1_000_000


def forms() -> list[bytes]:
    """Opening books, changes of one to four levels, refreshed books: as the venue writes them."""
    found = []
    for number in range(8):
        random = Random(number)
        venue = usual_book()
        touched = []
        for _ in range(random.randint(1, 4)):
            level = (random.randint(0, 1), random.choice((5_100, 5_200, 7_100)))
            venue.set(*level, random.choice((0, SHARE // 100, 17 * SHARE, 319_637_930_001)))
            touched.append(level)
        found.append(venue.opening(T0 + number))
        found.append(venue.change(*touched, epoch_ms=T0 + number))
        for outcome in (0, 1):
            book = venue.book(outcome, T0 + number)
            text = json.dumps(book, separators=(", ", ":"))
            order = ("market", "asset_id", "bids", "asks", "hash", "timestamp", "event_type")
            refreshed = {name: book[name] for name in order}
            text = json.dumps(refreshed, separators=(", ", ":"))
            found.append(text.encode())
    return found


FORMS = forms()


def both(frame: bytes) -> bool:
    """Compare fast, general and twin; return whether the fast one took the frame."""
    fast = NATIVE.decode(frame)
    taken = NATIVE.speculated
    assert BASE.decode(frame) == fast
    assert BASE.speculated == taken
    general = NATIVE.decode(b" " + frame)
    assert not NATIVE.speculated
    assert fast == general == decode(frame)
    return taken


@pytest.mark.parametrize("frame", FORMS, ids=range(len(FORMS)))
def test_every_form_of_the_venue_is_taken(frame: bytes):
    assert both(frame), frame


@pytest.mark.recorded
def test_recorded_traffic_is_taken_but_for_prints(recorded: Path):
    lines = (recorded / "polymarket_ws" / "raw_3markets_20260927.ndjson").read_bytes().splitlines()
    left = [line for line in lines if line.strip() and not both(line)]
    assert len(lines) > 50
    assert all(b'"event_type":"last_trade_price"' in line for line in left)


pieces = st.sampled_from(
    [
        b'"',
        b"\\",
        b" ",
        b",",
        b"0",
        b"9",
        b".",
        b"x",
        b"\xc3\xa9",
        b"\x00",
        b"\x7f",
        b"}",
        b"]",
        b"\n",
    ]
)
edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 2), st.just(b"") | pieces),
    min_size=1, max_size=2,
)  # fmt: skip


@settings(max_examples=1_500, deadline=None)
@given(st.sampled_from(FORMS), edits)
@example(FORMS[1], [(0.0, 0, b"\n")])
def test_near_the_form_both_decoders_agree(frame: bytes, changes: list):
    for where, removed, inserted in changes:
        at = int(where * (len(frame) + 1))
        frame = frame[:at] + inserted + frame[at + removed :]
    both(frame)


digests = st.sampled_from(["a" * 40, "A" * 40, "f" * 39, "g" * 40, "", "0" * 41])
numbers = st.sampled_from(
    ["0", "1", "00.5", "0.50000", "0.5", "0.12345", ".5", "5.", "1.0000", "1.0001", "0.0001",
     "9999", "", "-1", "123456789012", "1234567890123", "0.1234567", "0.000001",
     "999999999999.999999",
     "99999999999999.999999", "340282366920938463463", "0.", "0.0", "0.x", "1.2.3", "0.12:4",
     "12345678.123456", "123456789.12345", "1234567890.1234", "12345678901.123", "12345678.1/",
     "0000000000.0001"]
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(numbers, numbers, numbers, st.sampled_from(["BUY", "SELL", "SELLS", "buy", ""]),
       digests, st.data())  # fmt: skip
def test_every_kind_of_value_means_the_same_to_both(price, size, best, side, digest, data):
    entry = {
        "asset_id": data.draw(st.sampled_from(["7" * 77, "x", "", "a b", "x" * 128, "x" * 129])),
        "price": price, "size": size, "side": side, "hash": digest, "best_bid": best,
        "best_ask": "1",
    }  # fmt: skip
    frame = {
        "market": "0x" + "a" * 64,
        "price_changes": [entry] * data.draw(st.integers(0, 2)),
        "timestamp": data.draw(st.sampled_from(["1790491135816", "1", "", "12.0", "9" * 19])),
        "event_type": "price_change",
    }
    both(json.dumps(frame, separators=(", ", ":")).encode())


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), max_size=4), st.booleans())
def test_every_kind_of_level_means_the_same_to_both(levels, opening):
    half = len(levels) // 2
    sides = [
        [{"price": price, "size": size} for price, size in side]
        for side in (levels[:half], levels[half:])
    ]
    book = {"market": "0x" + "a" * 64, "asset_id": "7" * 77}
    if opening:
        book |= {"timestamp": "1790491135816", "hash": "a" * 40, "bids": sides[0],
                 "asks": sides[1], "tick_size": "0.01", "event_type": "book",
                 "last_trade_price": "0.5"}  # fmt: skip
        both(json.dumps([book], separators=(",", ":")).encode())
    else:
        book |= {"bids": sides[0], "asks": sides[1], "hash": "a" * 40,
                 "timestamp": "1790491135816", "event_type": "book"}  # fmt: skip
        both(json.dumps(book, separators=(", ", ":")).encode())


@pytest.mark.parametrize("frame", FORMS[:4], ids=range(4))
def test_every_cut_is_refused_by_both(frame: bytes):
    for length in range(len(frame.rstrip())):
        assert not both(frame[:length])


def test_more_levels_than_there_is_room_for_are_left_to_the_general_decoder():
    small = NativeDecoder(events=1, changes=2)
    assert small.decode(FORMS[0]).reason != 0
    assert not small.speculated
