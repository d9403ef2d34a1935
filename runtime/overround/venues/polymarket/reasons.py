"""Why the venue said no: its error texts, as numbers that fit a report record.

The texts are the venue's own and are matched by what is fixed in them. What is not known is
``OTHER``: never taken for a refusal of which the outcome is certain unless the status says so.
"""

from __future__ import annotations

from enum import IntEnum


class RejectReason(IntEnum):
    """The numbers are part of the report record: append, never renumber."""

    NONE = 0
    AUTH = 1
    VERSION_MISMATCH = 2
    PAYLOAD = 3
    OWNER = 4
    WALLET = 5
    BANNED = 6
    CLOSED_ONLY = 7
    TICK = 8
    MIN_SIZE = 9
    DUPLICATED = 10
    CROSSES_BOOK = 11
    BALANCE = 12
    EXPIRATION = 13
    NONCE = 14
    MARKETABLE_MIN = 15
    ACCURACY = 16
    FOK_NOT_FILLED = 17
    FAK_NOT_FILLED = 18
    MARKET_NOT_READY = 19
    MATCH_DELAYED = 20
    TOO_MANY = 21
    RESTARTING = 22
    RATE_LIMITED = 23
    TIMED_OUT = 24
    NO_MATCHING_ORDERS = 25
    TRADE_ROUNDING = 26
    PRICE_DISCREPANCY = 27
    TRADING_DISABLED = 28
    CANCEL_ONLY = 29
    POST_ONLY_MODE = 30
    NOT_FOUND = 31
    SERVER = 32
    OTHER = 33
    UNMATCHED = 34
    ID_MISMATCH = 35
    NO_ANSWER = 36
    ALREADY_DONE = 37
    MARKET_RESOLVED = 38


_BY_TEXT: tuple[tuple[str, RejectReason], ...] = (
    # Longer and more special texts first: the first that occurs decides.
    ("unauthorized", RejectReason.AUTH),
    ("invalid api key", RejectReason.AUTH),
    ("invalid l1 request headers", RejectReason.AUTH),
    ("order_version_mismatch", RejectReason.VERSION_MISMATCH),
    ("order owner has to be the owner", RejectReason.OWNER),
    ("order signer address has to be", RejectReason.OWNER),
    ("maker address not allowed", RejectReason.WALLET),
    ("address banned", RejectReason.BANNED),
    ("closed only mode", RejectReason.CLOSED_ONLY),
    ("breaks minimum tick size", RejectReason.TICK),
    ("lower than the minimum", RejectReason.MIN_SIZE),
    ("duplicated", RejectReason.DUPLICATED),
    ("post-only mode", RejectReason.POST_ONLY_MODE),
    ("crosses the book", RejectReason.CROSSES_BOOK),
    ("order crosses book", RejectReason.CROSSES_BOOK),
    ("not enough balance", RejectReason.BALANCE),
    ("insufficient balance", RejectReason.BALANCE),
    ("invalid expiration", RejectReason.EXPIRATION),
    ("expired order", RejectReason.EXPIRATION),
    ("market resolved", RejectReason.MARKET_RESOLVED),
    ("invalid nonce", RejectReason.NONCE),
    ("invalid amount for a marketable", RejectReason.MARKETABLE_MIN),
    ("max accuracy of", RejectReason.ACCURACY),
    ("couldn't be fully filled", RejectReason.FOK_NOT_FILLED),
    ("no orders found to match with fak", RejectReason.FAK_NOT_FILLED),
    ("not yet ready to process", RejectReason.MARKET_NOT_READY),
    ("order match delayed", RejectReason.MATCH_DELAYED),
    ("too many orders in payload", RejectReason.TOO_MANY),
    ("too many requests", RejectReason.RATE_LIMITED),
    ("order timed out", RejectReason.TIMED_OUT),
    ("context canceled", RejectReason.TIMED_OUT),
    ("context deadline", RejectReason.TIMED_OUT),
    ("there are no matching orders", RejectReason.NO_MATCHING_ORDERS),
    ("contains rounding issues", RejectReason.TRADE_ROUNDING),
    ("discrepancy greater than allowed", RejectReason.PRICE_DISCREPANCY),
    ("currently cancel-only", RejectReason.CANCEL_ONLY),
    ("trading is currently disabled", RejectReason.TRADING_DISABLED),
    ("already canceled", RejectReason.ALREADY_DONE),
    ("already matched", RejectReason.ALREADY_DONE),
    ("invalid order payload", RejectReason.PAYLOAD),
    ("invalid payload", RejectReason.PAYLOAD),
    ("not found", RejectReason.NOT_FOUND),
    ("internal server error", RejectReason.SERVER),
    ("internal error", RejectReason.SERVER),
)

_BY_STATUS = {
    401: RejectReason.AUTH,
    403: RejectReason.AUTH,
    404: RejectReason.NOT_FOUND,
    425: RejectReason.RESTARTING,
    429: RejectReason.RATE_LIMITED,
}

_NEVER_PROCESSED = frozenset(
    {
        RejectReason.TRADING_DISABLED,
        RejectReason.CANCEL_ONLY,
        RejectReason.POST_ONLY_MODE,
        RejectReason.RESTARTING,
        RejectReason.RATE_LIMITED,
    }
)

_PROVES_NOTHING = frozenset(
    {
        RejectReason.TIMED_OUT,
        RejectReason.NO_MATCHING_ORDERS,
        RejectReason.TRADE_ROUNDING,
        RejectReason.PRICE_DISCREPANCY,
        RejectReason.SERVER,
    }
)
"""Said after the order was taken up: matching or settling it went wrong."""

_RETRYABLE = _NEVER_PROCESSED | {RejectReason.MARKET_NOT_READY, RejectReason.MATCH_DELAYED}


def classify(status: int, text: str) -> RejectReason:
    """Return the reason of an answer by its text, failing that by its HTTP status."""
    lowered = text.lower()
    for part, reason in _BY_TEXT:
        if part in lowered:
            return reason
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return RejectReason.SERVER if status >= 500 else RejectReason.OTHER


def is_definite(status: int, reason: RejectReason) -> bool:
    """Return whether an error answer proves that the order did not go in.

    A refusal (4xx, a 503 that names a trading mode, a refused leg of an answered batch) does;
    any other failure proves nothing, because it may have come after the order was taken.
    """
    if reason in _NEVER_PROCESSED:
        return True
    if reason in _PROVES_NOTHING:
        return False
    return status == 200 or (400 <= status < 500 and status != 408)


def is_retryable(reason: RejectReason) -> bool:
    """Return whether the same order may be tried again after a pause."""
    return reason in _RETRYABLE
