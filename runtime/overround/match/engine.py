"""The matching engine: commands in, events out, nothing else.

No clock, no randomness, no I/O: what happens depends only on the commands and their order.

**Matching.** Price-time priority in one YES book per condition. A NO order is kept at one minus
its price on the opposite side, so a buyer of YES meets sellers of YES (token for cash) and
buyers of NO (*mint*: one unit of collateral becomes YES + NO); two sellers *merge* likewise.
Trades happen at the resting order's price; the taker keeps the improvement. All makers met at
one price form one trade.

**Rounding.** A maker pays or receives size x price rounded down to the micro-unit; in a mint or
merge its counterpart has the rest of the unit, so every trade balances exactly. With sizes in
0.01 share both are exact. A SELL never pays more fee than it receives.

**Self-trade.** Nothing is prevented or skipped: an account's order meets its own resting orders
in turn like any other, pays the fee, and settles with itself.

**Balance.** An order is accepted if the account's free balance covers the whole of it at its
limit (BUY: cash, with the worst fee if it would trade now; SELL: tokens). What rests stays
reserved at the limit, without fee, because makers pay none. What was matched stays reserved
until the trade settles; what a trade brings cannot be spent before.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import replace

from overround.match.accounts import Accounts, Flow, PendingTrade
from overround.match.book import Market
from overround.match.planning import Sweep, check_tick, on_grid, plan
from overround.match.proof import check_books, check_reservations, digest, markets_state
from overround.match.rebates import MS_PER_DAY, Rebates
from overround.match.types import (
    BookSide,
    DoneReason,
    Event,
    FeeFunction,
    LastTrade,
    LegForm,
    LevelChanged,
    MakerLeg,
    MarketResolved,
    MarketRules,
    Matched,
    Order,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    OrderStatus,
    OrderType,
    RebatePaid,
    RejectCode,
    Side,
    TickChanged,
    Top,
    TradeSettled,
)
from overround.units import (
    MICRO_PER_UNIT,
    PRICE_TICKS_MAX,
    SIZE_LOTS_MAX,
    notional_micro,
    notional_up_micro,
)

__all__ = [
    "DONE_ORDERS_MAX",
    "FINE_BELOW_TICKS",
    "GTD_LEAD_S",
    "GTD_LIFE_MIN_S",
    "MARKETABLE_BUY_MIN_MICRO",
    "MatchingEngine",
]

MARKETABLE_BUY_MIN_MICRO = MICRO_PER_UNIT
"""A BUY that would trade now must be worth a dollar at its limit (venue rule)."""

GTD_LEAD_S = 60
"""The venue expires a GTD order this long before its stated time."""

GTD_LIFE_MIN_S = 180
"""A GTD order must state a time at least this far ahead."""

DONE_ORDERS_MAX = 250_000
"""Finished orders kept, about 100 MB, for queries and to refuse their ids; older are forgotten."""

FINE_BELOW_TICKS = 400
"""Trades below this price, or above one less it, make the grid finer where a market has one."""

_EXPIRIES_MIN = 1024
"""Notes of GTD ends kept before dead ones are looked for."""

_KILLABLE = (OrderType.FOK, OrderType.FAK)

_DONE_STATUS = {
    DoneReason.FILLED: OrderStatus.FILLED,
    DoneReason.EXPIRED: OrderStatus.EXPIRED,
}


class MatchingEngine:
    """Markets, orders and trades over a set of accounts; see the module's text for the rules.

    ``fee`` computes the taker fee of one trade. ``orders`` maps id to order, live and done
    (read only). Every method is a command or a query; commands return what happened, in order.
    """

    def __init__(
        self, accounts: Accounts, fee: FeeFunction, *, done_orders_max: int = DONE_ORDERS_MAX
    ) -> None:
        self.accounts = accounts
        self.rebates = Rebates(fee)
        self.orders: dict[str, Order] = {}
        self._fee = fee
        self._markets: dict[int, Market] = {}
        self._open: dict[int, dict[str, Order]] = {}
        self._expiries: list[tuple[int, int, Order]] = []
        self._expiries_max = _EXPIRIES_MIN
        self._done: deque[str] = deque()
        self._done_orders_max = done_orders_max
        self._trade_id = 0
        self._accepted = 0

    # -- markets -------------------------------------------------------------------------

    def add_market(self, rules: MarketRules) -> None:
        """Open a market. ValueError if the index is taken or the tick does not divide 1."""
        if rules.index in self._markets:
            raise ValueError(f"market {rules.index} exists already")
        check_tick(rules.tick_ticks)
        if rules.fine_tick_ticks and rules.tick_ticks % rules.fine_tick_ticks:
            raise ValueError(f"tick {rules.fine_tick_ticks} does not divide {rules.tick_ticks}")
        self._markets[rules.index] = Market(rules)

    def rules(self, market: int) -> MarketRules:
        """Return the current rules of a market; KeyError if it is unknown."""
        return self._markets[market].rules

    def set_tick(self, market: int, tick_ticks: int) -> list[Event]:
        """Change the price grid; orders off a coarser grid are cancelled."""
        check_tick(tick_ticks)
        state = self._markets[market]
        old = state.rules.tick_ticks
        if old == tick_ticks:
            return []
        state.rules = replace(state.rules, tick_ticks=tick_ticks)
        events: list[Event] = [TickChanged(market, old, tick_ticks)]
        for order in [o for o in state.book.orders() if not on_grid(o.price_ticks, tick_ticks)]:
            self._take_out(order, DoneReason.TICK_CHANGED, events)
        return events

    def schedule_fee(
        self, market: int, from_epoch_ms: int, rate_ppm: int, exponent: int = 1
    ) -> None:
        """Change the fee of a market from a moment on; a note for the same moment is replaced."""
        state = self._markets[market]
        kept = [note for note in state.fees if note[0] != from_epoch_ms]
        state.fees = sorted([*kept, (from_epoch_ms, rate_ppm, exponent)])

    def close_market(self, market: int) -> list[Event]:
        """Cancel every order of a market and refuse new ones from now on."""
        return self._shut(market, DoneReason.MARKET_CLOSED)

    def resolve(self, market: int, yes_ticks: int) -> list[Event]:
        """Close a market and fix its tokens' worth: YES ``yes_ticks`` (0, 5,000 or 10,000).

        Unsettled trades still settle. ValueError if it cannot resolve like this.
        """
        state = self._markets[market]
        self.accounts.resolve(state.rules.index, yes_ticks)
        return [
            *self._shut(market, DoneReason.MARKET_RESOLVED),
            MarketResolved(market, yes_ticks),
        ]

    def pay_rebates(self, day: int) -> list[Event]:
        """Pay the makers of a day (since the epoch, UTC) out of the fees collected."""
        events: list[Event] = []
        for share in self.rebates.close(day):
            self.accounts.pay_from_fees(share.account, share.cash_micro)
            events.append(RebatePaid(*share))
        return events

    def force_withdraw(self, account: int, cash_micro: int) -> list[Event] | None:
        """Move cash away even if open BUY orders count on it; those go, youngest first.

        None and no change if even without them there is not that much: what unsettled trades
        owe cannot be moved.
        """
        holding = self.accounts.holding(account)
        buys = [order for order in self.open_orders(account) if order.side == Side.BUY]
        if holding.available_micro + sum(order.held_micro for order in buys) < cash_micro:
            return None
        events: list[Event] = []
        while holding.available_micro < cash_micro:
            self._take_out(buys.pop(), DoneReason.NOT_ENOUGH_BALANCE, events)
        self.accounts.withdraw(account, cash_micro)
        return events

    def top(self, market: int) -> Top:
        """Return the best prices and sizes in YES terms; KeyError if the market is unknown."""
        return self._markets[market].book.top()

    def depth(self, market: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (bids, asks) in YES terms, each (price_ticks, size_lots), best first."""
        bids, asks = self._markets[market].book.sides
        return bids.depth(), asks.depth()

    def last_trade(self, market: int) -> LastTrade | None:
        """Return the last trade of a market, None before the first."""
        return self._markets[market].last

    # -- orders --------------------------------------------------------------------------

    def submit(self, order: Order, now_epoch_ms: int) -> list[Event]:
        """Check an order, match it, let the rest of a GTC or GTD order rest.

        Returns one OrderRejected, or OrderAccepted followed by, per price met, Matched, the
        OrderDone of filled makers and the LevelChanged; last the taker's own LevelChanged or
        OrderDone. A rejected order leaves no trace: its id may be used again.
        """
        market = self._markets.get(order.market)
        if market is not None and market.fees:
            market.roll_fees(now_epoch_ms)
        code = self._refuse_form(order, market, now_epoch_ms)
        if code is not None or market is None:
            return _reject(order, code or RejectCode.UNKNOWN_MARKET)
        sweeps = plan(order, market, self._fee)
        matched_lots = sum(sweep.size_lots for sweep in sweeps)
        refusal = self._refuse_terms(order, sweeps, matched_lots)
        if refusal is not None:
            return refusal
        order.created_epoch_ms = now_epoch_ms
        order.status = OrderStatus.LIVE
        self.orders[order.id] = order
        self._accepted += 1
        events: list[Event] = [OrderAccepted(order)]
        for sweep in sweeps:
            self._execute(order, market, sweep, events)
        if order.filled_lots == order.size_lots:
            self._finish(order, DoneReason.FILLED, events)
        elif order.order_type in _KILLABLE:
            self._finish(order, DoneReason.KILLED, events)
        else:
            self._rest(order, market, events)
        if sweeps and market.rules.fine_tick_ticks:
            events += self._refine(market, sweeps[-1].book_ticks)
        return events

    def cancel(self, order_id: str) -> list[Event]:
        """Take a resting order out; no events if it is unknown or done already."""
        order = self.orders.get(order_id)
        if order is None or order.status != OrderStatus.LIVE:
            return []
        events: list[Event] = []
        self._take_out(order, DoneReason.CANCELED, events)
        return events

    def cancel_all(self, account: int, market: int | None = None) -> list[Event]:
        """Take out an account's resting orders, in one market or all, oldest first."""
        events: list[Event] = []
        for order in self.open_orders(account):
            if market is None or order.market == market:
                self._take_out(order, DoneReason.CANCELED, events)
        return events

    def expire(self, now_epoch_s: int) -> list[Event]:
        """Take out the GTD orders whose stated time is at most GTD_LEAD_S ahead, in order."""
        events: list[Event] = []
        while self._expiries and self._expiries[0][0] - GTD_LEAD_S <= now_epoch_s:
            order = heapq.heappop(self._expiries)[2]
            if order.status == OrderStatus.LIVE:
                self._take_out(order, DoneReason.EXPIRED, events)
        return events

    def open_orders(self, account: int) -> list[Order]:
        """Return an account's resting orders, oldest first."""
        return list(self._open.get(account, {}).values())

    def settle(self, trade_id: int, confirmed: bool) -> list[Event]:
        """Make a trade final, or undo it; no events if it is unknown or settled already.

        An undone trade moves no balance; its orders stay filled, as at the venue.
        """
        trade = self.accounts.settle(trade_id, confirmed)
        if trade is None:
            return []
        self.rebates.settle(trade_id, confirmed)
        return [TradeSettled(trade_id, trade.market, confirmed)]

    # -- proof ---------------------------------------------------------------------------

    def state(self) -> tuple[object, ...]:
        """Return books, balances and unsettled trades as nested tuples in canonical order."""
        money = self.accounts.state()
        return markets_state(self._markets), money, self._trade_id, self.rebates.state()

    def state_hash(self) -> str:
        """Return 32 hex digits, equal for equal ``state``."""
        return digest(self.state())

    def check(self) -> None:
        """Raise InvariantError unless money is conserved, books are whole and uncrossed, and
        every reservation is exactly what open orders and unsettled trades account for.
        """
        self.accounts.check()
        check_books(self._markets)
        check_reservations(self._markets, self.accounts)

    # -- inside --------------------------------------------------------------------------

    def _refuse_form(
        self, order: Order, market: Market | None, now_epoch_ms: int
    ) -> RejectCode | None:
        if market is None:
            return RejectCode.UNKNOWN_MARKET
        if not market.accepting:
            return RejectCode.MARKET_CLOSED
        if order.id in self.orders:
            return RejectCode.DUPLICATED
        if not 0 < order.size_lots <= SIZE_LOTS_MAX or order.filled_lots:
            return RejectCode.INVALID_PAYLOAD
        if order.post_only and order.order_type in _KILLABLE:
            return RejectCode.INVALID_POST_ONLY
        if order.order_type == OrderType.GTD:
            if order.expires_epoch_s * 1000 < now_epoch_ms + GTD_LIFE_MIN_S * 1000:
                return RejectCode.INVALID_EXPIRATION
        elif order.expires_epoch_s:
            return RejectCode.INVALID_EXPIRATION
        if not on_grid(order.price_ticks, market.rules.tick_ticks):
            return RejectCode.BREAKS_TICK
        if order.size_lots < market.rules.min_size_lots:
            return RejectCode.BELOW_MIN_SIZE
        return None

    def _refuse_terms(
        self, order: Order, sweeps: list[Sweep], matched_lots: int
    ) -> list[Event] | None:
        if sweeps and order.post_only:
            return _reject(order, RejectCode.POST_ONLY_CROSSES)
        marketable = bool(sweeps) or order.order_type in _KILLABLE
        if order.side == Side.BUY:
            worth = notional_micro(order.size_lots, order.price_ticks)
            if marketable and worth < MARKETABLE_BUY_MIN_MICRO:
                return _reject(order, RejectCode.BELOW_MARKETABLE_MIN)
            needed = self._cash_needed(order, sweeps, matched_lots, marketable)
            available = self.accounts.holding(order.account).available_micro
        else:
            needed = order.size_lots
            holding = self.accounts.holding(order.account)
            available = holding.token(order.market, order.outcome).available_lots
        if available < needed:
            return _reject(order, RejectCode.NOT_ENOUGH_BALANCE, needed, available)
        if order.order_type == OrderType.FOK and matched_lots < order.size_lots:
            return _reject(order, RejectCode.FOK_NOT_FILLED)
        if order.order_type == OrderType.FAK and not matched_lots:
            return _reject(order, RejectCode.FAK_NO_MATCH)
        return None

    def _cash_needed(
        self, order: Order, sweeps: list[Sweep], matched_lots: int, marketable: bool
    ) -> int:
        """The whole order at its limit; or what it will really take, where rounding in a
        mint makes that a few micro-units more."""
        rules = self._markets[order.market].rules
        worst = notional_up_micro(order.size_lots, order.price_ticks)
        if marketable:
            worst += self._fee(
                order.size_lots, order.price_ticks, rules.fee_rate_ppm, rules.fee_exponent
            )
        exact = sum(sweep.cash_micro + sweep.fee_micro for sweep in sweeps)
        if order.order_type not in _KILLABLE:
            exact += notional_up_micro(order.size_lots - matched_lots, order.price_ticks)
        return max(worst, exact)

    def _execute(self, order: Order, market: Market, sweep: Sweep, events: list[Event]) -> None:
        """Carry out one planned trade: fills, reservations, the pending settlement."""
        self._trade_id += 1
        index = market.rules.index
        holding = self.accounts.holding(order.account)
        lots, cash, fee = sweep.size_lots, sweep.cash_micro, sweep.fee_micro
        order.filled_lots += lots
        if order.side == Side.BUY:
            holding.reserved_micro += cash + fee
            taker = Flow(order.account, order.outcome, cash + fee, 0, 0, lots)
        else:
            holding.token(index, order.outcome).reserved_lots += lots
            taker = Flow(order.account, order.outcome, 0, cash - fee, lots, 0)
        events.append(
            Matched(
                self._trade_id, index, order, order.outcome, order.side,
                sweep.price_ticks, lots, cash, fee, sweep.legs,
            )
        )  # fmt: skip
        flows = [taker]
        collateral = 0
        side = market.book.sides[1 - order.book_side]
        level = side.levels[sweep.book_ticks]
        for leg in sweep.legs:
            flows.append(self._fill_maker(leg))
            if leg.form != LegForm.NORMAL:
                collateral += leg.size_lots if leg.form == LegForm.MINT else -leg.size_lots
            if not leg.order.remaining_lots:
                del level.orders[leg.order.id]
                del self._open[leg.order.account][leg.order.id]
                self._finish(leg.order, DoneReason.FILLED, events)
        level.size_lots -= lots
        if not level.orders:
            side.close_level(sweep.book_ticks)
        events.append(
            LevelChanged(index, BookSide(1 - order.book_side), sweep.book_ticks, level.size_lots)
        )
        market.last = LastTrade(order.outcome, order.side, sweep.price_ticks, lots)
        self.accounts.open_trade(PendingTrade(self._trade_id, index, tuple(flows), collateral, fee))
        if market.rules.rebate_ppm:
            day = order.created_epoch_ms // MS_PER_DAY
            self.rebates.on_match(self._trade_id, day, market.rules, fee, sweep.legs)

    def _fill_maker(self, leg: MakerLeg) -> Flow:
        maker = leg.order
        held = maker.held_micro
        maker.filled_lots += leg.size_lots
        if leg.side == Side.SELL:
            return Flow(maker.account, leg.outcome, 0, leg.cash_micro, leg.size_lots, 0)
        # The rest stays reserved at the limit, rounded up; what is due now stays reserved
        # too; the difference, at most a micro-unit, comes free.
        freed = held - maker.held_micro - leg.cash_micro
        self.accounts.holding(maker.account).reserved_micro -= freed
        return Flow(maker.account, leg.outcome, leg.cash_micro, 0, 0, leg.size_lots)

    def _refine(self, market: Market, book_ticks: int) -> list[Event]:
        """Make the grid finer once a trade was near an end; nothing falls off a finer grid."""
        rules = market.rules
        if FINE_BELOW_TICKS <= book_ticks <= PRICE_TICKS_MAX - FINE_BELOW_TICKS:
            return []
        if rules.tick_ticks <= rules.fine_tick_ticks:
            return []
        return self.set_tick(rules.index, rules.fine_tick_ticks)

    def _shut(self, market: int, reason: DoneReason) -> list[Event]:
        state = self._markets[market]
        state.accepting = False
        events: list[Event] = []
        for order in list(state.book.orders()):
            self._take_out(order, reason, events)
        return events

    def _rest(self, order: Order, market: Market, events: list[Event]) -> None:
        holding = self.accounts.holding(order.account)
        holding.reserved_micro += order.held_micro
        if order.side == Side.SELL:
            holding.token(order.market, order.outcome).reserved_lots += order.held_lots
        size_lots = market.book.add(order)
        self._open.setdefault(order.account, {})[order.id] = order
        if order.order_type == OrderType.GTD:
            self._schedule(order)
        events.append(LevelChanged(order.market, order.book_side, order.book_ticks, size_lots))

    def _schedule(self, order: Order) -> None:
        """Note when a GTD order ends; drop the notes of dead orders once they may be half."""
        heapq.heappush(self._expiries, (order.expires_epoch_s, self._accepted, order))
        if len(self._expiries) > self._expiries_max:
            self._expiries = [e for e in self._expiries if e[2].status == OrderStatus.LIVE]
            heapq.heapify(self._expiries)
            self._expiries_max = max(_EXPIRIES_MIN, 2 * len(self._expiries))

    def _take_out(self, order: Order, reason: DoneReason, events: list[Event]) -> None:
        """Remove a resting order before its time and free what it reserved."""
        size_lots = self._markets[order.market].book.remove(order)
        del self._open[order.account][order.id]
        holding = self.accounts.holding(order.account)
        holding.reserved_micro -= order.held_micro
        if order.side == Side.SELL:
            holding.token(order.market, order.outcome).reserved_lots -= order.held_lots
        events.append(LevelChanged(order.market, order.book_side, order.book_ticks, size_lots))
        self._finish(order, reason, events)

    def _finish(self, order: Order, reason: DoneReason, events: list[Event]) -> None:
        order.status = _DONE_STATUS.get(reason, OrderStatus.CANCELED)
        events.append(OrderDone(order, reason))
        self._done.append(order.id)
        if len(self._done) > self._done_orders_max:
            del self.orders[self._done.popleft()]


def _reject(order: Order, code: RejectCode, needed: int = 0, available: int = 0) -> list[Event]:
    if code != RejectCode.DUPLICATED:
        # A resent object may be the live order itself.
        order.status = OrderStatus.REJECTED
    return [OrderRejected(order, code, needed, available)]
