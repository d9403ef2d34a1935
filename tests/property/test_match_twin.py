"""The matching engine and its slow twin, command by command: same events, same state hash."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from oracle.exchange import SlowExchange, plain
from overround.match.accounts import Accounts
from overround.match.engine import MatchingEngine
from overround.match.proof import digest
from overround.match.types import LegForm, MarketRules, Matched, Order, OrderType, Outcome, Side

SEED = int(os.environ.get("OVERROUND_SEED", "20261123"))
NOW_MS = 1_795_345_200_000
SHARE = 1_000_000
ACCOUNTS = (1, 2, 3)
TICKS = (1, 10, 25, 50, 100, 1000)


def fee(size_lots: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    """The venue's shape: size x rate x p(1-p), half up to 10 micro-units."""
    curve = (price_ticks * (10_000 - price_ticks)) ** exponent
    scale = 10**6 * 10 ** (8 * exponent) * 10
    return (2 * size_lots * rate_ppm * curve + scale) // (2 * scale) * 10


class Pair:
    """Both exchanges under one set of commands; each is compared after every command."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.engine = MatchingEngine(self.accounts, fee)
        self.slow = SlowExchange(fee)
        self.now_ms = NOW_MS
        self.submitted: list[Order] = []
        self.trades = 0
        self.self_trades = 0
        self.forms: set[LegForm] = set()
        self.ended: Counter[str] = Counter()

    def add_market(self, rules: MarketRules) -> None:
        self.engine.add_market(rules)
        self.slow.add_market(rules)

    def submit(self, order: Order) -> None:
        if not any(known.id == order.id for known in self.submitted):
            self.submitted.append(order)
        twin = self.slow.submit(order, self.now_ms)
        events = self.engine.submit(order, self.now_ms)
        assert [plain(event) for event in events] == twin
        trades = [event for event in events if isinstance(event, Matched)]
        self.trades += len(trades)
        legs = [leg for trade in trades for leg in trade.legs]
        self.forms |= {leg.form for leg in legs}
        self.self_trades += sum(leg.order.account == order.account for leg in legs)

    def both(self, command: str, *args: object) -> None:
        mine = getattr(self.engine, command)(*args)
        assert [plain(event) for event in mine] == getattr(self.slow, command)(*args)

    def money(self, command: str, *args: object) -> None:
        assert getattr(self.accounts, command)(*args) == getattr(self.slow, command)(*args)

    def tried(self, target: object, command: str, *args: object) -> object:
        """What a command returned, or that it may not be."""
        try:
            result = getattr(target, command)(*args)
        except ValueError:
            return "may not be"
        if isinstance(result, list):
            return [plain(event) for event in result]
        return result

    def ending(self, command: str, *args: object) -> object:
        """A command of the life cycle: same answer, same events or the same refusal."""
        here = self.accounts if command in ("convert", "redeem") else self.engine
        mine = self.tried(here, command, *args)
        try:
            twin = getattr(self.slow, command)(*args)
        except ValueError:
            twin = "may not be"
        assert mine == twin
        self.ended[command] += mine not in ("may not be", False, None, [])
        return mine

    def compare(self) -> None:
        self.engine.check()
        assert self.engine.state_hash() == digest(self.slow.state())


accounts = st.sampled_from(ACCOUNTS)
markets = st.sampled_from((0, 0, 0, 1))
# Venue-like sizes, and odd ones in which every rounding rule shows.
sizes = st.one_of(
    st.integers(min_value=10, max_value=40).map(lambda n: n * SHARE // 2),
    st.integers(min_value=5 * SHARE, max_value=20 * SHARE),
    st.integers(min_value=SHARE // 2, max_value=6 * SHARE),
)
wishes = st.fixed_dictionaries(
    {
        "account": accounts,
        "market": markets,
        "outcome": st.sampled_from(Outcome),
        "side": st.sampled_from(Side),
        "steps": st.integers(min_value=-4, max_value=4),
        "size": sizes,
        "kind": st.sampled_from((*[OrderType.GTC] * 5, *OrderType)),
        "post_only": st.sampled_from((False, False, False, True)),
        "life_s": st.sampled_from((180, 181, 200, 240, 179)),
    }
)


class MatchMachine(RuleBasedStateMachine):
    """Random commands over two markets and three accounts, biased to the touch."""

    @initialize(tick=st.sampled_from(TICKS), rate=st.sampled_from((0, 40_000, 70_000)))
    def start(self, tick: int, rate: int) -> None:
        self.pair = Pair()
        self.count = 0
        self.pair.add_market(MarketRules(0, tick, SHARE, True, rate, 1, 250_000))
        self.pair.add_market(MarketRules(1, 100, 5 * SHARE, False, rate, 1, 200_000, 10))
        self.pair.add_market(MarketRules(3, 10, SHARE, True, rate, 1))
        for target in (self.pair.accounts, self.pair.slow):
            target.define_set(0, (0, 3))
        for account in ACCOUNTS:
            self.pair.money("deposit", account, 400 * SHARE)
            for outcome in Outcome:
                self.pair.money("grant", account, 0, outcome, 120 * SHARE)

    @rule(orders=st.lists(wishes, min_size=1, max_size=8))
    def submit(self, orders: list[dict[str, Any]]) -> None:
        for wish in orders:
            self.count += 1
            kind, market = wish["kind"], wish["market"]
            expires = self.pair.now_ms // 1000 + wish["life_s"] if kind == OrderType.GTD else 0
            order = Order(
                id=f"o{self.count}",
                account=wish["account"],
                market=market,
                outcome=wish["outcome"],
                side=wish["side"],
                price_ticks=5_000 + wish["steps"] * self.pair.engine.rules(market).tick_ticks,
                size_lots=wish["size"],
                order_type=kind,
                post_only=wish["post_only"],
                expires_epoch_s=expires,
            )
            self.pair.submit(order)
            self.pair.compare()

    @rule(
        price=st.integers(min_value=-10, max_value=10_010),
        size=st.integers(min_value=-1, max_value=6 * SHARE),
        kind=st.sampled_from(OrderType), market=st.integers(min_value=0, max_value=2),
    )  # fmt: skip
    def submit_odd(self, price: int, size: int, kind: OrderType, market: int) -> None:
        self.count += 1
        self.pair.submit(
            Order(f"x{self.count}", 1, market, Outcome.YES, Side.BUY, price, size, kind, True)
        )

    @rule(pick=st.integers(min_value=0))
    def resend(self, pick: int) -> None:
        if self.pair.submitted:
            order = self.pair.submitted[pick % len(self.pair.submitted)]
            self.pair.submit(order)

    @rule(pick=st.integers(min_value=0))
    def cancel(self, pick: int) -> None:
        if self.pair.submitted:
            self.pair.both("cancel", self.pair.submitted[pick % len(self.pair.submitted)].id)

    @rule(account=accounts, market=st.sampled_from((None, 0, 1)))
    def cancel_all(self, account: int, market: int | None) -> None:
        self.pair.both("cancel_all", account, market)

    @rule(seconds=st.integers(min_value=0, max_value=90))
    def pass_time(self, seconds: int) -> None:
        self.pair.now_ms += seconds * 1000
        self.pair.both("expire", self.pair.now_ms // 1000)

    @rule(pick=st.integers(min_value=0), confirmed=st.booleans())
    def settle(self, pick: int, confirmed: bool) -> None:
        self.pair.both("settle", 1 + pick % (self.pair.trades + 1), confirmed)

    @rule(market=markets, tick=st.sampled_from(TICKS))
    def set_tick(self, market: int, tick: int) -> None:
        self.pair.both("set_tick", market, tick)

    @rule(lot=st.integers(min_value=0, max_value=199))
    def close_market(self, lot: int) -> None:
        if lot == 137:
            self.pair.both("close_market", 1)

    @rule(
        command=st.sampled_from(("split", "merge")), account=accounts, market=markets,
        lots=st.integers(min_value=0, max_value=200 * SHARE),
    )  # fmt: skip
    def convert(self, command: str, account: int, market: int, lots: int) -> None:
        self.pair.money(command, account, market, lots)

    @rule(account=accounts, micro=st.integers(min_value=0, max_value=200 * SHARE))
    def withdraw(self, account: int, micro: int) -> None:
        self.pair.money("withdraw", account, micro)

    @rule(
        account=accounts, given=st.sampled_from(((0,), (3,), (0, 3), (3, 0), (1,), ())),
        lots=st.integers(min_value=0, max_value=60 * SHARE),
    )  # fmt: skip
    def convert_set(self, account: int, given: tuple[int, ...], lots: int) -> None:
        self.pair.ending("convert", account, 0, given, lots)

    @rule(
        market=st.sampled_from((0, 1, 3)), lot=st.integers(min_value=0, max_value=19),
        payout=st.sampled_from((0, 5_000, 10_000, 2_500)),
    )  # fmt: skip
    def resolve(self, market: int, lot: int, payout: int) -> None:
        if lot == 13:
            self.pair.ending("resolve", market, payout)

    @rule(account=accounts, market=st.sampled_from((0, 1, 3)))
    def redeem(self, account: int, market: int) -> None:
        self.pair.ending("redeem", account, market)

    @rule(account=accounts, micro=st.integers(min_value=0, max_value=450 * SHARE))
    def force_withdraw(self, account: int, micro: int) -> None:
        self.pair.ending("force_withdraw", account, micro)

    @rule(
        market=markets, seconds=st.integers(min_value=-10, max_value=300),
        rate=st.sampled_from((0, 30_000, 50_000)), exponent=st.sampled_from((1, 2)),
    )  # fmt: skip
    def schedule_fee(self, market: int, seconds: int, rate: int, exponent: int) -> None:
        args = (market, self.pair.now_ms + seconds * 1000, rate, exponent)
        self.pair.engine.schedule_fee(*args)
        self.pair.slow.schedule_fee(*args)

    @rule(days=st.integers(min_value=0, max_value=1))
    def pay_rebates(self, days: int) -> None:
        self.pair.now_ms += days * 86_400_000
        self.pair.ending("pay_rebates", self.pair.now_ms // 86_400_000 - days)

    @invariant()
    def equal(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare()


@pytest.fixture(autouse=True)
def _show_seed() -> None:
    print(f"OVERROUND_SEED={SEED}")


# Shrinking a failure takes minutes; the default limit would kill it before it is reported.
@pytest.mark.timeout(600)
def test_random_commands_leave_engine_and_twin_equal() -> None:
    """Events after each command and the state hash agree; money is conserved throughout."""
    run_state_machine_as_test(
        seed(SEED)(MatchMachine),
        settings=settings(
            max_examples=100,
            stateful_step_count=60,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("tick", "middle"), [(100, 5_000), (10, 9_700), (25, 400), (1, 5_000), (1000, 5_000)]
)
def test_long_run_of_seeded_orders_equals_the_twin(tick: int, middle: int) -> None:
    """A crowded market: hundreds of orders deep in each other's way, settled at random."""
    run_seed = SEED + tick
    print(f"seed {run_seed}")
    rng = random.Random(run_seed)
    pair = Pair()
    pair.add_market(MarketRules(0, tick, 5 * SHARE, True, 50_000, 1))
    for account in ACCOUNTS:
        pair.money("deposit", account, 5_000 * SHARE)
        for outcome in Outcome:
            pair.money("grant", account, 0, outcome, 3_000 * SHARE)
    for number in range(400):
        outcome = rng.choice(list(Outcome))
        yes_ticks = middle + tick * rng.randrange(-4, 5)
        kind = rng.choices(list(OrderType), (6, 0, 1, 2))[0]
        order = Order(
            id=f"s{number}",
            account=rng.choice(ACCOUNTS),
            market=0,
            outcome=outcome,
            side=rng.choice(list(Side)),
            price_ticks=yes_ticks if outcome == Outcome.YES else 10_000 - yes_ticks,
            size_lots=rng.choice(
                (rng.randrange(500, 20_000) * 10_000, rng.randrange(10**6, 10**8))
            ),
            order_type=kind,
            post_only=kind == OrderType.GTC and rng.random() < 0.1,
        )
        pair.submit(order)
        if rng.random() < 0.3:
            pair.both("cancel", f"s{rng.randrange(number + 1)}")
        if rng.random() < 0.5:
            pair.both("settle", rng.randrange(pair.trades + 2), rng.random() < 0.9)
        if number % 5 == 0:
            pair.compare()
    pair.compare()
    assert pair.trades > 50
    assert pair.forms == set(LegForm)
    assert pair.self_trades > 0


@pytest.mark.parametrize("winner", [0, 2])
def test_whole_life_of_a_set_equals_the_twin(winner: int) -> None:
    """Four exclusive markets traded, converted, resolved one by one and redeemed, in 3 days."""
    rng = random.Random(SEED + winner)
    pair = Pair()
    members = (0, 1, 2, 3)
    for market in members:
        pair.add_market(MarketRules(market, 100, SHARE, True, 50_000, 1, 250_000, 10))
    pair.add_market(MarketRules(4, 100, SHARE, False, 50_000, 1, 150_000, 10))
    for target in (pair.accounts, pair.slow):
        target.define_set(9, members)
    for account in ACCOUNTS:
        pair.money("deposit", account, 9_000 * SHARE)
        for market in range(5):
            pair.money("split", account, market, 500 * SHARE)
    pair.engine.schedule_fee(0, NOW_MS + 86_400_000, 30_000)
    pair.slow.schedule_fee(0, NOW_MS + 86_400_000, 30_000)
    ends = [(4, 5_000), *((m, 10_000 * (m == winner)) for m in members)]
    for number in range(360):
        day, hour = divmod(number, 120)
        pair.now_ms = NOW_MS + day * 86_400_000 + hour * 60_000
        outcome, yes_ticks = rng.choice(list(Outcome)), 100 * rng.choice((3, 50, 51, 52, 97))
        order = Order(
            id=f"l{number}",
            account=rng.choice(ACCOUNTS),
            market=rng.randrange(5),
            outcome=outcome,
            side=rng.choice(list(Side)),
            price_ticks=yes_ticks if outcome == Outcome.YES else 10_000 - yes_ticks,
            size_lots=rng.randrange(4 * SHARE, 90 * SHARE),
        )
        pair.submit(order)
        pair.both("settle", pair.trades, rng.random() < 0.9)
        if number % 7 == 0:
            given = tuple(rng.sample(members, rng.randrange(1, 5)))
            pair.ending("convert", rng.choice(ACCOUNTS), 9, given, rng.randrange(30 * SHARE))
        if hour == 100:
            pair.ending("pay_rebates", NOW_MS // 86_400_000 + day)
        if number > 240 and number % 20 == 0 and ends:
            pair.ending("resolve", *ends.pop(0))
        if number % 11 == 0:
            pair.ending("redeem", rng.choice(ACCOUNTS), rng.randrange(5))
        pair.compare()
    for trade in range(1, pair.trades + 1):
        pair.both("settle", trade, True)
    for market, account in ((m, a) for m in range(5) for a in ACCOUNTS):
        pair.ending("redeem", account, market)
    pair.compare()
    assert not any(pair.accounts.advances_micro.values())
    assert pair.ended["resolve"] == 5
    assert min(pair.ended[name] for name in ("convert", "redeem", "pay_rebates")) >= 2, pair.ended
    assert pair.engine.rules(0).tick_ticks == 10
