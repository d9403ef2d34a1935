"""The hash of a book: SHA-1, decimal text and the venue's recipe, against independent twins."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround._native import ffi, lib
from overround.book.engine import FeedEngine
from overround.units import format_size, parse_price, parse_size


def sha1(*parts: bytes) -> bytes:
    state = ffi.new("struct ovr_sha1 *")
    digest = ffi.new("uint8_t[20]")
    lib.ovr_sha1_init(state)
    for part in parts:
        lib.ovr_sha1_update(state, part, len(part))
    lib.ovr_sha1_final(state, digest)
    return bytes(digest)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_sha1_is_that_of_hashlib_however_the_text_is_cut(parts: list[bytes]):
    assert sha1(*parts) == hashlib.sha1(b"".join(parts)).digest()


def test_sha1_pads_every_length_right():
    for length in range(300):
        text = bytes(range(256)) * 2
        assert sha1(text[:length]) == hashlib.sha1(text[:length]).digest()


def test_the_published_vector_verifies():
    market = "0x" + "ab" * 32
    token = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
    engine = FeedEngine(markets_capacity=1)
    engine.add_market(0, market, token, "1", 100, "5", False, "0.28")
    frame = (
        f'{{"event_type":"book","market":"{market}","asset_id":"{token}",'
        '"timestamp":"1795000000000","hash":"b9d2845ca7227583f7cc408711a37717de3cd245",'
        '"bids":[{"price":"0.27","size":"10"},{"price":"0.28","size":"50"}],'
        '"asks":[{"price":"0.35","size":"10"},{"price":"0.29","size":"100"}]}'
    )
    assert engine.on_frame(frame.encode(), 1).hash_passed == 1
    text = engine.book_text(0, 0, 1795000000000)
    assert hashlib.sha1(text).hexdigest() == "b9d2845ca7227583f7cc408711a37717de3cd245"


@pytest.mark.parametrize("last", ["0.5", "0.50", "0.500"])
@pytest.mark.parametrize("print_text", ["0.5", "0.50", "0.500"])
def test_a_last_price_matches_in_each_usual_format(last: str, print_text: str):
    recipe = ffi.new("struct ovr_recipe *")
    recipe.min_size, recipe.last = b"5", print_text.encode()
    recipe.tick_ticks, recipe.neg_risk, recipe.last_known = 100, -1, 1
    levels = ffi.new("struct ovr_sha1 *")
    lib.ovr_sha1_init(levels)
    lib.ovr_sha1_update(levels, b'{"asks":[]', 10)
    expected = hashlib.sha1(
        f'{{"asks":[],"min_order_size":"5","tick_size":"0.01","neg_risk":true,'
        f'"last_trade_price":"{last}"}}'.encode()
    ).digest()
    assert lib.ovr_recipe_match(recipe, levels, expected) == 1
    assert (recipe.neg_risk, recipe.proved) == (1, 1)
    assert lib.ovr_recipe_match(recipe, levels, bytes(20)) == 0


@given(st.integers(0, 2**63 - 1))
def test_sizes_are_written_and_read_as_units_does(lots: int):
    out = ffi.new("char[]", 32)
    length = lib.ovr_decimal_format(lots, 6, out)
    text = bytes(ffi.buffer(out, length))
    assert text.decode() == format_size(lots)
    value = ffi.new("int64_t *")
    assert lib.ovr_decimal_parse(text, len(text), 6, value) == 0
    assert value[0] == lots


@given(
    st.one_of(
        st.from_regex(r"[0-9]{0,14}(\.[0-9]{0,10})?", fullmatch=True),
        st.text("0123456789.-+e ", max_size=30),
    )
)
def test_decimals_are_accepted_exactly_where_units_accepts_them(text: str):
    value = ffi.new("int64_t *")
    raw = text.encode()
    for decimals, parse in ((4, parse_price), (6, parse_size)):
        try:
            expected = parse(text)
        except ValueError:
            expected = None
        status = lib.ovr_decimal_parse(raw, len(raw), decimals, value)
        ours = value[0] if status == 0 else None
        if decimals == 4 and ours is not None and ours > 10_000:
            ours = None  # the price's range is the decoder's to check
        assert ours == expected
