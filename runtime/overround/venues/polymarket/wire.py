"""The venue's socket texts: what we send on both channels, what the user channel sends us.

Frames of the market channel are decoded by native code; here are only the few we write.
Nothing is replayed after a reconnect: the caller reads the listings again (``answers.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from overround.errors import VenueError
from overround.venues.polymarket.answers import (
    Balance,
    CancelAnswer,
    OrderAnswer,
    Outcome,
    Page,
    decode_balance,
    decode_cancel,
    decode_credentials,
    decode_heartbeat,
    decode_open_orders,
    decode_order,
    decode_order_answer,
    decode_order_answers,
    decode_time,
    decode_trades,
    decode_version,
)
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.fields import Fields, load_json
from overround.venues.polymarket.reasons import RejectReason, classify, is_definite, is_retryable
from overround.venues.polymarket.records import (
    MakerOrder,
    OrderEvent,
    OrderState,
    OwnFill,
    TradeState,
    UserOrder,
    UserTrade,
    own_fills,
    parse_order,
    parse_trade,
)

__all__ = [
    "PING",
    "PONG",
    "Balance",
    "CancelAnswer",
    "MakerOrder",
    "OrderAnswer",
    "OrderEvent",
    "OrderState",
    "Outcome",
    "OwnFill",
    "Page",
    "RejectReason",
    "TradeState",
    "UserOrder",
    "UserTrade",
    "classify",
    "decode_balance",
    "decode_cancel",
    "decode_credentials",
    "decode_heartbeat",
    "decode_open_orders",
    "decode_order",
    "decode_order_answer",
    "decode_order_answers",
    "decode_time",
    "decode_trades",
    "decode_user",
    "decode_version",
    "is_definite",
    "is_retryable",
    "market_hello",
    "market_subscribe",
    "market_unsubscribe",
    "own_fills",
    "user_hello",
    "user_subscribe",
    "user_unsubscribe",
]

PING = "PING"
"""Text frame to send every 10 s on either channel."""

PONG = "PONG"
"""Text frame that answers it; proves that the socket lives, not that data flows."""


def _text(message: dict[str, object]) -> str:
    return msgspec.json.encode(message).decode()


def market_hello(token_ids: Iterable[str]) -> str:
    """Return the first frame of a market socket: subscribe, with snapshots and extra events."""
    return _text(
        {
            "assets_ids": list(token_ids),
            "type": "market",
            "custom_feature_enabled": True,
            "initial_dump": True,
        }
    )


def market_subscribe(token_ids: Iterable[str]) -> str:
    """Return the frame that adds tokens; one already subscribed is refused as a duplicate."""
    return _text(
        {
            "operation": "subscribe",
            "assets_ids": list(token_ids),
            "custom_feature_enabled": True,
        }
    )


def market_unsubscribe(token_ids: Iterable[str]) -> str:
    """Return the frame that drops tokens."""
    return _text({"operation": "unsubscribe", "assets_ids": list(token_ids)})


def user_hello(credentials: Credentials, condition_ids: Iterable[str] = ()) -> str:
    """Return the first frame of a user socket: a secret in clear, never to be logged.

    Without conditions everything of the account is sent; the venue takes an empty list to mean
    "no trades", so the member is left out then.
    """
    message: dict[str, object] = {
        "type": "user",
        "auth": {
            "apiKey": credentials.api_key,
            "secret": credentials.secret,
            "passphrase": credentials.passphrase,
        },
    }
    markets = list(condition_ids)
    if markets:
        message["markets"] = markets
    return _text(message)


def user_subscribe(condition_ids: Iterable[str]) -> str:
    """Return the frame that adds conditions to a user socket."""
    return _text({"operation": "subscribe", "markets": list(condition_ids)})


def user_unsubscribe(condition_ids: Iterable[str]) -> str:
    """Return the frame that drops conditions from a user socket."""
    return _text({"operation": "unsubscribe", "markets": list(condition_ids)})


def decode_user(
    frame: bytes | str, problems: list[str] | None = None
) -> list[UserOrder | UserTrade]:
    """Return the events of one user frame, an object or an array of them, in their order.

    PONG and an empty frame give none. What cannot be read is told in ``problems`` and the rest
    of the frame is kept; without ``problems`` the first such thing raises VenueError.
    """
    plain = frame.encode() if isinstance(frame, str) and _encodable(frame) else frame
    if plain in (b"", b"PONG", b"PING"):
        return []
    events: list[UserOrder | UserTrade] = []
    try:
        value = load_json(plain, "user frame")
    except VenueError as error:
        _note(problems, error)
        return events
    for entry in value if isinstance(value, list) else [value]:
        try:
            events.append(_parse_event(entry))
        except VenueError as error:
            _note(problems, error)
    return events


def _encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _note(problems: list[str] | None, error: VenueError) -> None:
    if problems is None:
        raise error
    problems.append(str(error))


def _parse_event(entry: object) -> UserOrder | UserTrade:
    fields = Fields(entry, "user event")
    kind = fields.text("event_type", "").lower() or fields.text("type", "").lower()
    if kind == "trade":
        return parse_trade(entry)
    if kind in ("order", "placement", "update", "cancellation"):
        return parse_order(entry)
    raise fields.bad("event_type", f"unknown: {kind[:40]!r}")
