"""Made-up and mutated frames: the native decoder must say exactly what its twin says."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracle.decoder import KNOWN, decode
from oracle.native_decoder import NativeDecoder

SEEDS = Path(__file__).resolve().parent.parent / "data" / "market_channel"
NATIVE = NativeDecoder(events=256, changes=65_536)

numbers = st.one_of(
    st.decimals(0, 1, places=4).map(str),
    st.decimals(0, 10**7, places=6).map(str),
    st.sampled_from(["0", "1", "0.50", "0.00001", "1e-1", "-1", ".5", "5.", "00.5", "", "x"]),
    st.integers(0, 2**70).map(str),
)
ids = st.one_of(
    st.text("0123456789abcdef", min_size=1, max_size=80),
    st.sampled_from(["", "a b", "\u00e9", "x" * 129, "\x00", "tab\t"]),
)
hashes = st.one_of(st.text("0123456789abcdefABCDEF", min_size=40, max_size=40), numbers)
ticks = st.sampled_from(["0.1", "0.01", "0.001", "0.0001", "0.005", "0.003", "1", "0", "0.5"])
raw_number = st.one_of(st.integers(0, 2**64), st.floats(0, 1, allow_nan=False))
junk = st.one_of(
    st.none(), st.booleans(), raw_number, st.text(max_size=8), st.just([]), st.just({})
)
sides = st.sampled_from(["BUY", "SELL", "buy", ""])

VALUES = {
    "market": ids,
    "asset_id": ids,
    "winning_asset_id": ids,
    "timestamp": st.one_of(st.integers(0, 2**50).map(str), st.integers(0, 2**50), numbers),
    "hash": hashes,
    "price": numbers,
    "size": numbers,
    "side": sides,
    "best_bid": numbers,
    "best_ask": numbers,
    "tick_size": ticks,
    "new_tick_size": ticks,
    "last_trade_price": numbers,
    "min_order_size": numbers,
    "neg_risk": st.booleans(),
}


def member(name: str) -> st.SearchStrategy[tuple[str, object]]:
    values = VALUES.get(name, junk)
    # Mostly plausible, so that deep paths are reached; now and then anything at all.
    usually = st.one_of(values, values, values, values, values, values, junk)
    return st.tuples(st.just(name), usually)


def members(*names: str) -> st.SearchStrategy[list[tuple[str, object]]]:
    """The named members in any order, some missing, perhaps one more or one doubled."""
    extra = st.lists(
        st.one_of(
            st.sampled_from(sorted(KNOWN)).flatmap(member),
            st.tuples(st.text(max_size=6), junk),
        ),
        max_size=1,
    )
    kept = st.lists(st.booleans(), min_size=len(names), max_size=len(names)).map(
        lambda keep: [name for name, k in zip(names, keep, strict=True) if k]
    )
    mostly = st.one_of(st.just(list(names)), st.just(list(names)), kept)
    chosen = mostly.flatmap(lambda kept: st.tuples(*[member(name) for name in kept]).map(list))
    return st.tuples(chosen, extra).map(lambda pair: pair[0] + pair[1]).flatmap(st.permutations)


class Pairs(list):
    """Members of an object, serialised in order, doubles included."""


ENTRY = ("asset_id", "price", "size", "side", "hash", "best_bid", "best_ask")
levels = st.lists(
    st.one_of(members("price", "size").map(Pairs), members("price", "size").map(Pairs), junk),
    max_size=3,
)
entries = st.lists(
    st.one_of(members(*ENTRY).map(Pairs), members(*ENTRY).map(Pairs), junk), max_size=3
)


def message(kind: str, *names: str, **lists: st.SearchStrategy[object]) -> object:
    base = members("market", "timestamp", *names)
    with_lists = st.tuples(
        base, *[st.tuples(st.just(name), values) for name, values in lists.items()]
    ).map(lambda parts: [*parts[0], *parts[1:], ("event_type", kind)])
    return with_lists.flatmap(st.permutations).map(Pairs)


messages = st.one_of(
    message("price_change", price_changes=entries),
    message("price_change", "asset_id", changes=entries),
    message("price_change", "asset_id", "price", "size", "side", "hash"),
    message(
        "book",
        *("asset_id", "hash", "tick_size", "last_trade_price", "min_order_size", "neg_risk"),
        bids=levels,
        asks=levels,
    ),
    message("last_trade_price", "asset_id", "price", "size", "side"),
    message("best_bid_ask", "asset_id", "best_bid", "best_ask"),
    message("tick_size_change", "asset_id", "new_tick_size"),
    message("market_resolved", "winning_asset_id"),
    message("new_market"),
    message("jubilee", "price"),
)


def dump(value: object, comma: str) -> str:
    if isinstance(value, Pairs):
        inner = comma.join(f"{json.dumps(name)}:{dump(v, comma)}" for name, v in value)
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + comma.join(dump(v, comma) for v in value) + "]"
    return json.dumps(value)


@settings(max_examples=600, deadline=None)
@given(st.one_of(messages, st.lists(messages, max_size=3)), st.sampled_from([",", ", ", " ,\n"]))
def test_made_up_messages_decode_as_the_twin_says(document: object, comma: str):
    frame = dump(document, comma).encode()
    assert NATIVE.decode(frame) == decode(frame)
    assert NATIVE.decode(frame, rest=True) == decode(frame, default_type="book")


seed_frames = [path.read_bytes() for path in sorted(SEEDS.glob("*.json"))]
edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 3),
        st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\n"]),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(seed_frames), edits)
@example(b'{"event_type":"book"}', [(0.5, 0, b"\xed\xa0\x80")])
@example(b'"\xf4\x90\x80\x80"', [(0.0, 0, b"")])
def test_mutated_frames_decode_as_the_twin_says(frame: bytes, changes: list):
    for where, removed, inserted in changes:
        at = int(where * (len(frame) + 1))
        frame = frame[:at] + inserted + frame[at + removed :]
    assert NATIVE.decode(frame) == decode(frame)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_any_bytes_decode_as_the_twin_says(frame: bytes):
    assert NATIVE.decode(frame) == decode(frame)
