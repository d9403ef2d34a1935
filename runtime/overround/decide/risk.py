"""The gate before every send: one code for each way an intent may be refused.

Its code lives here, but it runs only in the executor, which owns the numbers it compares with.
No I/O, no clock: ``now_ns`` and the views are handed in. The order of the checks is fixed, the
first breach names the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from overround.clock import NS_PER_S
from overround.config.schema import Mode, Risk
from overround.units import PRICE_TICKS_MAX, notional_micro

__all__ = [
    "AccountView",
    "BookView",
    "MarketView",
    "OrderView",
    "Refusal",
    "RefusalCode",
    "RiskGate",
]


class RefusalCode(IntEnum):
    """Why an intent was not sent; ``reason`` of a REFUSED report. Numbers are never reused."""

    MALFORMED = 1
    MODE = 2
    KILLED = 3
    EXPIRED = 4
    DUPLICATE = 5
    MARKET_UNKNOWN = 6
    MARKET_CLOSED = 7
    FEE_UNKNOWN = 8
    BOOK_STALE = 9
    BOOK_UNTRUSTED = 10
    BOOK_REPLACED = 11
    TICK = 12
    MIN_SIZE = 13
    COLLAR = 14
    ORDER_NOTIONAL = 15
    POSITION = 16
    ACCOUNT_NOTIONAL = 17
    BALANCE = 18
    LOSS = 19
    RATE = 20
    PLAN = 21
    RESTART = 22
    NOT_READY = 23
    SHADOW = 24
    UNBUILDABLE = 25
    TAKING_MIN = 26
    NOT_MARKETABLE = 27
    THIN = 28
    PLAN_WORST = 50


@dataclass(frozen=True, slots=True)
class Refusal:
    """A breach: its code, and one line that says what was seen and what was allowed."""

    code: RefusalCode
    text: str


@dataclass(frozen=True, slots=True)
class OrderView:
    """What the gate needs of an intent. Outcome 0 YES, 1 NO; side 0 BUY, 1 SELL."""

    outcome: int
    side: int
    price_ticks: int
    size_lots: int
    expires_ns: int
    ingress_epoch: int
    takes: bool = False
    """FOK or FAK: it trades at once or never."""
    whole: bool = False
    """A part of it is of no use: FOK, or a leg of a plan."""


@dataclass(frozen=True, slots=True)
class MarketView:
    """What the catalog says of the market; ``tick_ticks`` as the live book has it."""

    active: bool
    tick_ticks: int
    min_size_lots: int
    fee_known: bool
    taking_buy_min_micro: int = 0
    """Least worth of a purchase that trades at once."""


@dataclass(frozen=True, slots=True)
class BookView:
    """The YES-side top of the book at the moment of the check."""

    usable: bool
    """Region epoch even, owner's heartbeat young, slot readable."""
    trusted: bool
    epoch: int
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int
    bids: tuple[tuple[int, int], ...] = ()
    """(ticks, lots) best first, as far as is known; empty where only the top is."""
    asks: tuple[tuple[int, int], ...] = ()

    def takeable_lots(self, outcome: int, side: int, price_ticks: int) -> int:
        """Return the shares that an order of this outcome, side and limit could take now."""
        bids = self.bids or ((self.bid_ticks, self.bid_lots),)
        asks = self.asks or ((self.ask_ticks, self.ask_lots),)
        if outcome == side:  # buying YES or selling NO takes what is offered of YES
            limit = PRICE_TICKS_MAX - price_ticks if outcome else price_ticks
            return sum(lots for ticks, lots in asks if ticks <= limit)
        limit = PRICE_TICKS_MAX - price_ticks if outcome else price_ticks
        return sum(lots for ticks, lots in bids if ticks >= limit)


@dataclass(frozen=True, slots=True)
class AccountView:
    """The account as it would be before this order; amounts in micro-units, sizes in lots."""

    cash_free_micro: int
    """Cash less all reservations."""
    notional_micro: int
    """Reservations plus cost of positions."""
    position_lots: int
    """Of this token: confirmed and pending, plus open buys."""
    sellable_lots: int
    """Of this token: confirmed, less open sales."""
    loss_micro: int
    """Worst-case loss since the run began; 0 or more."""


class RiskGate:
    """Limits of one account. Holds the rate bucket; everything else is handed in."""

    def __init__(self, limits: Risk, mode: Mode, *, armed: bool = False) -> None:
        self.limits = limits
        self.mode = mode
        self.armed = armed
        self._tokens = limits.orders_burst_max * NS_PER_S
        self._filled_ns: int | None = None

    def admit(
        self,
        order: OrderView,
        market: MarketView,
        book: BookView,
        account: AccountView,
        *,
        cost_micro: int,
        now_ns: int,
        killed: bool,
    ) -> Refusal | None:
        """Return None to let it pass, else the first breach. Takes one rate token on a pass.

        ``cost_micro`` is the most that a purchase and its fee can cost, 0 for a sale.
        """
        return (
            self._mode(killed=killed)
            or _expired(order, now_ns)
            or _market(order, market, book)
            or self._collar(order, book)
            or _takeable(order, book)
            or self._limits(order, account, cost_micro)
            or self._rate(now_ns)
        )

    def _mode(self, *, killed: bool) -> Refusal | None:
        if killed:
            return Refusal(RefusalCode.KILLED, "the kill latch is set: resume it armed to trade")
        if self.mode is Mode.LIVE and not self.armed:
            return Refusal(RefusalCode.MODE, "mode live without --arm: no order is sent")
        return None

    def _collar(self, order: OrderView, book: BookView) -> Refusal | None:
        bid, ask, bid_lots, ask_lots = book.bid_ticks, book.ask_ticks, book.bid_lots, book.ask_lots
        if order.outcome == 1:
            bid, ask = PRICE_TICKS_MAX - ask, PRICE_TICKS_MAX - bid
            bid_lots, ask_lots = ask_lots, bid_lots
        best, lots = (ask, ask_lots) if order.side == 0 else (bid, bid_lots)
        if lots <= 0:  # nothing to take on that side: measure from the own side
            best, lots = (bid, bid_lots) if order.side == 0 else (ask, ask_lots)
        if lots <= 0:
            return Refusal(RefusalCode.COLLAR, "the book is empty: no price to measure from")
        through = order.price_ticks - best if order.side == 0 else best - order.price_ticks
        if through <= self.limits.collar_ticks:
            return None
        return Refusal(
            RefusalCode.COLLAR,
            f"price {order.price_ticks} is {through} ticks through the best of {best};"
            f" collar_ticks is {self.limits.collar_ticks}",
        )

    def _limits(self, order: OrderView, account: AccountView, cost_micro: int) -> Refusal | None:
        limits = self.limits
        value = max(cost_micro, notional_micro(order.size_lots, order.price_ticks))
        if value > limits.order_notional_max_micro:
            return _over(
                RefusalCode.ORDER_NOTIONAL, "order", value, limits.order_notional_max_micro
            )
        if order.side == 0:
            position = account.position_lots + order.size_lots
            if position > limits.market_position_max_lots:
                return _over(
                    RefusalCode.POSITION, "position", position, limits.market_position_max_lots
                )
            total = account.notional_micro + cost_micro
            if total > limits.account_notional_max_micro:
                return _over(
                    RefusalCode.ACCOUNT_NOTIONAL,
                    "account",
                    total,
                    limits.account_notional_max_micro,
                )
            if cost_micro > account.cash_free_micro:
                return _over(RefusalCode.BALANCE, "cost", cost_micro, account.cash_free_micro)
        elif order.size_lots > account.sellable_lots:
            return _over(RefusalCode.BALANCE, "sale", order.size_lots, account.sellable_lots)
        if account.loss_micro >= limits.loss_max_micro:
            return _over(RefusalCode.LOSS, "loss", account.loss_micro, limits.loss_max_micro)
        return None

    def _rate(self, now_ns: int) -> Refusal | None:
        full = self.limits.orders_burst_max * NS_PER_S
        if self._filled_ns is not None:
            gained = (now_ns - self._filled_ns) * self.limits.orders_per_s_max
            self._tokens = min(full, self._tokens + max(0, gained))
        self._filled_ns = now_ns
        if self._tokens < NS_PER_S:
            return Refusal(
                RefusalCode.RATE, f"more than {self.limits.orders_per_s_max} orders a second"
            )
        self._tokens -= NS_PER_S
        return None


def _over(code: RefusalCode, what: str, value: int, limit: int) -> Refusal:
    return Refusal(code, f"{what} {value} is above its limit {limit}")


def _expired(order: OrderView, now_ns: int) -> Refusal | None:
    if now_ns < order.expires_ns:
        return None
    late_us = (now_ns - order.expires_ns) // 1_000
    return Refusal(RefusalCode.EXPIRED, f"expired {late_us} us ago")


def _takeable(order: OrderView, book: BookView) -> Refusal | None:
    """Refuse what could only be killed at the venue, and would leave a plan in pieces."""
    if not order.takes:
        return None
    lots = book.takeable_lots(order.outcome, order.side, order.price_ticks)
    if lots <= 0:
        return Refusal(RefusalCode.NOT_MARKETABLE, f"nothing to take at {order.price_ticks} now")
    if order.whole and lots < order.size_lots:
        return Refusal(RefusalCode.THIN, f"{lots} of {order.size_lots} lots could be taken now")
    return None


def _market(order: OrderView, market: MarketView, book: BookView) -> Refusal | None:
    if not market.active:
        return Refusal(RefusalCode.MARKET_CLOSED, "the market takes no orders")
    if not market.fee_known:
        return Refusal(RefusalCode.FEE_UNKNOWN, "the market's fee is not known")
    if not book.usable:
        return Refusal(RefusalCode.BOOK_STALE, "the book's owner is silent or being replaced")
    if book.epoch != order.ingress_epoch:
        return Refusal(
            RefusalCode.BOOK_REPLACED,
            f"seen on epoch {order.ingress_epoch} of the books, now {book.epoch}",
        )
    if not book.trusted:
        return Refusal(RefusalCode.BOOK_UNTRUSTED, "the book is not trusted")
    tick = market.tick_ticks
    if tick <= 0 or order.price_ticks % tick or not tick <= order.price_ticks <= 10_000 - tick:
        return Refusal(RefusalCode.TICK, f"price {order.price_ticks} is off the tick {tick}")
    if order.size_lots < market.min_size_lots or order.size_lots <= 0:
        return Refusal(
            RefusalCode.MIN_SIZE, f"size {order.size_lots} is below {market.min_size_lots}"
        )
    worth = notional_micro(order.size_lots, order.price_ticks)
    if order.takes and order.side == 0 and worth < market.taking_buy_min_micro:
        return Refusal(
            RefusalCode.TAKING_MIN, f"worth {worth} is below {market.taking_buy_min_micro} micro"
        )
    return None
