"""What the matching core takes in and gives out: orders, market rules, events.

Units are those of ``overround.units``: prices in ticks of 1/10,000, sizes in lots of 1e-6 share,
cash in micro-units. A price belongs to the outcome of its order; whatever speaks of the book
itself (``LevelChanged``, ``Top``, depth) is in YES terms, because one condition has one book.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from overround.units import mirror_ticks, notional_up_micro

__all__ = [
    "BookSide",
    "DoneReason",
    "Event",
    "FeeFunction",
    "LastTrade",
    "LegForm",
    "LevelChanged",
    "MakerLeg",
    "MarketResolved",
    "MarketRules",
    "Matched",
    "Order",
    "OrderAccepted",
    "OrderDone",
    "OrderRejected",
    "OrderStatus",
    "OrderType",
    "Outcome",
    "RebatePaid",
    "RejectCode",
    "Side",
    "TickChanged",
    "Top",
    "TradeSettled",
    "no_fee",
]

FeeFunction = Callable[[int, int, int, int], int]
"""``fee(size_lots, price_ticks, rate_ppm, exponent)`` in micro-units, never negative."""


def no_fee(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    """Return 0: the fee function of a venue without fees."""
    return 0


class Outcome(IntEnum):
    """The two tokens of a condition."""

    YES = 0
    NO = 1


class Side(IntEnum):
    """What an order does with its token."""

    BUY = 0
    SELL = 1


class BookSide(IntEnum):
    """A side of the one (YES) book."""

    BID = 0
    ASK = 1


class OrderType(IntEnum):
    """How long an order lives: until cancelled, until a date, all or nothing, what it can."""

    GTC = 0
    GTD = 1
    FOK = 2
    FAK = 3


class OrderStatus(IntEnum):
    """Where an order stands; NEW until it has been submitted, LIVE while it rests."""

    NEW = 0
    LIVE = 1
    FILLED = 2
    CANCELED = 3
    EXPIRED = 4
    REJECTED = 5


class RejectCode(IntEnum):
    """Why an order was refused. Checked in this order; the first breach is reported."""

    UNKNOWN_MARKET = 1
    MARKET_CLOSED = 2
    DUPLICATED = 3
    INVALID_PAYLOAD = 4
    INVALID_POST_ONLY = 5
    INVALID_EXPIRATION = 6
    BREAKS_TICK = 7
    BELOW_MIN_SIZE = 8
    POST_ONLY_CROSSES = 9
    BELOW_MARKETABLE_MIN = 10
    NOT_ENOUGH_BALANCE = 11
    FOK_NOT_FILLED = 12
    FAK_NO_MATCH = 13


class DoneReason(IntEnum):
    """Why an accepted order left the engine."""

    FILLED = 1
    CANCELED = 2
    EXPIRED = 3
    KILLED = 4
    """The rest of a FAK order after its fills."""
    TICK_CHANGED = 5
    """The order's price is off the new, coarser grid."""
    MARKET_CLOSED = 6
    MARKET_RESOLVED = 7
    NOT_ENOUGH_BALANCE = 8
    """The account's funds were moved away from under the order."""


class LegForm(IntEnum):
    """How a maker leg settles: token for cash, split of new collateral, or burning a pair."""

    NORMAL = 0
    MINT = 1
    MERGE = 2


@dataclass(slots=True)
class Order:
    """One order. The engine owns it from ``submit`` on and keeps the last two fields.

    ``id`` is opaque and unique for ever (at the venue: the digest). ``price_ticks`` is the
    limit in the order's own outcome, 1..9,999. ``expires_epoch_s`` is 0 except for GTD.
    """

    id: str
    account: int
    market: int
    outcome: Outcome
    side: Side
    price_ticks: int
    size_lots: int
    order_type: OrderType = OrderType.GTC
    post_only: bool = False
    created_epoch_ms: int = 0
    expires_epoch_s: int = 0
    filled_lots: int = 0
    status: OrderStatus = OrderStatus.NEW

    @property
    def remaining_lots(self) -> int:
        """Lots not yet filled, 0 or more (also of an order that is done)."""
        return self.size_lots - self.filled_lots

    @property
    def book_side(self) -> BookSide:
        """The side of the YES book it belongs to: buying NO is offering YES."""
        return BookSide(self.outcome ^ self.side)

    @property
    def book_ticks(self) -> int:
        """The limit price in YES terms."""
        if self.outcome == Outcome.YES:
            return self.price_ticks
        return mirror_ticks(self.price_ticks)

    @property
    def held_micro(self) -> int:
        """Cash its unfilled rest reserves while it rests: the rest at the limit, rounded up."""
        if self.side == Side.SELL:
            return 0
        return notional_up_micro(self.remaining_lots, self.price_ticks)

    @property
    def held_lots(self) -> int:
        """Tokens its unfilled rest reserves while it rests."""
        return self.remaining_lots if self.side == Side.SELL else 0


@dataclass(frozen=True, slots=True)
class MarketRules:
    """What the venue demands in one market.

    ``tick_ticks`` divides 10,000; prices are its multiples from one tick to 10,000 less one.
    ``fee_rate_ppm`` is the taker rate times 1e6, ``rebate_ppm`` the share of the fees that goes
    back to makers. ``neg_risk`` is carried for the venue's sake; matching inside one condition
    does not depend on it. ``fine_tick_ticks``, unless 0, replaces the tick as soon as a trade is
    below 0.04 or above 0.96; it divides ``tick_ticks``.
    """

    index: int
    tick_ticks: int
    min_size_lots: int
    neg_risk: bool = False
    fee_rate_ppm: int = 0
    fee_exponent: int = 1
    rebate_ppm: int = 0
    fine_tick_ticks: int = 0


class Top(NamedTuple):
    """Best prices in YES terms; an empty side is 0 (bid) or 10,000 (ask) with size 0."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class LastTrade(NamedTuple):
    """The last trade of a market, as its taker saw it."""

    outcome: Outcome
    side: Side
    price_ticks: int
    size_lots: int


class OrderAccepted(NamedTuple):
    """The order passed every check; matches and the resting part follow."""

    order: Order


class OrderRejected(NamedTuple):
    """The order left no trace. ``needed`` and ``available`` are set for a lack of balance:
    micro-units for a BUY, lots for a SELL.
    """

    order: Order
    code: RejectCode
    needed: int = 0
    available: int = 0


class LevelChanged(NamedTuple):
    """The whole size now resting at a price of the YES book; 0 removes the level."""

    market: int
    side: BookSide
    price_ticks: int
    size_lots: int


class MakerLeg(NamedTuple):
    """One resting order's part in a trade, in that order's own outcome, side and price.

    ``cash_micro`` is what the maker pays (BUY) or receives (SELL); makers pay no fee.
    """

    order: Order
    outcome: Outcome
    side: Side
    price_ticks: int
    size_lots: int
    form: LegForm
    cash_micro: int


class Matched(NamedTuple):
    """A taker met every resting order it could at one price: one trade, unsettled.

    ``price_ticks`` is in the taker's outcome and the same for all legs (mirrored where a leg
    has the other outcome). ``cash_micro`` is what the taker pays (BUY) or receives (SELL)
    before ``fee_micro``, which comes on top of a BUY and out of a SELL.
    """

    trade_id: int
    market: int
    taker_order: Order
    outcome: Outcome
    side: Side
    price_ticks: int
    size_lots: int
    cash_micro: int
    fee_micro: int
    legs: tuple[MakerLeg, ...]


class OrderDone(NamedTuple):
    """The order is finished; its ``filled_lots`` is final and its reservation gone."""

    order: Order
    reason: DoneReason


class TickChanged(NamedTuple):
    """The market's price grid changed."""

    market: int
    old_ticks: int
    new_ticks: int


class MarketResolved(NamedTuple):
    """The outcome is known: a YES token is worth ``yes_ticks``, a NO token the rest of 10,000."""

    market: int
    yes_ticks: int


class RebatePaid(NamedTuple):
    """A maker got its part of a day's taker fees of a market; ``day`` counts from the epoch."""

    day: int
    market: int
    account: int
    cash_micro: int


class TradeSettled(NamedTuple):
    """A trade became final (``confirmed``) or was undone; balances moved just now, or never."""

    trade_id: int
    market: int
    confirmed: bool


Event = (
    OrderAccepted
    | OrderRejected
    | LevelChanged
    | Matched
    | OrderDone
    | TickChanged
    | TradeSettled
    | MarketResolved
    | RebatePaid
)
