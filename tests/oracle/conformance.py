"""What conformance means here: every member of an answer, by name and by type.

A shape is a type, a pattern (a whole string), a constant, a tuple of alternatives, a list with one
shape, a dict with exactly these keys, or ``Map`` where the keys are data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Operation(NamedTuple):
    """A row of the conformance table."""

    name: str
    facts: str


def operation(name: str, facts: str) -> Callable[[F], F]:
    """Mark a test as the proof of an operation; facts is a section of the venue's fact sheet.

    May be repeated. The uppermost mark comes first.
    """

    def mark(test: F) -> F:
        marks = (Operation(name, facts), *getattr(test, "operations", ()))
        test.operations = marks  # type: ignore[attr-defined]
        return test

    return mark


class Map(NamedTuple):
    keys: Any
    values: Any


def conform(value: Any, shape: Any, path: str = "answer") -> None:
    """Fail with the path of the first member that is missing, unknown or of the wrong form."""
    if isinstance(shape, tuple) and not isinstance(shape, Map):
        errors = []
        for alternative in shape:
            try:
                conform(value, alternative, path)
            except AssertionError as error:
                errors.append(str(error))
            else:
                return
        raise AssertionError("; ".join(errors))
    if isinstance(shape, type):
        assert type(value) is shape, f"{path}: {value!r} is no {shape.__name__}"
    elif isinstance(shape, re.Pattern):
        assert type(value) is str, f"{path}: {value!r} is no text"
        assert shape.fullmatch(value), f"{path}: {value!r} is not {shape.pattern}"
    elif isinstance(shape, list):
        assert type(value) is list, f"{path}: {value!r} is no list"
        for number, item in enumerate(value):
            conform(item, shape[0], f"{path}[{number}]")
    elif isinstance(shape, Map):
        assert type(value) is dict, f"{path}: {value!r} is no object"
        for key, item in value.items():
            conform(key, shape.keys, f"{path} key")
            conform(item, shape.values, f"{path}.{key}")
    elif isinstance(shape, dict):
        assert type(value) is dict, f"{path}: {value!r} is no object"
        assert set(value) == set(shape), f"{path}: {sorted(set(value) ^ set(shape))}"
        for key, inner in shape.items():
            conform(value[key], inner, f"{path}.{key}")
    else:
        assert value == shape, f"{path}: {value!r} is not {shape!r}"
        assert type(value) is type(shape), f"{path}: {value!r} is of another type"


def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


DECIMAL = _text(r"(0|[1-9]\d*)(\.\d*[1-9])?")
WORD = _text(r"0x[0-9a-f]{64}")
ADDRESS = _text(r"0x[0-9a-fA-F]{40}")
UUID = _text(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ANY_UUID = _text(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TOKEN = _text(r"[1-9]\d{60,77}")
SHA1 = _text(r"[0-9a-f]{40}")
SECONDS = _text(r"\d{10}")
MILLISECONDS = _text(r"\d{13}")
NANOSECONDS = _text(r"\d{19}")
UNITS = _text(r"\d+")
SIDE = ("BUY", "SELL")
NUMBER = (int, float)

KEY = {"apiKey": UUID, "secret": _text(r"[A-Za-z0-9_-]{43}="), "passphrase": _text("[0-9a-f]{64}")}
LEVEL = {"price": DECIMAL, "size": DECIMAL}
BOOK = {
    "market": WORD, "asset_id": TOKEN, "timestamp": MILLISECONDS, "hash": SHA1,
    "bids": [LEVEL], "asks": [LEVEL], "min_order_size": DECIMAL, "tick_size": DECIMAL,
    "neg_risk": bool, "last_trade_price": _text(r"0\.\d{3,4}"),
}  # fmt: skip
PLACED = {
    "success": True, "errorMsg": "", "orderID": WORD, "status": "live",
    "makingAmount": "", "takingAmount": "", "tradeIDs": [UUID], "transactionsHashes": [WORD],
}  # fmt: skip
MATCHED = {**PLACED, "status": "matched", "makingAmount": DECIMAL, "takingAmount": DECIMAL}
REFUSED_LEG = {**PLACED, "errorMsg": str, "orderID": "", "status": ""}
CANCELLED = {"canceled": [WORD], "not_canceled": Map(WORD, str)}
OPEN_ORDER = {
    "id": WORD, "status": "LIVE", "owner": UUID, "maker_address": ADDRESS, "market": WORD,
    "asset_id": TOKEN, "side": SIDE, "original_size": DECIMAL, "size_matched": DECIMAL,
    "price": DECIMAL, "outcome": str, "expiration": UNITS, "order_type": ("GTC", "GTD"),
    "associate_trades": [UUID], "created_at": int,
}  # fmt: skip
MAKER_ORDER = {
    "order_id": str, "owner": ANY_UUID, "maker_address": ADDRESS, "matched_amount": DECIMAL,
    "price": DECIMAL, "fee_rate_bps": UNITS, "asset_id": TOKEN, "outcome": str,
    "outcome_index": int, "side": SIDE,
}  # fmt: skip
TRADE = {
    "id": UUID, "taker_order_id": str, "market": WORD, "asset_id": TOKEN, "side": SIDE,
    "size": DECIMAL, "fee_rate_bps": UNITS, "price": DECIMAL,
    "status": _text("TRADE_STATUS_(MATCHED|MINED|CONFIRMED)"), "match_time": SECONDS,
    "match_time_nano": NANOSECONDS, "last_update": SECONDS, "outcome": str,
    "bucket_index": int, "owner": ANY_UUID, "maker_address": ADDRESS,
    "transaction_hash": WORD, "err_msg": None, "trader_side": ("TAKER", "MAKER"),
    "maker_orders": [MAKER_ORDER],
}  # fmt: skip
BALANCE = {"balance": UNITS, "allowances": Map(ADDRESS, UNITS)}
CLOB_TOKEN = {"t": TOKEN, "o": str}
REWARD_RATE = {"asset_address": ADDRESS, "rewards_daily_rate": NUMBER}
REWARDS = {"rates": (None, [REWARD_RATE]), "min_size": NUMBER, "max_spread": NUMBER}
MARKET_TOKEN = {"token_id": TOKEN, "outcome": str, "price": NUMBER, "winner": bool}
SIMPLE_MARKET = {
    "condition_id": WORD, "rewards": REWARDS, "tokens": [MARKET_TOKEN], "active": bool,
    "closed": bool, "archived": bool, "accepting_orders": bool,
}  # fmt: skip
MARKET = {
    **SIMPLE_MARKET, "enable_order_book": bool, "accepting_order_timestamp": (None, str),
    "minimum_order_size": NUMBER, "minimum_tick_size": float, "question": str,
    "market_slug": str, "description": str, "icon": str, "image": str, "question_id": str,
    "neg_risk_market_id": str, "neg_risk_request_id": str, "end_date_iso": (None, str),
    "game_start_time": (None, str), "seconds_delay": int, "fpmm": str, "maker_base_fee": int,
    "taker_base_fee": int, "notifications_enabled": bool, "neg_risk": bool,
    "is_50_50_outcome": bool, "tags": [str],
}  # fmt: skip
REWARD_CONFIG = {
    "id": int, "asset_address": ADDRESS, "start_date": str, "end_date": str,
    "rate_per_day": NUMBER, "total_rewards": NUMBER,
}  # fmt: skip
REWARD_NOW = {
    "condition_id": WORD, "rewards_max_spread": NUMBER, "rewards_min_size": NUMBER,
    "rewards_config": [REWARD_CONFIG], "sponsors_count": int, "native_daily_rate": NUMBER,
    "sponsored_daily_rate": NUMBER, "total_daily_rate": NUMBER,
}  # fmt: skip
REWARD_TOKEN = {"token_id": TOKEN, "outcome": str, "price": NUMBER}
REWARD_MARKET = {
    "condition_id": WORD, "question": str, "market_slug": str, "event_slug": str, "image": str,
    "rewards_max_spread": NUMBER, "rewards_min_size": NUMBER, "market_competitiveness": NUMBER,
    "tokens": [REWARD_TOKEN], "rewards_config": [REWARD_CONFIG],
}  # fmt: skip
EARNING = {"asset_address": ADDRESS, "earnings": NUMBER, "asset_rate": NUMBER}
DAY_EARNING = {**EARNING, "date": str, "maker_address": ADDRESS}
USER_EARNING = {**DAY_EARNING, "condition_id": WORD}
EARNING_MARKET = {
    **REWARD_MARKET, "maker_address": ADDRESS, "earning_percentage": NUMBER, "earnings": [EARNING],
}  # fmt: skip
NOTICE = {
    "id": int, "owner": UUID, "type": (1, 2, 8), "timestamp": int,
    "payload": {
        "asset_id": TOKEN, "market": WORD, "order_id": WORD, "side": SIDE, "type": str,
        "price": DECIMAL, "original_size": DECIMAL, "matched_size": DECIMAL,
        "remaining_size": DECIMAL, "outcome": str, "outcome_index": int,
        "transaction_hash": ("", WORD), "trade_id": ("", UUID), "question": str,
        "market_slug": str, "icon": str, "image": str, "eventSlug": str, "seriesSlug": str,
    },
}  # fmt: skip
LIVE_TRADE = {
    "event_type": "trade",
    "market": {
        "condition_id": WORD, "asset_id": TOKEN, "question": str, "icon": str, "slug": str,
    },
    "user": {
        "address": ADDRESS, "username": str, "profile_picture": str,
        "optimized_profile_picture": str, "pseudonym": str,
    },
    "side": SIDE, "size": DECIMAL, "fee_rate_bps": UNITS, "price": DECIMAL, "outcome": str,
    "outcome_index": int, "transaction_hash": WORD, "timestamp": SECONDS,
}  # fmt: skip
BUILDER_TRADE = {
    "id": UUID, "tradeType": "TAKER", "takerOrderHash": WORD, "builder": WORD, "market": WORD,
    "assetId": TOKEN, "side": SIDE, "size": DECIMAL, "sizeUsdc": DECIMAL, "price": DECIMAL,
    "status": str, "outcome": str, "outcomeIndex": int, "owner": UUID, "maker": ADDRESS,
    "transactionHash": WORD, "matchTime": SECONDS, "bucketIndex": int, "fee": DECIMAL,
    "feeUsdc": DECIMAL, "err_msg": None, "createdAt": str, "updatedAt": str,
}  # fmt: skip


def page(row: Any) -> Any:
    """Return the shape of a page of rows."""
    return {"limit": int, "count": int, "next_cursor": _text(r"[A-Za-z0-9+/]+=*"), "data": [row]}


QUIET = ("--rate", "0", "--edge-every", "0")
"""Options of an exchange whose books only the clients move."""

REFUSED = {
    "fok": "order couldn't be fully filled. FOK orders are fully filled or killed.",
    "fak": "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found.",
    "crossing": "invalid post-only order: order crosses book",
    "expiration": "invalid expiration",
}
