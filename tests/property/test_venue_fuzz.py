"""Bytes from outside: whatever they are, one VenueError or a counted problem, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround.errors import ConfigError, OrderError, VenueError
from overround.venues.contract import MarketSpec
from overround.venues.polymarket import catalog, wire
from overround.venues.polymarket.auth import Credentials, Signer, verify_l1, verify_l2
from overround.venues.polymarket.fees import FeeSchedule
from overround.venues.polymarket.orders import OrderParams, exchange_domain, verify_order
from overround.venues.polymarket.records import own_fills

ORDER_ID = "0x" + "bc" * 32
HEADERS = (
    "POLY_ADDRESS",
    "POLY_SIGNATURE",
    "POLY_TIMESTAMP",
    "POLY_NONCE",
    "POLY_API_KEY",
    "POLY_PASSPHRASE",
)
CONDITION = "0x" + "9c" * 32

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "0.52",
            "-1",
            "1e99",
            "1e-99",
            "9" * 40,
            "0." + "1" * 61,
            "NaN",
            "Infinity",
            "\u0661\u0662",
            "BUY",
            "sell",
            "trade",
            "order",
            "PLACEMENT",
            "MATCHED",
            "LIVE",
            "CANCELED_x",
            "MAKER",
            "[]",
            '["1","2"]',
            '["Yes","No"]',
            "[" * 3000,
            CONDITION,
            ORDER_ID,
            "resolved",
            "v2",
            "2024-13-45",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "1795345200",
            "GTC",
            "0xzz",
        ]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**80), 10**80),
    st.floats(),
    texts,
)
ORDER: dict[str, Any] = {
    "event_type": "order",
    "type": "UPDATE",
    "id": ORDER_ID,
    "owner": "us",
    "market": CONDITION,
    "asset_id": "1",
    "side": "BUY",
    "price": "0.52",
    "original_size": "10",
    "size_matched": "1",
    "status": "LIVE",
    "created_at": "1795345200",
    "timestamp": "1795345200257",
}
TRADE: dict[str, Any] = {
    **ORDER,
    "event_type": "trade",
    "size": "10",
    "status": "MATCHED",
    "taker_order_id": "0x1",
    "maker_orders": [
        {"order_id": "0x2", "owner": "us", "matched_amount": "10", "price": "0.4", "asset_id": "2"}
    ],
}
EVENT: dict[str, Any] = {
    "negRisk": True,
    "negRiskMarketID": CONDITION,
    "markets": [
        {
            "conditionId": CONDITION,
            "questionID": CONDITION[:-2] + "00",
            "outcomes": '["Yes","No"]',
            "clobTokenIds": '["1","2"]',
            "orderPriceMinTickSize": 0.01,
            "orderMinSize": 5,
            "acceptingOrders": True,
            "enableOrderBook": True,
            "feeSchedule": {"rate": 0.05, "exponent": 1},
        }
    ],
}
CLOB: dict[str, Any] = {
    "c": CONDITION,
    "t": [{"t": "1", "o": "Yes"}, {"t": "2", "o": "No"}],
    "mos": 5,
    "mts": 0.01,
    "fd": {"r": 0.05, "e": 1},
}
ANSWER: dict[str, Any] = {
    "success": True,
    "errorMsg": "",
    "orderID": ORDER_ID,
    "status": "live",
    "makingAmount": "1",
    "tradeIDs": ["t"],
}
SMALL: dict[str, Any] = {
    "canceled": ["0x1"],
    "not_canceled": {"0x2": "already matched"},
    "balance": "1250340000",
    "allowances": {"0xE1": "5"},
    "apiKey": "k",
    "secret": "c2VjcmV0",
    "passphrase": "p",
    "heartbeat_id": "h",
    "version": 2,
}
TEMPLATES = (ORDER, TRADE, EVENT, CLOB, ANSWER, SMALL)


def names(value: object) -> set[str]:
    """Return every member name of a JSON value, at any depth."""
    if isinstance(value, list):
        return set().union(*map(names, value))
    if isinstance(value, dict):
        return set(value).union(*map(names, value.values()))
    return set()


KEYS = sorted(names(list(TEMPLATES)))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), inner, max_size=8),
    ),
    max_leaves=20,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a good object with one or two members replaced or removed, at any depth."""
    template = draw(st.sampled_from(TEMPLATES))
    value = json.loads(json.dumps(template))
    for _ in range(draw(st.integers(0, 2))):
        target = value
        while True:
            inner = [v for v in target.values() if isinstance(v, dict)]
            inner += [
                v[0] for v in target.values() if isinstance(v, list) and v and type(v[0]) is dict
            ]
            if not inner or draw(st.booleans()):
                break
            target = draw(st.sampled_from(inner))
        key = draw(st.sampled_from([*target, "side", "version"]))
        if draw(st.integers(0, 3)):
            target[key] = draw(st.one_of(texts, values))
        else:
            target.pop(key, None)
    if template is EVENT:
        value = {"events": [value], "next_cursor": draw(texts)}
    elif draw(st.integers(0, 2)) == 0:
        value = draw(st.sampled_from([[value], {"data": [value], "next_cursor": "MTAw"}]))
    return json.dumps(value).encode("utf-8", "replace")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return good JSON with some bytes changed, cut or doubled."""
    raw = bytearray(json.dumps(draw(st.sampled_from(TEMPLATES))).encode())
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(raw) - 1))
        raw[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        raw = raw or bytearray(b"{")
    return bytes(raw)


bodies = st.one_of(
    mutated(),
    mutated(),
    mutated(),
    damaged(),
    st.binary(max_size=64),
    values.map(lambda v: json.dumps(v).encode()),
)
statuses = st.sampled_from([200, 200, 200, 400, 404, 425, 500, 503])

BASE = MarketSpec(
    venue="polymarket",
    condition_id=CONDITION,
    token_yes="1",
    token_no="2",
    tick_ticks=100,
    min_size_lots=1,
    neg_risk=False,
)

RAISING: list[Callable[[int, bytes], object]] = [
    lambda status, body: wire.decode_user(body),
    lambda status, body: catalog.parse_events_page(body),
    lambda status, body: catalog.parse_event(body),
    lambda status, body: catalog.parse_clob_market(body),
    lambda status, body: catalog.parse_clob_market(body, BASE),
    lambda status, body: FeeSchedule.decode(body),
    wire.decode_cancel,
    wire.decode_open_orders,
    wire.decode_trades,
    wire.decode_order,
    wire.decode_balance,
    wire.decode_credentials,
    wire.decode_heartbeat,
    wire.decode_time,
    wire.decode_version,
]


@settings(max_examples=400, deadline=None)
@given(bodies, statuses)
def test_reader_of_any_body_gives_a_value_or_one_venue_error(body: bytes, status: int) -> None:
    messages = []
    for read in RAISING:
        try:
            read(status, body)
        except VenueError as error:
            messages.append(str(error))
    assert all(message and "\n" not in message for message in messages)


@settings(max_examples=300, deadline=None)
@given(bodies, statuses, texts)
def test_answer_to_an_order_never_raises(body: bytes, status: int, retry_after: str) -> None:
    seen = wire.decode_order_answer(status, body, ORDER_ID, retry_after=retry_after)
    if seen.outcome == wire.Outcome.ACCEPTED:
        assert status == 200
        assert json.loads(body)["orderID"].lower() == ORDER_ID
    assert 0 <= seen.retry_after_s <= 3600
    assert len(wire.decode_order_answers(status, body, [ORDER_ID, "0x2"])) == 2


@settings(max_examples=300, deadline=None)
@given(st.lists(bodies, max_size=3))
def test_user_frame_with_problems_never_raises_and_every_number_fits(
    frames: list[bytes],
) -> None:
    for frame in frames:
        problems: list[str] = []
        for event in wire.decode_user(frame, problems):
            assert 0 <= event.price_ticks <= 10_000
            assert 0 <= event.epoch_ms < 2**63
            if isinstance(event, wire.UserOrder):
                assert 0 <= event.matched_lots < 2**63
                assert 0 <= event.original_lots < 2**63
                continue
            assert 0 <= event.size_lots < 2**63
            try:
                fills = own_fills(event, "us")
            except VenueError:
                continue
            assert all(0 <= fill.cash_micro < 2**63 for fill in fills)


@settings(max_examples=200, deadline=None)
@given(bodies)
def test_page_of_any_body_holds_only_sane_markets(body: bytes) -> None:
    try:
        page = catalog.parse_events_page(body)
    except VenueError:
        return
    for spec in page.markets:
        assert len(spec.condition_id) == 66
        assert spec.tick_ticks in (1, 10, 25, 50, 100, 1000)
        assert 0 < spec.min_size_lots < 2**63
        assert int(spec.token_yes) < 2**256
        assert not spec.set_complete or spec.set_size > 1
        assert spec.fee_rate_ppm is None or 0 <= spec.fee_rate_ppm <= 1_000_000


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(HEADERS),
        st.one_of(texts, st.text(max_size=140)),
    )
)
def test_headers_of_a_stranger_prove_nothing(headers: dict[str, str]) -> None:
    assert verify_l1(headers) is None
    assert not verify_l2(headers, Credentials("k", "c2VjcmV0", "p"), "0x1", "GET", "/", b"")


@settings(max_examples=200, deadline=None)
@given(st.integers(), st.text(max_size=44), st.text(max_size=140), st.binary(max_size=33))
def test_order_of_a_stranger_verifies_as_nothing(
    number: int, address: str, signature: str, word: bytes
) -> None:
    params = OrderParams(
        salt=number,
        maker=address,
        signer=address,
        token_id=number,
        maker_amount=1,
        taker_amount=1,
        side=0,
        signature_type=number % 4,
        timestamp_ms=1,
        metadata=word,
    )
    assert verify_order(params, signature, exchange_domain(neg_risk=False)) is None


@given(st.one_of(st.text(max_size=70), st.binary(max_size=40)))
def test_key_from_anything_is_a_signer_or_one_config_error(key: str | bytes) -> None:
    try:
        address = Signer(key).address
    except ConfigError:
        return
    assert len(address) == 42


@pytest.mark.parametrize("text", ["1" * 5000, "[" * 100_000, '{"a":' * 50_000, "9" * 400 + ".5"])
def test_pathological_bodies(text: str) -> None:
    for read in RAISING:
        with pytest.raises((VenueError, OrderError)):
            read(200, text.encode())
