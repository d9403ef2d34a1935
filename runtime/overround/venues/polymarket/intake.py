"""The other side of ``orders.order_body``: reading an order request, for the exchange in the box.

The texts of the errors are the venue's own, because the official clients match them.
"""

from __future__ import annotations

import msgspec

from overround.errors import VenueError
from overround.venues.contract import OrderType
from overround.venues.polymarket.eip712 import WORD_BYTES
from overround.venues.polymarket.fields import Fields, load_json
from overround.venues.polymarket.orders import ORDER_BATCH_MAX, OrderParams

_UINT256_MAX = 2**256 - 1
_AMOUNT_MAX = 2**63 - 1


class OrderRequest(msgspec.Struct, frozen=True):
    """One order as it arrived; nothing of it is verified yet but its form."""

    params: OrderParams
    signature: str
    owner: str
    order_type: OrderType
    expiration_s: int
    post_only: bool
    defer_exec: bool


def decode_order_request(body: bytes) -> OrderRequest:
    """Return the order of a request body; VenueError with the venue's text if it has none."""
    return _read_request(_load(body))


def decode_batch_request(body: bytes) -> list[OrderRequest | VenueError]:
    """Return each order of a batch, or what is wrong with it; VenueError if it is no batch."""
    value = _load(body)
    if not isinstance(value, list) or not value:
        raise VenueError("Invalid order payload")
    if len(value) > ORDER_BATCH_MAX:
        raise VenueError(
            f"Too many orders in payload: {len(value)}, max allowed: {ORDER_BATCH_MAX}"
        )
    requests: list[OrderRequest | VenueError] = []
    for entry in value:
        try:
            requests.append(_read_request(entry))
        except VenueError as error:
            requests.append(error)
    return requests


def _load(body: bytes) -> object:
    try:
        return load_json(body, "order")
    except VenueError:
        raise VenueError("Invalid order payload") from None


def _read_request(value: object) -> OrderRequest:
    try:
        outer = Fields(value, "order request")
        order = Fields(outer.raw("order"), "order")
    except VenueError:
        raise VenueError("Invalid order payload") from None
    if order.raw("timestamp") is None:  # the struct of the first exchange has none
        raise VenueError("order_version_mismatch")
    try:
        return OrderRequest(
            _read_params(order),
            order.identity("signature"),
            outer.identity("owner"),
            OrderType[outer.text("orderType")],
            order.count("expiration", maximum=2**53),
            outer.flag("postOnly"),
            outer.flag("deferExec"),
        )
    except (VenueError, KeyError, ValueError):
        raise VenueError("Invalid order payload") from None


def _read_params(order: Fields) -> OrderParams:
    return OrderParams(
        salt=_big(order, "salt", _UINT256_MAX),
        maker=order.identity("maker"),
        signer=order.identity("signer"),
        token_id=_big(order, "tokenId", _UINT256_MAX),
        maker_amount=_big(order, "makerAmount", _AMOUNT_MAX),
        taker_amount=_big(order, "takerAmount", _AMOUNT_MAX),
        side=int(order.side("side")),
        signature_type=order.count("signatureType", maximum=3),
        timestamp_ms=_big(order, "timestamp", 2**53),
        metadata=_word(order, "metadata"),
        builder=_word(order, "builder"),
    )


def _big(order: Fields, key: str, maximum: int) -> int:
    text = order.text(key)
    if not (text.isascii() and text.isdigit() and len(text) <= 78) or int(text) > maximum:
        raise order.bad(key, "no whole number in range")
    return int(text)


def _word(order: Fields, key: str) -> bytes:
    raw = bytes.fromhex(order.text(key, "0" * 64).removeprefix("0x"))
    if len(raw) != WORD_BYTES:
        raise order.bad(key, "expected 32 bytes")
    return raw
