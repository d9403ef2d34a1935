"""The user channel and REST answers: every known decoration is read, every refusal classified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oracle.user_events import NO, OUR_WALLET, THEM, US, YES, maker, order_event, trade_event
from overround.errors import VenueError
from overround.venues.contract import OrderType, Side
from overround.venues.polymarket import wire
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.wire import (
    OrderEvent,
    OrderState,
    RejectReason,
    TradeState,
    UserOrder,
    UserTrade,
    decode_user,
    own_fills,
)


def one(event: dict[str, Any]) -> UserOrder | UserTrade:
    (decoded,) = decode_user(json.dumps(event).encode())
    return decoded


def one_order(**changes: Any) -> UserOrder:
    decoded = one(order_event(**changes))
    assert isinstance(decoded, UserOrder)
    return decoded


def one_trade(*makers: dict[str, Any], **changes: Any) -> UserTrade:
    decoded = one(trade_event(*makers, **changes))
    assert isinstance(decoded, UserTrade)
    return decoded


def test_order_event_in_integer_units() -> None:
    order = one_order(size_matched="2.5", associate_trades=["t1"])
    assert (order.event, order.state, order.side) == (
        OrderEvent.PLACEMENT,
        OrderState.LIVE,
        Side.BUY,
    )
    assert (order.price_ticks, order.original_lots, order.matched_lots) == (
        5200,
        10_000_000,
        2_500_000,
    )
    assert (order.created_epoch_ms, order.epoch_ms) == (1795345200000, 1795345200257)
    assert (order.order_type, order.trade_ids, order.done) == (OrderType.GTC, ("t1",), False)


def test_killed_order_with_empty_members_is_read() -> None:
    order = one_order(
        type="CANCELLATION",
        size_matched="",
        created_at="",
        outcome="",
        order_type="FOK",
        status="CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed.",
    )
    assert (order.matched_lots, order.created_epoch_ms) == (0, 0)
    assert (order.state, order.reason) == (OrderState.CANCELED, RejectReason.FOK_NOT_FILLED)
    assert order.done


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ("ORDER_STATUS_LIVE", OrderState.LIVE, RejectReason.NONE),
        ("MATCHED", OrderState.MATCHED, RejectReason.NONE),
        ("DELAYED", OrderState.DELAYED, RejectReason.NONE),
        ("UNMATCHED", OrderState.UNMATCHED, RejectReason.NONE),
        ("CANCELED", OrderState.CANCELED, RejectReason.NONE),
        ("CANCELED_NOT_ENOUGH_BALANCE", OrderState.CANCELED, RejectReason.BALANCE),
        ("CANCELED_MARKET_RESOLVED", OrderState.CANCELED, RejectReason.MARKET_RESOLVED),
        ("CANCELED_MARKET_NOT_FOUND", OrderState.CANCELED, RejectReason.NOT_FOUND),
        ("CANCELED_EXPIRED_ORDER", OrderState.CANCELED, RejectReason.EXPIRATION),
        ("CANCELED_ORDER_TIMED_OUT", OrderState.CANCELED, RejectReason.TIMED_OUT),
        ("CANCELED_something new", OrderState.CANCELED, RejectReason.OTHER),
        ("INVALID", OrderState.INVALID, RejectReason.NONE),
        ("", OrderState.OTHER, RejectReason.NONE),
        ("NEVER_HEARD_OF", OrderState.OTHER, RejectReason.OTHER),
    ],
)
def test_status_is_matched_by_its_prefix(
    status: str, state: OrderState, reason: RejectReason
) -> None:
    order = one_order(status=status)
    assert (order.state, order.reason) == (state, reason)


@pytest.mark.parametrize(
    ("changes", "epoch_ms"),
    [
        ({"match_time": "1795345201"}, 1795345201000),
        ({"match_time": "1795345201204"}, 1795345201204),
        ({"match_time": 1795345201}, 1795345201000),
        ({"match_time": "2024-01-01T00:00:00Z"}, 1704067200000),
        ({"match_time": None, "matchtime": "1795345201"}, 1795345201000),
        ({"match_time": "", "timestamp": "1795345209"}, 1795345209000),
        ({"match_time": None, "timestamp": None}, 0),
    ],
)
def test_times_in_every_form(changes: dict[str, Any], epoch_ms: int) -> None:
    assert one_trade(**changes).match_epoch_ms == epoch_ms


def test_index_as_text_and_prefixed_status() -> None:
    trade = one_trade(bucket_index="3", status="TRADE_STATUS_CONFIRMED")
    assert (trade.bucket_index, trade.state) == (3, TradeState.CONFIRMED)
    assert trade.state.final
    assert not TradeState.MINED.final
    assert TradeState.MATCHED_NOT_BROADCASTED < TradeState.MATCHED < TradeState.MINED


def test_price_with_dust_takes_the_nearest_tick() -> None:
    assert one_trade(price="0.0370000003").price_ticks == 370
    assert one_trade(price="1").price_ticks == 10_000


def test_taker_fill_is_paid_leg_by_leg() -> None:
    trade = one_trade(
        maker(matched_amount="4", price="0.47"),
        maker(order_id="0x78", asset_id=YES, side="SELL", matched_amount="6", price="0.52"),
    )
    (fill,) = own_fills(trade, US)
    assert (fill.order_id, fill.taker, fill.token_id) == ("0x91e4", True, YES)
    assert fill.size_lots == 10_000_000
    assert fill.cash_micro == 4 * 530_000 + 6 * 520_000
    assert own_fills(trade, "nobody") == []


def test_taker_fill_without_all_legs_is_paid_at_the_trades_price() -> None:
    (fill,) = own_fills(one_trade(maker(matched_amount="4")), US)
    assert fill.cash_micro == 5_300_000
    (fill,) = own_fills(one_trade(maker(asset_id=YES, side="BUY")), US)
    assert fill.cash_micro == 5_300_000


def test_maker_fill_is_our_entry_and_not_the_takers() -> None:
    trade = one_trade(
        maker(order_id="0xours", owner=US, matched_amount="7"),
        maker(order_id="0xother", matched_amount="3"),
        owner=THEM,
        maker_address="0x" + "71" * 20,
        trader_side="MAKER",
    )
    (fill,) = own_fills(trade, US)
    assert (fill.order_id, fill.taker, fill.token_id) == ("0xours", False, NO)
    assert (fill.side, fill.price_ticks, fill.size_lots) == (Side.BUY, 4700, 7_000_000)
    assert fill.cash_micro == 7 * 470_000


def test_fills_of_another_key_of_our_wallet_are_found_by_address() -> None:
    trade = one_trade(maker(), owner="another key")
    assert own_fills(trade, US) == []
    (fill,) = own_fills(trade, US, OUR_WALLET.lower())
    assert fill.taker


def test_missing_side_of_a_maker_follows_from_the_token() -> None:
    trade = one_trade(maker(side=None), maker(side=None, asset_id=YES))
    assert [leg.side for leg in trade.maker_orders] == [Side.BUY, Side.SELL]


@pytest.mark.parametrize(
    "bad",
    [
        order_event(price="1.5"),
        order_event(price="-0.1"),
        order_event(price="NaN"),
        order_event(price=None),
        order_event(original_size="1e99"),
        order_event(original_size=True),
        order_event(side="HOLD"),
        order_event(type="EXPLODED"),
        order_event(id=""),
        order_event(id=["x"]),
        order_event(associate_trades=[1]),
        order_event(created_at="tomorrow"),
        order_event(expiration="9" * 30),
        trade_event(status="EXPLODED"),
        trade_event(maker(price="2")),
        trade_event(maker_orders="none"),
        trade_event(match_time="99999999999999999"),
        {"event_type": "weather"},
        {},
        [],
        None,
        7,
    ],
)
def test_bad_event_is_one_clear_error_and_spares_its_neighbours(bad: object) -> None:
    with pytest.raises(VenueError):
        decode_user(json.dumps([bad]))
    problems: list[str] = []
    events = decode_user(json.dumps([order_event(), bad, trade_event()]), problems)
    assert len(events) == 2
    assert len(problems) == 1


@pytest.mark.parametrize("frame", ["PONG", b"PONG", b"", "", "[]"])
def test_frames_without_events(frame: bytes | str) -> None:
    assert decode_user(frame) == []


def test_broken_frame_is_told() -> None:
    problems: list[str] = []
    for frame in (b"{", b"\xff", "\udc80", b"[" * 9999):
        assert decode_user(frame, problems) == []
    assert len(problems) == 4


def test_user_hello_leaves_out_an_empty_list_of_markets() -> None:
    credentials = Credentials(US, "c2VjcmV0", "pass")
    hello = json.loads(wire.user_hello(credentials))
    assert hello == {
        "type": "user",
        "auth": {"apiKey": US, "secret": "c2VjcmV0", "passphrase": "pass"},
    }
    assert json.loads(wire.user_hello(credentials, ["0x1"]))["markets"] == ["0x1"]


def test_market_frames() -> None:
    assert json.loads(wire.market_hello([YES]))["assets_ids"] == [YES]
    assert json.loads(wire.market_hello([]))["type"] == "market"
    assert json.loads(wire.market_subscribe([NO])) == {
        "operation": "subscribe",
        "assets_ids": [NO],
        "custom_feature_enabled": True,
    }
    assert json.loads(wire.market_unsubscribe([NO]))["operation"] == "unsubscribe"
    assert json.loads(wire.user_subscribe(["0x1"]))["markets"] == ["0x1"]
    assert json.loads(wire.user_unsubscribe(["0x1"]))["operation"] == "unsubscribe"


@pytest.mark.recorded
def test_recorded_messages_are_all_read(recorded: Path) -> None:
    events: list[UserOrder | UserTrade] = []
    for name in ("polymarket_user_order.json", "polymarket_user_trade.json"):
        for entry in json.loads((recorded / "messages" / name).read_text()):
            events += decode_user(entry.get("raw") or json.dumps(entry["json"]))
    assert sum(isinstance(event, UserOrder) for event in events) == 8
    assert sum(isinstance(event, UserTrade) for event in events) == 7
    as_maker = next(
        e for e in events if isinstance(e, UserTrade) and e.trade_id.startswith("bc7a8968")
    )
    (fill,) = own_fills(as_maker, "00000000-0000-0000-0000-000000000001")
    assert (fill.taker, fill.side, fill.price_ticks, fill.size_lots) == (
        False,
        Side.BUY,
        6000,
        10_000_000,
    )
