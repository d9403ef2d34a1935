"""What the venue's REST answers mean, from status and bytes, without I/O.

An answer to an order has one of four outcomes. Only a clear acceptance is ACCEPTED and only an
answer that proves the order stayed out is REJECTED; everything else, a broken body included, is
UNKNOWN and is resolved by the order's id, which we know. Reading endpoints raise VenueError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Generic, TypeVar

import msgspec

from overround.errors import ConfigError, VenueError
from overround.venues.polymarket.auth import Credentials
from overround.venues.polymarket.fields import Fields, load_json, scaled, size_to_lots
from overround.venues.polymarket.reasons import (
    RejectReason,
    classify,
    is_definite,
    is_retryable,
)
from overround.venues.polymarket.records import UserOrder, UserTrade, parse_order, parse_trade

CURSOR_START = "MA=="
CURSOR_END = "LTE="
STATUS_OK = 200
ERROR_CHARS_MAX = 500

_ACCEPTED_STATUSES = frozenset({"live", "matched", "delayed"})


class Outcome(IntEnum):
    """What an answer proves about an order."""

    ACCEPTED = 0  # it is in: resting, matched or held
    DUPLICATE = 1  # these very bytes were in before: accepted, look it up by id
    REJECTED = 2  # it is not in and never will be
    UNKNOWN = 3  # either: resolve by id


class OrderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One order's answer. Amounts are None where the venue gave none (resting, held)."""

    outcome: Outcome
    order_id: str
    status: str = ""
    reason: RejectReason = RejectReason.NONE
    text: str = ""
    making_micro: int | None = None
    taking_micro: int | None = None
    trade_ids: tuple[str, ...] = ()
    transaction_hashes: tuple[str, ...] = ()
    retry_after_s: int = 0

    @property
    def retryable(self) -> bool:
        """Whether the same intent may be tried again after ``retry_after_s``."""
        return self.outcome == Outcome.REJECTED and is_retryable(self.reason)


class CancelAnswer(msgspec.Struct, frozen=True):
    """Which orders are gone by this request, and why the others are not."""

    canceled: tuple[str, ...]
    not_canceled: dict[str, str]


class Balance(msgspec.Struct, frozen=True):
    """Balance and allowances by contract address, in millionths."""

    balance_micro: int
    allowances_micro: dict[str, int]


Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a listing; ``next_cursor`` is None on the last one.

    ``problems`` says what could not be read; the other items are kept.
    """

    items: list[Item]
    next_cursor: str | None
    problems: list[str]


class _Error(msgspec.Struct, frozen=True):
    text: str
    retry_after_s: int


def read_error(body: bytes, retry_after: str) -> tuple[str, int]:
    """Return what an error answer says: its text, and the seconds it asks to wait (0: none)."""
    error = _read_error(body, retry_after)
    return error.text, error.retry_after_s


def _read_error(body: bytes, retry_after: str) -> _Error:
    """Return what an error body says, whatever it is made of."""
    text = ""
    retry_text = retry_after
    try:
        fields = Fields(load_json(body, "error"), "error")
        for key in ("error", "error_msg", "errorMsg", "message"):
            value = fields.raw(key)
            if isinstance(value, str) and value:
                text = value
                break
        seconds = fields.raw("retry_after_seconds")
        retry_text = str(seconds) if isinstance(seconds, int | str) else retry_after
    except VenueError:
        text = body[:ERROR_CHARS_MAX].decode("utf-8", "replace")
    try:
        retry_after_s, _ = scaled(retry_text, 0)
    except ValueError:
        retry_after_s = 0
    return _Error(text[:ERROR_CHARS_MAX], min(retry_after_s, 3600))


def _failed(status: int, body: bytes, order_id: str, retry_after: str) -> OrderAnswer:
    error = _read_error(body, retry_after)
    reason = classify(status, error.text)
    if reason == RejectReason.DUPLICATED:
        outcome = Outcome.DUPLICATE
    else:
        outcome = Outcome.REJECTED if is_definite(status, reason) else Outcome.UNKNOWN
    return OrderAnswer(
        outcome=outcome,
        order_id=order_id,
        reason=reason,
        text=error.text or f"HTTP {status}",
        retry_after_s=error.retry_after_s,
    )


def _unclear(order_id: str, text: str, reason: RejectReason = RejectReason.OTHER) -> OrderAnswer:
    return OrderAnswer(
        outcome=Outcome.UNKNOWN, order_id=order_id, reason=reason, text=text[:ERROR_CHARS_MAX]
    )


def no_answer(order_id: str, text: str) -> OrderAnswer:
    """Return the answer that stands for none: connection lost or deadline passed."""
    return _unclear(order_id, text, RejectReason.NO_ANSWER)


def _amount(fields: Fields, key: str) -> int | None:
    """Return an informative amount; fills are booked from trades, so a bad one is no error."""
    value = fields.raw(key)
    try:
        return size_to_lots(value) if isinstance(value, str) and value else None
    except ValueError:
        return None


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.raw(key)
    return tuple(t for t in value if isinstance(t, str)) if isinstance(value, list) else ()


def _read_order_answer(value: object, order_id: str) -> OrderAnswer:
    try:
        fields = Fields(value, "order answer")
        success = fields.flag("success")
        error_text = fields.text("errorMsg", "") or fields.text("error", "")
        seen_id = fields.text("orderID", "")
        status = fields.text("status", "").lower()
    except VenueError as error:
        return _unclear(order_id, str(error))
    if error_text:
        reason = classify(STATUS_OK, error_text)
        if reason == RejectReason.DUPLICATED:
            outcome = Outcome.DUPLICATE
        elif (success and seen_id) or not is_definite(STATUS_OK, reason):
            outcome = Outcome.UNKNOWN  # it contradicts itself, or failed after being taken up
        else:
            outcome = Outcome.REJECTED
        text = error_text[:ERROR_CHARS_MAX]
        return OrderAnswer(outcome=outcome, order_id=order_id, reason=reason, text=text)
    if not success or not seen_id:
        return _unclear(order_id, "neither an id nor an error")
    if order_id and seen_id.lower() != order_id.lower():
        return _unclear(order_id, f"answer names {seen_id[:80]}", RejectReason.ID_MISMATCH)
    if status not in _ACCEPTED_STATUSES:
        return _unclear(order_id or seen_id, f"status {status[:40]!r}", RejectReason.UNMATCHED)
    return OrderAnswer(
        outcome=Outcome.ACCEPTED,
        order_id=seen_id,
        status=status,
        making_micro=_amount(fields, "makingAmount"),
        taking_micro=_amount(fields, "takingAmount"),
        trade_ids=_texts(fields, "tradeIDs"),
        transaction_hashes=_texts(fields, "transactionsHashes"),
    )


def decode_order_answer(
    status: int, body: bytes, order_id: str, *, retry_after: str = ""
) -> OrderAnswer:
    """Return what the answer to one order proves; never raises.

    ``order_id`` is our own digest: an answer that names another id proves nothing.
    ``retry_after`` is the header of that name, if any.
    """
    if status != STATUS_OK:
        return _failed(status, body, order_id, retry_after)
    try:
        value = load_json(body, "order answer")
    except VenueError as error:
        return _unclear(order_id, str(error))
    return _read_order_answer(value, order_id)


def decode_order_answers(
    status: int, body: bytes, order_ids: Sequence[str], *, retry_after: str = ""
) -> list[OrderAnswer]:
    """Return one answer for each order of a batch, in the order sent; never raises.

    A refused leg comes inside a successful answer. If the whole is no array of the right
    length, every leg is UNKNOWN.
    """
    if status != STATUS_OK:
        return [_failed(status, body, order_id, retry_after) for order_id in order_ids]
    try:
        value = load_json(body, "batch answer")
    except VenueError as error:
        return [_unclear(order_id, str(error)) for order_id in order_ids]
    if not isinstance(value, list) or len(value) != len(order_ids):
        text = f"expected {len(order_ids)} answers, saw {str(value)[:80]}"
        return [_unclear(order_id, text) for order_id in order_ids]
    return [
        _read_order_answer(one, order_id) for one, order_id in zip(value, order_ids, strict=True)
    ]


def _expect_ok(status: int, body: bytes, what: str, retry_after: str = "") -> object:
    if status != STATUS_OK:
        error = _read_error(body, retry_after)
        reason = classify(status, error.text)
        again = status >= 500 or is_retryable(reason)
        raise VenueError(f"{what}: HTTP {status}: {error.text[:200]!r}", retryable=again)
    return load_json(body, what)


def decode_cancel(status: int, body: bytes) -> CancelAnswer:
    """Return which orders a cancel request took away; VenueError if the answer does not say."""
    fields = Fields(_expect_ok(status, body, "cancel answer"), "cancel answer")
    refused = fields.raw("not_canceled")
    refused = {} if refused is None else refused
    if not isinstance(refused, dict):
        raise fields.bad("not_canceled", "expected an object")
    return CancelAnswer(
        fields.texts("canceled"), {key: str(why)[:200] for key, why in refused.items()}
    )


def _decode_page(
    status: int, body: bytes, what: str, parse: Callable[[object], Item]
) -> Page[Item]:
    value = _expect_ok(status, body, what)
    cursor: str | None = None
    if isinstance(value, list):
        entries: list[object] = value
    else:
        fields = Fields(value, what)
        entries = fields.list("data")
        cursor = fields.text("next_cursor", "") or None
    items: list[Item] = []
    problems: list[str] = []
    for entry in entries:
        try:
            items.append(parse(entry))
        except VenueError as error:
            problems.append(str(error))
    return Page(items, None if cursor == CURSOR_END else cursor, problems)


def decode_open_orders(status: int, body: bytes) -> Page[UserOrder]:
    """Return a page of open orders; VenueError if it is no page."""
    return _decode_page(status, body, "open orders", lambda one: parse_order(one, listing=True))


def decode_trades(status: int, body: bytes) -> Page[UserTrade]:
    """Return a page of trades; VenueError if it is no page."""
    return _decode_page(status, body, "trades", parse_trade)


def decode_order(status: int, body: bytes) -> UserOrder | None:
    """Return one order looked up by id; None when the venue holds none that is active.

    None is no proof that the order never went in. VenueError for any other failure.
    """
    if status == 404:
        return None
    if status == STATUS_OK and body.strip() in (b"", b"null", b'""', b"{}", b"[]"):
        return None
    value = _expect_ok(status, body, "order")
    return parse_order(value, listing=True)


def decode_balance(status: int, body: bytes) -> Balance:
    """Return balance and allowances in millionths; VenueError if the answer has none.

    The venue writes base units; a text with a decimal point is taken for whole units.
    """
    fields = Fields(_expect_ok(status, body, "balance"), "balance")
    raw = fields.raw("allowances")
    allowances = Fields({} if raw is None else raw, "balance: allowances")
    names = list(raw) if isinstance(raw, dict) else []
    try:
        return Balance(
            _base_units(fields.text("balance")),
            {name: _base_units(allowances.text(name)) for name in names},
        )
    except ValueError as error:
        raise VenueError(f"balance: {error}") from None


def _base_units(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 78:  # 2**256 has 78 digits
        return int(text)
    value, _ = scaled(text, 6)
    return value


def decode_credentials(status: int, body: bytes) -> Credentials:
    """Return API credentials of a create or derive answer; VenueError without their text."""
    what = "credentials"
    if status != STATUS_OK:
        _expect_ok(status, body, what)
    try:
        value = load_json(body, what)
        fields = Fields(value, what)
        return Credentials(
            fields.identity("apiKey"), fields.identity("secret"), fields.identity("passphrase")
        )
    except (VenueError, ConfigError):
        # The messages could carry the secret: say only that the answer is unusable.
        raise VenueError("credentials: the answer is not a usable key triple") from None


def decode_heartbeat(status: int, body: bytes) -> tuple[str, bool]:
    """Return the id to send next and whether this beat counted.

    A beat with a wrong id is refused with the id expected: send that one at once. VenueError
    for any other failure.
    """
    if status == 400:
        fields = Fields(load_json(body, "heartbeat"), "heartbeat")
        expected = fields.text("heartbeat_id", "")
        if expected:
            return expected, False
    fields = Fields(_expect_ok(status, body, "heartbeat"), "heartbeat")
    return fields.identity("heartbeat_id"), True


def decode_time(status: int, body: bytes) -> int:
    """Return the venue's wall time in seconds; VenueError if the answer is no number."""
    value = _expect_ok(status, body, "time")
    return Fields({"time": value}, "time").count("time", maximum=2**40)


def decode_version(status: int, body: bytes) -> int:
    """Return the order version the venue takes (2 today); VenueError if it does not say."""
    fields = Fields(_expect_ok(status, body, "version"), "version")
    version = fields.count("version", default=-1)
    if version < 0:
        raise fields.bad("version", "missing")
    return version
