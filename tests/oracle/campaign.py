"""A campaign of seeded random commands over the matching engine and its slow twin.

After every command: the same events or answer from both, the same state hash, and the engine's
own invariants (conservation to the micro-unit, reservations, uncrossed books). Apart from both,
``Queue`` keeps who arrived when, from events alone, and demands price-time order of every fill.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from oracle.exchange import SlowExchange, plain
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.proof import digest
from overround.match.types import (
    BookSide,
    MarketRules,
    Matched,
    Order,
    OrderDone,
    OrderStatus,
    OrderType,
    Outcome,
    Side,
)

SHARE = 1_000_000
START_MS = 1_795_345_200_000
ACCOUNTS = (1, 2, 3, 4)
SET_MARKETS = (0, 1, 2)
MARKETS = (*SET_MARKETS, 3)
SET_INDEX = 7
TICKS = (1, 10, 25, 50, 100, 1000)
DAY_S = 86_400


def venue_fee(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    """Size x rate x p(1-p), half up to 10 micro-units; what is less than 10 costs nothing."""
    curve = (price_ticks * (10_000 - price_ticks)) ** exponent
    scale = 10**6 * 10 ** (8 * exponent) * 10
    if size_lots * rate_ppm * curve < scale:
        return 0
    return (2 * size_lots * rate_ppm * curve + scale) // (2 * scale) * 10


class Queue:
    """Who rests where since when; knows no more than the orders and the fills."""

    def __init__(self) -> None:
        self.resting: dict[str, tuple[int, int]] = {}
        self._arrivals = 0

    def on_match(self, matched: Matched, live: dict[str, Order]) -> None:
        """Demand that better and older orders of the side were met before these."""
        met = {leg.order.id: leg for leg in matched.legs}
        side = matched.legs[0].order.book_side
        prices = {leg.order.book_ticks for leg in matched.legs}
        assert len(prices) == 1, f"one trade at prices {prices}"
        price = prices.pop()
        sign = -1 if side == BookSide.BID else 1
        last = max(self.resting[order_id][1] for order_id in met)
        for order_id, (market, arrival) in self.resting.items():
            order = live[order_id]
            if market != matched.market or order.book_side != side or order_id in met:
                continue
            better = sign * order.book_ticks < sign * price
            older = order.book_ticks == price and arrival < last
            assert not better, f"{order_id} had a better price than trade {matched.trade_id}"
            assert not older, f"{order_id} came before a maker of trade {matched.trade_id}"
        arrivals = [self.resting[leg.order.id][1] for leg in matched.legs]
        assert arrivals == sorted(arrivals), f"trade {matched.trade_id} met makers out of turn"

    def leave(self, order_id: str) -> None:
        self.resting.pop(order_id, None)

    def arrive(self, order: Order) -> None:
        self._arrivals += 1
        self.resting[order.id] = (order.market, self._arrivals)


class Campaign:
    """One seeded life of an exchange; ``step`` does one command and checks everything."""

    def __init__(self, seed: int, rng: random.Random | None = None) -> None:
        """``rng`` replaces the seed's own chance: one that Hypothesis controls can be shrunk."""
        self.seed = seed
        self.rng = rng or random.Random(f"campaign/{seed}")
        self.accounts = Accounts()
        self.engine = MatchingEngine(self.accounts, venue_fee)
        self.slow = SlowExchange(venue_fee)
        self.queue = Queue()
        self.now_ms = START_MS
        self.count = 0
        self.trades = 0
        self.submitted: list[Order] = []
        self.done: Counter[str] = Counter()
        self.last = ""
        self._found()

    def _found(self) -> None:
        rate = self.rng.choice((0, 40_000, 70_000))
        for market in MARKETS:
            tick = self.rng.choice(TICKS)
            rules = MarketRules(
                market, tick, SHARE, market in SET_MARKETS, rate, 1,
                rebate_ppm=self.rng.choice((0, 200_000)), fine_tick_ticks=self.rng.choice((0, 1)),
            )  # fmt: skip
            self.engine.add_market(rules)
            self.slow.add_market(rules)
        self._same(self.accounts, "define_set", SET_INDEX, SET_MARKETS)
        for account in ACCOUNTS:
            self._same(self.accounts, "deposit", account, 400 * SHARE)
            for market in MARKETS:
                for outcome in Outcome:
                    self._same(self.accounts, "grant", account, market, outcome, 60 * SHARE)

    # -- running -------------------------------------------------------------------------

    def step(self) -> None:
        """Do one command. AssertionError or InvariantError if anything does not hold."""
        action = self.rng.choices(MENU, WEIGHTS)[0]
        self.count += 1
        self.done[action.__name__] += 1
        action(self)
        self.engine.check()
        assert self.engine.state_hash() == digest(self.slow.state()), "state hashes differ"
        resting = {order.id for account in ACCOUNTS for order in self.engine.open_orders(account)}
        assert resting == set(self.queue.resting), "an order rests that should not, or the reverse"

    def run(self, commands: int) -> None:
        """Do so many commands; a failure names seed, number and command."""
        for _ in range(commands):
            try:
                self.step()
            except Exception as error:
                raise AssertionError(
                    f"seed {self.seed}, command {self.count} ({self.last}): {error}"
                ) from error

    def _same(self, target: object, name: str, *args: object) -> Any:
        self.last = f"{name}{args}"
        mine, events = self._outcome(target, name, args)
        twin, _ = self._outcome(self.slow, name, args)
        assert mine == twin, f"{name}{args}: engine {mine}, twin {twin}"
        self._watch(events)
        return mine

    @staticmethod
    def _outcome(target: object, name: str, args: tuple[object, ...]) -> tuple[Any, list[Any]]:
        try:
            answer = getattr(target, name)(*args)
        except ValueError:
            return "ValueError", []
        if not isinstance(answer, list):
            return answer, []
        if any(hasattr(event, "_fields") for event in answer):
            return [plain(event) for event in answer], answer
        return answer, []

    def _watch(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Matched):
                self.trades += 1
                self.queue.on_match(event, self.engine.orders)
            elif isinstance(event, OrderDone):
                self.queue.leave(event.order.id)

    # -- commands ------------------------------------------------------------------------

    def _send(self, order: Order) -> None:
        if not any(known.id == order.id for known in self.submitted):
            self.submitted.append(order)
        self.last = f"submit {order}"
        twin = self.slow.submit(order, self.now_ms)
        events = self.engine.submit(order, self.now_ms)
        mine = [plain(event) for event in events]
        assert mine == twin, f"{order}: engine {mine}, twin {twin}"
        self._watch(events)
        if order.status == OrderStatus.LIVE and order.id not in self.queue.resting:
            self.queue.arrive(order)

    def submit(self) -> None:
        rng = self.rng
        market = rng.choice(MARKETS)
        tick = self.engine.rules(market).tick_ticks
        outcome = rng.choice(list(Outcome))
        middle = max((5_000, 400, 9_600, 5_000)[market] // tick * tick, tick)
        yes_ticks = middle + tick * rng.randrange(-3, 4)
        kind = rng.choices(list(OrderType), (6, 2, 1, 2))[0]
        late = self.now_ms // 1000 + rng.choice((179, 180, 200, 260))
        self._send(
            Order(
                id=f"o{self.count}",
                account=rng.choice(ACCOUNTS),
                market=market,
                outcome=outcome,
                side=rng.choice(list(Side)),
                price_ticks=10_000 - yes_ticks if outcome else yes_ticks,
                size_lots=rng.choice(
                    (rng.randrange(100, 3_000) * 10_000, rng.randrange(SHARE // 2, 20 * SHARE))
                ),
                order_type=kind,
                post_only=rng.random() < 0.1,
                expires_epoch_s=late if kind == OrderType.GTD else 0,
            )
        )

    def submit_odd(self) -> None:
        rng = self.rng
        size = rng.choice((-1, 0, 1, 2**63 - 1, 2**63, 2**70, 5 * SHARE))
        price = rng.choice((-1, 0, 1, 9_999, 10_000, 10_001, 10**9, 5_000))
        kind = rng.choice(list(OrderType))
        order = Order(
            f"x{self.count}", rng.choice((*ACCOUNTS, 99)), rng.choice((*MARKETS, 4, -1)),
            rng.choice(list(Outcome)), rng.choice(list(Side)), price, size, kind,
            rng.random() < 0.5, 0, rng.choice((0, 1, self.now_ms // 1000 + 200)),
        )  # fmt: skip
        self._send(order)

    def resend(self) -> None:
        if self.submitted:
            self._send(self.rng.choice(self.submitted))

    def cancel(self) -> None:
        if self.submitted:
            recent = self.submitted[-60:] if self.rng.random() < 0.8 else self.submitted
            self._same(self.engine, "cancel", self.rng.choice(recent).id)

    def cancel_all(self) -> None:
        market = self.rng.choice((None, *MARKETS))
        self._same(self.engine, "cancel_all", self.rng.choice(ACCOUNTS), market)

    def pass_time(self) -> None:
        self.now_ms += self.rng.randrange(0, 120_000)
        self._same(self.engine, "expire", self.now_ms // 1000)

    def settle(self) -> None:
        recent = max(1, self.trades - 30) if self.rng.random() < 0.8 else 1
        trade = self.rng.randrange(recent, self.trades + 2)
        self._same(self.engine, "settle", trade, self.rng.random() < 0.85)

    def set_tick(self) -> None:
        market, tick = self.rng.choice(MARKETS), self.rng.choice(TICKS)
        self._same(self.engine, "set_tick", market, tick)

    def split_or_merge(self) -> None:
        name = self.rng.choice(("split", "merge"))
        lots = self.rng.randrange(0, 90 * SHARE)
        account, market = self.rng.choice(ACCOUNTS), self.rng.choice(MARKETS)
        self._same(self.accounts, name, account, market, lots)

    def pay(self) -> None:
        name = self.rng.choice(("deposit", "deposit", "withdraw", "force_withdraw"))
        target = self.engine if name == "force_withdraw" else self.accounts
        micro = self.rng.randrange(0, 150 * SHARE)
        self._same(target, name, self.rng.choice(ACCOUNTS), micro)

    def close_or_resolve(self) -> None:
        """Now and then, so that most of a life is spent with every market open."""
        if self.rng.random() < 0.8:
            return
        market = self.rng.choice(MARKETS)
        if self.rng.random() < 0.8:
            self._same(self.engine, "resolve", market, self.rng.choice((0, 5_000, 10_000, 1)))
        else:
            self._same(self.engine, "close_market", market)

    def convert(self) -> None:
        chosen = tuple(self.rng.sample(SET_MARKETS, self.rng.randrange(1, 4)))
        lots = self.rng.randrange(0, 40 * SHARE)
        self._same(self.accounts, "convert", self.rng.choice(ACCOUNTS), SET_INDEX, chosen, lots)

    def redeem(self) -> None:
        account, market = self.rng.choice(ACCOUNTS), self.rng.choice(MARKETS)
        self._same(self.accounts, "redeem", account, market)

    def schedule_fee(self) -> None:
        at_ms = self.now_ms + self.rng.randrange(-60_000, 240_000)
        rate = self.rng.choice((0, 30_000, 70_000))
        self._same(self.engine, "schedule_fee", self.rng.choice(MARKETS), at_ms, rate, 1)

    def pay_rebates(self) -> None:
        self._same(self.engine, "pay_rebates", self.now_ms // 1000 // DAY_S)


MENU = (
    Campaign.submit, Campaign.submit_odd, Campaign.resend, Campaign.cancel, Campaign.cancel_all,
    Campaign.pass_time, Campaign.settle, Campaign.set_tick, Campaign.split_or_merge, Campaign.pay,
    Campaign.close_or_resolve, Campaign.convert, Campaign.redeem, Campaign.schedule_fee,
    Campaign.pay_rebates,
)  # fmt: skip
WEIGHTS = (60, 3, 2, 8, 1, 4, 14, 2, 3, 3, 1, 4, 2, 1, 1)


def hypothesis_campaign(examples: int, commands: int, first_seed: int) -> None:
    """Let Hypothesis choose every command of ``examples`` lives; a failure is shrunk."""

    @seed(first_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(rng=st.randoms(use_true_random=False), count=st.integers(1, commands))
    def lives(rng: random.Random, count: int) -> None:
        Campaign(first_seed, rng).run(count)

    lives()


def campaign(commands: int, first_seed: int, life: int = 500) -> Counter[str]:
    """Run lives of ``life`` commands with seeds from ``first_seed`` on; return what was done."""
    total: Counter[str] = Counter()
    left = commands
    while left > 0:
        one = Campaign(first_seed)
        one.run(min(life, left))
        total += one.done
        total["trades"] += one.trades
        total["lives"] += 1
        left -= life
        first_seed += 1
    return total
