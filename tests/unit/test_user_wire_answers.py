"""REST answers: what each proves, refusals by text and status, pages, and the requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oracle.user_events import ORDER_ID, YES, order_event, trade_event
from overround.errors import OrderError, VenueError
from overround.venues.polymarket import rest, wire
from overround.venues.polymarket.answers import no_answer
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.wire import (
    OrderEvent,
    Outcome,
    RejectReason,
)


def answer(status: int, body: object, **extra: str) -> wire.OrderAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.decode_order_answer(status, raw, ORDER_ID, **extra)


def good_answer(**changes: Any) -> dict[str, Any]:
    return {
        "success": True,
        "errorMsg": "",
        "orderID": ORDER_ID,
        "status": "matched",
        "makingAmount": "5.2",
        "takingAmount": "10",
        "tradeIDs": ["t1"],
        **changes,
    }


def test_accepted_order() -> None:
    seen = answer(200, good_answer())
    assert (seen.outcome, seen.status, seen.order_id) == (Outcome.ACCEPTED, "matched", ORDER_ID)
    assert (seen.making_micro, seen.taking_micro) == (5_200_000, 10_000_000)
    assert seen.trade_ids == ("t1",)
    resting = answer(200, good_answer(status="live", makingAmount="", takingAmount=""))
    assert (resting.outcome, resting.making_micro) == (Outcome.ACCEPTED, None)
    odd = answer(200, good_answer(status="delayed", makingAmount=5, tradeIDs=None))
    assert odd.outcome == Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (good_answer(status="unmatched"), RejectReason.UNMATCHED),
        (good_answer(status=""), RejectReason.UNMATCHED),
        (good_answer(orderID="0xother"), RejectReason.ID_MISMATCH),
        (good_answer(orderID=""), RejectReason.OTHER),
        (good_answer(success=False), RejectReason.OTHER),
        (good_answer(errorMsg="something odd"), RejectReason.OTHER),
        ({"success": False, "errorMsg": "order timed out"}, RejectReason.TIMED_OUT),
        (good_answer(success="yes"), RejectReason.OTHER),
        (b"<html>", RejectReason.OTHER),
        (b"", RejectReason.OTHER),
        ([], RejectReason.OTHER),
        (None, RejectReason.OTHER),
    ],
)
def test_answer_that_proves_nothing_is_unknown(body: object, reason: RejectReason) -> None:
    seen = answer(200, body)
    assert (seen.outcome, seen.reason, seen.order_id) == (Outcome.UNKNOWN, reason, ORDER_ID)


REFUSALS = [
    (401, "Unauthorized/Invalid api key", RejectReason.AUTH),
    (401, "Invalid L1 Request headers", RejectReason.AUTH),
    (400, "order_version_mismatch", RejectReason.VERSION_MISMATCH),
    (400, "Invalid order payload", RejectReason.PAYLOAD),
    (400, "Invalid payload", RejectReason.PAYLOAD),
    (400, "the order owner has to be the owner of the API KEY", RejectReason.OWNER),
    (400, "the order signer address has to be the address of the API KEY", RejectReason.OWNER),
    (
        400,
        "maker address not allowed, please use the deposit wallet flow",
        RejectReason.WALLET,
    ),
    (400, "'0x12' address banned", RejectReason.BANNED),
    (400, "'0x12' address in closed only mode", RejectReason.CLOSED_ONLY),
    (
        400,
        "order 0x1 is invalid. Price (0.555) breaks minimum tick size rule: 0.01",
        RejectReason.TICK,
    ),
    (400, "order 0x1 is invalid. Size (4) lower than the minimum: 5", RejectReason.MIN_SIZE),
    (400, "order 0x1 crosses the book", RejectReason.CROSSES_BOOK),
    (400, "invalid post-only order: order crosses book", RejectReason.CROSSES_BOOK),
    (400, "not enough balance / allowance: the balance is 1", RejectReason.BALANCE),
    (400, "invalid expiration", RejectReason.EXPIRATION),
    (400, "invalid nonce", RejectReason.NONCE),
    (
        400,
        "invalid amount for a marketable BUY order ($0.52), min size: $1",
        RejectReason.MARKETABLE_MIN,
    ),
    (
        400,
        "invalid amounts, the market buy orders maker amount supports a max accuracy of "
        "2 decimals, taker amount a max of 4 decimals",
        RejectReason.ACCURACY,
    ),
    (
        400,
        "order couldn't be fully filled. FOK orders are fully filled or killed.",
        RejectReason.FOK_NOT_FILLED,
    ),
    (
        400,
        "no orders found to match with FAK order. FAK orders are partially filled or killed "
        "if no match is found.",
        RejectReason.FAK_NOT_FILLED,
    ),
    (
        400,
        "the market is not yet ready to process new orders",
        RejectReason.MARKET_NOT_READY,
    ),
    (400, "order match delayed due to market conditions", RejectReason.MATCH_DELAYED),
    (400, "Too many orders in payload: 20, max allowed: 15", RejectReason.TOO_MANY),
    (425, "", RejectReason.RESTARTING),
    (429, "Too Many Requests", RejectReason.RATE_LIMITED),
    (503, "Trading is currently disabled. Try later", RejectReason.TRADING_DISABLED),
    (503, "Trading is currently cancel-only. Try later", RejectReason.CANCEL_ONLY),
    (
        503,
        "post-only mode: only post-only orders and cancels are allowed",
        RejectReason.POST_ONLY_MODE,
    ),
    (418, "teapot", RejectReason.OTHER),
]


@pytest.mark.parametrize(("status", "text", "reason"), REFUSALS)
def test_refusal_by_status_and_within_a_batch(status: int, text: str, reason: RejectReason) -> None:
    seen = answer(status, {"error": text})
    assert (seen.outcome, seen.reason) == (Outcome.REJECTED, reason)
    if text:
        leg = {"success": True, "errorMsg": text, "orderID": ""}
        (seen,) = wire.decode_order_answers(200, json.dumps([leg]).encode(), [ORDER_ID])
        assert (seen.outcome, seen.reason) == (Outcome.REJECTED, reason)


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (500, "order timed out", RejectReason.TIMED_OUT),
        (400, "context canceled", RejectReason.TIMED_OUT),
        (500, "there are no matching orders", RejectReason.NO_MATCHING_ORDERS),
        (500, "the trade contains rounding issues", RejectReason.TRADE_ROUNDING),
        (500, "Internal server error", RejectReason.SERVER),
        (502, "<html>bad gateway</html>", RejectReason.SERVER),
        (503, "", RejectReason.SERVER),
        (408, "", RejectReason.OTHER),
        (202, "", RejectReason.OTHER),
        (302, "", RejectReason.OTHER),
    ],
)
def test_failure_of_the_server_proves_nothing(status: int, text: str, reason: RejectReason) -> None:
    body = text.encode() if text.startswith("<") else json.dumps({"error": text}).encode()
    seen = answer(status, body)
    assert (seen.outcome, seen.reason) == (Outcome.UNKNOWN, reason)


def test_duplicate_means_it_was_in_before() -> None:
    text = f"order {ORDER_ID} is invalid. Duplicated."
    assert answer(400, {"error": text}).outcome == Outcome.DUPLICATE
    leg = {"success": True, "errorMsg": text, "orderID": ""}
    assert answer(200, leg).outcome == Outcome.DUPLICATE


def test_retry_after_from_body_or_header() -> None:
    body = {"error": "post-only mode: only post-only", "code": "post_only_mode"}
    assert answer(503, {**body, "retry_after_seconds": 7}, retry_after="9").retry_after_s == 7
    seen = answer(503, body, retry_after="9")
    assert (seen.retry_after_s, seen.retryable) == (9, True)
    assert answer(429, b"", retry_after="Wed, 21 Oct 2026").retry_after_s == 0
    assert answer(429, b"", retry_after="9" * 20).retry_after_s == 3600
    assert not answer(400, {"error": "invalid nonce"}).retryable


def test_batch_keeps_its_order_and_a_broken_batch_is_unknown_throughout() -> None:
    ids = ["0x1", "0x2"]
    body = json.dumps([good_answer(orderID="0x1"), {"errorMsg": "invalid nonce"}]).encode()
    outcomes = [seen.outcome for seen in wire.decode_order_answers(200, body, ids)]
    assert outcomes == [Outcome.ACCEPTED, Outcome.REJECTED]
    for broken in (b"[]", b"{}", b"[", body[:-1], json.dumps([good_answer()] * 3).encode()):
        answers = wire.decode_order_answers(200, broken, ids)
        assert [(seen.order_id, seen.outcome) for seen in answers] == [
            ("0x1", Outcome.UNKNOWN),
            ("0x2", Outcome.UNKNOWN),
        ]
    answers = wire.decode_order_answers(425, b"", ids)
    assert {seen.reason for seen in answers} == {RejectReason.RESTARTING}
    assert no_answer("0x1", "deadline").outcome == Outcome.UNKNOWN


def test_cancel_answers() -> None:
    seen = wire.decode_cancel(200, b'{"canceled":["0x1"],"not_canceled":{"0x2":"already matched"}}')
    assert seen.canceled == ("0x1",)
    assert seen.not_canceled == {"0x2": "already matched"}
    assert wire.decode_cancel(200, b"{}").canceled == ()
    for body in (b"[]", b'{"canceled":[7]}', b'{"not_canceled":[]}', b""):
        with pytest.raises(VenueError):
            wire.decode_cancel(200, body)
    with pytest.raises(VenueError) as caught:
        wire.decode_cancel(503, b"busy")
    assert caught.value.retryable


def test_pages_keep_what_can_be_read() -> None:
    body = {"data": [order_event(), {"id": 1}], "next_cursor": "MTAw"}
    page = wire.decode_open_orders(200, json.dumps(body).encode())
    assert [order.event for order in page.items] == [OrderEvent.LISTING]
    assert (len(page.problems), page.next_cursor) == (1, "MTAw")
    last = wire.decode_trades(200, json.dumps({"data": [], "next_cursor": "LTE="}).encode())
    assert last.next_cursor is None
    assert len(wire.decode_trades(200, json.dumps([trade_event()]).encode()).items) == 1
    with pytest.raises(VenueError):
        wire.decode_trades(200, b"7")


def test_order_looked_up() -> None:
    for body in (b"null", b"", b'""', b"{}", b"\n"):
        assert wire.decode_order(200, body) is None
    assert wire.decode_order(404, b"not found") is None
    found = wire.decode_order(200, json.dumps(order_event(status="MATCHED")).encode())
    assert found is not None
    assert found.done
    with pytest.raises(VenueError):
        wire.decode_order(500, b"")


def test_balance_in_base_units() -> None:
    allowance = 2**256 - 1
    body = {"balance": "1250340000", "allowances": {"0xE1": str(allowance)}}
    seen = wire.decode_balance(200, json.dumps(body).encode())
    assert (seen.balance_micro, seen.allowances_micro) == (1250340000, {"0xE1": allowance})
    assert wire.decode_balance(200, b'{"balance":"250.5"}').balance_micro == 250_500_000
    for bad in (b"{}", b'{"balance":"-1"}', b'{"balance":"1","allowances":7}'):
        with pytest.raises(VenueError):
            wire.decode_balance(200, bad)


def test_credentials_answer_never_shows_what_it_held() -> None:
    good = b'{"apiKey":"k","secret":"c2VjcmV0","passphrase":"p"}'
    assert wire.decode_credentials(200, good) == Credentials("k", "c2VjcmV0", "p")
    for bad in (b'{"apiKey":"k","secret":"*hidden*","passphrase":"p"}', b'"hidden', b"{}"):
        with pytest.raises(VenueError) as caught:
            wire.decode_credentials(200, bad)
        assert "hidden" not in str(caught.value)
    with pytest.raises(VenueError, match="Could not create api key"):
        wire.decode_credentials(400, b'{"error":"Could not create api key"}')


def test_heartbeat_time_version() -> None:
    assert wire.decode_heartbeat(200, b'{"heartbeat_id":"h1"}') == ("h1", True)
    for name in ("error", "error_msg"):
        body = json.dumps({name: "Invalid Heartbeat ID", "heartbeat_id": "h2"}).encode()
        assert wire.decode_heartbeat(400, body) == ("h2", False)
    with pytest.raises(VenueError):
        wire.decode_heartbeat(500, b"")
    assert wire.decode_time(200, b"1795345200") == 1795345200
    assert wire.decode_version(200, b'{"version":2}') == 2
    for body in (b"{}", b"[]", b'"soon"'):
        with pytest.raises(VenueError):
            wire.decode_version(200, body)


def test_requests() -> None:
    assert rest.place_order(b"{}").auth == rest.Auth.L2
    assert rest.place_orders([b"{}", b"{}"]).body == b"[{},{}]"
    assert rest.cancel_order("0x1").body == b'{"orderID":"0x1"}'
    assert rest.cancel_orders(["0x1"]).body == b'["0x1"]'
    assert rest.cancel_market("0x1").body == b'{"market":"0x1"}'
    assert rest.open_orders().target == "/data/orders?next_cursor=MA%3D%3D"
    assert rest.trades(after_s=5).target == "/data/trades?after=5&next_cursor=MA%3D%3D"
    assert rest.balance(2).query == (("asset_type", "COLLATERAL"), ("signature_type", "2"))
    assert rest.balance(0, YES, update=True).path == "/balance-allowance/update"
    assert rest.heartbeat().body == b'{"heartbeat_id":""}'
    assert rest.books([YES]).body == f'[{{"token_id":"{YES}"}}]'.encode()
    assert rest.derive_api_key().auth == rest.Auth.L1
    for refused in (lambda: rest.books([]), lambda: rest.cancel_orders(["x"] * 1001)):
        with pytest.raises(OrderError):
            refused()
