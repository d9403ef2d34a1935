"""Amounts of orders: the venue's rounding in exact integers, against the official client."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from py_clob_client_v2.order_builder.builder import ROUNDING_CONFIG, OrderBuilder

from oracle import signing_table as table
from overround.errors import OrderError
from overround.units import parse_price, parse_size
from overround.venues.contract import Side
from overround.venues.polymarket.amounts import (
    TICKS_VALID,
    limit_amounts,
    market_buy,
    market_sell,
    taking_amounts,
    taking_step_lots,
)

ticks = st.sampled_from(sorted(TICKS_VALID))
sides = st.sampled_from(list(Side))


@st.composite
def priced(draw: st.DrawFn) -> tuple[int, int]:
    """Return a price on a tick, and the tick."""
    tick = draw(ticks)
    return tick * draw(st.integers(1, 10_000 // tick - 1)), tick


@pytest.mark.parametrize(("tick", "price", "size", "cash", "shares"), table.LIMIT_AMOUNTS)
def test_known_limit_amounts(tick: int, price: int, size: int, cash: int, shares: int) -> None:
    assert limit_amounts(Side.BUY, price, size, tick) == (cash, shares)
    assert limit_amounts(Side.SELL, price, size, tick) == (shares, cash)


def test_known_market_buy() -> None:
    assert market_buy(25_000_000, 370, 10) == (25000000, 675675670)


@given(priced(), st.integers(10_000, 10**13), sides)
def test_limit_amounts_imply_the_price_exactly(
    price_tick: tuple[int, int], size_lots: int, side: Side
) -> None:
    price, tick = price_tick
    maker, taker = limit_amounts(side, price, size_lots, tick)
    cash, shares = (maker, taker) if side == Side.BUY else (taker, maker)
    assert Fraction(cash, shares) == Fraction(price, 10_000)
    assert 0 <= size_lots - shares < 10_000
    assert shares % 10_000 == 0


@given(priced(), st.integers(10_000, 10**13))
def test_market_buy_reaches_its_price_and_spends_no_more(
    price_tick: tuple[int, int], cash_micro: int
) -> None:
    price, tick = price_tick
    cash, shares = market_buy(cash_micro, price, tick)
    assert cash <= cash_micro < cash + 10_000
    assert Fraction(cash, shares) >= Fraction(price, 10_000)
    # one more step of shares would imply a price below the limit
    step = {1000: 1000, 100: 100, 50: 10, 25: 1, 10: 10, 1: 1}[tick]
    assert Fraction(cash, shares + step) < Fraction(price, 10_000)


@given(priced(), st.integers(10_000, 10**12), sides)
def test_taking_amounts_keep_the_venues_accuracy_and_never_exceed_the_size(
    price_tick: tuple[int, int], size_lots: int, side: Side
) -> None:
    price, tick = price_tick
    try:
        maker, taker = taking_amounts(side, price, size_lots, tick)
    except OrderError:
        assert size_lots * price < 10_000 * 10_000 * 2
        return
    if side == Side.SELL:
        assert (maker, taker) == limit_amounts(side, price, size_lots, tick)
        return
    assert maker % 10_000 == 0
    assert taker % 100 == 0
    assert taker <= size_lots
    assert Fraction(maker, taker) >= Fraction(price, 10_000)


@given(st.lists(priced(), min_size=1, max_size=4), st.integers(1, 5))
def test_multiples_of_the_taking_step_lose_nothing(
    prices: list[tuple[int, int]], multiple: int
) -> None:
    size = multiple * taking_step_lots(*(price for price, _ in prices))
    for price, tick in prices:
        cash, shares = taking_amounts(Side.BUY, price, size, tick)
        assert shares == size
        assert Fraction(cash, shares) == Fraction(price, 10_000)


def test_taking_step_is_the_smallest() -> None:
    assert taking_step_lots(5000) == 20_000
    assert taking_step_lots(5200) == 250_000
    assert taking_step_lots(370) == 10_000_000
    with pytest.raises(OrderError):
        taking_step_lots(0)


@pytest.mark.parametrize(
    ("price", "tick"), [(0, 100), (10_000, 100), (5250, 100), (9_999, 10), (5000, 7), (-100, 100)]
)
def test_price_off_the_tick_is_refused(price: int, tick: int) -> None:
    for build in (limit_amounts, taking_amounts):
        with pytest.raises(OrderError):
            build(Side.BUY, price, 10**7, tick)
    with pytest.raises(OrderError):
        market_buy(10**7, price, tick)


def test_too_small_is_refused() -> None:
    with pytest.raises(OrderError, match=r"below 0\.01 share"):
        limit_amounts(Side.BUY, 5000, 9_999, 100)
    with pytest.raises(OrderError, match="below one cent"):
        taking_amounts(Side.BUY, 100, 10_000, 100)
    with pytest.raises(OrderError, match="below one cent"):
        market_buy(9_999, 5000, 100)


def test_market_prices_that_the_official_client_floors_keep_their_tick() -> None:
    builder = OrderBuilder(signer=None, funder="0x")
    lost = []
    for cents in range(1, 100):
        _, maker, taker = builder.get_market_order_amounts(
            "BUY", 10, cents / 100, ROUNDING_CONFIG["0.01"]
        )
        ours = market_buy(10_000_000, cents * 100, 100)
        if (maker, taker) != ours:
            lost.append(cents)
    assert lost == [29, 57, 58]


@given(st.integers(1, 99), st.integers(500, 10_000))
def test_limit_amounts_equal_the_official_client_where_its_floats_hold(
    cents: int, hundredths: int
) -> None:
    builder = OrderBuilder(signer=None, funder="0x")
    _, maker, taker = builder.get_order_amounts(
        "BUY", hundredths / 100, cents / 100, ROUNDING_CONFIG["0.01"]
    )
    assume(taker == hundredths * 10_000)
    assert limit_amounts(Side.BUY, cents * 100, hundredths * 10_000, 100) == (maker, taker)


FLOAT_BUGS = {
    # (kind, side, tick, price, size or amount): what the client's floats made of it
    ("limit", "SELL", "0.1", "0.9", "2266.93"): (2266920000, 2040228000),
    ("market", "SELL", "0.1", "0.9", "2266.93"): (2266920000, 2040228000),
    ("limit", "BUY", "0.1", "0.4", "37.8"): (15116000, 37790000),
    ("market", "BUY", "0.1", "0.4", "37.8"): (37790000, 94475000),
    ("limit", "BUY", "0.01", "0.43", "39.62"): (17032300, 39610000),
    ("market", "BUY", "0.01", "0.43", "39.62"): (39610000, 92116200),
    ("limit", "SELL", "0.01", "0.77", "40.3"): (40290000, 31023300),
    ("market", "SELL", "0.01", "0.77", "40.3"): (40290000, 31023300),
    ("market", "BUY", "0.0025", "0.69", "2.9"): (2900000, 4203507),
    ("market", "BUY", "0.0025", "0.5025", "36.0334"): (36030000, 71715764),
    ("market", "SELL", "0.0025", "0.4075", "18.28"): (18280000, 7447272),
    ("market", "BUY", "0.0025", "0.345", "23.11"): (23110000, 67004928),
    ("limit", "BUY", "0.001", "0.198", "4936.9"): (977504220, 4936890000),
    ("market", "BUY", "0.001", "0.198", "4936.9"): (4936890000, 24933787870),
}
"""Recorded answers that are wrong: a floored cent of a share, or a price floored by a tick."""


@pytest.mark.recorded
def test_recorded_amounts_agree_but_for_the_listed_float_bugs(recorded: Path) -> None:
    vectors = json.loads((recorded / "signing/polymarket_signing_vectors.json").read_text())
    differing = {}
    for case in vectors["amounts"]:
        wanted = repr(case.get("size", case.get("amount"))).removesuffix(".0")
        price, tick = parse_price(repr(case["price"])), parse_price(case["tick"])
        side, micro = Side(case["side_enum"]), parse_size(wanted)
        if case["kind"] == "limit":
            ours = limit_amounts(side, price, micro, tick)
        else:
            ours = (market_buy if side == Side.BUY else market_sell)(micro, price, tick)
        theirs = (int(case["maker_amount"]), int(case["taker_amount"]))
        if ours != theirs:
            key = (case["kind"], case["side"], case["tick"], repr(case["price"]), wanted)
            differing[key] = theirs
    assert len(vectors["amounts"]) == 192
    assert differing == FLOAT_BUGS
    assert len(differing) == 14
