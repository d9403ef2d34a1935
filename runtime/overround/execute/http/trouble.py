"""The table of troubles with the venue: how each shows, and what becomes of orders.

One rule for all of them: cancels are never held back by a trouble. Orders that are held are
refused at once with the reason and, where there is one, the time at which the hold ends; an
intent is never kept until it is stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from overround.venues.polymarket.reasons import RejectReason

__all__ = ["ROWS", "Hold", "Row", "Trouble", "trouble_of"]


class Trouble(Enum):
    """What can be wrong between us and the venue."""

    RESTARTING = "restarting"
    RATE_LIMITED = "rate-limited"
    POST_ONLY = "post-only"
    DISABLED = "disabled"
    SERVER = "server-error"
    LOGIN = "login-refused"
    DNS = "name-unknown"
    CONNECT = "unreachable"
    TLS = "tls"
    CLOCK = "clock-off"

    @property
    def title(self) -> str:
        """How a line of the log begins."""
        return ROWS[self].title


class Hold(Enum):
    """Which requests a trouble holds back."""

    NOTHING = "nothing"
    ORDERS = "orders"
    TAKERS = "orders that are not post-only"
    SAME = "requests of the kind that was refused, cancels excepted"


@dataclass(frozen=True, slots=True)
class Row:
    """One trouble. ``first_s`` and ``most_s`` bound the hold; it doubles while it lasts.

    The venue's own Retry-After is used where it gives one, up to ``most_s``. ``free`` answers
    of this kind in a row are borne before anything is held.
    """

    title: str
    shows: str
    hold: Hold
    first_s: int
    most_s: int
    action: str
    free: int = 0


ROWS: dict[Trouble, Row] = {
    Trouble.RESTARTING: Row(
        "the venue is restarting", "HTTP 425", Hold.ORDERS, 1, 30,
        "the order is refused for good; orders pause for 1 s, doubling to 30 s",
    ),
    Trouble.RATE_LIMITED: Row(
        "over the venue's rate limit", "HTTP 429", Hold.SAME, 1, 60,
        "the request is refused for good; its kind pauses for Retry-After, else 1 s, doubling",
    ),
    Trouble.POST_ONLY: Row(
        "the venue takes post-only orders only", "HTTP 503 `post_only_mode`", Hold.TAKERS, 2, 120,
        "other orders pause for Retry-After; post-only orders go on",
    ),
    Trouble.DISABLED: Row(
        "the venue takes no orders", "HTTP 503, trading disabled or cancel-only", Hold.ORDERS,
        1, 30, "orders pause for 1 s, doubling to 30 s",
    ),
    Trouble.SERVER: Row(
        "the venue fails", "HTTP 5xx, else", Hold.ORDERS, 1, 30,
        "the outcome is unknown and is resolved by the order's id; after the third in a row "
        "orders pause for 1 s, doubling to 30 s", free=2,
    ),
    Trouble.LOGIN: Row(
        "the venue refuses our login", "HTTP 401 to a request with an API key", Hold.ORDERS, 1, 30,
        "orders stop; the key is derived again and tried, at once and then after 1 s, doubling "
        "to 30 s; orders go on when it is accepted; another key than before is taken up: what was "
        "signed ahead is void, the user channel logs in anew, the venue is compared",
    ),
    Trouble.DNS: Row(
        "the venue's name is not known", "the resolver fails", Hold.ORDERS, 0, 0,
        "orders and queries are refused while no connection is left; tried again after 20 ms, "
        "doubling to 2 s",
    ),
    Trouble.CONNECT: Row(
        "the venue cannot be reached", "the connection is refused, or closed unused", Hold.ORDERS,
        0, 0, "as above",
    ),
    Trouble.TLS: Row(
        "the venue's TLS certificate is not accepted", "expired, another host's, or unknown "
        "authority", Hold.ORDERS, 0, 0, "as above; plain text is never tried instead",
    ),
    Trouble.CLOCK: Row(
        "our clock and the venue's differ", "`GET /time` every 30 s", Hold.ORDERS, 0, 0,
        "orders stop while the difference is beyond `clock_offset_max_ms`",
    ),
}  # fmt: skip

_BY_REASON = {
    RejectReason.RESTARTING: Trouble.RESTARTING,
    RejectReason.RATE_LIMITED: Trouble.RATE_LIMITED,
    RejectReason.POST_ONLY_MODE: Trouble.POST_ONLY,
    RejectReason.CANCEL_ONLY: Trouble.DISABLED,
    RejectReason.TRADING_DISABLED: Trouble.DISABLED,
}


def trouble_of(status: int, reason: RejectReason) -> Trouble | None:
    """Return the trouble that an answer's status and reason show; None for an ordinary one."""
    if status == 401:
        return Trouble.LOGIN
    if status in (425, 429, 503) and reason in _BY_REASON:
        return _BY_REASON[reason]
    return Trouble.SERVER if status >= 500 else None
