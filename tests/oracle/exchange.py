"""The slow, obvious twin of ``overround.match``: lists, fractions, everything recomputed.

It shares the vocabulary (orders, rules, codes) with the engine but no structure: resting orders
are one list in order of arrival, the best one is found by sorting, and reservations are summed
afresh from open orders and unsettled trades whenever somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

from oracle.exchange_ends import Ends
from overround.match.types import (
    DoneReason,
    Event,
    LegForm,
    LevelChanged,
    MarketRules,
    Matched,
    Order,
    OrderAccepted,
    OrderDone,
    OrderRejected,
    OrderType,
    Outcome,
    RejectCode,
    Side,
)

Plain = tuple[object, ...]


def plain(event: Event) -> Plain:
    """Return an engine's event as a tuple of its name and plain values."""
    match event:
        case OrderAccepted(order):
            return ("accepted", order.id)
        case OrderRejected(order, code, needed, available):
            return ("rejected", order.id, code, needed, available)
        case OrderDone(order, reason):
            return ("done", order.id, reason, order.filled_lots)
        case LevelChanged():
            return ("level", *event)
        case Matched():
            legs = tuple((leg.order.id, *leg[1:]) for leg in event.legs)
            return ("matched", event.trade_id, event.market, event.taker_order.id,
                    *event[3:9], legs)  # fmt: skip
        case _:
            return (type(event).__name__, *event)


class SlowExchange(Ends):
    """The same commands as MatchingEngine and Accounts, with plain tuples as events."""

    def __init__(self, fee: Callable[[int, int, int, int], int]) -> None:
        self.fee = fee
        self.markets: dict[int, MarketRules] = {}
        self.closed: set[int] = set()
        self.last: dict[int, Plain] = {}
        self.known: set[str] = set()
        self.resting: list[Order] = []
        self.cash: dict[int, int] = {}
        self.tokens: dict[tuple[int, int, int], int] = {}
        self.pending: dict[int, list[Plain]] = {}
        self.trades = 0
        self.fees = 0
        self.start_ends()

    # -- money ---------------------------------------------------------------------------

    def deposit(self, account: int, micro: int) -> None:
        self.cash[account] = self.cash.get(account, 0) + micro

    def withdraw(self, account: int, micro: int) -> bool:
        if self.free_cash(account) < micro:
            return False
        self.deposit(account, -micro)
        return True

    def grant(self, account: int, market: int, outcome: Outcome, lots: int) -> None:
        key = (account, market, int(outcome))
        self.tokens[key] = self.tokens.get(key, 0) + lots

    def split(self, account: int, market: int, lots: int) -> bool:
        if not self.withdraw(account, lots):
            return False
        self.grant(account, market, Outcome.YES, lots)
        self.grant(account, market, Outcome.NO, lots)
        return True

    def merge(self, account: int, market: int, lots: int) -> bool:
        if min(self.free_lots(account, market, outcome) for outcome in Outcome) < lots:
            return False
        self.grant(account, market, Outcome.YES, -lots)
        self.grant(account, market, Outcome.NO, -lots)
        self.deposit(account, lots)
        return True

    def flows(self) -> list[tuple[int, tuple[int, int, int, int, int, int]]]:
        return [(trade[1], flow) for trade in self.pending.values() for flow in trade[2]]

    def reserved_cash(self, account: int) -> int:
        orders = sum(
            ceil(Fraction((o.size_lots - o.filled_lots) * o.price_ticks, 10_000))
            for o in self.resting
            if o.account == account and o.side == Side.BUY
        )
        return orders + sum(flow[2] for _, flow in self.flows() if flow[0] == account)

    def free_cash(self, account: int) -> int:
        return self.cash.get(account, 0) - self.reserved_cash(account)

    def reserved_lots(self, account: int, market: int, outcome: int) -> int:
        wanted = (account, market, outcome)
        orders = sum(
            o.size_lots - o.filled_lots
            for o in self.resting
            if o.side == Side.SELL and (o.account, o.market, o.outcome) == wanted
        )
        return orders + sum(f[4] for m, f in self.flows() if (f[0], m, f[1]) == wanted)

    def free_lots(self, account: int, market: int, outcome: int) -> int:
        owned = self.tokens.get((account, market, int(outcome)), 0)
        return owned - self.reserved_lots(account, market, outcome)

    # -- books ---------------------------------------------------------------------------

    @staticmethod
    def yes_price(order: Order) -> int:
        return order.price_ticks if order.outcome == Outcome.YES else 10_000 - order.price_ticks

    @staticmethod
    def is_bid(order: Order) -> bool:
        return (order.outcome == Outcome.YES) == (order.side == Side.BUY)

    def side(self, market: int, bids: bool) -> list[Order]:
        """Resting orders of a side, best price first, then oldest first."""
        orders = [o for o in self.resting if o.market == market and self.is_bid(o) == bids]
        return sorted(orders, key=lambda o: -self.yes_price(o) if bids else self.yes_price(o))

    def level_event(self, market: int, bids: bool, price: int) -> Plain:
        size = sum(
            o.size_lots - o.filled_lots
            for o in self.side(market, bids)
            if self.yes_price(o) == price
        )
        return ("level", market, 0 if bids else 1, price, size)

    # -- commands ------------------------------------------------------------------------

    def add_market(self, rules: MarketRules) -> None:
        self.markets[rules.index] = rules

    def set_tick(self, market: int, tick: int) -> list[Plain]:
        old = self.markets[market].tick_ticks
        if old == tick:
            return []
        self.markets[market] = replace(self.markets[market], tick_ticks=tick)
        events: list[Plain] = [("TickChanged", market, old, tick)]
        for order in self.side(market, True) + self.side(market, False):
            if not tick <= order.price_ticks <= 10_000 - tick or order.price_ticks % tick:
                events += self.remove(order, DoneReason.TICK_CHANGED)
        return events

    def close_market(self, market: int) -> list[Plain]:
        self.closed.add(market)
        events: list[Plain] = []
        for order in self.side(market, True) + self.side(market, False):
            events += self.remove(order, DoneReason.MARKET_CLOSED)
        return events

    def remove(self, order: Order, reason: DoneReason) -> list[Plain]:
        self.resting = [o for o in self.resting if o.id != order.id]
        return [
            self.level_event(order.market, self.is_bid(order), self.yes_price(order)),
            ("done", order.id, reason, order.filled_lots),
        ]

    def cancel(self, order_id: str) -> list[Plain]:
        for order in self.resting:
            if order.id == order_id:
                return self.remove(order, DoneReason.CANCELED)
        return []

    def cancel_all(self, account: int, market: int | None = None) -> list[Plain]:
        events: list[Plain] = []
        for order in self.resting:
            if order.account == account and market in (None, order.market):
                events += self.remove(order, DoneReason.CANCELED)
        return events

    def expire(self, now_s: int) -> list[Plain]:
        due = [o for o in self.resting if o.order_type == OrderType.GTD]
        due = [o for o in due if o.expires_epoch_s - 60 <= now_s]
        events: list[Plain] = []
        for order in sorted(due, key=lambda o: o.expires_epoch_s):
            events += self.remove(order, DoneReason.EXPIRED)
        return events

    def settle(self, trade_id: int, confirmed: bool) -> list[Plain]:
        if trade_id not in self.pending:
            return []
        trade = self.pending.pop(trade_id)
        self.settle_rebate(trade_id, confirmed)
        market = trade[1]
        if confirmed:
            self.fees += trade[4]
            for account, outcome, cash_out, cash_in, lots_out, lots_in in trade[2]:
                self.deposit(account, cash_in - cash_out)
                self.grant(account, market, outcome, lots_in - lots_out)
        return [("TradeSettled", trade_id, market, confirmed)]

    # -- submitting ----------------------------------------------------------------------

    def submit(self, order: Order, now_ms: int) -> list[Plain]:
        order = replace(order)
        self.roll_fees(order.market, now_ms)
        code = self.bad_form(order, now_ms)
        if code is not None:
            return [("rejected", order.id, code, 0, 0)]
        plan = self.plan(order)
        refusal = self.bad_terms(order, plan)
        if refusal is not None:
            return [refusal]
        self.known.add(order.id)
        events: list[Plain] = [("accepted", order.id)]
        for trade in plan:
            events += self.carry_out(order, trade, now_ms)
        if order.filled_lots == order.size_lots:
            events.append(("done", order.id, DoneReason.FILLED, order.filled_lots))
        elif order.order_type in (OrderType.FOK, OrderType.FAK):
            events.append(("done", order.id, DoneReason.KILLED, order.filled_lots))
        else:
            self.resting.append(order)
            price = self.yes_price(order)
            events.append(self.level_event(order.market, self.is_bid(order), price))
        rules = self.markets[order.market]
        at_an_end = plan and not 400 <= int(plan[-1]["yes"]) <= 9_600
        if at_an_end and 0 < rules.fine_tick_ticks < rules.tick_ticks:
            events += self.set_tick(order.market, rules.fine_tick_ticks)
        return events

    def bad_form(self, order: Order, now_ms: int) -> RejectCode | None:
        rules = self.markets.get(order.market)
        gtd = order.order_type == OrderType.GTD
        kills = order.order_type in (OrderType.FOK, OrderType.FAK)
        late = order.expires_epoch_s * 1000 < now_ms + 180_000 if gtd else order.expires_epoch_s
        tick = rules.tick_ticks if rules else 1
        grid = range(tick, 10_000 - tick + 1, tick)
        checks = [
            (rules is None, RejectCode.UNKNOWN_MARKET),
            (order.market in self.closed, RejectCode.MARKET_CLOSED),
            (order.id in self.known, RejectCode.DUPLICATED),
            (not 1 <= order.size_lots < 2**63, RejectCode.INVALID_PAYLOAD),
            (order.post_only and kills, RejectCode.INVALID_POST_ONLY),
            (late, RejectCode.INVALID_EXPIRATION),
            (order.price_ticks not in grid, RejectCode.BREAKS_TICK),
            (rules and order.size_lots < rules.min_size_lots, RejectCode.BELOW_MIN_SIZE),
        ]
        return next((code for bad, code in checks if bad), None)

    def plan(self, order: Order) -> list[dict[str, object]]:
        """One dict a price: legs of (maker, lots, form, maker cash), taker cash, fee."""
        bid, limit, left = self.is_bid(order), self.yes_price(order), order.size_lots
        met = [
            maker
            for maker in self.side(order.market, not bid)
            if (self.yes_price(maker) <= limit if bid else self.yes_price(maker) >= limit)
        ]
        trades: list[dict[str, object]] = []
        prices = list(dict.fromkeys(self.yes_price(maker) for maker in met))
        for price in prices:
            legs, taker_cash, total = [], 0, 0
            for maker in met:
                lots = min(left, maker.size_lots - maker.filled_lots)
                if self.yes_price(maker) != price or not lots:
                    continue
                cash = floor(Fraction(lots * maker.price_ticks, 10_000))
                if maker.outcome == order.outcome:
                    form, mine = LegForm.NORMAL, cash
                else:
                    form = LegForm.MINT if order.side == Side.BUY else LegForm.MERGE
                    mine = lots - cash
                legs.append((maker, lots, form, cash))
                taker_cash += mine
                total += lots
                left -= lots
            if not legs:
                break
            own_price = price if order.outcome == Outcome.YES else 10_000 - price
            rules = self.markets[order.market]
            fee = self.fee(total, own_price, rules.fee_rate_ppm, rules.fee_exponent)
            if order.side == Side.SELL:
                fee = min(fee, taker_cash)
            trades.append(
                {"yes": price, "price": own_price, "lots": total, "cash": taker_cash,
                 "fee": fee, "legs": legs}
            )  # fmt: skip
        return trades

    def bad_terms(self, order: Order, plan: list[dict[str, object]]) -> Plain | None:
        kills = order.order_type in (OrderType.FOK, OrderType.FAK)
        met = sum(trade["lots"] for trade in plan)
        now = bool(plan) or kills
        worth = Fraction(order.size_lots * order.price_ticks, 10_000)
        if order.side == Side.BUY:
            rules = self.markets[order.market]
            fee = self.fee(
                order.size_lots, order.price_ticks, rules.fee_rate_ppm, rules.fee_exponent
            )
            exact = sum(trade["cash"] + trade["fee"] for trade in plan)
            if not kills:
                exact += ceil(Fraction((order.size_lots - met) * order.price_ticks, 10_000))
            needed = max(ceil(worth) + (fee if now else 0), exact)
            free = self.free_cash(order.account)
        else:
            needed = order.size_lots
            free = self.free_lots(order.account, order.market, order.outcome)
        checks = [
            (plan and order.post_only, (RejectCode.POST_ONLY_CROSSES, 0, 0)),
            (
                order.side == Side.BUY and now and floor(worth) < 1_000_000,
                (RejectCode.BELOW_MARKETABLE_MIN, 0, 0),
            ),
            (free < needed, (RejectCode.NOT_ENOUGH_BALANCE, needed, free)),
            (
                order.order_type == OrderType.FOK and met < order.size_lots,
                (RejectCode.FOK_NOT_FILLED, 0, 0),
            ),
            (order.order_type == OrderType.FAK and not plan, (RejectCode.FAK_NO_MATCH, 0, 0)),
        ]
        return next((("rejected", order.id, *why) for bad, why in checks if bad), None)

    def carry_out(self, order: Order, trade: dict[str, object], now_ms: int) -> list[Plain]:
        self.trades += 1
        lots, cash, fee = int(trade["lots"]), int(trade["cash"]), int(trade["fee"])
        order.filled_lots += lots
        if order.side == Side.BUY:
            flows = [(order.account, int(order.outcome), cash + fee, 0, 0, lots)]
        else:
            flows = [(order.account, int(order.outcome), 0, cash - fee, lots, 0)]
        legs, done, backing = [], [], 0
        for maker, part, form, maker_cash in trade["legs"]:
            maker.filled_lots += part
            legs.append((maker.id, maker.outcome, maker.side, maker.price_ticks, part, form,
                         maker_cash))  # fmt: skip
            if maker.side == Side.BUY:
                flows.append((maker.account, int(maker.outcome), maker_cash, 0, 0, part))
            else:
                flows.append((maker.account, int(maker.outcome), 0, maker_cash, part, 0))
            backing += {LegForm.NORMAL: 0, LegForm.MINT: part, LegForm.MERGE: -part}[form]
            if maker.filled_lots == maker.size_lots:
                self.resting = [o for o in self.resting if o.id != maker.id]
                done.append(("done", maker.id, DoneReason.FILLED, maker.filled_lots))
        self.last[order.market] = (order.outcome, order.side, trade["price"], lots)
        self.pending[self.trades] = (self.trades, order.market, tuple(flows), backing, fee)
        matched = ("matched", self.trades, order.market, order.id, order.outcome, order.side,
                   trade["price"], lots, cash, fee, tuple(legs))  # fmt: skip
        met = [(maker.account, part, maker.price_ticks) for maker, part, _, _ in trade["legs"]]
        self.note_rebate(self.trades, order.market, now_ms, fee, met)
        level = self.level_event(order.market, not self.is_bid(order), int(trade["yes"]))
        return [matched, *done, level]

    # -- comparison ----------------------------------------------------------------------

    def state(self) -> Plain:
        """The same nested tuples as ``MatchingEngine.state``."""
        markets = []
        for index in sorted(self.markets):
            sides = []
            for bids in (True, False):
                queues: dict[int, list[Plain]] = {}
                for order in self.side(index, bids):
                    left = order.size_lots - order.filled_lots
                    entry = (order.id, order.account, order.outcome, left, order.expires_epoch_s)
                    queues.setdefault(self.yes_price(order), []).append(entry)
                sides.append(tuple(queues.items()))
            is_open = index not in self.closed
            markets.append((index, self.terms(index), is_open, sides, self.last.get(index)))
        return (
            tuple(markets),
            (self.balances(), tuple(self.pending.values()), self.fees, self.ends_state()),
            self.trades,
            self.rebates_state(),
        )

    def balances(self) -> Plain:
        flows = self.flows()
        accounts = {*self.cash, *(key[0] for key in self.tokens), *(f[0] for _, f in flows)}
        rows = []
        for account in sorted(accounts):
            tokens = []
            keys = {key[1:] for key in self.tokens if key[0] == account}
            keys |= {(m, f[1]) for m, f in flows if f[0] == account}
            for market, outcome in sorted(keys):
                owned = self.tokens.get((account, market, outcome), 0)
                wanted = (account, market, outcome)
                coming = sum(f[5] for m, f in flows if (f[0], m, f[1]) == wanted)
                if owned or coming:
                    held = self.reserved_lots(account, market, outcome)
                    tokens.append((market, outcome, owned, held, coming))
            cash = (
                self.cash.get(account, 0),
                self.reserved_cash(account),
                sum(f[3] for _, f in flows if f[0] == account),
            )
            if tokens or any(cash):
                rows.append((account, *cash, tuple(tokens)))
        return tuple(rows)
