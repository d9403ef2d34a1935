"""The gate before every send: one code for each way an intent may be refused.

Its code lives here, but it runs only in the executor, which owns the numbers it compares with.
No I/O, no clock: ``now_ns`` and the views are handed in. The order of the checks is fixed, the
first breach names the refusal.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from overround.config.schema import Mode, Risk
from overround.decide.bucket import TokenBucket
from overround.decide.codes import RefusalCode
from overround.decide.exposure import Claim, Exposures, Totals
from overround.decide.leeway import Leeway, own_prices
from overround.decide.limits import SCOPES
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

NO_LIMIT: Final = 2**62
"""More than any amount."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A breach: its code, and one line that says what was seen and what was allowed."""

    code: RefusalCode
    text: str


# The views are not frozen, though nobody changes them: a frozen one takes four times as long to
# make, and several are made for every order.


@dataclass(slots=True)
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
    key: Hashable = None
    """Names it among the own orders; judged again under the same key it replaces itself."""
    condition_id: str = ""
    strategy: int = 0
    proceeds_micro: int = 0
    """Least that a sale brings, its fee taken off; 0 for a purchase."""


@dataclass(slots=True)
class MarketView:
    """What the catalog says of the market; ``tick_ticks`` as the live book has it."""

    active: bool
    tick_ticks: int
    min_size_lots: int
    fee_known: bool
    taking_buy_min_micro: int = 0
    """Least worth of a purchase that trades at once."""


@dataclass(slots=True)
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


@dataclass(slots=True)
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
    """Limits of one account. Holds the rate buckets; what is owned and open is in ``own``."""

    def __init__(
        self,
        limits: Risk,
        mode: Mode,
        *,
        armed: bool = False,
        production: bool = False,
        own: Exposures | None = None,
    ) -> None:
        self.limits = limits
        self._wrong_mode = _wrong_mode(mode, armed=armed, production=production)
        self.own = Exposures() if own is None else own
        """Positions and open orders; the store keeps it, an admitted order is added here."""
        self.stop: Refusal | None = None
        """A loss stop that holds; whoever watches the account's worth sets it."""
        self._orders = TokenBucket(limits.orders_per_s_max, limits.orders_burst_max)
        self._cancels = TokenBucket(limits.cancels_per_s_max, limits.cancels_burst_max)
        self._scopes = [
            (
                scope,
                getattr(limits, scope.lots) if scope.lots else None,
                getattr(limits, scope.cost) if scope.cost else None,
                getattr(limits, scope.loss),
            )
            for scope in SCOPES
        ]

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
        """Return None to let it pass, else the first breach.

        A pass takes one rate token and counts the order as open in ``own`` under its key: the
        next leg of its plan is judged with it. ``cost_micro`` is the most that a purchase and
        its fee can cost, 0 for a sale.
        """
        return (
            self._mode(killed=killed)
            or _expired(order, now_ns)
            or _open(market)
            or _live(order, book)
            or _terms(order, market)
            or self._collar(order, book)
            or _takeable(order, book)
            or self._limits(order, account, cost_micro)
            or self._own_orders(order)
            or self._exposure(order, cost_micro)
            or self._rate(order, now_ns)
        )

    def leeway(
        self,
        condition_id: str,
        strategy: int,
        market: MarketView,
        accounts: tuple[AccountView, AccountView],
        now_ns: int,
    ) -> Leeway | None:
        """Return what ``admit`` will let through later, if nothing changes until then.

        ``accounts`` are those of the tokens YES and NO. None if it is nothing. What only the
        moment tells is left out: the kill latch, an order's own expiry, the book.
        """
        limits, own = self.limits, self.own.account
        working = own.working(condition_id)
        account = accounts[0]
        if (
            self._mode(killed=False) is not None
            or _open(market) is not None
            or market.tick_ticks <= 0
            or len(own.claims) >= limits.open_orders_max
            or len(working) >= limits.market_open_orders_max
            or account.loss_micro >= limits.loss_max_micro
            or not self._orders.there(now_ns)
        ):
            return None
        lots = cost = loss = NO_LIMIT
        totals = self._totals(condition_id, strategy)
        for total, (_, lots_max, cost_max, loss_max) in zip(totals, self._scopes, strict=True):
            if lots_max is not None:
                lots = min(lots, lots_max - total.lots)
            if cost_max is not None:
                cost = min(cost, cost_max - total.cost_micro)
            loss = min(loss, loss_max - total.loss_micro)
        room = limits.account_notional_max_micro - account.notional_micro
        ask, bid, busy = own_prices(
            working.values(), limits.same_in_flight_max, cross=limits.self_cross_allowed
        )
        position, sells = limits.market_position_max_lots, lots >= 0 and cost >= 0
        yes, no = accounts
        return Leeway(
            market.tick_ticks,
            max(1, market.min_size_lots),
            market.taking_buy_min_micro,
            limits.order_size_max_lots,
            limits.order_notional_max_micro,
            (min(lots, position - yes.position_lots), min(lots, position - no.position_lots)),
            min(cost, loss, room, account.cash_free_micro, limits.order_notional_max_micro),
            (yes.sellable_lots, no.sellable_lots) if sells else (-1, -1),
            loss,
            ask,
            bid,
            busy,
        )

    def admit_cancel(self, now_ns: int) -> bool:
        """Return whether a strategy's cancel may go now; it waits, and is never refused."""
        return self._cancels.take(now_ns)

    def _mode(self, *, killed: bool) -> Refusal | None:
        if killed:
            return Refusal(RefusalCode.KILLED, "the kill latch is set: resume it armed to trade")
        return self._wrong_mode or self.stop

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
        if order.size_lots > limits.order_size_max_lots:
            return _over(
                RefusalCode.ORDER_SIZE, "size", order.size_lots, limits.order_size_max_lots
            )
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

    def _own_orders(self, order: OrderView) -> Refusal | None:
        """Compare with the own orders: their number, the same one in flight, a trade with us."""
        limits, claims = self.limits, self.own.account.claims
        working = self.own.account.working(order.condition_id)
        known = order.key in working
        if len(claims) - known >= limits.open_orders_max:
            return _over(
                RefusalCode.OPEN_ORDERS, "open orders", len(claims) + 1, limits.open_orders_max
            )
        if len(working) - known >= limits.market_open_orders_max:
            return _over(
                RefusalCode.MARKET_ORDERS,
                "open orders of the market",
                len(working) + 1,
                limits.market_open_orders_max,
            )
        return self._collision(order, working) if working else None

    def _collision(self, order: OrderView, working: Mapping[Hashable, Claim]) -> Refusal | None:
        place = (order.outcome, order.side, order.price_ticks)
        bids = order.outcome == order.side
        ticks = PRICE_TICKS_MAX - order.price_ticks if order.outcome else order.price_ticks
        same = 0
        for key, claim in working.items():
            if key == order.key:
                continue
            if claim.in_flight and place == (claim.outcome, claim.side, claim.price_ticks):
                same += 1
            if claim.takes or claim.bids == bids or self.limits.self_cross_allowed:
                continue
            if ticks >= claim.yes_ticks if bids else ticks <= claim.yes_ticks:
                return Refusal(
                    RefusalCode.SELF_CROSS,
                    f"would trade with an own order: YES {'bid' if bids else 'ask'} {ticks}"
                    f" against {claim.yes_ticks}",
                )
        if same >= self.limits.same_in_flight_max:
            return Refusal(
                RefusalCode.DUPLICATE,
                f"{same} of the same token, side and price {order.price_ticks} in flight;"
                f" same_in_flight_max is {self.limits.same_in_flight_max}",
            )
        return None

    def _exposure(self, order: OrderView, cost_micro: int) -> Refusal | None:
        """Count the order as open, and out again if a scope's limit is passed by it."""
        own, sale = self.own, order.side
        cash = order.proceeds_micro if sale else cost_micro
        claim = Claim(
            order.condition_id,
            order.outcome,
            sale,
            order.price_ticks,
            order.size_lots,
            cash,
            order.takes,
        )
        totals = self._totals(order.condition_id, order.strategy)
        if self._inside(totals, *_alone(order, cash, cost_micro)):
            # Even the sum is inside every limit, so the worst case is: it can be counted later.
            own.defer(order.key, order.strategy, claim)
            return None
        own.claim(order.key, order.strategy, claim)
        if self._inside(totals, 0, 0, 0):
            return None
        after = [(one.lots, one.cost_micro, one.loss_micro) for one in totals]
        own.release(order.key, order.strategy)
        refusal = self._worse(after, self._totals(order.condition_id, order.strategy))
        if refusal is None:  # above a limit before, and no further now
            own.claim(order.key, order.strategy, claim)
        return refusal

    def _inside(self, totals: tuple[Totals, ...], lots: int, cost: int, loss: int) -> bool:
        """Return whether every scope stays within its limits with this on top."""
        for total, (_, lots_max, cost_max, loss_max) in zip(totals, self._scopes, strict=True):
            if (
                (lots_max is not None and total.lots + lots > lots_max)
                or (cost_max is not None and total.cost_micro + cost > cost_max)
                or total.loss_micro + loss > loss_max
            ):
                return False
        return True

    def _totals(self, condition_id: str, strategy: int) -> tuple[Totals, Totals, Totals, Totals]:
        account = self.own.account
        part = self.own.strategy(strategy).totals
        return account.market(condition_id), account.event(condition_id), part, account.totals

    def _worse(
        self, after: list[tuple[int, int, int]], before: tuple[Totals, ...]
    ) -> Refusal | None:
        for seen, was, (scope, lots, cost, loss) in zip(after, before, self._scopes, strict=True):
            if lots is not None and seen[0] > max(lots, was.lots):
                return _over(scope.lots_code, f"{scope.name} position", seen[0], lots)
            if cost is not None and seen[1] > max(cost, was.cost_micro):
                return _over(scope.cost_code, f"{scope.name} notional", seen[1], cost)
            if seen[2] > max(loss, was.loss_micro):
                return _over(scope.loss_code, f"{scope.name} worst case", seen[2], loss)
        return None

    def _rate(self, order: OrderView, now_ns: int) -> Refusal | None:
        if self._orders.take(now_ns):
            return None
        self.own.release(order.key, order.strategy)
        return Refusal(
            RefusalCode.RATE, f"more than {self.limits.orders_per_s_max} orders a second"
        )


def _wrong_mode(mode: Mode, *, armed: bool, production: bool) -> Refusal | None:
    """Real orders need both words: mode live, and --arm. ``production`` is the venue's host."""
    if mode is Mode.LIVE and not armed:
        return Refusal(RefusalCode.MODE, "mode live without --arm: no order is sent")
    if mode is Mode.SIM and production:
        return Refusal(RefusalCode.MODE, "mode sim on the venue's own host: no order is sent")
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


def _alone(order: OrderView, cash_micro: int, cost_micro: int) -> tuple[int, int, int]:
    """Return what an order can add at most, alone: shares, cost, loss.

    It loses its cash, or what its shares could have paid.
    """
    if order.side:
        return 0, cost_micro, order.size_lots - cash_micro
    return order.size_lots, cost_micro, cash_micro


def _open(market: MarketView) -> Refusal | None:
    if not market.active:
        return Refusal(RefusalCode.MARKET_CLOSED, "the market takes no orders")
    if not market.fee_known:
        return Refusal(RefusalCode.FEE_UNKNOWN, "the market's fee is not known")
    return None


def _live(order: OrderView, book: BookView) -> Refusal | None:
    if not book.usable:
        return Refusal(RefusalCode.BOOK_STALE, "the book's owner is silent or being replaced")
    if book.epoch != order.ingress_epoch:
        return Refusal(
            RefusalCode.BOOK_REPLACED,
            f"seen on epoch {order.ingress_epoch} of the books, now {book.epoch}",
        )
    if not book.trusted:
        return Refusal(RefusalCode.BOOK_UNTRUSTED, "the book is not trusted")
    return None


def _terms(order: OrderView, market: MarketView) -> Refusal | None:
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
